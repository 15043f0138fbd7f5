//! All that is random in one picture, drawn before any pixel is painted.

use smog_pipeline::draw::{Domain, Draw};

use super::angle;
use super::class::Class;

/// Red, green and blue in `[0, 1]`.
pub(super) type Colour = [f32; 3];

/// Which range of image sizes to draw from, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SizeRange {
    pub(super) low: u32,
    pub(super) high: u32,
}

/// A patch of the background that means nothing.
#[derive(Clone, Debug)]
pub(super) struct Clutter {
    pub(super) centre: [f32; 2],
    pub(super) half: [f32; 2],
    pub(super) cosine: f32,
    pub(super) sine: f32,
    pub(super) round: bool,
    pub(super) colour: Colour,
}

/// One picture. Lengths are in units of the shorter side, from the middle of the image.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) class: Class,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) background: [Colour; 2],
    pub(super) background_direction: [f32; 2],
    pub(super) grain: f32,
    pub(super) grain_size: f32,
    pub(super) clutter: Vec<Clutter>,
    pub(super) centre: [f32; 2],
    /// Rows of the matrix from image space into object space.
    pub(super) to_object: [[f32; 2]; 2],
    /// Rows of the matrix from object space into texture space, and the shift there.
    pub(super) to_texture: [[f32; 2]; 2],
    pub(super) texture_shift: [f32; 2],
    pub(super) bend: f32,
    pub(super) colours: [Colour; 2],
    pub(super) light: [f32; 2],
    pub(super) shading: f32,
    pub(super) shadow: [f32; 2],
    pub(super) exposure: f32,
    pub(super) vignette: f32,
    pub(super) sensor_noise: f32,
    pub(super) salt: u32,
    pub(super) quality: u8,
    pub(super) subsampled: bool,
}

impl Scene {
    /// The scene for this key.
    pub(super) fn draw(
        seed: u64,
        split: u32,
        class: u32,
        image: u32,
        of: Class,
        sizes: SizeRange,
    ) -> Self {
        let mut draw = Draw::new(seed, Domain::Synthetic, [split, class, image, 0, 0]);
        let draw = &mut draw;
        let span = sizes.high - sizes.low + 1;
        let (width, height) = (sizes.low + draw.below(span), sizes.low + draw.below(span));

        let background = [dull(draw), dull(draw)];
        let background_direction = direction(draw);
        let grain = between(draw, 0.05, 0.2);
        let grain_size = between(draw, 4.0, 10.0);
        let num_clutter = draw.below(4);
        let clutter = (0..num_clutter).map(|_| draw_clutter(draw)).collect();

        let radius = between(draw, 0.36, 0.6);
        let reach = 0.55 - 0.6 * radius;
        let centre = [between(draw, -reach, reach), between(draw, -reach, reach)];
        let to_object = object_matrix(draw, radius);
        let (to_texture, texture_shift) = texture_matrix(draw, of);
        let bend = between(draw, -0.12, 0.12);
        let colours = two_tones(draw);

        let light = direction(draw);
        let shading = between(draw, 0.1, 0.45);
        let shadow = [light[0] * -0.05, light[1] * -0.05];
        let exposure = between(draw, 0.8, 1.2);
        let vignette = between(draw, 0.0, 0.4);
        let sensor_noise = between(draw, 0.0, 0.04);
        let salt = draw.bits32();
        let quality = 75 + draw.below(21) as u8;
        let subsampled = draw.chance(0.5);
        Self {
            class: of,
            width,
            height,
            background,
            background_direction,
            grain,
            grain_size,
            clutter,
            centre,
            to_object,
            to_texture,
            texture_shift,
            bend,
            colours,
            light,
            shading,
            shadow,
            exposure,
            vignette,
            sensor_noise,
            salt,
            quality,
            subsampled,
        }
    }
}

fn between(draw: &mut Draw, low: f32, high: f32) -> f32 {
    low + (high - low) * draw.unit() as f32
}

fn direction(draw: &mut Draw) -> [f32; 2] {
    let turns = draw.unit() as f32;
    [angle::cos(turns), angle::sin(turns)]
}

fn draw_clutter(draw: &mut Draw) -> Clutter {
    let [cosine, sine] = direction(draw);
    Clutter {
        centre: [between(draw, -0.7, 0.7), between(draw, -0.7, 0.7)],
        half: [between(draw, 0.03, 0.3), between(draw, 0.02, 0.16)],
        cosine,
        sine,
        round: draw.chance(0.4),
        colour: colour(draw),
    }
}

/// Rotation, size, a mild squeeze and shear, as a view from aside gives.
fn object_matrix(draw: &mut Draw, radius: f32) -> [[f32; 2]; 2] {
    let [cosine, sine] = direction(draw);
    let squeeze = between(draw, 0.9, 1.1);
    let shear = between(draw, -0.1, 0.1);
    let (across, along) = (squeeze / radius, 1.0 / (squeeze * radius));
    [
        [across * (cosine + shear * sine), across * (sine - shear * cosine)],
        [-along * sine, along * cosine],
    ]
}

/// The texture turns freely on the object; patterns with a centre keep it near the middle.
fn texture_matrix(draw: &mut Draw, of: Class) -> ([[f32; 2]; 2], [f32; 2]) {
    use super::class::Texture;
    let [cosine, sine] = direction(draw);
    let repeats = between(draw, 2.0, 3.2);
    let shift = [draw.unit() as f32, draw.unit() as f32];
    let centred = matches!(of.texture, Texture::Rings | Texture::Rays | Texture::Spiral);
    let shift = if centred { shift.map(|s| (s - 0.5) * 0.6) } else { shift.map(|s| s * 16.0) };
    ([[repeats * cosine, repeats * sine], [-repeats * sine, repeats * cosine]], shift)
}

/// Any hue and brightness, as paint has it.
fn colour(draw: &mut Draw) -> Colour {
    tint(draw, 0.05, 0.6)
}

/// Any hue and brightness, as stone, sky and grass have it.
fn dull(draw: &mut Draw) -> Colour {
    tint(draw, 0.0, 0.3)
}

fn tint(draw: &mut Draw, least: f32, most: f32) -> Colour {
    let (hue, saturation) = (draw.unit() as f32, between(draw, least, most));
    let value = between(draw, 0.15, 0.95);
    [0.0f32, 1.0 / 3.0, 2.0 / 3.0].map(|offset| {
        let wave = 0.5 + 0.5 * angle::cos(hue - offset);
        value * (1.0 - saturation + saturation * wave)
    })
}

/// Two colours whose brightness differs enough for the pattern to be seen, either one the lighter.
fn two_tones(draw: &mut Draw) -> [Colour; 2] {
    let pair = [colour(draw), colour(draw)];
    let dark = between(draw, 0.08, 0.3);
    let light = dark + between(draw, 0.35, 0.6);
    let targets = if draw.chance(0.5) { [dark, light] } else { [light, dark] };
    let fit = |colour: Colour, target: f32| {
        let brightness = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
        colour.map(|channel| (channel * target / brightness).min(1.0))
    };
    [fit(pair[0], targets[0]), fit(pair[1], targets[1])]
}
