use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use smog_pipeline::codec::{DamagePolicy, probe};

use super::*;

const ROUTER: Router = Router {
    limits: DecodeLimits { max_pixels: 100_000_000, damaged: DamagePolicy::Refuse },
    unchecked: Unchecked::Decode,
    hardware: true,
};

/// A JPEG of 40 x 24 pixels.
fn jpeg(colour: ColorType, change: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, 90);
    change(&mut encoder);
    let channels = match colour {
        ColorType::Luma => 1,
        ColorType::Rgb => 3,
        _ => 4,
    };
    let pixels: Vec<u8> = (0..40 * 24 * channels).map(|at| (at * 7 % 251) as u8).collect();
    encoder.encode(&pixels, 40, 24, colour).unwrap();
    encoded
}

fn rgb(sampling: SamplingFactor, progressive: bool) -> Vec<u8> {
    jpeg(ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(sampling);
        encoder.set_progressive(progressive);
    })
}

fn route(encoded: &[u8]) -> Route {
    ROUTER.route(encoded, &probe(encoded).unwrap())
}

/// Place of the marker's second byte.
fn marker(encoded: &[u8], marker: u8) -> usize {
    encoded.windows(2).position(|pair| pair == [0xFF, marker]).unwrap() + 1
}

/// A header whose first component has these sampling factors, the others 1 x 1.
fn with_luma(factors: u8) -> Vec<u8> {
    let mut encoded = rgb(SamplingFactor::F_1_1, false);
    let frame = marker(&encoded, 0xC0);
    encoded[frame + 10] = factors;
    encoded
}

#[test]
fn usual_sampling_goes_to_the_engines_or_to_the_hybrid_decoder() {
    for sampling in
        [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2, SamplingFactor::F_1_2]
    {
        assert_eq!(route(&rgb(sampling, false)), Route::Hardware, "{sampling:?}");
        assert_eq!(route(&rgb(sampling, true)), Route::Hybrid, "{sampling:?} progressive");
    }
    // 4:1:1, 4:1:0 and unusual ones, of which only the header counts here.
    for luma in [0x41, 0x42, 0x14, 0x24, 0x33] {
        assert_eq!(route(&with_luma(luma)), Route::Cpu(CpuReason::Subsampling), "{luma:x}");
    }
    assert_eq!(route(&jpeg(ColorType::Luma, |_| ())), Route::Hardware);
    let restarts = jpeg(ColorType::Rgb, |encoder| encoder.set_restart_interval(2));
    assert_eq!(route(&restarts), Route::Hardware);
    let none = Router { hardware: false, ..ROUTER };
    let plain = rgb(SamplingFactor::F_2_2, false);
    assert_eq!(none.route(&plain, &probe(&plain).unwrap()), Route::Hybrid);
}

#[test]
fn other_colours_go_to_the_processor() {
    for colour in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        assert_eq!(route(&jpeg(colour, |_| ())), Route::Cpu(CpuReason::Colour), "{colour:?}");
    }
    // The same three components, said to be RGB by an Adobe marker with transform 0 in place of the JFIF one.
    let plain = rgb(SamplingFactor::F_1_1, false);
    let jfif = marker(&plain, 0xE0);
    let length = usize::from(u16::from_be_bytes([plain[jfif + 1], plain[jfif + 2]]));
    let mut adobe = plain[..jfif - 1].to_vec();
    adobe.extend_from_slice(b"\xFF\xEE\x00\x0EAdobe\x00\x64\x00\x00\x00\x00\x00");
    adobe.extend_from_slice(&plain[jfif + 1 + length..]);
    assert_eq!(route(&adobe), Route::Cpu(CpuReason::Colour));
    let transform = marker(&adobe, 0xEE) + 14;
    adobe[transform] = 1;
    assert_eq!(route(&adobe), Route::Hardware);
}

#[test]
fn odd_coding_goes_to_the_processor() {
    let plain = rgb(SamplingFactor::F_2_2, false);
    let frame = marker(&plain, 0xC0);
    let mut extended = plain.clone();
    extended[frame] = 0xC1;
    assert_eq!(route(&extended), Route::Cpu(CpuReason::Coding));
    // 4:4:4 by factors of 2 x 2 for each component.
    let mut large = rgb(SamplingFactor::F_1_1, false);
    let frame = marker(&large, 0xC0);
    for component in 0..3 {
        large[frame + 10 + 3 * component] = 0x22;
    }
    assert_eq!(route(&large), Route::Cpu(CpuReason::Subsampling));
    // Two bytes without meaning between segments.
    let tables = marker(&plain, 0xDB) - 1;
    let irregular = [&plain[..tables], b"ab", &plain[tables..]].concat();
    assert_eq!(route(&irregular), Route::Cpu(CpuReason::Coding));
    // A frame of Motion JPEG: the Huffman tables made into comments.
    let mut bare = plain.clone();
    while let Some(at) = bare.windows(2).position(|pair| pair == [0xFF, 0xC4]) {
        bare[at + 1] = 0xFE;
    }
    assert_eq!(route(&bare), Route::Cpu(CpuReason::Coding));
    // The encoder writes each component as a scan of its own where it cannot interleave them.
    let several = rgb(SamplingFactor::F_4_1, false);
    assert_eq!(several.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count(), 3);
    assert_eq!(route(&several), Route::Cpu(CpuReason::Coding));
}

#[test]
fn what_the_processor_may_refuse_is_left_to_it() {
    let plain = rgb(SamplingFactor::F_2_2, false);
    let meta = probe(&plain).unwrap();
    let refused = Route::Cpu(CpuReason::Refused);
    assert_eq!(ROUTER.route(&plain[..plain.len() - 2], &meta), refused, "no end marker");
    assert_eq!(ROUTER.route(b"", &meta), refused);
    assert_eq!(ROUTER.route(&plain, &ImageMeta { width: 41, ..meta }), refused);
    let small =
        Router { limits: DecodeLimits { max_pixels: 40 * 24 - 1, ..ROUTER.limits }, ..ROUTER };
    assert_eq!(small.route(&plain, &meta), refused);
    let png = ImageMeta { format: ImageFormat::Png, ..meta };
    assert_eq!(ROUTER.route(&plain, &png), Route::Cpu(CpuReason::NotJpeg));
    let damaged = ImageMeta { flags: meta.flags.with(ImageFlags::DAMAGED), ..meta };
    assert_eq!(ROUTER.route(&plain, &damaged), Route::Cpu(CpuReason::Damaged));
    let unchecked = ImageMeta { flags: meta.flags.with(ImageFlags::UNCHECKED), ..meta };
    assert_eq!(ROUTER.route(&plain, &unchecked), Route::Cpu(CpuReason::Unchecked));
    let trusting = Router { unchecked: Unchecked::Trust, ..ROUTER };
    assert_eq!(trusting.route(&plain, &unchecked), Route::Hardware);
}
