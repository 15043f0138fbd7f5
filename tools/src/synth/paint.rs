//! From a scene to pixels and to a JPEG.

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use super::angle;
use super::scene::{Colour, Scene};
use super::{shape, texture};

/// Subsamples per pixel along each axis.
const SUBSAMPLES: u32 = 2;

/// Paints the scene: RGB8, row by row, `width * height * 3` bytes.
pub(super) fn paint(scene: &Scene) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((scene.width * scene.height * 3) as usize);
    let unit = 1.0 / scene.width.min(scene.height) as f32;
    let (half_width, half_height) = (scene.width as f32 * 0.5, scene.height as f32 * 0.5);
    for row in 0..scene.height {
        for column in 0..scene.width {
            let mut sum = [0.0f32; 3];
            for sub in 0..SUBSAMPLES * SUBSAMPLES {
                let at =
                    |pixel: u32, sub: u32| pixel as f32 + (sub as f32 + 0.5) / SUBSAMPLES as f32;
                let x = (at(column, sub % SUBSAMPLES) - half_width) * unit;
                let y = (at(row, sub / SUBSAMPLES) - half_height) * unit;
                let colour = colour_at(scene, x, y);
                sum = [sum[0] + colour[0], sum[1] + colour[1], sum[2] + colour[2]];
            }
            let (x, y) = ((column as f32 - half_width) * unit, (row as f32 - half_height) * unit);
            let gain = scene.exposure * (1.0 - scene.vignette * (x * x + y * y))
                / (SUBSAMPLES * SUBSAMPLES) as f32;
            for (channel, value) in sum.into_iter().enumerate() {
                let salt = scene.salt ^ (channel as u32 + 1);
                let noise = texture::noise(column as f32 * 0.9, row as f32 * 0.9, salt) - 0.5;
                let value = value * gain + 2.0 * scene.sensor_noise * noise;
                pixels.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
            }
        }
    }
    pixels
}

/// The scene as a JPEG file.
pub(super) fn encode(scene: &Scene) -> Result<Vec<u8>, EncodingError> {
    let pixels = paint(scene);
    let mut bytes = Vec::with_capacity(pixels.len() / 4);
    let mut encoder = Encoder::new(&mut bytes, scene.quality);
    encoder.set_sampling_factor(if scene.subsampled {
        SamplingFactor::R_4_2_0
    } else {
        SamplingFactor::R_4_4_4
    });
    encoder.encode(&pixels, scene.width as u16, scene.height as u16, ColorType::Rgb)?;
    Ok(bytes)
}

fn colour_at(scene: &Scene, x: f32, y: f32) -> Colour {
    let (dx, dy) = (x - scene.centre[0], y - scene.centre[1]);
    let [u, v] = apply(&scene.to_object, dx, dy);
    if shape::inside(scene.class.shape, u, v) > 0.0 {
        return object_at(scene, u, v, dx, dy);
    }
    let ground = background_at(scene, x, y);
    let [u, v] = apply(&scene.to_object, dx - scene.shadow[0], dy - scene.shadow[1]);
    let shadowed = shape::inside(scene.class.shape, u, v) > 0.0;
    if shadowed { ground.map(|channel| channel * 0.6) } else { ground }
}

fn object_at(scene: &Scene, u: f32, v: f32, dx: f32, dy: f32) -> Colour {
    let [p, q] = apply(&scene.to_texture, u, v);
    // A slow wave bends the pattern as on a surface that is not flat.
    let p = p + scene.bend * angle::sin(0.3 * q);
    let q = q + scene.bend * angle::sin(0.3 * p + 0.2);
    let [sx, sy] = scene.texture_shift;
    let tone = texture::tone(scene.class.texture, p + sx, q + sy, scene.salt);
    let towards_light = dx * scene.light[0] + dy * scene.light[1];
    let rim = 1.0 - 0.25 * (u * u + v * v);
    let lit = (1.0 + 2.0 * scene.shading * towards_light) * rim;
    let [first, second] = scene.colours;
    [0, 1, 2].map(|c| (first[c] + (second[c] - first[c]) * tone) * lit)
}

fn background_at(scene: &Scene, x: f32, y: f32) -> Colour {
    for item in scene.clutter.iter().rev() {
        let (dx, dy) = (x - item.centre[0], y - item.centre[1]);
        let a = (dx * item.cosine + dy * item.sine) / item.half[0];
        let b = (dy * item.cosine - dx * item.sine) / item.half[1];
        let hit = if item.round { a * a + b * b < 1.0 } else { a.abs().max(b.abs()) < 1.0 };
        if hit {
            return item.colour;
        }
    }
    let [dx, dy] = scene.background_direction;
    let along = (0.5 + 0.7 * (x * dx + y * dy)).clamp(0.0, 1.0);
    let rough = texture::noise(x * scene.grain_size, y * scene.grain_size, scene.salt ^ 0x5bd1)
        + 0.5
            * texture::noise(
                x * scene.grain_size * 2.7,
                y * scene.grain_size * 2.7,
                scene.salt ^ 0x1b56,
            );
    let gain = 1.0 + scene.grain * (rough - 0.75) * 2.0;
    let [first, second] = scene.background;
    [0, 1, 2].map(|c| (first[c] + (second[c] - first[c]) * along) * gain)
}

fn apply(matrix: &[[f32; 2]; 2], x: f32, y: f32) -> [f32; 2] {
    [matrix[0][0] * x + matrix[0][1] * y, matrix[1][0] * x + matrix[1][1] * y]
}
