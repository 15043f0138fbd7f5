//! Our own decoder for what nearly all photographs are: baseline JPEG in one scan, grey or YCbCr at 4:4:4, 4:2:2 or
//! 4:2:0.
//!
//! Written here because decoding is two thirds of a worker's time and most of that is Huffman decoding, which no
//! library does faster than libjpeg-turbo. This one takes a coefficient out of one look-up without a branch that
//! depends on the data, keeps its tables from image to image, and makes pixels only where the views look.
//!
//! Everything that it does not know, and every file in which it finds the least thing wrong, goes to libjpeg-turbo
//! from the start, which then gives the image or the reason; so both refuse the same files, and of a part of an image the
//! same damage: all is looked at that libjpeg-turbo would read for it. Pixels are those of libjpeg-turbo to the bit (there
//! are tests).
//!
//! For processors with AVX2 and BMI2; on others libjpeg-turbo decodes everything.

mod bits;
mod block;
mod colour;
mod huffman;
mod idct;
mod segments;
mod strip;

use self::bits::{BitReader, ScanData};
use self::block::{Block, Coding, Content};
use self::segments::{Component, Scan, Tables};
use self::strip::{Geometry, Strip};
use super::any::{JpegBackend, reserve};
use super::header::{JpegColour, JpegHeader};
use super::{CodecError, DecodeRequest, Pixels, Region};
use crate::simd::Simd;

/// Narrower or lower images are left to libjpeg-turbo, which interpolates them otherwise.
const SMALLEST: u32 = 16;
/// Blocks of a unit at most: 2 x 2 of luma, one of each colour.
const UNIT_BLOCKS: usize = 6;

/// Buffers and tables, kept from image to image.
pub(super) struct Baseline {
    simd: Simd,
    tables: Tables,
    data: ScanData,
    strip: Strip,
    /// Of one unit.
    coefficients: [Block; UNIT_BLOCKS],
}

impl Baseline {
    pub(super) fn new() -> Self {
        Self {
            simd: Simd::best(),
            tables: Tables::default(),
            data: ScanData::default(),
            strip: Strip::default(),
            coefficients: [Block::ZERO; UNIT_BLOCKS],
        }
    }
}

impl JpegBackend for Baseline {
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        request: &DecodeRequest,
        _scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<bool, CodecError> {
        let ours = request.max_scale == 1 && takes(header) && self.simd.bits();
        // SAFETY: the processor has the instructions, or `simd` would not say so.
        Ok(ours && unsafe { self.try_decode(encoded, header, request.region, out) }.is_some())
    }
}

fn takes(header: &JpegHeader) -> bool {
    !header.several_scans
        && header.tables
        && matches!(header.colour, JpegColour::Gray | JpegColour::YCbCr)
        && header.width.min(header.height) >= SMALLEST
}

impl Baseline {
    /// `None` if the file is left to libjpeg-turbo.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn try_decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        region: Option<Region>,
        out: &mut Pixels,
    ) -> Option<()> {
        let Self { simd, tables, data, strip, coefficients, .. } = self;
        let scan = Scan::read(encoded, header.first_scan, tables)?;
        let components = scan.components();
        let factors = factors(components)?;
        data.read(&encoded[scan.data..])?;

        let whole = Region { x: 0, y: 0, width: header.width, height: header.height };
        let region = region.unwrap_or(whole);
        let geometry =
            Geometry::new(header.width as usize, header.height as usize, region, factors);
        reserve(out, region.width, region.height, 1);
        (out.left, out.top) = (region.x, region.y);
        strip.set(&geometry, components);

        let layout = Layout::new(components, tables);
        let mut units = Units::new(data, scan.restart_interval)?;
        let part = geometry.part;
        for row in 0..geometry.rows_to_read {
            for column in 0..geometry.units_across() {
                units.begin()?;
                if !(part.top..part.bottom).contains(&row)
                    || !(part.left..part.right).contains(&column)
                {
                    for block in layout.blocks() {
                        units.skip(block)?;
                    }
                } else {
                    // All blocks are read before the first is transformed: what was just written value by value
                    // cannot be loaded as a whole for a while.
                    let mut contents = [Content::Flat; UNIT_BLOCKS];
                    let each = layout.blocks().iter().zip(&mut *coefficients).zip(&mut contents);
                    for ((block, coefficients), content) in each {
                        *content = units.read(block, coefficients)?;
                    }
                    let each = layout.blocks().iter().zip(&*coefficients).zip(contents);
                    for ((block, coefficients), content) in each {
                        let (pixels, stride) = strip.block(block, column - part.left);
                        let steps = block.coding.steps;
                        match content {
                            Content::Flat => idct::flat(coefficients, steps, pixels, stride)?,
                            Content::Full => idct::full(coefficients, steps, pixels, stride)?,
                        }
                    }
                }
            }
            if (part.top..part.bottom).contains(&row) {
                strip.finish(*simd, row, &geometry, &mut out.data);
            }
        }
        Some(())
    }
}

/// A block of a unit.
#[derive(Clone, Copy)]
struct UnitBlock<'a> {
    component: usize,
    coding: Coding<'a>,
    /// Its place in the unit, and the unit's blocks beside one another.
    x: usize,
    y: usize,
    across: usize,
}

/// The blocks of a unit in the order of the file.
struct Layout<'a> {
    blocks: [UnitBlock<'a>; UNIT_BLOCKS],
    num_blocks: usize,
}

impl<'a> Layout<'a> {
    fn new(components: &[Component], tables: &'a Tables) -> Self {
        let mut all = components.iter().enumerate().flat_map(|(index, component)| {
            let &Component { across, down, steps, dc, ac, .. } = component;
            let coding =
                Coding { dc: &tables.dc[dc], ac: &tables.ac[ac], steps: &tables.steps[steps] };
            let blocks = (0..down).flat_map(move |y| (0..across).map(move |x| (x, y)));
            blocks.map(move |(x, y)| UnitBlock { component: index, coding, x, y, across })
        });
        let num_blocks = all.clone().count();
        let first = all.clone().next().expect("a scan has a component");
        let blocks = std::array::from_fn(|_| all.next().unwrap_or(first));
        Self { blocks, num_blocks }
    }

    fn blocks(&self) -> &[UnitBlock<'a>] {
        &self.blocks[..self.num_blocks]
    }
}

/// Luma for each value of colour; `None` for what is left to libjpeg-turbo.
fn factors(components: &[Component]) -> Option<[usize; 2]> {
    match components {
        [_] => Some([1, 1]),
        [luma, blue, red] => {
            let factors = [luma.across, luma.down];
            let known = matches!(factors, [1, 1] | [2, 1] | [2, 2]);
            let plain = [blue, red].iter().all(|chroma| (chroma.across, chroma.down) == (1, 1));
            (known && plain).then_some(factors)
        }
        _ => None,
    }
}

/// Goes from unit to unit over restart markers.
struct Units<'a> {
    data: &'a ScanData,
    bits: BitReader<'a>,
    /// Units of an interval, and how many are left of this one.
    interval: usize,
    left: usize,
    next_interval: usize,
    /// First coefficient of the last block of each component.
    last: [i32; 3],
    /// Stays 0.
    skipped: Block,
}

impl<'a> Units<'a> {
    fn new(data: &'a ScanData, interval: usize) -> Option<Self> {
        // Without an interval markers are not to be expected.
        if interval == 0 && data.num_intervals() > 1 {
            return None;
        }
        let interval = if interval == 0 { usize::MAX } else { interval };
        let bits = data.interval(0)?;
        Some(Self {
            data,
            bits,
            interval,
            left: interval,
            next_interval: 1,
            last: [0; 3],
            skipped: Block::ZERO,
        })
    }

    #[inline(always)]
    fn begin(&mut self) -> Option<()> {
        if self.left == 0 {
            self.restart()?;
        }
        self.left -= 1;
        Some(())
    }

    #[cold]
    fn restart(&mut self) -> Option<()> {
        self.bits = self.data.interval(self.next_interval)?;
        (self.next_interval, self.left, self.last) =
            (self.next_interval + 1, self.interval, [0; 3]);
        Some(())
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn read(&mut self, block: &UnitBlock<'_>, coefficients: &mut Block) -> Option<Content> {
        coefficients.clear();
        let last = &mut self.last[block.component];
        block::read::<true>(&mut self.bits, block.coding, last, coefficients)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn skip(&mut self, block: &UnitBlock<'_>) -> Option<()> {
        let last = &mut self.last[block.component];
        block::read::<false>(&mut self.bits, block.coding, last, &mut self.skipped).map(drop)
    }
}

#[cfg(test)]
mod tests;
