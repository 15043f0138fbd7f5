//! Parts of images against whole ones.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::codec::{
    CodecError, DecodeLimits, DecodeRequest, DecoderKind, Pixels, Region, decoder, probe,
};
use crate::draw::{Domain, Draw};

const WIDTH: u32 = 203;
const HEIGHT: u32 = 117;

/// Noise: every pixel that is interpolated from the wrong neighbour shows.
fn jpeg(kind: ColorType, configure: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut draw = Draw::new(1, Domain::Synthetic, [0; 5]);
    let bytes = match kind {
        ColorType::Luma => 1,
        ColorType::CmykAsYcck => 4,
        _ => 3,
    };
    let pixels: Vec<u8> = (0..bytes * WIDTH * HEIGHT).map(|_| draw.bits32() as u8).collect();
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, 90);
    configure(&mut encoder);
    encoder.encode(&pixels, WIDTH as u16, HEIGHT as u16, kind).unwrap();
    encoded
}

fn images() -> Vec<(&'static str, Vec<u8>)> {
    let sampled = |factor| jpeg(ColorType::Rgb, |encoder| encoder.set_sampling_factor(factor));
    let mut all = vec![
        ("4:4:4", sampled(SamplingFactor::F_1_1)),
        ("4:2:2", sampled(SamplingFactor::F_2_1)),
        ("4:2:0", sampled(SamplingFactor::F_2_2)),
        ("4:4:0", sampled(SamplingFactor::F_1_2)),
        ("4:1:1", sampled(SamplingFactor::F_4_1)),
        ("4:1:0", sampled(SamplingFactor::F_4_2)),
        ("4:4:1", sampled(SamplingFactor::F_1_4)),
        ("grey", jpeg(ColorType::Luma, |_| ())),
        ("YCCK", jpeg(ColorType::CmykAsYcck, |_| ())),
        ("restart", jpeg(ColorType::Rgb, |encoder| encoder.set_restart_interval(3))),
        (
            "progressive",
            jpeg(ColorType::Rgb, |encoder| {
                encoder.set_progressive(true);
                encoder.set_sampling_factor(SamplingFactor::F_2_2);
            }),
        ),
    ];
    // One component whose factors are 2 x 2: it is coded block by block all the same.
    let mut grey = jpeg(ColorType::Luma, |_| ());
    let frame = grey.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    grey[frame + 11] = 0x22;
    all.push(("grey 2x2", grey));
    all
}

fn decode(encoded: &[u8], request: &DecodeRequest) -> Result<Pixels, CodecError> {
    let mut out = Pixels::default();
    let meta = probe(encoded)?;
    decoder(DecoderKind::TurboJpeg, DecodeLimits::default())
        .decode(encoded, &meta, request, &mut out)?;
    assert_eq!(out.data.len(), 3 * out.width as usize * out.height as usize);
    Ok(out)
}

/// The pixel at a place in the reduced image.
fn pixel(image: &Pixels, x: u32, y: u32) -> &[u8] {
    let (x, y) = (x - image.left / image.scale, y - image.top / image.scale);
    &image.data[3 * (y * image.width + x) as usize..][..3]
}

#[test]
fn a_part_has_the_pixels_of_the_whole() {
    let mut draw = Draw::new(2, Domain::Synthetic, [0; 5]);
    for (name, encoded) in images() {
        let mut smaller = 0;
        for max_scale in [1, 2, 4, 8] {
            let whole = decode(&encoded, &DecodeRequest { max_scale, region: None }).unwrap();
            for _ in 0..40 {
                let (x, y) = (draw.below(WIDTH), draw.below(HEIGHT));
                let (width, height) = (1 + draw.below(WIDTH - x), 1 + draw.below(HEIGHT - y));
                let region = Region { x, y, width, height };
                let request = DecodeRequest { max_scale, region: Some(region) };
                let part = decode(&encoded, &request).unwrap();
                assert_eq!(part.scale, max_scale);
                smaller += u32::from(part.data.len() < whole.data.len());
                for y in y / max_scale..(y + height).div_ceil(max_scale) {
                    for x in x / max_scale..(x + width).div_ceil(max_scale) {
                        let (found, expected) = (pixel(&part, x, y), pixel(&whole, x, y));
                        assert_eq!(found, expected, "{name} 1/{max_scale}: {x}, {y} of {region:?}");
                    }
                }
            }
        }
        // 4:1:0 has no name in TurboJPEG, so it is decoded whole.
        assert_eq!(smaller > 0, name != "4:1:0", "{name}");
    }
}

#[test]
fn regions_that_stick_out_are_cut_to_the_image() {
    let (_, encoded) = images().swap_remove(2);
    let whole = decode(&encoded, &DecodeRequest::WHOLE).unwrap();
    for (x, y, width, height) in
        [(0, 0, u32::MAX, u32::MAX), (5000, 5000, 10, 10), (202, 116, 0, 0), (0, 100, 500, 500)]
    {
        let region = Some(Region { x, y, width, height });
        let part = decode(&encoded, &DecodeRequest { max_scale: 1, region }).unwrap();
        assert_eq!(pixel(&part, WIDTH - 1, HEIGHT - 1), pixel(&whole, WIDTH - 1, HEIGHT - 1));
    }
}

#[test]
fn damage_is_seen_down_to_the_last_row_that_is_needed_and_no_further() {
    let (_, encoded) = images().swap_remove(0);
    let mut cut = encoded[..encoded.len() * 3 / 4].to_vec();
    cut.extend([0xFF, 0xD9]);
    let needs = |height| {
        let region = Some(Region { x: 0, y: 0, width: WIDTH, height });
        decode(&cut, &DecodeRequest { max_scale: 1, region })
    };
    let whole = decode(&encoded, &DecodeRequest::WHOLE).unwrap();
    let upper = needs(HEIGHT / 2).unwrap();
    assert_eq!(upper.data[..], whole.data[..upper.data.len()]);
    for height in [HEIGHT * 7 / 8, HEIGHT] {
        assert_eq!(needs(height).unwrap_err().kind(), "damaged");
    }
}

#[test]
fn one_decoder_takes_parts_and_wholes_in_any_order() {
    let mut decoder = decoder(DecoderKind::TurboJpeg, DecodeLimits::default());
    let mut out = Pixels::default();
    let region = Some(Region { x: 90, y: 50, width: 40, height: 30 });
    let requests = [DecodeRequest { max_scale: 2, region }, DecodeRequest::WHOLE];
    for (name, encoded) in images() {
        for request in requests.iter().chain(&requests) {
            let meta = probe(&encoded).unwrap();
            decoder.decode(&encoded, &meta, request, &mut out).unwrap();
            let fresh = decode(&encoded, request).unwrap();
            assert!(out.data == fresh.data, "{name}, {request:?}");
            assert_eq!((out.left, out.top), (fresh.left, fresh.top));
            assert!(decoder.decode(&encoded[..300], &meta, request, &mut out).is_err());
        }
    }
}
