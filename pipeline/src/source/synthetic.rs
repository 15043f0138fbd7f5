//! Images made in memory: a data set for tests and dry runs that needs no disk.

use arrow::array::BinaryViewBuilder;
use arrow::buffer::Buffer;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::draw::{Domain, Draw};
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, RowGroupId, SampleId, Subsampling};

/// Classes of the synthetic data set: four shapes in two colours.
const NUM_CLASSES: u32 = 8;
/// Distinct images; samples draw from these, so that making a large set costs nothing.
const NUM_IMAGES: u32 = 64;

/// Small JPEGs of coloured shapes, made once; the label is shape and colour.
pub struct SyntheticSource {
    groups: Vec<RowGroupInfo>,
    pool: Buffer,
    /// Offset and length of each image in `pool`.
    places: Vec<(u32, u32)>,
    image_side: u32,
    seed: u64,
    classes: Vec<String>,
    digest: String,
}

impl SyntheticSource {
    /// A set of `num_samples` square images with `image_side` pixels a side (at least 8, at most 2048)
    /// in row groups of `rows_per_group` (at least 1). The same arguments give the same bytes.
    pub fn new(num_samples: u32, rows_per_group: u32, image_side: u32, seed: u64) -> Self {
        let rows_per_group = rows_per_group.max(1);
        let image_side = image_side.clamp(8, 2048);
        let (mut pool, mut places) = (Vec::new(), Vec::new());
        for image in 0..NUM_IMAGES {
            let offset = pool.len() as u32;
            encode(&paint(image, image_side, seed), image_side, &mut pool);
            places.push((offset, pool.len() as u32 - offset));
        }
        let mut source = Self {
            groups: Vec::new(),
            pool: Buffer::from(pool),
            places,
            image_side,
            seed,
            classes: ["disk", "square", "cross", "stripes"]
                .iter()
                .flat_map(|shape| ["red", "blue"].map(|colour| format!("{colour} {shape}")))
                .collect(),
            digest: format!("synthetic {num_samples} {rows_per_group} {image_side} {seed}"),
        };
        source.digest = blake3::hash(source.digest.as_bytes()).to_hex().to_string();
        let mut first = 0;
        while first < num_samples {
            let rows = rows_per_group.min(num_samples - first);
            let bytes = (first..first + rows)
                .map(|sample| u64::from(source.places[source.image_of(sample) as usize].1))
                .sum();
            source.groups.push(RowGroupInfo { first_sample: SampleId(first), rows, bytes });
            first += rows;
        }
        source
    }

    /// Which of the distinct images a sample shows.
    fn image_of(&self, sample: u32) -> u32 {
        Draw::new(self.seed, Domain::Synthetic, [u32::MAX, sample, 0, 0, 0]).below(NUM_IMAGES)
    }
}

impl Source for SyntheticSource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn max_pixels(&self) -> u64 {
        u64::from(self.image_side).pow(2)
    }

    fn max_coefficient_bytes(&self) -> u64 {
        0
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let info = *self.groups.get(group.0 as usize).ok_or_else(|| SourceError::Damaged {
            shard: "synthetic".into(),
            row_group: group.0,
            problem: format!("there are {} row groups", self.groups.len()),
        })?;
        let samples = info.first_sample.0..info.first_sample.0 + info.rows;
        let mut images = BinaryViewBuilder::with_capacity(info.rows as usize);
        let block = images.append_block(self.pool.clone());
        let (mut metas, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for sample in samples {
            let image = self.image_of(sample);
            let (offset, bytes) = self.places[image as usize];
            images.try_append_view(block, offset, bytes).map_err(|error| SourceError::Damaged {
                shard: "synthetic".into(),
                row_group: group.0,
                problem: error.to_string(),
            })?;
            metas.push(ImageMeta {
                format: ImageFormat::Jpeg,
                width: self.image_side,
                height: self.image_side,
                components: 3,
                subsampling: Subsampling::S420,
                orientation: 1,
                progressive: false,
                flags: ImageFlags::default(),
                bytes,
            });
            labels.push(i64::from(image % NUM_CLASSES));
            paths.push(format!("synthetic/{sample}.jpg"));
        }
        Ok(RowGroup {
            id: group,
            first_sample: info.first_sample,
            images: images.finish(),
            metas,
            labels,
            paths,
        })
    }
}

/// RGB8 pixels of one image: a shape of drawn size and place before a drawn background.
fn paint(image: u32, side: u32, seed: u64) -> Vec<u8> {
    let class = image % NUM_CLASSES;
    let mut draw = Draw::new(seed, Domain::Synthetic, [class, image, 0, 0, 0]);
    let background = [0; 3].map(|_: u8| draw.uniform(20.0, 140.0));
    let tilt = draw.uniform(-60.0, 60.0);
    let strength = draw.uniform(150.0, 255.0);
    let colour =
        if class.is_multiple_of(2) { [strength, 40.0, 30.0] } else { [30.0, 60.0, strength] };
    let centre = [draw.uniform(0.35, 0.65), draw.uniform(0.35, 0.65)];
    let radius = draw.uniform(0.15, 0.32);
    let mut pixels = Vec::with_capacity(3 * (side * side) as usize);
    for row in 0..side {
        for column in 0..side {
            let x = (f64::from(column) + 0.5) / f64::from(side) - centre[0];
            let y = (f64::from(row) + 0.5) / f64::from(side) - centre[1];
            let square = x.abs().max(y.abs()) < radius;
            let inside = match class / 2 {
                0 => x.hypot(y) < radius,
                1 => square,
                2 => square && x.abs().min(y.abs()) < radius / 3.0,
                _ => square && (y / radius * 3.0).rem_euclid(2.0) < 1.0,
            };
            for channel in 0..3 {
                let value = if inside { colour[channel] } else { background[channel] + tilt * x };
                pixels.push(value.clamp(0.0, 255.0) as u8);
            }
        }
    }
    pixels
}

/// Appends the JPEG of a square RGB8 image to `out`.
fn encode(pixels: &[u8], side: u32, out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(out, 85);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(pixels, side as u16, side as u16, ColorType::Rgb)
        .expect("a picture of 8 to 2048 pixels a side encodes into memory");
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;

    #[test]
    fn the_same_arguments_give_the_same_bytes_and_another_seed_gives_others() {
        let read = |seed| {
            let source = SyntheticSource::new(20, 8, 32, seed);
            let group = source.read(RowGroupId(1)).unwrap();
            (
                source.digest().to_owned(),
                (0..8).map(|row| group.encoded(row).to_vec()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(read(1), read(1));
        assert_ne!(read(1).0, read(2).0);
        assert_ne!(read(1).1, read(2).1);
    }

    #[test]
    fn row_groups_cover_all_samples_and_say_their_bytes() {
        let source = SyntheticSource::new(21, 8, 16, 3);
        let infos = source.row_groups();
        assert_eq!(infos.iter().map(|info| info.rows).collect::<Vec<_>>(), [8, 8, 5]);
        assert_eq!(source.num_samples(), 21);
        for (index, info) in infos.iter().enumerate() {
            let group = source.read(RowGroupId(index as u32)).unwrap();
            assert_eq!(group.images.len() as u32, info.rows);
            assert_eq!(
                group.metas.iter().map(|meta| u64::from(meta.bytes)).sum::<u64>(),
                info.bytes
            );
            for row in 0..group.rows() {
                assert_eq!(&group.encoded(row)[..3], [0xFF, 0xD8, 0xFF]);
                assert!((0..8).contains(&group.labels[row as usize]));
            }
        }
        assert!(source.read(RowGroupId(3)).is_err());
        assert!(SyntheticSource::new(0, 8, 16, 3).row_groups().is_empty());
    }
}
