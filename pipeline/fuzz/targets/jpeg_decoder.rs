//! JPEG by this decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smog_pipeline::codec::DecoderKind;

fuzz_target!(|encoded: &[u8]| smog_fuzz::decode(DecoderKind::JpegDecoder, encoded));
