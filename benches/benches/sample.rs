//! One sample: decoding by each decoder, and all views of the default recipe.
//!
//! The images are generated (400 pixels a side), so that the benchmark runs anywhere; figures on photographs
//! come from `smog-tools bench stage`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use smog_benches::heap;
use smog_pipeline::augment::{Recipe, SamplePlan};
use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{ImageMeta, Ordinal, RowGroupId, SampleId, SampleKey};
use smog_pipeline::source::{RowGroup, Source, SyntheticSource};

const NUM_SAMPLES: u32 = 16;
const SIDE: u32 = 400;

fn images() -> RowGroup {
    SyntheticSource::new(NUM_SAMPLES, NUM_SAMPLES, SIDE, 1)
        .read(RowGroupId(0))
        .expect("generated images can be read")
}

/// The same pictures with whole colour: zune-jpeg and jpeg-decoder decode these themselves, and leave subsampled ones to
/// libjpeg-turbo.
fn images_444(images: &RowGroup) -> Vec<(Vec<u8>, ImageMeta)> {
    let mut decoder = decoder(DecoderKind::default(), DecodeLimits::default());
    let mut pixels = Pixels::default();
    let mut encode = |row: u32| {
        let meta = &images.metas[row as usize];
        let whole = DecodeRequest::WHOLE;
        decoder.decode(images.encoded(row), meta, &whole, &mut pixels).expect("whole");
        let mut encoded = Vec::new();
        let mut encoder = Encoder::new(&mut encoded, 85);
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
        let (width, height) = (pixels.width as u16, pixels.height as u16);
        encoder.encode(&pixels.data, width, height, ColorType::Rgb).expect("into memory");
        let meta = probe(&encoded).expect("just encoded");
        (encoded, meta)
    };
    (0..images.rows()).map(&mut encode).collect()
}

fn decode(criterion: &mut Criterion) {
    let images = images();
    let subsampled: Vec<_> = (0..images.rows())
        .map(|row| (images.encoded(row).to_vec(), images.metas[row as usize]))
        .collect();
    for (sampling, images) in [("420", subsampled), ("444", images_444(&images))] {
        let mut group = criterion.benchmark_group(format!("decode_16x400x400_{sampling}"));
        group.throughput(Throughput::Elements(NUM_SAMPLES.into()));
        for kind in DecoderKind::ALL {
            let mut decoder = decoder(kind, DecodeLimits::default());
            let mut pixels = Pixels::default();
            let mut all = || {
                for (encoded, meta) in &images {
                    decoder
                        .decode(encoded, meta, &DecodeRequest::WHOLE, &mut pixels)
                        .expect("a generated image is whole");
                }
                black_box(pixels.data.len());
            };
            heap(&format!("decode_{sampling}/{kind}"), &mut all);
            group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
                bencher.iter(&mut all)
            });
        }
    }
}

/// Memory for the views of one sample.
struct Views(Vec<Vec<u8>>);

impl RowViews for Views {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index]
    }
}

fn render(criterion: &mut Criterion) {
    let images = images();
    let mut group = criterion.benchmark_group("render_16x400x400");
    group.throughput(Throughput::Elements(NUM_SAMPLES.into()));
    for (name, recipe) in
        [("2x224", Recipe::smog()), ("2x224+4x96", Recipe::smog().with_small(4, 96))]
    {
        let mut renderer = SampleRenderer::new(&RenderSettings::default());
        let sizes = recipe.view_sizes();
        let mut views =
            Views(sizes.iter().map(|side| vec![0; 3 * (side * side) as usize]).collect());
        let mut plan = SamplePlan::default();
        let mut timings = RenderTimings::default();
        let mut epoch = 0;
        let mut all = || {
            epoch += 1;
            for row in 0..images.rows() {
                let meta = images.metas[row as usize];
                let ordinal = Ordinal(row.into());
                let key = SampleKey { epoch, ordinal, sample: SampleId(row), attempt: 0 };
                recipe.draw(0, &key, &meta, &mut plan);
                renderer
                    .render(images.encoded(row), &meta, &plan, &mut views, &mut timings)
                    .expect("a generated image is whole");
            }
            black_box(&views.0[0]);
        };
        heap(&format!("render/{name}"), &mut all);
        group.bench_function(name, |bencher| bencher.iter(&mut all));
    }
}

criterion_group!(benches, decode, render);
criterion_main!(benches);
