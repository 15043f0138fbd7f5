//! The order and the schedule of an epoch as long as ImageNet-1k: 1,281,167 images in row groups of 128.
//! `enter_*` is what opening a stream at that position costs; the others walk the whole epoch.

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
        for (place, position) in [("start", 0), ("middle", NUM_SAMPLES / 2)] {
            group.bench_function(format!("{name}/enter_{place}"), |bencher| {
                bencher.iter(|| order.rows(black_box(3), black_box(position)).next())
            });
        }
        group.bench_function(format!("{name}/epoch"), |bencher| {
            bencher.iter(|| {
                order.rows(black_box(3), 0).map(|row| u64::from(row.sample.0)).sum::<u64>()
            })
        });
    }
    let order = order(OrderSettings::Window { row_groups: 64 }, &groups, 1);
    let positions = Positions {
        num_samples: NUM_SAMPLES,
        batch_size: 1024,
        rank: 0,
        world_size: 1,
        mode: StreamMode::Endless,
    };
    group.bench_function("window_64/schedule", |bencher| {
        bencher.iter(|| {
            let mut schedule = EpochSchedule::new(&*order, &positions, 3, 0);
            for step in 0..positions.steps_per_epoch() {
                for row in 0..positions.batch_size {
                    black_box(schedule.row_at(positions.row(step, row).in_epoch, |_| ()));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, epoch);
criterion_main!(benches);
