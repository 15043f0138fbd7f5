//! The types that name a sample and say what is known of it before a pixel is decoded.

use serde::{Deserialize, Serialize};

/// Row number over the whole manifest, in shard order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SampleId(pub u32);

/// Index into the manifest's flattened table of row groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowGroupId(pub u32);

/// Position in the endless global order of samples: epochs follow one another without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ordinal(pub u64);

/// Which sample stands at which position, and how often it had to be substituted.
///
/// Random numbers are keyed by `epoch`, `sample` and `attempt`, never by `ordinal`, so that plans survive
/// a change of batch size, worker count or shuffle window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SampleKey {
    /// Pass over the data set, from 0.
    pub epoch: u32,
    /// Position in the global order.
    pub ordinal: Ordinal,
    /// The sample that is shown there.
    pub sample: SampleId,
    /// 0 for the sample that the order names, `n` for its `n`-th substitute.
    pub attempt: u16,
}

/// Chroma subsampling of a JPEG, by its usual name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subsampling {
    /// One component, or an image that is no JPEG.
    None,
    /// 4:4:4.
    #[serde(rename = "4:4:4")]
    S444,
    /// 4:2:2.
    #[serde(rename = "4:2:2")]
    S422,
    /// 4:2:0.
    #[serde(rename = "4:2:0")]
    S420,
    /// 4:4:0.
    #[serde(rename = "4:4:0")]
    S440,
    /// 4:1:1.
    #[serde(rename = "4:1:1")]
    S411,
    /// 4:1:0.
    #[serde(rename = "4:1:0")]
    S410,
    /// Any other combination of sampling factors.
    Other,
}

impl Subsampling {
    /// The name written to shards, such as `"4:2:0"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::S444 => "4:4:4",
            Self::S422 => "4:2:2",
            Self::S420 => "4:2:0",
            Self::S440 => "4:4:0",
            Self::S411 => "4:1:1",
            Self::S410 => "4:1:0",
            Self::Other => "other",
        }
    }

    /// Inverse of [`Subsampling::as_str`]; unknown names give [`Subsampling::Other`].
    pub fn from_name(name: &str) -> Self {
        match name {
            "none" => Self::None,
            "4:4:4" => Self::S444,
            "4:2:2" => Self::S422,
            "4:2:0" => Self::S420,
            "4:4:0" => Self::S440,
            "4:1:1" => Self::S411,
            "4:1:0" => Self::S410,
            _ => Self::Other,
        }
    }
}

/// How the bytes of an image are encoded. Told from the first bytes, never from the file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// JPEG (ITU T.81).
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
}

/// Bit set of things worth knowing about a sample; stored in the shard's `flags` column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageFlags(pub u32);

impl ImageFlags {
    /// The bytes are a PNG.
    pub const PNG: Self = Self(1);
    /// The bytes are a WebP.
    pub const WEBP: Self = Self(1 << 1);
    /// An EXIF block is present.
    pub const EXIF: Self = Self(1 << 2);
    /// An Adobe APP14 marker is present.
    pub const ADOBE: Self = Self(1 << 3);
    /// Restart markers are in use.
    pub const RESTART: Self = Self(1 << 4);
    /// The decoder gave an image but reported damaged data.
    pub const DAMAGED: Self = Self(1 << 5);
    /// Only the header was checked when the shard was written (`--check header`).
    pub const UNCHECKED: Self = Self(1 << 6);
    /// A JPEG of several scans, progressive or not: its decoder keeps all coefficients. Older data sets do not
    /// note it.
    pub const SCANS: Self = Self(1 << 7);

    /// Whether every bit of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a header says of an image. Written by `smog-tools shard`, so crops can be drawn without touching
/// the encoded bytes. Width and height are as stored, before any EXIF rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageMeta {
    /// Encoding of the bytes.
    pub format: ImageFormat,
    /// Width in pixels as stored.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// Colour components: 1 grey, 3 colour, 4 CMYK or YCCK (2 and 4 for PNG with alpha).
    pub components: u8,
    /// Chroma subsampling.
    pub subsampling: Subsampling,
    /// EXIF orientation, 1 to 8; 1 where none is given.
    pub orientation: u8,
    /// Progressive JPEG.
    pub progressive: bool,
    /// Further facts.
    pub flags: ImageFlags,
    /// Length of the encoded image in bytes.
    pub bytes: u32,
}
