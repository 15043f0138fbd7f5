//! PNG, with the signature put before whatever has none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smog_pipeline::codec::DecoderKind;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

fuzz_target!(|encoded: &[u8]| {
    let chunks = encoded.strip_prefix(SIGNATURE).unwrap_or(encoded);
    smog_fuzz::decode(DecoderKind::default(), &[SIGNATURE, chunks].concat());
});
