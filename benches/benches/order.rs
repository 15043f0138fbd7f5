//! The order and the fetch schedule of an epoch as long as ImageNet-1k: 1,281,167 images in row groups of
//! 128.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use smog_pipeline::fetch::schedule::EpochSchedule;
use smog_pipeline::order::{OrderSettings, Positions, order};
use smog_pipeline::sample::SampleId;
use smog_pipeline::source::RowGroupInfo;
use smog_pipeline::stream::StreamMode;

const NUM_SAMPLES: u32 = 1_281_167;
const ROWS: u32 = 128;

fn groups() -> Vec<RowGroupInfo> {
    (0..NUM_SAMPLES)
        .step_by(ROWS as usize)
        .map(|first| {
            let rows = ROWS.min(NUM_SAMPLES - first);
            RowGroupInfo { first_sample: SampleId(first), rows, bytes: u64::from(rows) * 110_000 }
        })
        .collect()
}

fn epoch(criterion: &mut Criterion) {
    let groups = groups();
    let mut group = criterion.benchmark_group("order_1281167");
    group.sample_size(10);
    for (name, settings) in [
        ("window_64", OrderSettings::Window { row_groups: 64 }),
        ("full", OrderSettings::Full),
        ("sequential", OrderSettings::Sequential),
    ] {
        let order = order(settings, &groups, 1);
        let mut samples = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| order.fill(black_box(3), &mut samples))
        });
    }
    let order = order(OrderSettings::Window { row_groups: 64 }, &groups, 1).epoch(3);
    let positions = Positions {
        num_samples: NUM_SAMPLES,
        batch_size: 1024,
        rank: 0,
        world_size: 1,
        mode: StreamMode::Endless,
    };
    group.bench_function("schedule", |bencher| {
        bencher.iter(|| EpochSchedule::new(order.clone(), &groups, &positions, 0));
    });
    group.finish();
}

criterion_group!(benches, epoch);
criterion_main!(benches);
