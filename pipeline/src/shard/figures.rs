//! Figures on image sizes, gathered row by row and merged shard by shard.

use serde::{Deserialize, Serialize};

use crate::manifest::SizeFigures;
use crate::sample::ImageMeta;

/// Running figures; all zero stands for no image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    images: u64,
    width: [u32; 2],
    height: [u32; 2],
    max_pixels: u64,
    sum_pixels: u64,
    max_bytes: u64,
    /// `None` in the notes of an older version.
    #[serde(default)]
    max_coefficient_bytes: Option<u64>,
}

impl Figures {
    /// Adds one image.
    pub(super) fn add(&mut self, meta: &ImageMeta) {
        let pixels = u64::from(meta.width) * u64::from(meta.height);
        *self = self.merged(&Self {
            images: 1,
            width: [meta.width; 2],
            height: [meta.height; 2],
            max_pixels: pixels,
            sum_pixels: pixels,
            max_bytes: u64::from(meta.bytes),
            max_coefficient_bytes: Some(meta.coefficient_bytes()),
        });
    }

    /// The figures of both sets of images together.
    pub(super) fn merged(&self, other: &Self) -> Self {
        if self.images == 0 || other.images == 0 {
            return if self.images == 0 { *other } else { *self };
        }
        let span = |a: [u32; 2], b: [u32; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        Self {
            images: self.images + other.images,
            width: span(self.width, other.width),
            height: span(self.height, other.height),
            max_pixels: self.max_pixels.max(other.max_pixels),
            sum_pixels: self.sum_pixels.saturating_add(other.sum_pixels),
            max_bytes: self.max_bytes.max(other.max_bytes),
            max_coefficient_bytes: self
                .max_coefficient_bytes
                .zip(other.max_coefficient_bytes)
                .map(|(a, b)| a.max(b)),
        }
    }

    /// How many images they are of.
    pub(super) fn images(&self) -> u64 {
        self.images
    }

    /// As the manifest has them.
    pub(super) fn sizes(&self) -> SizeFigures {
        SizeFigures {
            width: self.width,
            height: self.height,
            max_pixels: self.max_pixels,
            mean_pixels: self.sum_pixels as f64 / self.images.max(1) as f64,
            max_bytes: self.max_bytes,
            max_coefficient_bytes: self.max_coefficient_bytes,
        }
    }
}
