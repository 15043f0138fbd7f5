//! Contact sheets: views in rows with a line of text above each, as PNG, to be looked at by people.

mod font;

use std::path::{Path, PathBuf};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::atomic::write_atomic;
use crate::codec::Pixels;

/// Pixels between tiles and around the sheet.
const GAP: usize = 6;
const BACKGROUND: [u8; 3] = [24, 24, 28];
const INK: [u8; 3] = [225, 225, 225];

/// One square picture.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// `side * side * 3` bytes of RGB8.
    pub pixels: &'a [u8],
    /// Width and height in pixels.
    pub side: u32,
}

/// `image` in its own proportions, as large as fits a square of `side` pixels, in the middle of it: the
/// `side * side * 3` bytes of a tile. Views are made by [`augment`](crate::augment), which knows squares only.
///
/// # Panics
/// If the image is empty or its memory does not fit its size.
pub fn thumbnail(image: &Pixels, side: u32) -> Vec<u8> {
    let scale = f64::from(side) / f64::from(image.width.max(image.height));
    let fit = |length: u32| ((f64::from(length) * scale).round() as u32).clamp(1, side);
    let (width, height) = (fit(image.width), fit(image.height));
    // Typed images: the untyped call would compile every pixel format into this crate, for minutes.
    let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, &image.data)
        .expect("an RGB8 image has three bytes a pixel");
    let mut small = TypedImage::<U8x3>::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new()
        .resize_typed(&source, &mut small, &options)
        .expect("the whole of an image lies within it");

    let mut tile: Vec<u8> =
        std::iter::repeat_n(BACKGROUND, (side * side) as usize).flatten().collect();
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    for (y, row) in (top..).zip(small.pixels().chunks_exact(width as usize)) {
        let start = 3 * (y * side + left) as usize;
        for (to, from) in tile[start..].chunks_exact_mut(3).zip(row) {
            to.copy_from_slice(&from.0);
        }
    }
    tile
}

/// A sheet that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// There is nothing to show.
    #[error("a contact sheet needs at least one tile")]
    Empty,
    /// A tile's memory does not fit its side.
    #[error("tile {tile} of row {row} has {found} bytes, expected {expected}")]
    Tile {
        /// Row, from 0.
        row: usize,
        /// Tile within the row, from 0.
        tile: usize,
        /// Its length in bytes.
        found: usize,
        /// What its side needs.
        expected: usize,
    },
    /// The file cannot be made.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The picture cannot be encoded.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: png::EncodingError,
    },
}

/// Writes `rows` of tiles to a PNG, which appears as a whole or not at all. Where `row_labels` has an entry for a row it stands above it, cut off at
/// the edge of the sheet; characters outside ASCII show as `?`.
///
/// # Errors
/// If there is no tile, a tile has the wrong length, or the file cannot be written.
pub fn write_sheet(
    path: &Path,
    rows: &[Vec<Tile<'_>>],
    row_labels: &[String],
) -> Result<(), SheetError> {
    let canvas = draw(rows, row_labels)?;
    let encode = |source| SheetError::Encode { path: path.to_owned(), source };
    let (width, height) = (canvas.width as u32, canvas.height as u32);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(encode)?;
    writer.write_image_data(&canvas.pixels).map_err(encode)?;
    writer.finish().map_err(encode)?;
    // Whole or not at all, also where the disk is full.
    write_atomic(path, &file).map_err(|source| SheetError::Io { path: path.to_owned(), source })
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

fn draw(rows: &[Vec<Tile<'_>>], row_labels: &[String]) -> Result<Canvas, SheetError> {
    let row_width = |row: &Vec<Tile<'_>>| row.iter().map(|tile| tile.side as usize + GAP).sum();
    let width = GAP + rows.iter().map(row_width).max().unwrap_or(0_usize);
    if width == GAP {
        return Err(SheetError::Empty);
    }
    for (row, tiles) in rows.iter().enumerate() {
        for (tile, Tile { pixels, side }) in tiles.iter().enumerate() {
            let (found, expected) = (pixels.len(), 3 * *side as usize * *side as usize);
            if found != expected {
                return Err(SheetError::Tile { row, tile, found, expected });
            }
        }
    }
    let zoom = if width >= 400 { 2 } else { 1 };
    let label = |row: usize| row_labels.get(row).filter(|label| !label.is_empty());
    let label_height =
        |row: usize| if label(row).is_some() { zoom * font::HEIGHT + GAP } else { 0 };
    let row_height =
        |row: &Vec<Tile<'_>>| row.iter().map(|tile| tile.side as usize).max().unwrap_or(0) + GAP;
    let height = GAP
        + rows
            .iter()
            .enumerate()
            .map(|(row, tiles)| label_height(row) + row_height(tiles))
            .sum::<usize>();
    let mut canvas = Canvas { width, height, pixels: BACKGROUND.repeat(width * height) };
    let mut top = GAP;
    for (row, tiles) in rows.iter().enumerate() {
        if let Some(label) = label(row) {
            canvas.text(label, GAP, top, zoom);
            top += label_height(row);
        }
        let mut left = GAP;
        for tile in tiles {
            canvas.tile(tile, left, top);
            left += tile.side as usize + GAP;
        }
        top += row_height(tiles);
    }
    Ok(canvas)
}

impl Canvas {
    fn tile(&mut self, tile: &Tile<'_>, left: usize, top: usize) {
        let row_bytes = 3 * tile.side as usize;
        for (y, row) in tile.pixels.chunks_exact(row_bytes.max(1)).enumerate() {
            let at = 3 * ((top + y) * self.width + left);
            self.pixels[at..at + row_bytes].copy_from_slice(row);
        }
    }

    fn text(&mut self, text: &str, left: usize, top: usize, zoom: usize) {
        for (index, character) in text.chars().enumerate() {
            let left = left + index * (font::WIDTH + 1) * zoom;
            if left + font::WIDTH * zoom > self.width {
                return;
            }
            for (column, bits) in font::glyph(character).into_iter().enumerate() {
                for row in (0..font::HEIGHT).filter(|row| bits >> row & 1 == 1) {
                    self.block(left + column * zoom, top + row * zoom, zoom);
                }
            }
        }
    }

    fn block(&mut self, left: usize, top: usize, side: usize) {
        for y in top..top + side {
            for x in left..left + side {
                let at = 3 * (y * self.width + x);
                self.pixels[at..at + 3].copy_from_slice(&INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DecodeLimits, DecodeRequest, DecoderKind, decoder, probe};

    #[test]
    fn a_thumbnail_keeps_its_proportions_and_its_sides() {
        let (red, blue) = ([250, 0, 0], [0, 0, 250]);
        let row: Vec<u8> = [[red; 20], [blue; 20]].into_iter().flatten().flatten().collect();
        let image = Pixels { width: 40, height: 20, data: row.repeat(20), ..Pixels::default() };
        let tile = thumbnail(&image, 16);
        let pixel = |x: usize, y: usize| &tile[3 * (y * 16 + x)..][..3];
        assert_eq!(tile.len(), 3 * 16 * 16);
        for y in 0..16 {
            let inside = (4..12).contains(&y);
            assert_eq!(pixel(0, y), if inside { red } else { BACKGROUND }, "row {y}");
            assert_eq!(pixel(15, y), if inside { blue } else { BACKGROUND }, "row {y}");
        }
        let line = Pixels { width: 1, height: 999, data: vec![9; 3 * 999], ..Pixels::default() };
        assert_eq!(thumbnail(&line, 8)[3 * 4..][..3], BACKGROUND);
    }

    #[test]
    fn a_sheet_reads_back_with_its_tiles_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        let (red, blue) = ([255, 0, 0].repeat(16 * 16), [0, 0, 255].repeat(8 * 8));
        let rows = vec![
            vec![Tile { pixels: &red, side: 16 }, Tile { pixels: &blue, side: 8 }],
            vec![Tile { pixels: &blue, side: 8 }],
        ];
        write_sheet(&path, &rows, &["one".into()]).unwrap();
        let png = std::fs::read(&path).unwrap();
        let meta = probe(&png).unwrap();
        let mut sheet = Pixels::default();
        let mut decoder = decoder(DecoderKind::default(), DecodeLimits::default());
        decoder.decode(&png, &meta, &DecodeRequest::WHOLE, &mut sheet).unwrap();
        assert_eq!((sheet.width, sheet.height), (42, 6 + 13 + 22 + 14));
        let pixel = |x: usize, y: usize| &sheet.data[3 * (y * 42 + x)..][..3];
        assert_eq!(pixel(6, 19), [255, 0, 0]);
        assert_eq!(pixel(28, 19), [0, 0, 255]);
        assert_eq!(pixel(28, 28), BACKGROUND);
        assert_eq!(pixel(6, 41), [0, 0, 255]);
        assert!(sheet.data[3 * 42 * 6..3 * 42 * 13].contains(&INK[0]), "the label is drawn");
    }

    #[test]
    fn tiles_of_the_wrong_length_and_empty_sheets_are_refused() {
        let path = Path::new("never-written.png");
        let pixels = [0; 10];
        let rows = vec![vec![Tile { pixels: &pixels, side: 2 }]];
        let error = write_sheet(path, &rows, &[]).unwrap_err();
        assert_eq!(error.to_string(), "tile 0 of row 0 has 10 bytes, expected 12");
        assert!(matches!(write_sheet(path, &[], &[]), Err(SheetError::Empty)));
        assert!(!path.exists());
    }
}
