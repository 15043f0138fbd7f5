//! What is asked of the kernels.

use smog_pipeline::augment::ViewPlan;
use smog_pipeline::codec::Orientation;

/// A decoded image in device memory, as stored: the EXIF orientation is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surface {
    /// Device address of interleaved RGB8.
    pub pixels: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from line to line.
    pub pitch: u32,
}

/// What the values of a view are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelKind {
    /// IEEE single precision.
    F32,
    /// bfloat16, rounded to the nearest, ties to even.
    Bf16,
}

impl PixelKind {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// One view to render.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewTask {
    /// The image.
    pub surface: Surface,
    /// What is done; its box is in pixels of the image as shown.
    pub plan: ViewPlan,
    /// How the image is turned to be shown.
    pub orientation: Orientation,
    /// Device address of the row: `[side, side, 3]`, values beside each other, of the [`PixelKind`].
    pub out: u64,
}

/// From bytes to values: `byte * scale + shift`, per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalize {
    /// Factors of red, green and blue.
    pub scale: [f32; 3],
    /// What is added afterwards.
    pub shift: [f32; 3],
}

impl Normalize {
    /// Bytes as they are.
    pub const NONE: Self = Self { scale: [1.0; 3], shift: [0.0; 3] };
}
