//! The header parser on its own: fast, for all formats.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smog_pipeline::codec::{DecoderKind, probe};

fuzz_target!(|encoded: &[u8]| {
    if let Ok(meta) = probe(encoded) {
        assert!(meta.width > 0 && meta.height > 0);
        assert!((1..=8).contains(&meta.orientation));
        assert_eq!(meta.bytes as usize, encoded.len());
        for kind in DecoderKind::ALL {
            assert!(kind.decode_bytes(&meta) >= 3 * u64::from(meta.width) * u64::from(meta.height));
        }
    }
});
