use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::sample::{ImageFlags, Subsampling};

fn encode(kind: ColorType, configure: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let channels = match kind {
        ColorType::Luma => 1,
        ColorType::Cmyk | ColorType::CmykAsYcck => 4,
        _ => 3,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 80);
    configure(&mut encoder);
    encoder.encode(&vec![90; 40 * 24 * channels], 40, 24, kind).unwrap();
    bytes
}

fn find(bytes: &[u8], marker: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xFF, marker]).unwrap()
}

fn message(bytes: &[u8]) -> String {
    probe(bytes).expect_err("this header is refused").to_string()
}

/// An EXIF block with the orientation behind another tag.
fn exif_block(big_endian: bool, orientation: u16) -> Vec<u8> {
    let mut tiff = if big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    let mut number = |value: u32, size: usize| {
        let bytes = if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let used = if big_endian { &bytes[4 - size..] } else { &bytes[..size] };
        tiff.extend_from_slice(used);
    };
    number(8, 4);
    number(2, 2);
    for (tag, value) in [(0x0100, 7), (0x0112, u32::from(orientation))] {
        number(tag, 2);
        number(3, 2);
        number(1, 4);
        number(value, 2);
        number(0, 2);
    }
    number(0, 4);
    tiff
}

#[test]
fn sampling_factors_have_their_usual_names() {
    for (factor, expected) in [
        (SamplingFactor::F_1_1, Subsampling::S444),
        (SamplingFactor::F_2_1, Subsampling::S422),
        (SamplingFactor::F_2_2, Subsampling::S420),
        (SamplingFactor::F_1_2, Subsampling::S440),
        (SamplingFactor::F_4_1, Subsampling::S411),
        (SamplingFactor::F_4_2, Subsampling::S410),
        (SamplingFactor::F_1_4, Subsampling::Other),
    ] {
        let bytes = encode(ColorType::Rgb, |encoder| encoder.set_sampling_factor(factor));
        let meta = probe(&bytes).unwrap();
        assert_eq!(meta.subsampling, expected);
        assert_eq!((meta.width, meta.height, meta.components), (40, 24, 3));
        assert_eq!(meta.bytes as usize, bytes.len());
    }
}

#[test]
fn grey_cmyk_progressive_and_restart_are_seen() {
    let gray = probe(&encode(ColorType::Luma, |_| ())).unwrap();
    assert_eq!((gray.components, gray.subsampling), (1, Subsampling::None));
    let cmyk = probe(&encode(ColorType::Cmyk, |_| ())).unwrap();
    assert_eq!(cmyk.components, 4);
    assert!(cmyk.flags.contains(ImageFlags::ADOBE));
    let bytes = encode(ColorType::Rgb, |encoder| {
        encoder.set_progressive(true);
        encoder.set_restart_interval(3);
    });
    let meta = probe(&bytes).unwrap();
    assert!(meta.progressive && meta.flags.contains(ImageFlags::RESTART));
    assert_eq!(meta.orientation, 1);
}

#[test]
fn exif_orientation_is_read_in_both_byte_orders() {
    for big_endian in [false, true] {
        for (stored, expected) in [(1, 1), (6, 6), (8, 8), (0, 1), (9, 1)] {
            let block = exif_block(big_endian, stored);
            let bytes =
                encode(ColorType::Rgb, |encoder| encoder.add_exif_metadata(&block).unwrap());
            let meta = probe(&bytes).unwrap();
            assert!(meta.flags.contains(ImageFlags::EXIF));
            assert_eq!(meta.orientation, expected, "{stored}, big endian {big_endian}");
        }
    }
}

#[test]
fn a_damaged_exif_block_is_orientation_1_and_no_error() {
    let block = exif_block(false, 6);
    for length in 0..block.len() {
        let orientation = exif::orientation(&block[..length]);
        assert!(orientation == 1 || orientation == 6);
    }
    let mut wild = block;
    wild[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(exif::orientation(&wild), 1);
}

#[test]
fn unsupported_kinds_are_named() {
    let bytes = encode(ColorType::Rgb, |_| ());
    let frame = find(&bytes, 0xC0);
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[frame + at] = value;
        message(&bytes)
    };
    assert_eq!(with(1, 0xC9), "unsupported image: arithmetic-coded JPEG");
    assert_eq!(with(1, 0xC3), "unsupported image: lossless JPEG");
    assert_eq!(with(1, 0xC5), "unsupported image: hierarchical JPEG");
    assert_eq!(with(4, 12), "unsupported image: 12-bit JPEG");
    assert_eq!(with(9, 2), "unsupported image: JPEG with 2 colour components");
    assert_eq!(with(11, 0x51), "damaged image: sampling factors 5x1");
    let mut no_height = bytes.clone();
    no_height[frame + 5..frame + 7].fill(0);
    assert_eq!(
        message(&no_height),
        "unsupported image: JPEG whose height is given after its pixels (DNL)"
    );
}

#[test]
fn what_is_no_image_is_shown_by_its_first_bytes() {
    assert_eq!(message(b""), "not a JPEG, PNG or WebP: it begins with nothing");
    assert_eq!(message(b"GIF89a"), "not a JPEG, PNG or WebP: it begins with 474946383961");
}

#[test]
fn every_prefix_of_a_header_is_an_error_and_no_panic() {
    let jpeg = encode(ColorType::Rgb, |encoder| {
        encoder.add_exif_metadata(&exif_block(true, 3)).unwrap();
    });
    let first_scan = find(&jpeg, 0xDA);
    for length in 0..first_scan {
        assert!(probe(&jpeg[..length]).is_err(), "{length} bytes of a JPEG");
    }
    let mut webp = Vec::new();
    image_webp::WebPEncoder::new(&mut webp)
        .encode(&[7; 12], 2, 2, image_webp::ColorType::Rgb8)
        .unwrap();
    for length in 0..25 {
        assert!(probe(&webp[..length]).is_err(), "{length} bytes of a WebP");
    }
}

#[test]
fn png_colour_types_give_their_number_of_components() {
    for (colour, components) in [
        (::png::ColorType::Grayscale, 1),
        (::png::ColorType::GrayscaleAlpha, 2),
        (::png::ColorType::Rgb, 3),
        (::png::ColorType::Rgba, 4),
    ] {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, 5, 4);
        encoder.set_color(colour);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![1; 20 * usize::from(components)]).unwrap();
        writer.finish().unwrap();
        let meta = probe(&bytes).unwrap();
        assert_eq!((meta.width, meta.height, meta.components), (5, 4, components));
        assert!(meta.flags.contains(ImageFlags::PNG));
    }
}

#[test]
fn webp_headers_of_all_three_kinds_are_read() {
    // The fixed parts of the three headers, after the container specification.
    let file = |kind: &[u8; 4], body: &[u8]| {
        let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    };
    let size = |bytes: &[u8]| {
        let meta = probe(bytes).unwrap();
        (meta.width, meta.height, meta.components)
    };
    let lossy = [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x2C, 0x01, 0xC8, 0x40];
    assert_eq!(size(&file(b"VP8 ", &lossy)), (300, 200, 3));
    let lossless = (299u32 | 199 << 14 | 1 << 28).to_le_bytes();
    assert_eq!(size(&file(b"VP8L", &[&[0x2F], &lossless[..]].concat())), (300, 200, 4));
    let mut extended = file(b"VP8X", &[0x18, 0, 0, 0, 0x2B, 0x01, 0, 0xC7, 0, 0]);
    assert_eq!(size(&extended), (300, 200, 4));
    let block = exif_block(false, 5);
    extended.extend_from_slice(b"EXIF");
    extended.extend_from_slice(&(block.len() as u32).to_le_bytes());
    extended.extend_from_slice(&block);
    let meta = probe(&extended).unwrap();
    assert_eq!(meta.orientation, 5);
    assert!(meta.flags.contains(ImageFlags::EXIF));
}
