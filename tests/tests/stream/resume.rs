//! A stream that goes on after a restart shows what it would have shown without one.

use std::sync::Arc;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::stream::{BatchStream, Start, StreamConfig, StreamState};
use smog_tests::streams::{config, digest, digests, next, open, source};
use smog_tests::watch::watched;

const STEPS: usize = 40;
/// First steps, the middle of a window, both sides of epoch edges (every eight steps), the last step.
const STOPS: [usize; 12] = [0, 1, 2, 5, 7, 8, 9, 15, 16, 24, 33, 39];

#[test]
fn a_restart_at_any_step_yields_the_same_batches() {
    watched(|| {
        let source = source();
        for order in [
            OrderSettings::Window { row_groups: 4 },
            OrderSettings::Full,
            OrderSettings::Sequential,
        ] {
            let config = StreamConfig { order, ..config() };
            let expected = digests(&mut open(&source, &config, 0), STEPS);
            for stop in STOPS {
                let mut first = open(&source, &config, 0);
                assert_eq!(digests(&mut first, stop), expected[..stop]);
                let saved = serde_json::to_string(&first.position()).expect("serialises");
                first.close().expect("no stage fails");

                let state: StreamState = serde_json::from_str(&saved).expect("parses");
                assert_eq!(state.next_step, stop as u64);
                let mut second =
                    BatchStream::open(Arc::clone(&source), config.clone(), Start::State(&state))
                        .expect("the same stream");
                let left = (STEPS - stop).min(10);
                assert_eq!(
                    digests(&mut second, left),
                    expected[stop..stop + left],
                    "{order}, stopped at {stop}"
                );
            }
        }
    });
}

#[test]
fn the_position_counts_what_was_handed_out_and_not_what_was_read_ahead() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        let batches = [next(&mut stream), next(&mut stream)];
        assert_eq!(batches[0].position().next_step, 1);
        assert_eq!(batches[1].position(), &stream.position());
        assert_eq!(stream.position().next_step, 2);
    });
}

#[test]
fn seeking_back_and_forth_gives_the_same_batches_while_older_ones_stay_readable() {
    watched(|| {
        let source = source();
        let expected = digests(&mut open(&source, &config(), 0), STEPS);
        let mut stream = open(&source, &config(), 0);
        let held = next(&mut stream);
        for step in [30, 3, 16, 8, 39, 0] {
            stream.seek(step).expect("it goes on");
            assert_eq!(stream.position().next_step, step);
            assert_eq!(digest(&next(&mut stream)), expected[step as usize], "step {step}");
        }
        assert_eq!(digest(&held), expected[0]);
        stream.close().expect("no stage fails");
        assert_eq!(digest(&held), expected[0]);
    });
}

#[test]
fn the_end_of_an_epoch_is_the_start_of_the_next() {
    watched(|| {
        let source = source();
        let mut through = open(&source, &config(), 0);
        let position = (0..8).map(|_| next(&mut through).position().clone()).last();
        let at_edge = open(&source, &config(), 8);
        assert_eq!(position, Some(at_edge.position()));
    });
}

#[test]
fn a_position_in_another_stream_is_refused_with_both_values() {
    watched(|| {
        let source = source();
        let saved = open(&source, &config(), 3).position();
        let error = BatchStream::open(
            Arc::clone(&source),
            StreamConfig { seed: 43, ..config() },
            Start::State(&saved),
        )
        .expect_err("another seed");
        assert!(
            matches!(&error, PipelineError::StateMismatch { field: "seed", saved, now }
                if saved == "42" && now == "43"),
            "{error}"
        );
        let two_ranks = StreamConfig { batch_size: 4, world_size: 2, ..config() };
        let resumed = BatchStream::open(source, two_ranks, Start::State(&saved)).expect("elastic");
        assert_eq!(resumed.position().next_step, 3);
    });
}

#[test]
fn a_step_far_into_the_run_is_reached_at_once() {
    watched(|| {
        // A replay of so many steps would take days.
        let mut stream = open(&source(), &config(), 8_000_000_000);
        assert_eq!(next(&mut stream).epoch(), 1_000_000_000);
        let beyond = BatchStream::open(source(), config(), Start::Step(u64::MAX));
        assert!(matches!(beyond, Err(PipelineError::Setting { key: "next_step", .. })));
    });
}
