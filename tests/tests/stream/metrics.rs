//! What the stream counts adds up.

use std::thread;
use std::time::Duration;

use smog_pipeline::runtime::{AUGMENT, DECODE, FETCH, READ, TRAINER};
use smog_pipeline::stream::BatchStream;
use smog_tests::streams::{config, next, open, source};
use smog_tests::watch::{eventually, watched};

const PAUSE: Duration = Duration::from_millis(20);

#[test]
fn every_row_that_is_read_is_handed_out_decoded_and_augmented() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        (0..16).for_each(|_| drop(next(&mut stream)));
        eventually("all slots are filled", || stream.metrics().ready_slots() == 3);
        eventually("the last rows are counted", || {
            let metrics = stream.metrics();
            metrics.stage(FETCH).is_some_and(|stage| stage.samples_total == (16 + 3) * 8)
        });
        let metrics = stream.metrics();
        let samples = |stage| metrics.stage(stage).map(|stage| stage.samples_total);
        assert_eq!(samples(READ), Some(70), "all is kept, so all is read once");
        for stage in [FETCH, DECODE, AUGMENT] {
            assert_eq!(samples(stage), Some((16 + 3) * 8), "{stage}");
        }
        assert_eq!((metrics.batches_total, metrics.samples_total), (16, 128));
        let capacity = |stage| metrics.queue(stage).map(|queue| queue.capacity);
        assert_eq!(
            [capacity(FETCH), capacity(DECODE), capacity(TRAINER)],
            [Some(2), Some(4), Some(3)]
        );
        // Each slot was somewhere all the time.
        assert_eq!(metrics.slots.len(), 3);
        for slot in &metrics.slots {
            let all: f64 = slot.iter().sum();
            assert!(all > 0.0 && all <= metrics.uptime_seconds, "{slot:?}");
        }
        stream.close().expect("no stage fails");
    });
}

#[test]
fn batches_that_wait_for_the_trainer_count_as_occupied_and_those_before_a_restart_do_not() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        let occupied = |stream: &BatchStream| {
            stream.metrics().queue(TRAINER).map_or(0.0, |queue| queue.occupied_seconds_total)
        };
        eventually("all slots are filled", || stream.metrics().ready_slots() == 3);
        let before = occupied(&stream);
        thread::sleep(PAUSE);
        assert!(occupied(&stream) >= before + PAUSE.as_secs_f64());
        let slowest = stream.metrics().bottleneck(stream.metrics().uptime_seconds);
        assert!(slowest.is_some_and(|slowest| slowest.stage != TRAINER), "it has taken nothing");
        // At its end, a stream has nothing queued.
        stream.seek(16).expect("it goes on");
        drop(next(&mut stream));
        eventually("all slots are filled", || stream.metrics().ready_slots() == 3);
        assert_eq!(stream.metrics().queue(DECODE).map(|queue| queue.depth), Some(0));
    });
}
