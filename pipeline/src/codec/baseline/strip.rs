//! Rows of units while they become pixels.

use super::segments::Component;
use super::{UnitBlock, colour};
use crate::codec::Region;
use crate::codec::turbo::MARGIN;
use crate::simd::Simd;

/// Values beside a row of colour on each side.
const BESIDE: usize = 1;
/// Spare bytes at the end of a row, so that a row of an odd number of pixels has a last pair.
const SPARE: usize = 32;

/// The part of an image that is decoded, in units (what is coded together: a block, or 2 x 1 or 2 x 2 of luma).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) top: usize,
    pub(super) bottom: usize,
}

/// One row of units, and the last row of pixels of the one before.
#[derive(Default)]
pub(super) struct Strip {
    planes: [Plane; 3],
    num_components: usize,
    /// Rows of colour with all columns of luma.
    blue: Vec<u8>,
    red: Vec<u8>,
    /// A row of colour between what is beside it.
    values: Vec<u16>,
}

#[derive(Default)]
struct Plane {
    data: Vec<u8>,
    stride: usize,
    /// Rows of a strip.
    rows: usize,
}

impl Plane {
    /// The row at `y` of the strip; that at -1 is of the strip before.
    fn row(&self, y: isize) -> &[u8] {
        &self.data[(y + 1) as usize * self.stride..][..self.stride]
    }
}

/// What the strip needs to know of the image.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) part: Part,
    /// Rows of units that libjpeg-turbo reads for the region: a file that is damaged there is to be refused on every
    /// processor.
    pub(super) rows_to_read: usize,
    /// In pixels.
    pub(super) region: Region,
    /// Luma for each value of colour, across and down.
    pub(super) factors: [usize; 2],
}

impl Geometry {
    /// What has to be decoded for a region: interpolation of colour looks at its neighbours.
    pub(super) fn new(width: usize, height: usize, region: Region, factors: [usize; 2]) -> Self {
        let part = |start: u32, length: u32, factor: usize, limit: usize| {
            let beside = if factor > 1 { 2 } else { 0 };
            let (start, end) = (start as usize, (start + length) as usize + beside);
            let unit = 8 * factor;
            (start.saturating_sub(beside) / unit, end.min(limit).div_ceil(unit))
        };
        let (left, right) = part(region.x, region.width, factors[0], width);
        let (top, bottom) = part(region.y, region.height, factors[1], height);
        // It decodes a margin below the region, and interpolates the last rows of a row of units from the next one.
        let end = (region.y + region.height + MARGIN) as usize;
        let next = if factors[1] > 1 { 2 } else { 0 };
        let rows_to_read = (end.min(height) + next).min(height).div_ceil(8 * factors[1]);
        let part = Part { left, right, top, bottom };
        Self { width, height, part, rows_to_read, region, factors }
    }

    /// Units in a row of the whole image.
    pub(super) fn units_across(&self) -> usize {
        self.width.div_ceil(8 * self.factors[0])
    }
}

impl Strip {
    /// Makes room.
    pub(super) fn set(&mut self, geometry: &Geometry, components: &[Component]) {
        let units = geometry.part.right - geometry.part.left;
        self.num_components = components.len();
        for (plane, component) in self.planes.iter_mut().zip(components) {
            plane.stride = 8 * units * component.across + SPARE;
            plane.rows = 8 * component.down;
            plane.data.resize(plane.stride * (plane.rows + 1), 0);
        }
    }

    /// Where the pixels of a block of the unit at `column` go: memory from its first one on, and the bytes from row
    /// to row.
    pub(super) fn block(&mut self, block: &UnitBlock<'_>, column: usize) -> (&mut [u8], usize) {
        let plane = &mut self.planes[block.component];
        let across = block.across * column + block.x;
        (&mut plane.data[(8 * block.y + 1) * plane.stride + 8 * across..], plane.stride)
    }

    /// Writes the pixels of the region that the strip `unit_row` makes possible: where colour is interpolated
    /// between rows, its last row waits for the next strip.
    #[target_feature(enable = "avx2")]
    pub(super) fn finish(
        &mut self,
        simd: Simd,
        unit_row: usize,
        geometry: &Geometry,
        out: &mut [u8],
    ) {
        let &Geometry { height, part, region, factors, .. } = geometry;
        let rows = 8 * factors[1];
        let waits = usize::from(factors[1] > 1);
        let first_row = rows * unit_row;
        let start = if unit_row == part.top { first_row } else { first_row - waits };
        let end = first_row + rows - if unit_row + 1 == part.bottom { 0 } else { waits };
        let (top, bottom) = (region.y as usize, (region.y + region.height) as usize);
        let (width, pitch) = (region.width as usize, 3 * region.width as usize);
        let x = region.x as usize - 8 * factors[0] * part.left;
        for y in start.max(top)..end.min(bottom) {
            let rgb = &mut out[(y - top) * pitch..][..pitch];
            let in_strip = y as isize - first_row as isize;
            if self.num_components == 1 {
                colour::gray_to_rgb(simd, &self.planes[0].row(in_strip)[x..][..width], rgb);
                continue;
            }
            // Rows of colour in the strip; from the edge of the image on, the last one is its own neighbour.
            let (near, far) = if factors[1] == 1 {
                (in_strip, in_strip)
            } else {
                let row = y / 2;
                let neighbour = if y % 2 == 0 { row.saturating_sub(1) } else { row + 1 };
                let neighbour = neighbour.min(height.div_ceil(2) - 1);
                let in_strip = |row: usize| row as isize - (first_row / 2) as isize;
                (in_strip(row), in_strip(neighbour))
            };
            let Self { planes: [luma, blues, reds], blue, red, values, .. } = self;
            let [blue, red] = [(blues, blue), (reds, red)].map(|(plane, doubled)| {
                if factors[0] == 1 {
                    return &plane.row(near)[x..][..width];
                }
                geometry.double(simd, plane, [near, far], values, doubled);
                &doubled[x..][..width]
            });
            colour::to_rgb(&luma.row(in_strip)[x..][..width], blue, red, rgb);
        }
        if waits > 0 {
            for plane in &mut self.planes {
                plane.data.copy_within(plane.stride * plane.rows.., 0);
            }
        }
    }
}

impl Geometry {
    /// A row of colour with the columns of luma.
    fn double(
        &self,
        simd: Simd,
        plane: &Plane,
        [near, far]: [isize; 2],
        values: &mut Vec<u16>,
        doubled: &mut Vec<u8>,
    ) {
        let length = plane.stride - SPARE;
        values.resize(length + 2 * BESIDE, 0);
        doubled.resize(2 * length, 0);
        let (near, far) = (&plane.row(near)[..length], &plane.row(far)[..length]);
        let inner = &mut values[BESIDE..BESIDE + length];
        if self.factors[1] == 1 {
            colour::widen(simd, near, inner);
        } else {
            colour::weigh_rows(simd, near, far, inner);
        }
        // At the edges of the image the last value is its own neighbour; at others nobody looks at what is beside.
        values[0] = values[BESIDE];
        let columns = self.width.div_ceil(2) - 8 * self.part.left;
        if columns <= length {
            values[BESIDE + columns] = values[columns];
        }
        if self.factors[1] == 1 {
            colour::double_columns(simd, values, doubled);
        } else {
            colour::double_both(simd, values, doubled);
        }
    }
}
