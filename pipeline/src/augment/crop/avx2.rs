//! Both passes for AVX2.
//!
//! Written by hand, since the compiler multiplies in 32 bits where 16 are enough, does up to 63 columns of a line one
//! by one, and makes nothing good of sums over pixels of three values. In the horizontal pass a register holds the same
//! two neighbouring pixels of both lines; a shuffle puts the reds, greens and blues of a pair side by side, and one
//! instruction multiplies them by the two weights and adds.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_castsi128_si256,
    _mm256_cvtepu8_epi16, _mm256_extract_epi32, _mm256_inserti128_si256, _mm256_madd_epi16,
    _mm256_mulhi_epu16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srai_epi32,
    _mm256_storeu_si256,
};

use super::{FRAC, HALF, SHIFT};
use crate::augment::filter::Filter;
use crate::augment::planes::Planes;
use crate::simd::Simd;

/// Pixels that are made together.
const PIXELS: usize = 4;

/// Columns of the vertical pass that are made together.
pub(super) const COLUMNS: usize = 16;

/// The weighted sum of source rows, see [`super::lines::vertical`]. There are at least [`COLUMNS`] columns, and weights
/// for as many rows as there are.
pub(super) fn vertical(simd: Simd, source: &[u8], stride: usize, weights: &[u16], out: &mut [u16]) {
    assert!(simd.avx2() && out.len() >= COLUMNS);
    assert!(source.len() >= weights.len().saturating_sub(1) * stride + out.len());
    // SAFETY: the processor has AVX2, or `simd` would not say so; every row is as long as `out`.
    unsafe { sum_rows(source, stride, weights, out) }
}

/// # Safety
/// `source` has a row of the length of `out` for each weight, and `out` has [`COLUMNS`] columns.
#[target_feature(enable = "avx2")]
unsafe fn sum_rows(source: &[u8], stride: usize, weights: &[u16], out: &mut [u16]) {
    // Each product loses half a unit on average.
    let start = _mm256_set1_epi16((weights.len() / 2) as i16);
    let last = out.len() - COLUMNS;
    // The last columns may be made twice.
    for x in (0..out.len()).step_by(COLUMNS).map(|x| x.min(last)) {
        let mut sum = start;
        for (row, &weight) in weights.iter().enumerate() {
            // SAFETY: `COLUMNS` bytes of a row, by the caller's promise.
            let bytes = unsafe { _mm_loadu_si128(source.as_ptr().add(row * stride + x).cast()) };
            let values = _mm256_slli_epi16::<{ FRAC as i32 }>(_mm256_cvtepu8_epi16(bytes));
            let products = _mm256_mulhi_epu16(values, _mm256_set1_epi16(weight as i16));
            sum = _mm256_add_epi16(sum, products);
        }
        // SAFETY: `COLUMNS` values of the line.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(x).cast(), sum) };
    }
}

/// Fills rows `y` and `y + 1` of the planes from two lines, as far as whole groups of pixels go; gives the
/// number of columns that are done.
pub(super) fn horizontal(
    simd: Simd,
    lines: [&[u16]; 2],
    filter: &Filter,
    planes: &mut Planes,
    y: usize,
) -> usize {
    assert!(simd.avx2() && filter.taps().is_multiple_of(2));
    let last = filter.firsts().iter().max().map_or(0, |&first| first as usize);
    // The last load of a pixel begins at its last pair of taps and takes eight values.
    let reach = 3 * (last + filter.taps() - 2) + 8;
    assert!(lines.iter().all(|line| line.len() >= reach));
    // SAFETY: the processor has AVX2, or `simd` would not say so; the lines are long enough.
    unsafe {
        match filter.taps() / 2 {
            1 => rows::<1>(lines, filter, planes, y),
            2 => rows::<2>(lines, filter, planes, y),
            3 => rows::<3>(lines, filter, planes, y),
            _ => rows::<0>(lines, filter, planes, y),
        }
    }
}

/// `PAIRS` is half the number of taps where it is known to the compiler, 0 where it is not.
///
/// # Safety
/// Each line has eight values from `3 * (first + taps - 2)` on for the first source pixel of every output.
#[target_feature(enable = "avx2")]
unsafe fn rows<const PAIRS: usize>(
    lines: [&[u16]; 2],
    filter: &Filter,
    planes: &mut Planes,
    y: usize,
) -> usize {
    let pairs = if PAIRS == 0 { filter.taps() / 2 } else { PAIRS };
    let side = planes.side;
    let rows = y * side..(y + 2) * side;
    let (red_0, red_1) = planes.red[rows.clone()].split_at_mut(side);
    let (green_0, green_1) = planes.green[rows.clone()].split_at_mut(side);
    let (blue_0, blue_1) = planes.blue[rows].split_at_mut(side);
    // Values r0 g0 b0 r1 g1 b1 become r0 r1 g0 g1 b0 b1 0 0.
    #[rustfmt::skip]
    let pair_up = _mm256_setr_epi8(
        0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1,
        0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1,
    );
    // Four pixels of r g b 0 become four reds, four greens, four blues.
    #[rustfmt::skip]
    let by_colour = _mm256_setr_epi8(
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
        0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    );
    let half = _mm256_set1_epi32(HALF);
    let firsts = filter.firsts().as_chunks::<PIXELS>().0;
    let weights = filter.weights().chunks_exact(PIXELS * 2 * pairs);
    for (group, (firsts, weights)) in firsts.iter().zip(weights).enumerate() {
        let pixel = |index: usize| -> __m256i {
            let first = 3 * firsts[index] as usize;
            let weights = weights[index * 2 * pairs..].as_chunks::<2>().0;
            let mut sum = half;
            for (pair, weights) in weights[..pairs].iter().enumerate() {
                let at = first + 6 * pair;
                // SAFETY: eight values from here on lie in each line, by the caller's promise.
                let both = unsafe {
                    let one = _mm_loadu_si128(lines[0].as_ptr().add(at).cast());
                    let other = _mm_loadu_si128(lines[1].as_ptr().add(at).cast());
                    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(one), other)
                };
                let two = i32::from(weights[0]) | (i32::from(weights[1]) << 16);
                let values = _mm256_shuffle_epi8(both, pair_up);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(values, _mm256_set1_epi32(two)));
            }
            _mm256_srai_epi32::<{ SHIFT as i32 }>(sum)
        };
        let low = _mm256_packs_epi32(pixel(0), pixel(1));
        let high = _mm256_packs_epi32(pixel(2), pixel(3));
        let colours = _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), by_colour);
        let columns = PIXELS * group..PIXELS * (group + 1);
        let four = |value: i32| value.to_ne_bytes();
        red_0[columns.clone()].copy_from_slice(&four(_mm256_extract_epi32::<0>(colours)));
        green_0[columns.clone()].copy_from_slice(&four(_mm256_extract_epi32::<1>(colours)));
        blue_0[columns.clone()].copy_from_slice(&four(_mm256_extract_epi32::<2>(colours)));
        red_1[columns.clone()].copy_from_slice(&four(_mm256_extract_epi32::<4>(colours)));
        green_1[columns.clone()].copy_from_slice(&four(_mm256_extract_epi32::<5>(colours)));
        blue_1[columns].copy_from_slice(&four(_mm256_extract_epi32::<6>(colours)));
    }
    filter.len() / PIXELS * PIXELS
}
