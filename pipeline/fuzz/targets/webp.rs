//! WebP, with the container's first bytes put right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smog_pipeline::codec::DecoderKind;

fuzz_target!(|encoded: &[u8]| {
    let mut file = encoded.to_vec();
    if file.len() >= 12 {
        let length = (file.len() - 8) as u32;
        file[..4].copy_from_slice(b"RIFF");
        file[4..8].copy_from_slice(&length.to_le_bytes());
        file[8..12].copy_from_slice(b"WEBP");
    }
    smog_fuzz::decode(DecoderKind::default(), &file);
});
