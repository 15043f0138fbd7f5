//! Crop and resize in one step, with the antialiased triangle filter of PIL and torchvision.

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::augment::CropBox;
use crate::codec::Pixels;

/// A resizer with its buffers.
#[derive(Default)]
pub(crate) struct CropResize {
    resizer: Resizer,
}

impl CropResize {
    /// Writes the part `crop` of `image`, resized to `size` squared, into `view`. The box is in pixels of
    /// the unreduced image and is cut to the image where it sticks out.
    ///
    /// A box on whole pixels is cut out first, so the filter sees nothing outside it, as torchvision's
    /// `resized_crop`. A box between pixels lets the filter look past its edge, as `Resize` followed by
    /// `CenterCrop`.
    pub(crate) fn apply(&mut self, image: &Pixels, crop: &CropBox, size: u32, view: &mut [u8]) {
        let scale = f64::from(image.scale.max(1));
        let (x, width) = cut(crop.x / scale, crop.width / scale, image.width);
        let (y, height) = cut(crop.y / scale, crop.height / scale, image.height);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        // Typed images: the untyped call would compile every pixel format into this crate, for minutes.
        let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, &image.data)
            .expect("an RGB8 image has three bytes a pixel");
        let mut target = TypedImage::<U8x3>::from_buffer(size, size, view)
            .expect("a view has three bytes a pixel");
        let whole = [x, y, width, height].iter().all(|value| value.fract() == 0.0);
        if whole {
            let (left, top) = (x as u32, y as u32);
            let part = TypedCroppedImage::from_ref(&source, left, top, width as u32, height as u32)
                .expect("the box was cut to the image");
            self.resizer.resize_typed(&part, &mut target, &options)
        } else {
            self.resizer.resize_typed(&source, &mut target, &options.crop(x, y, width, height))
        }
        .expect("the box was cut to the image");
    }
}

/// Start and length of a box on one axis, inside the image and not empty.
fn cut(start: f64, length: f64, limit: u32) -> (f64, f64) {
    let limit = f64::from(limit);
    let start = start.clamp(0.0, (limit - 1.0).max(0.0));
    (start, length.min(limit - start).max(f64::MIN_POSITIVE))
}
