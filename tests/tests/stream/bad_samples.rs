//! Samples that cannot be decoded: replaced in the same way each time, counted, and borne up to a limit.

use std::sync::Arc;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::render::{BadSampleLimit, BadSamplePolicy};
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::sample::SampleKey;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode};
use smog_tests::faults::FaultySource;
use smog_tests::streams::{config, digests, next, open, source};
use smog_tests::watch::watched;

const MANY: BadSamplePolicy =
    BadSamplePolicy { max: BadSampleLimit::Count(1000), probation_samples: 0 };

fn corrupt(samples: impl IntoIterator<Item = u32>) -> Arc<dyn Source> {
    Arc::new(FaultySource { corrupt: samples.into_iter().collect(), ..FaultySource::new(source()) })
}

fn in_order(bad_samples: BadSamplePolicy) -> StreamConfig {
    StreamConfig {
        order: OrderSettings::Sequential,
        mode: StreamMode::Once,
        bad_samples,
        ..config()
    }
}

fn keys(stream: &mut BatchStream) -> Vec<SampleKey> {
    let mut keys = Vec::new();
    while let Next::Batch(batch) = stream.next_batch().expect("no stage fails") {
        let valid = batch.num_valid();
        keys.extend_from_slice(&batch.keys()[..valid]);
    }
    keys
}

#[test]
fn the_next_row_of_the_row_group_stands_in_and_no_other_sample_moves() {
    watched(|| {
        let source = corrupt([3, 12, 13]);
        let mut stream = open(&source, &in_order(MANY), 0);
        let keys = keys(&mut stream);
        let shown: Vec<_> = keys.iter().map(|key| key.sample.0).collect();
        let expected: Vec<u32> = (0..70)
            .map(|sample| match sample {
                3 => 4,
                // The last two rows of the second row group: on to its first.
                12 | 13 => 7,
                sample => sample,
            })
            .collect();
        assert_eq!(shown, expected);
        let attempts: Vec<_> =
            [2, 3, 12, 13].iter().map(|&row: &usize| keys[row].attempt).collect();
        assert_eq!(attempts, [0, 1, 2, 1]);
        assert!(keys.iter().enumerate().all(|(row, key)| key.ordinal.0 == row as u64));
        let metrics = stream.metrics();
        assert_eq!(metrics.bad_samples_total(), 4);
    });
}

#[test]
fn the_label_is_that_of_the_sample_that_is_shown_and_its_plan_is_its_own() {
    watched(|| {
        let good = source();
        let labels = good.read(smog_pipeline::sample::RowGroupId(0)).expect("read").labels;
        let mut stream = open(&corrupt([3]), &in_order(MANY), 0);
        let batch = next(&mut stream);
        assert_eq!(batch.labels()[3], labels[4]);
        assert_ne!(batch.plans()[3], batch.plans()[4], "another attempt draws another plan");
        assert_ne!(batch.view(0)[3 * 768..4 * 768], batch.view(0)[4 * 768..5 * 768]);
    });
}

#[test]
fn substitution_is_the_same_for_any_number_of_workers_and_after_a_restart() {
    watched(|| {
        let source = corrupt((0..70).filter(|sample| sample % 3 == 0));
        let of = |workers, step| {
            let config = StreamConfig { workers, bad_samples: MANY, ..config() };
            digests(&mut open(&source, &config, step), 16)
        };
        let expected = of(1, 0);
        assert_eq!(of(2, 0), expected);
        assert_eq!(of(7, 0), expected);
        assert_eq!(of(2, 8)[..8], expected[8..]);
    });
}

fn failure(stream: &mut BatchStream) -> String {
    for _ in 0..100 {
        match stream.next_batch() {
            Ok(Next::Batch(_)) => {}
            Ok(Next::End) => panic!("the stream ended"),
            Err(PipelineError::Stage(failure)) => return failure.cause.to_string(),
            Err(error) => panic!("no stage: {error}"),
        }
    }
    panic!("the stream does not stop")
}

#[test]
fn more_bad_samples_than_allowed_stop_the_run_and_name_the_last() {
    watched(|| {
        let two = BadSamplePolicy { max: BadSampleLimit::Count(2), probation_samples: 0 };
        let cause = failure(&mut open(&corrupt([3, 12, 30]), &in_order(two), 0));
        assert!(cause.starts_with("3 of "), "{cause}");
        assert!(
            cause.contains(
                "the limit is 2 different samples; the last was synthetic/30.jpg: not a JPEG"
            ),
            "{cause}"
        );
        let mut borne = open(&corrupt([3, 12]), &in_order(two), 0);
        assert_eq!(keys(&mut borne).len(), 70);
    });
}

#[test]
fn a_bad_sample_that_comes_again_each_epoch_counts_once_against_a_number() {
    watched(|| {
        let one = BadSamplePolicy { max: BadSampleLimit::Count(1), probation_samples: 0 };
        let config = StreamConfig { order: OrderSettings::Full, bad_samples: one, ..config() };
        let mut stream = open(&corrupt([3]), &config, 0);
        (0..80).for_each(|_| drop(next(&mut stream)));
    });
}

#[test]
fn a_rate_stops_the_run_only_after_its_probation() {
    watched(|| {
        let policy = BadSamplePolicy { max: BadSampleLimit::Rate(0.2), probation_samples: 40 };
        let half = corrupt((0..70).filter(|sample| sample % 2 == 0));
        let mut stream = open(&half, &in_order(policy), 0);
        drop(next(&mut stream));
        let cause = failure(&mut stream);
        assert!(cause.contains("the limit is 20% after the first 40"), "{cause}");
    });
}

#[test]
fn a_row_group_without_a_good_sample_stops_the_run() {
    watched(|| {
        let mut stream = open(&corrupt(7..14), &in_order(MANY), 0);
        let cause = failure(&mut stream);
        assert!(
            cause.starts_with("none of the 7 samples of row group 1 can be decoded"),
            "{cause}"
        );
    });
}

#[test]
fn the_first_bad_sample_stops_a_strict_stream() {
    watched(|| {
        let mut stream =
            BatchStream::open(corrupt([60]), in_order(BadSamplePolicy::FAIL), Start::Step(0))
                .expect("it opens");
        let cause = failure(&mut stream);
        assert!(cause.contains("synthetic/60.jpg"), "{cause}");
    });
}
