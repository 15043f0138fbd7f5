//! Pictures in every coding that leaves the processor, drawn so that a decoder that treats one otherwise is seen.

use std::sync::Arc;

use anyhow::Context;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use smog_pipeline::source::{MemorySource, Source};

/// Pictures of a kind, and rows of its row groups.
const PICTURES: u32 = 24;
const ROWS_PER_GROUP: u32 = 8;
/// Sizes that they have by turns: whole blocks, odd ones, and little more than the engines' least side. What is smaller
/// is not theirs.
const SIZES: [(u16, u16); 4] = [(320, 240), (333, 251), (641, 427), (67, 65)];
const QUALITY: u8 = 92;

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Of colour; none of a grey picture.
    sampling: Option<SamplingFactor>,
    /// In several scans, which the JPEG engines do not take.
    pub(crate) progressive: bool,
}

/// All of them.
pub(crate) const KINDS: [Kind; 7] = [
    Kind { name: "grey", sampling: None, progressive: false },
    Kind { name: "4:4:4", sampling: Some(SamplingFactor::F_1_1), progressive: false },
    Kind { name: "4:2:2", sampling: Some(SamplingFactor::F_2_1), progressive: false },
    Kind { name: "4:4:0", sampling: Some(SamplingFactor::F_1_2), progressive: false },
    Kind { name: "4:2:0", sampling: Some(SamplingFactor::F_2_2), progressive: false },
    Kind { name: "progressive 4:2:0", sampling: Some(SamplingFactor::F_2_2), progressive: true },
    Kind { name: "progressive grey", sampling: None, progressive: true },
];

/// A data set of pictures of the kind.
pub(crate) fn source(kind: &Kind) -> anyhow::Result<Arc<dyn Source>> {
    let pictures = (0..PICTURES)
        .map(|number| picture(kind, number))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot draw pictures of the kind {}", kind.name))?;
    let source = MemorySource::new(&pictures, ROWS_PER_GROUP)
        .with_context(|| format!("the pictures of the kind {} cannot be read", kind.name))?;
    Ok(Arc::new(source))
}

fn picture(kind: &Kind, number: u32) -> Result<Vec<u8>, jpeg_encoder::EncodingError> {
    let (width, height) = SIZES[number as usize % SIZES.len()];
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, QUALITY);
    encoder.set_progressive(kind.progressive);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (f32::from(x), f32::from(y))));
    if let Some(sampling) = kind.sampling {
        encoder.set_sampling_factor(sampling);
        let pixels: Vec<u8> = places.flat_map(|(x, y)| colour(x, y, number)).collect();
        encoder.encode(&pixels, width, height, ColorType::Rgb)?;
    } else {
        let pixels: Vec<u8> = places.map(|(x, y)| colour(x, y, number)[1]).collect();
        encoder.encode(&pixels, width, height, ColorType::Luma)?;
    }
    Ok(encoded)
}

/// Waves of red and blue, each another way, so steep that colour that is repeated is far from colour that is interpolated.
fn colour(x: f32, y: f32, number: u32) -> [u8; 3] {
    let phase = number as f32;
    let wave = |place: f32, length: f32| (128.0 + 100.0 * (place / length + phase).sin()) as u8;
    [wave(x, 4.0), wave(x + y, 23.0), wave(y, 5.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use smog_cuda::{Route, Router, Unchecked};
    use smog_pipeline::codec::DecodeLimits;
    use smog_pipeline::sample::{RowGroupId, Subsampling};

    #[test]
    fn every_picture_is_of_its_kind_and_leaves_the_processor() {
        let limits = DecodeLimits::default();
        let router = Router { limits, unchecked: Unchecked::Decode, hardware: true };
        let samplings = [
            Subsampling::None,
            Subsampling::S444,
            Subsampling::S422,
            Subsampling::S440,
            Subsampling::S420,
            Subsampling::S420,
            Subsampling::None,
        ];
        for (kind, sampling) in KINDS.iter().zip(samplings) {
            let source = source(kind).unwrap();
            assert_eq!(source.num_samples(), u64::from(PICTURES));
            for group in 0..source.row_groups().len() as u32 {
                let rows = source.read(RowGroupId(group)).unwrap();
                for (row, meta) in rows.metas.iter().enumerate() {
                    let wanted = if kind.progressive { Route::Hybrid } else { Route::Hardware };
                    let route = router.route(rows.encoded(row as u32), meta);
                    assert_eq!(route, wanted, "{} {}x{}", kind.name, meta.width, meta.height);
                    assert_eq!((meta.subsampling, meta.progressive), (sampling, kind.progressive));
                }
            }
        }
    }
}
