//! The classes: which texture lies on which shape.
//!
//! Most textures serve one class; some serve two, told apart only by the shape, so that neither texture
//! nor outline alone is enough. Nothing else (hue, size, place, light, background) depends on the class.

/// A pattern in two tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texture {
    Stripes,
    Checks,
    Dots,
    Rings,
    Zigzag,
    Blobs,
    Rays,
    Bricks,
    Crosses,
    Scales,
    Spiral,
    Lattice,
}

/// The outline of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Disc,
    Square,
    Triangle,
    Star,
    Ring,
    Cross,
}

/// One class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) texture: Texture,
    pub(super) shape: Shape,
}

const fn class(name: &'static str, texture: Texture, shape: Shape) -> Class {
    Class { name, texture, shape }
}

/// All classes; a set of N classes takes the first N.
pub(super) const CLASSES: [Class; 16] = [
    class("stripes-disc", Texture::Stripes, Shape::Disc),
    class("checks-square", Texture::Checks, Shape::Square),
    class("dots-triangle", Texture::Dots, Shape::Triangle),
    class("rings-star", Texture::Rings, Shape::Star),
    class("zigzag-square", Texture::Zigzag, Shape::Square),
    class("blobs-disc", Texture::Blobs, Shape::Disc),
    class("rays-ring", Texture::Rays, Shape::Ring),
    class("bricks-cross", Texture::Bricks, Shape::Cross),
    class("crosses-disc", Texture::Crosses, Shape::Disc),
    class("scales-triangle", Texture::Scales, Shape::Triangle),
    class("stripes-star", Texture::Stripes, Shape::Star),
    class("dots-ring", Texture::Dots, Shape::Ring),
    class("spiral-square", Texture::Spiral, Shape::Square),
    class("lattice-disc", Texture::Lattice, Shape::Disc),
    class("checks-cross", Texture::Checks, Shape::Cross),
    class("blobs-star", Texture::Blobs, Shape::Star),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_say_texture_and_shape_and_are_distinct() {
        for (index, class) in CLASSES.iter().enumerate() {
            let said = format!("{:?}-{:?}", class.texture, class.shape).to_lowercase();
            assert_eq!(class.name, said);
            assert!(CLASSES[..index].iter().all(|other| other.name != class.name));
        }
    }
}
