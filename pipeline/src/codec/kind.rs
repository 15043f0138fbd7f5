//! Which library decodes JPEG.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::header::JpegHeader;
use crate::sample::Subsampling;

/// A JPEG decoder by name. PNG and WebP have one decoder each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderKind {
    /// Our own for baseline JPEG, with the pixels of libjpeg-turbo to the bit; libjpeg-turbo for all others. The
    /// fastest.
    #[default]
    Baseline,
    /// libjpeg-turbo; the reference: a sample is bad if and only if this one refuses it.
    #[serde(rename = "turbojpeg")]
    TurboJpeg,
    /// zune-jpeg, Rust, one thread, for grey and 4:4:4 in one scan; libjpeg-turbo for all others.
    ZuneJpeg,
    /// jpeg-decoder, Rust, with an own pool of one thread, for grey and 4:4:4 in one scan; libjpeg-turbo for all others.
    JpegDecoder,
}

impl DecoderKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Baseline, Self::TurboJpeg, Self::ZuneJpeg, Self::JpegDecoder];

    /// Whether the library shows a JPEG as libjpeg-turbo does, within 2 levels. What it does not is given to libjpeg-turbo.
    pub(super) fn takes(self, header: &JpegHeader) -> bool {
        match self {
            // The first sees more of a file before it knows.
            Self::Baseline | Self::TurboJpeg => true,
            // Both round the interpolation of subsampled colour in their own way, up to 8 levels off, and were 3 off in a
            // progressive file and in one of four components. zune-jpeg 0.5.15 decodes components one after another
            // to noise and does not say so (docs/IMAGES.md).
            Self::ZuneJpeg | Self::JpegDecoder => {
                let whole = matches!(header.subsampling, Subsampling::None | Subsampling::S444);
                whole && !header.several_scans && header.components < 4 && header.tables
            }
        }
    }

    /// The name in settings and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::TurboJpeg => "turbojpeg",
            Self::ZuneJpeg => "zune-jpeg",
            Self::JpegDecoder => "jpeg-decoder",
        }
    }
}

impl fmt::Display for DecoderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown decoder `{name}`, expected baseline, turbojpeg, zune-jpeg or jpeg-decoder")]
pub struct UnknownDecoder {
    /// The name.
    pub name: String,
}

impl FromStr for DecoderKind {
    type Err = UnknownDecoder;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| UnknownDecoder { name: name.into() })
    }
}
