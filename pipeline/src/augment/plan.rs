//! The drawn parameters of a sample: plain data, made before any pixel is touched, the same for every
//! renderer.

use serde::{Deserialize, Serialize};

/// A box in pixels of the image as it is shown: as stored, or rotated where `apply_exif` is on. Whole
/// numbers for random crops; a centre crop may fall between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropBox {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width, above 0.
    pub width: f64,
    /// Height, above 0.
    pub height: f64,
}

/// One colour operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JitterOp {
    /// Blend with black.
    Brightness,
    /// Blend with the mean grey level.
    Contrast,
    /// Blend with the greyscale image.
    Saturation,
    /// Turn of the colour circle.
    Hue,
}

/// Drawn colour jitter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JitterPlan {
    /// Order of application.
    pub order: [JitterOp; 4],
    /// Brightness factor.
    pub brightness: f32,
    /// Contrast factor.
    pub contrast: f32,
    /// Saturation factor.
    pub saturation: f32,
    /// Hue shift in turns, -0.5 to 0.5.
    pub hue: f32,
}

/// What is done to make one view, in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewPlan {
    /// Side of the view in pixels.
    pub size: u32,
    /// Part of the image, resized to `size` squared with an antialiased triangle filter.
    pub crop: CropBox,
    /// Mirror left and right.
    pub flip: bool,
    /// Colour jitter.
    pub jitter: Option<JitterPlan>,
    /// Greyscale.
    pub gray: bool,
    /// Standard deviation of the Gaussian blur in pixels of the view.
    pub blur: Option<f32>,
    /// Solarisation threshold.
    pub solarize: Option<u8>,
}

/// All views of a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SamplePlan {
    /// In the order of the batch.
    pub views: Vec<ViewPlan>,
}
