//! What is not known of images that nobody has looked at: sizes, read from the headers with the row group; and
//! how large they get, from a few of them.

use crate::codec::{DecodeLimits, probe};
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, Subsampling};

/// Images whose headers are looked at when a source without a manifest is opened.
pub(super) const LOOKED_AT: usize = 64;
/// The largest of a few is not the largest of all.
const MARGIN: u64 = 4;
/// Least estimate, 1 megapixel.
const LEAST_PIXELS: u64 = 1 << 20;

/// What the header of an image says. One that cannot be read is given a size of one pixel: the decoder refuses
/// the image with the reason, and the sample is replaced as any that is damaged.
pub(super) fn meta(encoded: &[u8]) -> ImageMeta {
    let mut meta = probe(encoded).unwrap_or(ImageMeta {
        format: ImageFormat::Jpeg,
        width: 1,
        height: 1,
        components: 3,
        subsampling: Subsampling::Other,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: encoded.len() as u32,
    });
    meta.flags = meta.flags.with(ImageFlags::UNCHECKED);
    meta
}

/// The largest width times height to expect, from the beginnings of some images.
pub(super) fn max_pixels<'a>(beginnings: impl Iterator<Item = &'a [u8]>) -> u64 {
    let pixels = |meta: ImageMeta| u64::from(meta.width) * u64::from(meta.height);
    let seen = beginnings.filter_map(|encoded| probe(encoded).ok().map(pixels)).max().unwrap_or(0);
    // An image above the decoder's limit is refused, so no buffer gets larger.
    (seen * MARGIN).max(LEAST_PIXELS).min(DecodeLimits::default().max_pixels)
}

/// At most `count` numbers below `total`, spread evenly.
pub(super) fn spread(total: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(total);
    (0..count).map(move |number| number * total / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_header_has_one_pixel_and_its_length() {
        let meta = meta(b"nothing");
        assert_eq!((meta.width, meta.height, meta.bytes), (1, 1, 7));
    }

    #[test]
    fn numbers_are_spread_over_the_whole() {
        assert_eq!(spread(10, 3).collect::<Vec<_>>(), [0, 3, 6]);
        assert_eq!(spread(2, 8).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(spread(0, 8).count(), 0);
    }
}
