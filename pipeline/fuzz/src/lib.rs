//! What the targets share.

use std::cell::RefCell;
use std::collections::HashMap;

use smog_pipeline::codec::{
    CodecError, DamagePolicy, DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Pixels,
    decoder, probe,
};

/// Small, so that an image costs milliseconds; what is over a limit is refused before any decoder sees it.
/// `SMOG_MAX_PIXELS` sets another, for runs over seeds alone.
fn max_pixels() -> u64 {
    std::env::var("SMOG_MAX_PIXELS").ok().and_then(|text| text.parse().ok()).unwrap_or(1 << 20)
}

struct Tools {
    strict: Box<dyn ImageDecoder>,
    filling: Box<dyn ImageDecoder>,
    pixels: Pixels,
}

thread_local! {
    static TOOLS: RefCell<HashMap<DecoderKind, Tools>> = RefCell::default();
}

/// Decodes with buffers that are kept from image to image, as a worker does: strictly, reduced, and filled in
/// where it is damaged. Panics if the result is not what the header says.
pub fn decode(kind: DecoderKind, encoded: &[u8]) {
    let Ok(meta) = probe(encoded) else { return };
    TOOLS.with_borrow_mut(|tools| {
        let new = |damaged| decoder(kind, DecodeLimits { max_pixels: max_pixels(), damaged });
        let Tools { strict, filling, pixels } = tools.entry(kind).or_insert_with(|| Tools {
            strict: new(DamagePolicy::Refuse),
            filling: new(DamagePolicy::Fill),
            pixels: Pixels::default(),
        });
        let mut run = |decoder: &mut dyn ImageDecoder, max_scale: u32| {
            let request = DecodeRequest { max_scale, region: None };
            let result = decoder.decode(encoded, &meta, &request, pixels);
            if result.is_ok() {
                let size = |length: u32| length.div_ceil(pixels.scale);
                assert_eq!((pixels.width, pixels.height), (size(meta.width), size(meta.height)));
                assert_eq!(pixels.data.len(), 3 * pixels.width as usize * pixels.height as usize);
            }
            result
        };
        match run(strict.as_mut(), 1) {
            Ok(()) => drop(run(strict.as_mut(), 8)),
            // Under the guard a panic of a library is a refusal; here it is a find.
            Err(CodecError::Damaged { what }) if what.contains("panicked") => panic!("{what}"),
            Err(CodecError::Damaged { .. }) => drop(run(filling.as_mut(), 1)),
            Err(_) => {}
        }
    });
}

/// Panics unless both give the same pixels, or refuse the image for the same reason.
pub fn compare(one: DecoderKind, other: DecoderKind, encoded: &[u8]) {
    let Ok(meta) = probe(encoded) else { return };
    let [one, other] = [one, other].map(|kind| {
        let limits = DecodeLimits { max_pixels: max_pixels(), damaged: DamagePolicy::Refuse };
        let mut pixels = Pixels::default();
        let mut decoder = decoder(kind, limits);
        decoder.decode(encoded, &meta, &DecodeRequest::WHOLE, &mut pixels).map(|()| pixels.data)
    });
    assert!(one == other, "{:?} and {:?}", one.map(drop), other.map(drop));
}
