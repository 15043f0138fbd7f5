//! The inverse cosine transform, with the numbers of libjpeg's `jidctint` (Loeffler, Ligtenberg and Moschytz, 13-bit
//! constants): pixels are the same to the bit.
//!
//! Both passes multiply pairs of 16-bit numbers and add within a pair, one instruction for eight columns. Outputs are
//! written as sums over inputs, which comes to the same numbers as the butterflies there: integers do not round.

use std::arch::x86_64::{
    __m256i, _mm_storel_epi64, _mm_unpackhi_epi64, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_load_si256, _mm256_madd_epi16,
    _mm256_movemask_epi8, _mm256_mulhi_epi16, _mm256_mullo_epi16, _mm256_or_si256,
    _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute4x64_epi64, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_srai_epi16, _mm256_srai_epi32, _mm256_srli_epi16, _mm256_sub_epi16, _mm256_sub_epi32,
    _mm256_testz_si256, _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use std::ops::Range;

use super::block::{Block, Steps};

/// Bits of the constants.
const CONST_BITS: i32 = 13;
/// Bits below the point between the passes.
const PASS_BITS: i32 = 2;
const FIRST_SHIFT: i32 = CONST_BITS - PASS_BITS;
/// From here on the sum of two numbers may not fit 16 bits.
const LARGE: i32 = 16_384;
const SECOND_SHIFT: i32 = CONST_BITS + PASS_BITS + 3;

/// Writes the 8 x 8 pixels of `block` to `out`, whose rows are `stride` bytes apart. `None` if numbers are so large
/// that the result of libjpeg-turbo depends on how it adds them; they come of damage.
#[target_feature(enable = "avx2")]
pub(super) fn full(block: &Block, steps: &Steps, out: &mut [u8], stride: usize) -> Option<()> {
    let zero = _mm256_setzero_si256();
    let (mut inputs, mut lost, mut large) = ([zero; 4], zero, zero);
    for (pair, input) in inputs.iter_mut().enumerate() {
        let (values, steps) = (load(&block.0, pair), load(&steps.0, pair));
        let product = _mm256_mullo_epi16(values, steps);
        // The upper half is no more than a sign, or bits are lost.
        let upper = _mm256_mulhi_epi16(values, steps);
        lost = _mm256_or_si256(lost, _mm256_xor_si256(upper, _mm256_srai_epi16::<15>(product)));
        large = _mm256_or_si256(large, large_bits(product));
        *input = product;
    }
    let rows = pass::<FIRST_SHIFT>(inputs, _mm256_set1_epi32(1 << (FIRST_SHIFT - 1)));
    // Two columns side by side for each row, as the first pass had two rows for each column.
    #[rustfmt::skip]
    let interleave = _mm256_setr_epi8(
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
        0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
    );
    let mut columns = transpose(rows);
    for pair in &mut columns {
        large = _mm256_or_si256(large, large_bits(*pair));
        *pair = _mm256_permute4x64_epi64::<0b11_01_10_00>(*pair);
        *pair = _mm256_shuffle_epi8(*pair, interleave);
    }
    let [c04, c15, c26, c37] = columns;
    let large = _mm256_movemask_epi8(large) as u32 & 0xAAAA_AAAA != 0;
    if large || _mm256_testz_si256(lost, lost) == 0 {
        return None;
    }
    // Pixels are stored less 128.
    let rounding = (128 << SECOND_SHIFT) + (1 << (SECOND_SHIFT - 1));
    let columns = pass::<SECOND_SHIFT>([c04, c26, c15, c37], _mm256_set1_epi32(rounding));
    let [r04, r15, r26, r37] = transpose(columns);
    if !plain_levels([r04, r15, r26, r37]) {
        return None;
    }
    assert!(out.len() >= 7 * stride + 8);
    let (first, second) = (_mm256_packus_epi16(r04, r15), _mm256_packus_epi16(r26, r37));
    for (pair, rows) in [
        (_mm256_castsi256_si128(first), [0, 1]),
        (_mm256_extracti128_si256::<1>(first), [4, 5]),
        (_mm256_castsi256_si128(second), [2, 3]),
        (_mm256_extracti128_si256::<1>(second), [6, 7]),
    ] {
        // SAFETY: eight bytes of each row, asserted above.
        unsafe {
            _mm_storel_epi64(out.as_mut_ptr().add(rows[0] * stride).cast(), pair);
            let other = _mm_unpackhi_epi64(pair, pair);
            _mm_storel_epi64(out.as_mut_ptr().add(rows[1] * stride).cast(), other);
        }
    }
    Some(())
}

/// The same where only the first coefficient is not 0.
pub(super) fn flat(block: &Block, steps: &Steps, out: &mut [u8], stride: usize) -> Option<()> {
    let value = i32::from(block.0[0]) * i32::from(steps.0[0]);
    let level = ((value + 4) >> 3) + 128;
    for row in 0..8 {
        out[row * stride..][..8].fill(level.clamp(0, 255) as u8);
    }
    (value.abs() < LARGE && LEVELS.contains(&level)).then_some(())
}

/// Levels that libjpeg-turbo cuts to 0..=255 on all processors; its C code takes others for what they are not.
const LEVELS: Range<i32> = -384..640;

#[inline]
#[target_feature(enable = "avx2")]
fn plain_levels(rows: [__m256i; 4]) -> bool {
    let mut beyond = _mm256_setzero_si256();
    for row in rows {
        let above = _mm256_sub_epi16(row, _mm256_set1_epi16(LEVELS.start as i16));
        // There are 1,024 of them.
        beyond = _mm256_or_si256(beyond, _mm256_srli_epi16::<10>(above));
    }
    _mm256_testz_si256(beyond, beyond) == 1
}

/// 16 values, two rows column by column.
#[inline]
#[target_feature(enable = "avx2")]
fn load(values: &[i16], pair: usize) -> __m256i {
    let values: &[i16; 16] = values[16 * pair..].first_chunk().expect("16 values");
    // SAFETY: 32 bytes, aligned as blocks and steps are.
    unsafe { _mm256_load_si256(values.as_ptr().cast()) }
}

/// The highest bit is set where the two highest bits are not the same, which is from [`LARGE`] on.
#[inline]
#[target_feature(enable = "avx2")]
fn large_bits(values: __m256i) -> __m256i {
    _mm256_xor_si256(values, _mm256_add_epi16(values, values))
}

/// One pass over eight columns: inputs are rows (or columns) 0 and 4, 2 and 6, 1 and 5, 3 and 7, outputs all
/// eight in turn.
#[inline]
#[target_feature(enable = "avx2")]
fn pass<const SHIFT: i32>(
    [in04, in26, in15, in37]: [__m256i; 4],
    rounding: __m256i,
) -> [__m256i; 8] {
    let plus = _mm256_add_epi32(times(in04, 8192, 8192), rounding);
    let minus = _mm256_add_epi32(times(in04, 8192, -8192), rounding);
    let (even, other) = (times(in26, 10703, 4433), times(in26, 4433, -10704));
    let tops = [
        _mm256_add_epi32(plus, even),
        _mm256_add_epi32(minus, other),
        _mm256_sub_epi32(minus, other),
        _mm256_sub_epi32(plus, even),
    ];
    let odds = [
        _mm256_add_epi32(times(in15, 11363, 6437), times(in37, 9633, 2260)),
        _mm256_add_epi32(times(in15, 9633, -11362), times(in37, -2259, -6436)),
        _mm256_add_epi32(times(in15, 6437, 2261), times(in37, -11362, 9633)),
        _mm256_add_epi32(times(in15, 2260, 9633), times(in37, -6436, -11363)),
    ];
    let mut out = [rounding; 8];
    for k in 0..4 {
        out[k] = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(tops[k], odds[k]));
        out[7 - k] = _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(tops[k], odds[k]));
    }
    out
}

/// Sums of two products each.
#[inline]
#[target_feature(enable = "avx2")]
fn times(inputs: __m256i, first: i16, second: i16) -> __m256i {
    let factors = i32::from(first) & 0xFFFF | i32::from(second) << 16;
    _mm256_madd_epi16(inputs, _mm256_set1_epi32(factors))
}

/// From eight rows of eight 32-bit numbers to columns of 16-bit numbers: 0 and 4 in the halves of the first register,
/// then 1 and 5, 2 and 6, 3 and 7.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 4] {
    let r04 = _mm256_packs_epi32(rows[0], rows[4]);
    let r15 = _mm256_packs_epi32(rows[1], rows[5]);
    let r26 = _mm256_packs_epi32(rows[2], rows[6]);
    let r37 = _mm256_packs_epi32(rows[3], rows[7]);
    // Rows 0 to 3, then rows 4 to 7.
    let (upper_01, upper_23) = (_mm256_unpacklo_epi16(r04, r15), _mm256_unpacklo_epi16(r26, r37));
    let (lower_01, lower_23) = (_mm256_unpackhi_epi16(r04, r15), _mm256_unpackhi_epi16(r26, r37));
    // Columns 0, 1, 4, 5, then columns 2, 3, 6, 7.
    let near_upper = _mm256_unpacklo_epi32(upper_01, upper_23);
    let near_lower = _mm256_unpacklo_epi32(lower_01, lower_23);
    let far_upper = _mm256_unpackhi_epi32(upper_01, upper_23);
    let far_lower = _mm256_unpackhi_epi32(lower_01, lower_23);
    [
        _mm256_unpacklo_epi64(near_upper, near_lower),
        _mm256_unpackhi_epi64(near_upper, near_lower),
        _mm256_unpacklo_epi64(far_upper, far_lower),
        _mm256_unpackhi_epi64(far_upper, far_lower),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Simd;

    /// Found by fuzzing: libjpeg-turbo's C code and its vector code differ there.
    #[test]
    fn levels_far_outside_of_a_picture_are_left_to_the_reference() {
        if !Simd::best().avx2() {
            eprintln!("SKIPPED: this processor has no AVX2");
            return;
        }
        let steps = Steps([16; 64]);
        let mut pixels = [0; 64];
        for (first, taken) in [(0, true), (255, true), (256, false), (-256, true), (-257, false)] {
            let mut block = Block::ZERO;
            block.0[0] = first;
            assert_eq!(flat(&block, &steps, &mut pixels, 8).is_some(), taken, "{first}");
            // SAFETY: the processor has AVX2.
            let full = unsafe { full(&block, &steps, &mut pixels, 8) };
            assert_eq!(full.is_some(), taken, "{first}");
        }
    }
}
