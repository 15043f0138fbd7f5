//! JPEG by our own decoder, and the same image or the same refusal from libjpeg-turbo.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smog_pipeline::codec::DecoderKind;

fuzz_target!(|encoded: &[u8]| {
    smog_fuzz::decode(DecoderKind::Baseline, encoded);
    smog_fuzz::compare(DecoderKind::Baseline, DecoderKind::TurboJpeg, encoded);
});
