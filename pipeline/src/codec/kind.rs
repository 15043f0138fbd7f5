//! Which library decodes JPEG.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A JPEG decoder by name. PNG and WebP have one decoder each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderKind {
    /// libjpeg-turbo; the reference: a sample is bad if and only if this one refuses it.
    #[default]
    #[serde(rename = "turbojpeg")]
    TurboJpeg,
    /// zune-jpeg, Rust, one thread.
    ZuneJpeg,
    /// jpeg-decoder, Rust, with an own pool of one thread.
    JpegDecoder,
}

impl DecoderKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TurboJpeg, Self::ZuneJpeg, Self::JpegDecoder];

    /// The name in settings and reports.
    pub fn as_str(self) -> &'static str {
        match self {
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
#[error("unknown decoder `{name}`, expected turbojpeg, zune-jpeg or jpeg-decoder")]
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
