//! The horizontal pass for AVX2.
//!
//! The compiler makes nothing good of sums over pixels of three values, so this is written by hand. A
//! register holds the same two neighbouring pixels of both lines; a shuffle puts the reds, greens and blues
//! of a pair side by side, and one instruction multiplies them by the two weights and adds.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_castsi128_si256, _mm256_extract_epi32,
    _mm256_inserti128_si256, _mm256_madd_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_srai_epi32,
};

use super::{HALF, SHIFT};
use crate::augment::filter::Filter;
use crate::augment::planes::Planes;
use crate::augment::simd::Simd;

/// Pixels that are made together.
const PIXELS: usize = 4;

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
