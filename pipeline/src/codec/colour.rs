//! Colour spaces to RGB8, once for all decoders, as PIL's `convert("RGB")` gives it.

/// Grey to RGB.
pub(super) fn gray_to_rgb(gray: &[u8], rgb: &mut [u8]) {
    for (pixel, &value) in rgb.chunks_exact_mut(3).zip(gray) {
        pixel.fill(value);
    }
}

/// RGBA to RGB: alpha is dropped, not blended.
pub(super) fn drop_alpha(pixels: &[u8], rgb: &mut [u8]) {
    for (to, from) in rgb.chunks_exact_mut(3).zip(pixels.chunks_exact(4)) {
        to.copy_from_slice(&from[..3]);
    }
}

/// Grey with alpha to RGB.
pub(super) fn gray_alpha_to_rgb(pixels: &[u8], rgb: &mut [u8]) {
    for (to, from) in rgb.chunks_exact_mut(3).zip(pixels.chunks_exact(2)) {
        to.fill(from[0]);
    }
}

/// CMYK as it lies in the file to RGB. Ink is stored inverted, 255 for none: Adobe began it and PIL takes
/// it for granted in every file, with an Adobe marker or without.
pub(super) fn cmyk_to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (to, from) in rgb.chunks_exact_mut(3).zip(cmyk.chunks_exact(4)) {
        let black = u32::from(from[3]);
        for (to, &stored) in to.iter_mut().zip(from) {
            let ink = 255 - u32::from(stored);
            *to = (black - mul_div_255(ink, black)) as u8;
        }
    }
}

/// `a * b / 255` rounded, for bytes; PIL's `MULDIV255`.
fn mul_div_255(a: u32, b: u32) -> u32 {
    let product = a * b + 128;
    ((product >> 8) + product) >> 8
}

/// YCbCr to RGB in place, full range, as JFIF says.
pub(super) fn ycbcr_to_rgb(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(3) {
        let rgb = rgb_of(pixel[0], pixel[1], pixel[2]);
        pixel.copy_from_slice(&rgb);
    }
}

/// YCCK as stored to CMYK as stored, in place: the inverse of libjpeg's conversion, which takes the
/// complement of RGB for the inks and leaves black alone.
pub(super) fn ycck_to_cmyk(pixels: &mut [u8]) {
    for pixel in pixels.chunks_exact_mut(4) {
        let rgb = rgb_of(pixel[0], pixel[1], pixel[2]);
        pixel[..3].copy_from_slice(&rgb.map(|light| 255 - light));
    }
}

/// 16-bit fixed point, as libjpeg's tables.
fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + 32_768) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + 32_768) >> 16);
    let blue = y + ((116_130 * cb + 32_768) >> 16);
    [red, green, blue].map(|light| light.clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverted_cmyk_gives_the_colours_that_pil_gives() {
        // PIL: Image.frombytes("CMYK", (1, 1), bytes(255 - v for v in stored)).convert("RGB")
        let cases = [
            ([255, 255, 255, 255], [255, 255, 255]),
            ([0, 255, 255, 255], [0, 255, 255]),
            ([255, 255, 255, 0], [0, 0, 0]),
            ([200, 100, 50, 180], [141, 71, 35]),
            ([13, 77, 254, 131], [7, 40, 130]),
        ];
        for (stored, expected) in cases {
            let mut rgb = [0; 3];
            cmyk_to_rgb(&stored, &mut rgb);
            assert_eq!(rgb, expected, "{stored:?}");
        }
    }

    #[test]
    fn ycck_white_is_no_ink_complement() {
        let mut pixel = [0, 128, 128, 255];
        ycck_to_cmyk(&mut pixel);
        assert_eq!(pixel, [255, 255, 255, 255]);
    }
}
