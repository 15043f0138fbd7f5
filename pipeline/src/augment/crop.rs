//! Crop and resize in one step, with the antialiased triangle filter of PIL and torchvision.
//!
//! Written here because a library's resizer gives whole RGB images and makes its tables anew for each: six
//! views of a photograph spent more time in it than in the JPEG decoder. This one takes RGB rows and leaves
//! the planes that the colour kernels work on, mirrored if asked, and keeps every buffer.
//!
//! For each two rows of the view, first columns then rows are filtered: the vertical pass makes two lines of
//! 16-bit numbers out of the source rows, a plain weighted sum over bytes; the horizontal pass makes the
//! pixels out of these while they are in the cache. PIL filters rows first and rounds to bytes in between;
//! keeping [`FRAC`] bits there costs nothing and is closer to the exact result.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod lines;

use crate::augment::CropBox;
use crate::augment::filter::{Axis, Filter};
use crate::augment::planes::Planes;
use crate::codec::Pixels;
use crate::simd::Simd;

/// Bits below the point of a value between the two passes: 255 and the rounding still fit 15 bits.
const FRAC: u32 = 7;
/// Weights of the vertical pass are in 1/65536, so that a product is the high half of 32 bits.
const VERTICAL_ONE: u32 = 65_536;
/// Weights of the horizontal pass: products of two 15-bit numbers, added in 32 bits.
const HORIZONTAL_BITS: u32 = 14;
/// The number of weights of a column's filter is rounded up to a multiple of this, of a row's too.
pub const COLUMN_UNIT: usize = 2;
/// See [`COLUMN_UNIT`].
pub const ROW_UNIT: usize = 1;
/// From the sum of the horizontal pass to a byte.
const SHIFT: u32 = FRAC + HORIZONTAL_BITS;
/// Half a level, in that sum.
const HALF: i32 = 1 << (SHIFT - 1);
/// Values that may be read past the end of a line, with weight 0.
const PADDING: usize = 16;

/// Filters with their buffers.
#[derive(Default)]
pub(crate) struct CropResize {
    horizontal: Filter,
    vertical: Filter,
    /// Two lines between the passes, each with padding.
    lines: Vec<u16>,
}

impl CropResize {
    /// Fills `planes` with the part `crop` of `image`, resized to `size` squared, and mirrored left and
    /// right where `flip` is set. The box is in pixels of the unreduced image and is cut to what there is
    /// of it. `size` is at least 2, and in a recipe at least 8.
    ///
    /// A box on whole pixels is cut out first, so the filter sees nothing outside it, as torchvision's
    /// `resized_crop`. A box between pixels lets the filter look past its edge, as `Resize` followed by
    /// `CenterCrop`.
    pub(crate) fn apply(
        &mut self,
        simd: Simd,
        image: &Pixels,
        crop: &CropBox,
        size: u32,
        flip: bool,
        planes: &mut Planes,
    ) {
        let scale = f64::from(image.scale.max(1));
        let crop = CropBox {
            x: (crop.x - f64::from(image.left)) / scale,
            y: (crop.y - f64::from(image.top)) / scale,
            width: crop.width / scale,
            height: crop.height / scale,
        };
        let CropAxes { corner, columns, rows } =
            CropAxes::new(image.width, image.height, &crop, size);
        let corner = (corner.0 as usize, corner.1 as usize);
        self.horizontal.set(columns, 1 << HORIZONTAL_BITS, COLUMN_UNIT, flip);
        self.vertical.set(rows, VERTICAL_ONE, ROW_UNIT, false);
        let (start, end) = self.horizontal.span();
        self.horizontal.rebase(start);
        planes.resize(size);

        let stride = 3 * image.width as usize;
        let source = &image.data[corner.1 * stride + 3 * (corner.0 + start)..];
        let length = 3 * (end - start);
        let line = length + PADDING + 3 * self.horizontal.taps();
        self.lines.resize(2 * line, 0);
        let size = size as usize;
        for y in (0..size).step_by(2) {
            // Of an odd number of rows the last but one is made twice.
            let y = y.min(size - 2);
            for (row, line) in self.lines.chunks_exact_mut(line).enumerate() {
                let (first, weights) = self.vertical.output(y + row);
                lines::vertical(
                    simd,
                    &source[first * stride..],
                    stride,
                    weights,
                    &mut line[..length],
                );
            }
            lines::horizontal(simd, &self.lines, &self.horizontal, planes, y);
        }
    }
}

/// Where a crop reads: the box of a view on the two axes of an image.
#[derive(Clone, Copy, Debug)]
pub struct CropAxes {
    /// Column and row from which on the axes count.
    pub corner: (u32, u32),
    /// Left to right, before mirroring.
    pub columns: Axis,
    /// Top to bottom.
    pub rows: Axis,
}

impl CropAxes {
    /// The box `crop` of an image of `width` by `height` pixels, as a view of `size` squared. What lies outside of
    /// the image is cut off.
    pub fn new(width: u32, height: u32, crop: &CropBox, size: u32) -> Self {
        let (x, across) = cut(crop.x, crop.width, width);
        let (y, down) = cut(crop.y, crop.height, height);
        let whole = [x, y, across, down].iter().all(|value| value.fract() == 0.0);
        // Where the box is cut out, the axes begin at its corner.
        if whole {
            let axis =
                |length: f64| Axis { limit: length as u32, start: 0.0, length, outputs: size };
            Self { corner: (x as u32, y as u32), columns: axis(across), rows: axis(down) }
        } else {
            let axis = |limit, start, length| Axis { limit, start, length, outputs: size };
            Self { corner: (0, 0), columns: axis(width, x, across), rows: axis(height, y, down) }
        }
    }
}

/// Start and length of a box on one axis, inside the image and not empty.
fn cut(start: f64, length: f64, limit: u32) -> (f64, f64) {
    let limit = f64::from(limit);
    let start = start.clamp(0.0, (limit - 1.0).max(0.0));
    (start, length.min(limit - start).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests;
