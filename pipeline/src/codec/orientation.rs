//! Rotation and mirroring by the EXIF orientation tag.

use super::Pixels;

/// Side of the square tiles in which transposed images are copied, so that both sides stay in the cache.
const TILE: usize = 32;

/// What has to be done to show an image, named by where stored row 0 goes. The numbers are the tag's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// 1.
    AsStored,
    /// 2: left and right exchanged.
    Mirror,
    /// 3: turned by 180 degrees.
    HalfTurn,
    /// 4: top and bottom exchanged.
    Flip,
    /// 5: rows become columns.
    Transpose,
    /// 6: turned clockwise.
    Right,
    /// 7: turned clockwise, then top and bottom exchanged.
    Transverse,
    /// 8: turned counter-clockwise.
    Left,
}

impl Orientation {
    /// By the value of the tag; anything but 2 to 8 leaves the image alone.
    pub fn from_tag(tag: u8) -> Self {
        match tag {
            2 => Self::Mirror,
            3 => Self::HalfTurn,
            4 => Self::Flip,
            5 => Self::Transpose,
            6 => Self::Right,
            7 => Self::Transverse,
            8 => Self::Left,
            _ => Self::AsStored,
        }
    }

    /// Width and height as shown.
    pub fn size(self, width: u32, height: u32) -> (u32, u32) {
        if self.swaps_axes() { (height, width) } else { (width, height) }
    }

    fn swaps_axes(self) -> bool {
        matches!(self, Self::Transpose | Self::Right | Self::Transverse | Self::Left)
    }

    /// The image as shown: `stored` itself, or `shown` filled from it. Only a whole image can be turned.
    pub fn apply<'a>(self, stored: &'a Pixels, shown: &'a mut Pixels) -> &'a Pixels {
        if self == Self::AsStored {
            return stored;
        }
        let (width, height) = self.size(stored.width, stored.height);
        (shown.width, shown.height, shown.scale) = (width, height, stored.scale);
        debug_assert_eq!((stored.left, stored.top), (0, 0));
        (shown.left, shown.top) = (0, 0);
        shown.data.resize(stored.data.len(), 0);
        let (width, height) = (width as usize, height as usize);
        let stored_width = stored.width as usize;
        let (last_x, last_y) = (width - 1, height - 1);
        for top in (0..height).step_by(TILE) {
            for left in (0..width).step_by(TILE) {
                for y in top..(top + TILE).min(height) {
                    for x in left..(left + TILE).min(width) {
                        let (from_x, from_y) = match self {
                            Self::AsStored => (x, y),
                            Self::Mirror => (last_x - x, y),
                            Self::HalfTurn => (last_x - x, last_y - y),
                            Self::Flip => (x, last_y - y),
                            Self::Transpose => (y, x),
                            Self::Right => (y, last_x - x),
                            Self::Transverse => (last_y - y, last_x - x),
                            Self::Left => (last_y - y, x),
                        };
                        let (to, from) =
                            (3 * (y * width + x), 3 * (from_y * stored_width + from_x));
                        shown.data[to..to + 3].copy_from_slice(&stored.data[from..from + 3]);
                    }
                }
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `exif_transpose` of PIL on the 3 x 2 image 012/345.
    #[test]
    fn every_tag_turns_the_image_as_pil_does() {
        let cases: [(u8, &[&[u8]]); 9] = [
            (0, &[&[0, 1, 2], &[3, 4, 5]]),
            (1, &[&[0, 1, 2], &[3, 4, 5]]),
            (2, &[&[2, 1, 0], &[5, 4, 3]]),
            (3, &[&[5, 4, 3], &[2, 1, 0]]),
            (4, &[&[3, 4, 5], &[0, 1, 2]]),
            (5, &[&[0, 3], &[1, 4], &[2, 5]]),
            (6, &[&[3, 0], &[4, 1], &[5, 2]]),
            (7, &[&[5, 2], &[4, 1], &[3, 0]]),
            (8, &[&[2, 5], &[1, 4], &[0, 3]]),
        ];
        let stored = Pixels {
            width: 3,
            height: 2,
            data: (0..6).flat_map(|value| [value; 3]).collect(),
            scale: 1,
            ..Pixels::default()
        };
        for (tag, expected) in cases {
            let mut buffer = Pixels::default();
            let shown = Orientation::from_tag(tag).apply(&stored, &mut buffer);
            assert_eq!(
                (shown.width, shown.height),
                (expected[0].len() as u32, expected.len() as u32)
            );
            let found: Vec<u8> = shown.data.iter().copied().step_by(3).collect();
            assert_eq!(found, expected.concat(), "tag {tag}");
        }
    }
}
