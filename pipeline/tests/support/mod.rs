//! What the tests of images share. Every decoder call of these tests goes through [`Tool::decode`].

use smog_pipeline::codec::{
    CodecError, DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Pixels, decoder, probe,
};
use smog_pipeline::sample::ImageMeta;

/// A decoder with its buffer, used for one image after another as a worker does.
pub(crate) struct Tool {
    pub(crate) decoder: Box<dyn ImageDecoder>,
    pub(crate) pixels: Pixels,
}

impl Tool {
    pub(crate) fn new(kind: DecoderKind, limits: DecodeLimits) -> Self {
        Self { decoder: decoder(kind, limits), pixels: Pixels::default() }
    }

    /// The whole image at full size.
    pub(crate) fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
    ) -> Result<&Pixels, CodecError> {
        self.decoder.decode(encoded, meta, &DecodeRequest::WHOLE, &mut self.pixels)?;
        Ok(&self.pixels)
    }

    /// As [`Tool::decode`], with what the header says.
    pub(crate) fn probe_and_decode(
        &mut self,
        encoded: &[u8],
    ) -> Result<(ImageMeta, &Pixels), CodecError> {
        let meta = probe(encoded)?;
        Ok((meta, self.decode(encoded, &meta)?))
    }
}

/// Largest and mean difference of two images.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len(), "images of different sizes");
    let differences = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap_or(0), sum as f64 / a.len().max(1) as f64)
}
