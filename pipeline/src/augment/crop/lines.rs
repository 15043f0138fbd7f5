//! The two passes over lines.

use super::{FRAC, HALF, SHIFT};
use crate::augment::filter::Filter;
use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// Source rows that are weighed in one go.
const GROUP: usize = 4;
/// From so many rows on, what is lost by rounding products down would show.
const LONG: usize = 33;
/// Columns of a long sum that are made together.
const COLUMNS: usize = 64;

/// One line: the weighted sum of source rows, which begin `stride` bytes apart, with [`FRAC`] bits below the point.
pub(super) fn vertical(simd: Simd, source: &[u8], stride: usize, weights: &[u16], out: &mut [u16]) {
    // Rows without weight may lie outside the image.
    let used = weights.iter().rposition(|&weight| weight > 0).map_or(0, |last| last + 1);
    let weights = &weights[..used];
    #[cfg(target_arch = "x86_64")]
    if simd.avx2() && used < LONG && out.len() >= super::avx2::COLUMNS {
        return super::avx2::vertical(simd, source, stride, weights, out);
    }
    vertical_portable(simd, source, stride, weights, out);
}

kernel! {
    fn vertical_portable(source: &[u8], stride: usize, weights: &[u16], out: &mut [u16]) {
        let used = weights.len();
        let length = out.len();
        let row = |k: usize| &source[k * stride..][..length];
        if used >= LONG {
            return weigh_long(source, stride, weights, out);
        }
        // Each product loses half a unit on average.
        let start = (used / 2) as u16;
        let head = used.min(GROUP);
        let at = |k: usize| (row(k), weights[k]);
        match head {
            1 => weigh([at(0)], out, |_| start),
            2 => weigh([at(0), at(1)], out, |_| start),
            3 => weigh([at(0), at(1), at(2)], out, |_| start),
            4 => weigh([at(0), at(1), at(2), at(3)], out, |_| start),
            _ => out.fill(start),
        }
        for k in (head..used).step_by(GROUP) {
            match used - k {
                1 => weigh([at(k)], out, |sum| sum),
                2 => weigh([at(k), at(k + 1)], out, |sum| sum),
                3 => weigh([at(k), at(k + 1), at(k + 2)], out, |sum| sum),
                _ => weigh([at(k), at(k + 1), at(k + 2), at(k + 3)], out, |sum| sum),
            }
        }
    }
}

/// Adds weighed rows to what `start` makes of `out`.
#[inline(always)]
fn weigh<const ROWS: usize>(
    rows: [(&[u8], u16); ROWS],
    out: &mut [u16],
    start: impl Fn(u16) -> u16,
) {
    let length = out.len();
    let lines: [&[u8]; ROWS] = std::array::from_fn(|k| &rows[k].0[..length]);
    for x in 0..length {
        let mut sum = start(out[x]);
        for k in 0..ROWS {
            let value = u32::from(u16::from(lines[k][x]) << FRAC);
            sum += ((value * u32::from(rows[k].1)) >> 16) as u16;
        }
        out[x] = sum;
    }
}

/// The same with exact sums, for images that become much smaller.
#[inline(always)]
fn weigh_long(source: &[u8], stride: usize, weights: &[u16], out: &mut [u16]) {
    for (chunk, out) in out.chunks_mut(COLUMNS).enumerate() {
        // 1/65536 of a level; half of what will be cut off.
        let mut sums = [1 << (15 - FRAC); COLUMNS];
        for (k, &weight) in weights.iter().enumerate() {
            let row = &source[k * stride + chunk * COLUMNS..][..out.len()];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += u32::from(value) * u32::from(weight);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (sum >> (16 - FRAC)) as u16;
        }
    }
}

/// Two rows of the view, `y` and the next, from two lines.
pub(super) fn horizontal(
    simd: Simd,
    lines: &[u16],
    filter: &Filter,
    planes: &mut Planes,
    y: usize,
) {
    let (one, other) = lines.split_at(lines.len() / 2);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if simd.avx2() {
        done = super::avx2::horizontal(simd, [one, other], filter, planes, y);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = simd;
    let side = planes.side;
    for (row, line) in [one, other].into_iter().enumerate() {
        for x in done..side {
            let (first, weights) = filter.output(x);
            let mut sums = [HALF; 3];
            for (tap, &weight) in weights.iter().enumerate() {
                for (channel, sum) in sums.iter_mut().enumerate() {
                    *sum += i32::from(line[3 * (first + tap) + channel]) * i32::from(weight);
                }
            }
            let at = (y + row) * side + x;
            let [red, green, blue] = sums.map(|sum| (sum >> SHIFT).min(255) as u8);
            (planes.red[at], planes.green[at], planes.blue[at]) = (red, green, blue);
        }
    }
}
