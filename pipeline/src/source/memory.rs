//! Encoded images that are in memory: a data set that a check or a test makes for itself.

use arrow::array::{BinaryViewArray, BinaryViewBuilder};

use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::codec::{CodecError, probe};
use crate::sample::{ImageMeta, RowGroupId, SampleId};

/// What messages and errors call it.
const NAME: &str = "memory";

/// Images that are given one by one; each has its number as its label.
#[derive(Debug)]
pub struct MemorySource {
    images: BinaryViewArray,
    metas: Vec<ImageMeta>,
    groups: Vec<RowGroupInfo>,
    digest: String,
}

impl MemorySource {
    /// The images in row groups of `rows_per_group` (at least 1), as if each had been decoded when it was written.
    ///
    /// # Errors
    /// If the header of an image cannot be read.
    pub fn new(images: &[Vec<u8>], rows_per_group: u32) -> Result<Self, CodecError> {
        let metas = images.iter().map(|image| probe(image)).collect::<Result<Vec<_>, _>>()?;
        let mut array = BinaryViewBuilder::with_capacity(images.len());
        let mut hasher = blake3::Hasher::new();
        for image in images {
            array.append_value(image);
            hasher.update(&(image.len() as u64).to_le_bytes());
            hasher.update(image);
        }
        let mut groups = Vec::new();
        let mut first = 0;
        for rows in images.chunks(rows_per_group.max(1) as usize) {
            let bytes = rows.iter().map(|image| image.len() as u64).sum();
            let rows = rows.len() as u32;
            groups.push(RowGroupInfo { first_sample: SampleId(first), rows, bytes });
            first += rows;
        }
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Self { images: array.finish(), metas, groups, digest })
    }
}

impl Source for MemorySource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn max_pixels(&self) -> u64 {
        let pixels = self.metas.iter().map(|meta| u64::from(meta.width) * u64::from(meta.height));
        pixels.max().unwrap_or(0)
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let info = *self.groups.get(group.0 as usize).ok_or_else(|| SourceError::Damaged {
            shard: NAME.into(),
            row_group: group.0,
            problem: format!("there are {} row groups", self.groups.len()),
        })?;
        let (first, rows) = (info.first_sample.0 as usize, info.rows as usize);
        let numbers = first..first + rows;
        Ok(RowGroup {
            id: group,
            first_sample: info.first_sample,
            images: self.images.slice(first, rows),
            metas: self.metas[numbers.clone()].to_vec(),
            labels: numbers.clone().map(|number| number as i64).collect(),
            paths: numbers.map(|number| format!("{NAME}/{number}")).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_images::jpeg;
    use super::*;

    #[test]
    fn images_come_back_in_their_row_groups() {
        let images: Vec<_> = (0..5).map(|number| jpeg(8 + number, number as u8)).collect();
        let source = MemorySource::new(&images, 2).unwrap();
        let rows: Vec<_> = source.row_groups().iter().map(|group| group.rows).collect();
        assert_eq!((rows, source.num_samples(), source.max_pixels()), (vec![2, 2, 1], 5, 144));
        let group = source.read(RowGroupId(1)).unwrap();
        assert_eq!((group.first_sample, &group.labels[..]), (SampleId(2), &[2, 3][..]));
        assert_eq!((group.encoded(1), group.metas[1].width), (&images[3][..], 11));
        assert!(source.read(RowGroupId(3)).is_err());
        let other = MemorySource::new(&images[1..], 2).unwrap();
        assert_ne!(source.digest(), other.digest());
    }

    #[test]
    fn an_image_without_a_header_is_refused() {
        assert!(MemorySource::new(&[b"no image".to_vec()], 1).is_err());
    }
}
