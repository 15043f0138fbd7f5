//! One block of 8 x 8 coefficients out of the bits.

use super::bits::BitReader;
use super::huffman::{END, Huffman, WINDOW};

/// Coefficients before quantisation is undone, in the order of [`PLACES`]. The places from 64 on take what is written
/// past the end of a block, and need no bound to be checked.
#[repr(align(32))]
pub(super) struct Block(pub(super) [i16; 256]);

impl Block {
    pub(super) const ZERO: Self = Self([0; 256]);

    pub(super) fn clear(&mut self) {
        self.0[..64].fill(0);
    }
}

/// Row and column of the coefficients in the order of the file (T.81, figure A.6), 8 times row plus column.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Place of each coefficient of the file: rows 0 and 4 value by value beside one another, then 2 and 6, 1 and 5, 3 and
/// 7, as [`idct`](super::idct) multiplies them. What lies past them has a place that nobody reads.
const PLACES: [u8; 128] = {
    let mut places = [64; 128];
    let mut k = 0;
    while k < 64 {
        let (row, column) = (ZIGZAG[k] / 8, ZIGZAG[k] % 8);
        let pair = [0, 2, 1, 3][(row % 4) as usize];
        places[k] = 16 * pair + 2 * column + row / 4;
        k += 1;
    }
    places
};

/// Quantisation steps in the order of [`PLACES`].
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Steps(pub(super) [i16; 64]);

impl Steps {
    /// From a table in the order of the file.
    pub(super) fn new(table: &[u8; 64]) -> Self {
        let mut steps = [0; 64];
        for (&place, &step) in PLACES.iter().zip(table) {
            steps[usize::from(place)] = step.into();
        }
        Self(steps)
    }
}

/// Tables of one component.
#[derive(Clone, Copy)]
pub(super) struct Coding<'a> {
    pub(super) dc: &'a Huffman,
    pub(super) ac: &'a Huffman,
    pub(super) steps: &'a Steps,
}

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The first coefficient at most.
    Flat,
    Full,
}

/// Reads a block into `block`, whose coefficients are 0 before; `last` is the first coefficient of the
/// component's last block. Without `KEEP` only the bits are gone over. `None` if the bits are no block
/// that an encoder writes.
///
/// A function of its own, so that all of its state has registers.
#[inline(never)]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
pub(super) fn read<const KEEP: bool>(
    reader: &mut BitReader<'_>,
    coding: Coding<'_>,
    last: &mut i32,
    block: &mut Block,
) -> Option<Content> {
    let Coding { dc, ac, .. } = coding;
    // A copy stays in registers.
    let mut bits = *reader;
    // SAFETY: what was read before was asked for an overrun, below.
    unsafe { bits.refill() };
    let (_, value) = symbol(&mut bits, dc)?;
    *last = last.wrapping_add(value);
    let mut put = |k: u32, value: i32| {
        if KEEP {
            block.0[usize::from(PLACES[k as usize & 127])] = value as i16;
        }
    };
    put(0, *last);
    // The number of the last coefficient.
    let mut k = 0;
    loop {
        // What was read at the top of the loop, or the first coefficient, leaves enough bits for one more.
        let before = k;
        let (mut advance, value) = symbol(&mut bits, ac)?;
        k += advance;
        put(k, value);
        let mut flat = before == 0;
        if k < 63 {
            // SAFETY: a block has 64 values at most, and each brings `k` nearer to its end.
            unsafe { bits.refill() };
            let (next, value) = symbol(&mut bits, ac)?;
            (flat, advance) = (false, next);
            k += next;
            put(k, value);
        }
        if k >= 63 {
            *reader = bits;
            // An end is allowed anywhere, a coefficient past the last is not.
            let valid =
                (k == 63 || advance == END) && i16::try_from(*last).is_ok() && !bits.overrun();
            let content = if flat && k > 63 { Content::Flat } else { Content::Full };
            return valid.then_some(content);
        }
    }
}

/// By how much to go on, and the value.
#[inline(always)]
fn symbol(bits: &mut BitReader<'_>, table: &Huffman) -> Option<(u32, i32)> {
    let mut entry = table.entries[bits.peek(WINDOW) as usize];
    if entry.is_long() {
        entry = table.long(bits.peek(16))?;
    }
    let value = entry.value(bits.bits());
    bits.consume(entry.bits());
    Some((entry.advance(), value))
}
