//! What a step shows depends on its number and the settings, on nothing else.

use std::sync::Arc;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::render::CpuRenderer;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode, StreamParts};
use smog_tests::faults::{Fault, FaultyRenderer, FaultySource};
use smog_tests::streams::{config, digests, next, open, recipe, source};
use smog_tests::watch::watched;

/// Two and a half epochs.
const STEPS: usize = 20;

#[test]
fn batches_are_the_same_for_any_number_of_workers_and_slots_and_any_timing() {
    watched(|| {
        let source = source();
        let expected = digests(&mut open(&source, &config(), 0), STEPS);
        for workers in [1, 2, 7] {
            for num_slots in [2, 3, 5] {
                let config = StreamConfig { workers, num_slots, ..config() };
                let slow = FaultySource {
                    read: Fault::Sleep(3000),
                    ..FaultySource::new(Arc::clone(&source))
                };
                let inner = Arc::new(CpuRenderer::new(config.render, workers));
                let renderer = Arc::new(FaultyRenderer { inner, fault: Fault::Sleep(400) });
                let parts = StreamParts { renderer, ..StreamParts::cpu(&config) };
                let mut stream =
                    BatchStream::open_with(Arc::new(slow), config, Start::Step(0), parts)
                        .expect("it opens");
                let found = digests(&mut stream, STEPS);
                assert_eq!(found, expected, "{workers} workers, {num_slots} slots");
                stream.close().expect("no stage fails");
            }
        }
    });
}

#[test]
fn steps_differ_from_one_another_and_epochs_show_other_plans() {
    watched(|| {
        let found = digests(&mut open(&source(), &config(), 0), STEPS);
        for (step, digest) in found.iter().enumerate() {
            assert!(!found[..step].contains(digest), "step {step} repeats an earlier one");
        }
    });
}

#[test]
fn the_seed_decides_order_and_augmentation() {
    watched(|| {
        let of_seed =
            |seed| digests(&mut open(&source(), &StreamConfig { seed, ..config() }, 0), 2);
        assert_ne!(of_seed(1), of_seed(2));
    });
}

#[test]
fn each_sample_is_shown_once_an_epoch_but_for_those_that_fill_no_batch() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        assert_eq!(stream.steps_per_epoch(), 8);
        let mut ordinals = Vec::new();
        for epoch in 0..2 {
            let mut shown = Vec::new();
            for _ in 0..8 {
                let batch = next(&mut stream);
                assert_eq!(batch.epoch(), epoch);
                shown.extend(batch.keys().iter().map(|key| key.sample.0));
                ordinals.extend(batch.keys().iter().map(|key| key.ordinal.0));
            }
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(shown.len(), 64);
        }
        assert_eq!(ordinals, (0..128).collect::<Vec<u64>>());
    });
}

#[test]
fn a_finite_stream_shows_everything_in_order_pads_the_last_batch_and_says_that_it_ends() {
    watched(|| {
        let config =
            StreamConfig { mode: StreamMode::Once, order: OrderSettings::Sequential, ..config() };
        let source = source();
        let expected: Vec<i64> = (0..10)
            .flat_map(|group| {
                source.read(smog_pipeline::sample::RowGroupId(group)).expect("read").labels
            })
            .collect();
        let mut stream = open(&source, &config, 0);
        assert_eq!(stream.steps_per_epoch(), 9);
        let (mut shown, mut labels, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        while let Next::Batch(batch) = stream.next_batch().expect("no stage fails") {
            assert_eq!(batch.len(), 8);
            shown.extend(batch.keys().iter().map(|key| key.sample.0));
            labels.extend_from_slice(batch.labels());
            masks.extend_from_slice(batch.valid());
        }
        assert!(matches!(stream.next_batch(), Ok(Next::End)), "the end stays the end");
        let padded: Vec<u32> = (0..70).chain([69, 69]).collect();
        assert_eq!(shown, padded);
        assert_eq!(&labels[..70], expected);
        assert_eq!(masks, (0..72).map(|row| row < 70).collect::<Vec<_>>());
        assert_eq!(stream.metrics().samples_total, 70);

        stream.seek(8).expect("back to the last batch");
        assert_eq!(next(&mut stream).num_valid(), 6);
        assert!(matches!(stream.next_batch(), Ok(Next::End)));
        stream.close().expect("no stage fails");
    });
}

#[test]
fn a_batch_larger_than_a_finite_set_is_mostly_padding() {
    watched(|| {
        let config = StreamConfig { mode: StreamMode::Once, batch_size: 100, ..config() };
        let mut stream = open(&source(), &config, 0);
        assert_eq!(next(&mut stream).num_valid(), 70);
        assert!(matches!(stream.next_batch(), Ok(Next::End)));
    });
}

#[test]
fn the_batches_of_all_ranks_side_by_side_are_the_global_batch() {
    watched(|| {
        let source = source();
        let mut whole = open(&source, &config(), 0);
        let of_rank = |rank| StreamConfig { batch_size: 4, rank, world_size: 2, ..config() };
        let mut ranks = [0, 1].map(|rank| open(&source, &of_rank(rank), 0));
        for _ in 0..12 {
            let whole = next(&mut whole);
            let parts = ranks.each_mut().map(next);
            for (rank, part) in parts.iter().enumerate() {
                let rows = rank * 4..rank * 4 + 4;
                assert_eq!(part.keys(), &whole.keys()[rows.clone()]);
                assert_eq!(part.plans(), &whole.plans()[rows.clone()]);
                let row_bytes = 3 * 16 * 16;
                assert_eq!(
                    part.view(0),
                    &whole.view(0)[rows.start * row_bytes..rows.end * row_bytes]
                );
            }
        }
    });
}

#[test]
fn plans_do_not_depend_on_batch_size_or_window() {
    watched(|| {
        let source = source();
        let plans = |config: StreamConfig| {
            let mut stream = open(&source, &config, 0);
            let mut plans = std::collections::BTreeMap::new();
            for _ in 0..stream.steps_per_epoch() {
                let batch = next(&mut stream);
                for (key, plan) in batch.keys().iter().zip(batch.plans()) {
                    plans.insert(key.sample.0, plan.clone());
                }
            }
            plans
        };
        let small = plans(config());
        let large = plans(StreamConfig { batch_size: 35, order: OrderSettings::Full, ..config() });
        assert_eq!(large.len(), 70);
        for (sample, plan) in &small {
            assert_eq!(plan, &large[sample], "sample {sample}");
        }
    });
}

#[test]
fn the_views_of_a_batch_have_the_shapes_of_the_recipe() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        let batch = next(&mut stream);
        assert_eq!(batch.num_views(), recipe().num_views());
        for (view, side) in [16, 16, 8, 8].into_iter().enumerate() {
            assert_eq!(batch.view_size(view), side);
            assert_eq!(batch.view(view).len(), 8 * 3 * (side * side) as usize);
            assert!(batch.view(view).iter().any(|&byte| byte != 0));
        }
        assert_ne!(batch.view(0), batch.view(1));
    });
}

#[test]
fn a_source_without_samples_is_refused() {
    watched(|| {
        let empty: Arc<dyn Source> =
            Arc::new(smog_pipeline::source::SyntheticSource::new(0, 7, 32, 5));
        let error =
            BatchStream::open(empty, config(), Start::Step(0)).expect_err("nothing to show");
        assert_eq!(error.to_string(), "num_samples = 0, expected at least one sample");
    });
}
