//! Exact numbers of what exists when somebody stops. A hidden buffer would change them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::runtime::{DECODE, FETCH};
use smog_pipeline::source::{Source, SyntheticSource};
use smog_pipeline::stream::{BatchStream, Start, StreamConfig, StreamParts};
use smog_tests::faults::{FaultySource, StoppedRenderer};
use smog_tests::streams::{config, next, open, source};
use smog_tests::watch::{eventually, watched};

/// Long enough for a stage that does not stop to show itself.
const SETTLE: Duration = Duration::from_millis(100);

fn decoded(stream: &BatchStream) -> u64 {
    stream.metrics().stage(DECODE).map_or(0, |stage| stage.samples_total)
}

#[test]
fn a_trainer_that_stops_leaves_exactly_as_many_batches_as_there_are_slots() {
    watched(|| {
        for num_slots in [2, 3, 5] {
            let config = StreamConfig { num_slots, ..config() };
            let mut stream = open(&source(), &config, 0);
            let slots = u64::from(num_slots);
            eventually("all slots are filled", || stream.metrics().ready_slots() == num_slots);
            eventually("the last rows are counted", || decoded(&stream) >= slots * 8);
            thread::sleep(SETTLE);
            assert_eq!(decoded(&stream), slots * 8);

            let held = next(&mut stream);
            thread::sleep(SETTLE);
            assert_eq!(stream.metrics().ready_slots(), num_slots - 1);
            assert_eq!(decoded(&stream), slots * 8, "a held batch gives no room");

            drop(held);
            eventually("the slot is filled again", || stream.metrics().ready_slots() == num_slots);
            eventually("the last rows are counted", || decoded(&stream) >= (slots + 1) * 8);
            thread::sleep(SETTLE);
            assert_eq!(decoded(&stream), (slots + 1) * 8);
        }
    });
}

#[test]
fn a_renderer_that_stops_leaves_exactly_the_jobs_of_its_queue_and_one_in_hand() {
    watched(|| {
        let renderer = Arc::new(StoppedRenderer::default());
        let parts =
            StreamParts { renderer: Arc::clone(&renderer) as _, ..StreamParts::cpu(&config()) };
        let stream =
            BatchStream::open_with(source(), config(), Start::Step(0), parts).expect("it opens");
        let queued =
            || renderer.jobs.lock().expect("no panic").as_ref().map_or(0, |jobs| jobs.len());
        eventually("the queue is full", || queued() == 6);
        thread::sleep(SETTLE);
        assert_eq!(queued(), 6);
        let metrics = stream.metrics();
        // The batch is not finished: its seventh row is in the dispatcher's hand.
        assert_eq!(metrics.stage(FETCH).map(|stage| stage.samples_total), Some(0));
        assert_eq!(metrics.ready_slots(), 0);
        stream.close().expect("no stage fails");
        renderer.jobs.lock().expect("no panic").take();
    });
}

#[test]
fn reading_ahead_stops_at_exactly_what_the_queue_and_one_hand_hold() {
    watched(|| {
        let inner: Arc<dyn Source> = Arc::new(SyntheticSource::new(700, 7, 32, 5));
        let source = Arc::new(FaultySource::new(inner));
        let budget = |bytes| StreamConfig {
            order: OrderSettings::Sequential,
            memory_budget_bytes: bytes,
            ..config()
        };
        // Room for the row groups that are read ahead, but not for all of them.
        let all = BatchStream::open(Arc::clone(&source) as _, budget(1 << 30), Start::Step(0))
            .expect("it opens")
            .memory();
        assert!(all.keeps_all);
        let tight = all.total_bytes() - all.resident_groups_bytes / 2;
        let before = source.reads();
        let stream = BatchStream::open(Arc::clone(&source) as _, budget(tight), Start::Step(0))
            .expect("it opens");
        let memory = stream.memory();
        assert!(!memory.keeps_all);
        eventually("all slots are filled", || stream.metrics().ready_slots() == 3);
        // 24 rows were handed out: three row groups of seven are gone, the fourth is in use, two wait in
        // the queue, and the reader holds one.
        eventually("reading ahead", || source.reads() - before == 7);
        thread::sleep(SETTLE);
        assert_eq!(source.reads() - before, 7);
        let metrics = stream.metrics();
        assert!(
            metrics.peak_resident_bytes <= memory.resident_groups_bytes,
            "{metrics:?} {memory:?}"
        );
    });
}
