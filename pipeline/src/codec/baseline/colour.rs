//! Rows of components to rows of pixels: interpolation of colour as libjpeg's "fancy upsampling", and its conversion to
//! RGB. Both give its numbers to the bit.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_or_si128, _mm_packus_epi16, _mm_setr_epi8,
    _mm_shuffle_epi8, _mm_storeu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_castsi256_si128,
    _mm256_cvtepu8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_mulhi_epi16,
    _mm256_packs_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_srai_epi16, _mm256_srai_epi32,
    _mm256_sub_epi16, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

use crate::simd::kernel;

kernel! {
    /// Makes `out` of twice as many columns: `sums` are rows of colour, three parts the nearer and one part the
    /// other, between two more that stand for what is beside the row.
    pub(super) fn double_both(sums: &[u16], out: &mut [u8]) {
        let (pairs, _) = out.as_chunks_mut::<2>();
        let (left, here, right) = (sums, &sums[1..], &sums[2..]);
        for (((pair, &left), &here), &right) in pairs.iter_mut().zip(left).zip(here).zip(right) {
            let (first, second) = ((3 * here + left + 8) >> 4, (3 * here + right + 7) >> 4);
            *pair = (first | second << 8).to_le_bytes();
        }
    }
}

kernel! {
    /// The same for colour that has all rows: `values` is one row between two more values.
    pub(super) fn double_columns(values: &[u16], out: &mut [u8]) {
        let (pairs, _) = out.as_chunks_mut::<2>();
        let (left, here, right) = (values, &values[1..], &values[2..]);
        for (((pair, &left), &here), &right) in pairs.iter_mut().zip(left).zip(here).zip(right) {
            let (first, second) = ((3 * here + left + 1) >> 2, (3 * here + right + 2) >> 2);
            *pair = (first | second << 8).to_le_bytes();
        }
    }
}

kernel! {
    /// Three parts `near`, one part `far`.
    pub(super) fn weigh_rows(near: &[u8], far: &[u8], sums: &mut [u16]) {
        for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
            *sum = 3 * u16::from(near) + u16::from(far);
        }
    }
}

kernel! {
    /// The values as they are.
    pub(super) fn widen(row: &[u8], values: &mut [u16]) {
        for (value, &byte) in values.iter_mut().zip(row) {
            *value = byte.into();
        }
    }
}

kernel! {
    /// Grey pixels.
    pub(super) fn gray_to_rgb(luma: &[u8], rgb: &mut [u8]) {
        let (pixels, _) = rgb.as_chunks_mut::<3>();
        for (pixel, &luma) in pixels.iter_mut().zip(luma) {
            *pixel = [luma; 3];
        }
    }
}

/// Pixels that are converted together.
const PIXELS: usize = 16;

/// Converts a row; all have the same number of pixels.
#[target_feature(enable = "avx2")]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], rgb: &mut [u8]) {
    let chunks = luma.as_chunks::<PIXELS>();
    let (blues, reds) = (blue.as_chunks::<PIXELS>(), red.as_chunks::<PIXELS>());
    let (pixels, rest) = rgb.as_chunks_mut::<{ 3 * PIXELS }>();
    for (((luma, blue), red), pixels) in chunks.0.iter().zip(blues.0).zip(reds.0).zip(pixels) {
        convert(luma, blue, red, pixels);
    }
    let tail = |values: &[u8]| {
        let mut chunk = [0; PIXELS];
        chunk[..values.len()].copy_from_slice(values);
        chunk
    };
    let mut pixels = [0; 3 * PIXELS];
    convert(&tail(chunks.1), &tail(blues.1), &tail(reds.1), &mut pixels);
    rest.copy_from_slice(&pixels[..rest.len()]);
}

/// The factors of `jdcolor.c` in 1/65536: 1.402 and 1.772 less whole numbers, so that they fit 16 bits.
#[target_feature(enable = "avx2")]
fn convert(
    luma: &[u8; PIXELS],
    blue: &[u8; PIXELS],
    red: &[u8; PIXELS],
    rgb: &mut [u8; 3 * PIXELS],
) {
    let luma = widened(luma);
    let centre = _mm256_set1_epi16(128);
    let (blue, red) =
        (_mm256_sub_epi16(widened(blue), centre), _mm256_sub_epi16(widened(red), centre));
    // Rounded (value * factor / 65536): twice the value, so that a half is not lost.
    let part = |value: __m256i, factor: i16| {
        let twice = _mm256_mulhi_epi16(_mm256_add_epi16(value, value), _mm256_set1_epi16(factor));
        _mm256_srai_epi16::<1>(_mm256_add_epi16(twice, _mm256_set1_epi16(1)))
    };
    let r = _mm256_add_epi16(_mm256_add_epi16(luma, red), part(red, 26_345));
    let b =
        _mm256_add_epi16(_mm256_add_epi16(luma, _mm256_add_epi16(blue, blue)), part(blue, -14_942));
    // Green is rounded once, with both parts.
    let factors = _mm256_set1_epi32(i32::from(-22_554i16) & 0xFFFF | 18_734 << 16);
    let green = |pairs| {
        let sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, factors), _mm256_set1_epi32(1 << 15));
        _mm256_srai_epi32::<16>(sum)
    };
    let parts = _mm256_packs_epi32(
        green(_mm256_unpacklo_epi16(blue, red)),
        green(_mm256_unpackhi_epi16(blue, red)),
    );
    let g = _mm256_add_epi16(luma, _mm256_sub_epi16(parts, red));
    interleave([bytes(r), bytes(g), bytes(b)], rgb);
}

#[target_feature(enable = "avx2")]
fn widened(values: &[u8; PIXELS]) -> __m256i {
    // SAFETY: 16 bytes.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(values.as_ptr().cast()) })
}

#[target_feature(enable = "avx2")]
fn bytes(values: __m256i) -> __m128i {
    _mm_packus_epi16(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values))
}

#[target_feature(enable = "avx2")]
fn interleave([r, g, b]: [__m128i; 3], rgb: &mut [u8; 3 * PIXELS]) {
    const O: i8 = -1;
    // Where each byte of a third comes from, one register for each colour.
    #[rustfmt::skip]
    let thirds = [
        [
            _mm_setr_epi8(0, O, O, 1, O, O, 2, O, O, 3, O, O, 4, O, O, 5),
            _mm_setr_epi8(O, 0, O, O, 1, O, O, 2, O, O, 3, O, O, 4, O, O),
            _mm_setr_epi8(O, O, 0, O, O, 1, O, O, 2, O, O, 3, O, O, 4, O),
        ],
        [
            _mm_setr_epi8(O, O, 6, O, O, 7, O, O, 8, O, O, 9, O, O, 10, O),
            _mm_setr_epi8(5, O, O, 6, O, O, 7, O, O, 8, O, O, 9, O, O, 10),
            _mm_setr_epi8(O, 5, O, O, 6, O, O, 7, O, O, 8, O, O, 9, O, O),
        ],
        [
            _mm_setr_epi8(O, 11, O, O, 12, O, O, 13, O, O, 14, O, O, 15, O, O),
            _mm_setr_epi8(O, O, 11, O, O, 12, O, O, 13, O, O, 14, O, O, 15, O),
            _mm_setr_epi8(10, O, O, 11, O, O, 12, O, O, 13, O, O, 14, O, O, 15),
        ],
    ];
    for (third, [of_r, of_g, of_b]) in rgb.as_chunks_mut::<16>().0.iter_mut().zip(thirds) {
        let bytes = _mm_or_si128(
            _mm_or_si128(_mm_shuffle_epi8(r, of_r), _mm_shuffle_epi8(g, of_g)),
            _mm_shuffle_epi8(b, of_b),
        );
        // SAFETY: 16 bytes.
        unsafe { _mm_storeu_si128(third.as_mut_ptr().cast(), bytes) };
    }
}
