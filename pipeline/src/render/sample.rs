//! Settings of the per-sample renderer.

use serde::{Deserialize, Serialize};

use crate::codec::DecodeLimits;

/// Which JPEG decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderKind {
    /// libjpeg-turbo.
    #[default]
    TurboJpeg,
    /// zune-jpeg.
    ZuneJpeg,
    /// jpeg-decoder.
    JpegDecoder,
}

/// How samples are rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderSettings {
    /// Decoder for JPEG.
    pub decoder: DecoderKind,
    /// Limits.
    pub limits: DecodeLimits,
    /// Decode at reduced size where it is enough.
    pub scaled_decode: bool,
    /// Apply EXIF orientation.
    pub apply_exif: bool,
}
