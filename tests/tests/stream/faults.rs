//! One fault at each stage in turn: the stream ends with the root cause and with no thread left. `make soak`
//! also holds a watch to each of them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use smog_pipeline::render::{BadSamplePolicy, CpuRenderer};
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamParts};
use smog_tests::faults::{
    Fault, FaultyMemory, FaultyRenderer, FaultySource, RefusingRenderer, SlowMemory,
    breaking_decoder, let_decode, since_fault,
};
use smog_tests::streams::{config, digest, next, open, source};
use smog_tests::watch::{assert_no_stage_left, eventually, stage_threads, watched};

/// A stream with a fault in it, and how it has to end.
struct Case {
    name: &'static str,
    open: fn() -> BatchStream,
    stage: &'static str,
    cause: &'static str,
}

fn with_source(fault: impl FnOnce(&mut FaultySource)) -> BatchStream {
    let mut faulty = FaultySource::new(source());
    fault(&mut faulty);
    BatchStream::open(Arc::new(faulty), config(), Start::Step(0)).expect("it opens")
}

fn with_parts(change: impl FnOnce(&mut StreamParts)) -> BatchStream {
    let mut parts = StreamParts::cpu(&config());
    change(&mut parts);
    BatchStream::open_with(source(), config(), Start::Step(0), parts).expect("it opens")
}

fn with_renderer(fault: Fault) -> BatchStream {
    with_parts(|parts| {
        let inner = Arc::clone(&parts.renderer);
        parts.renderer = Arc::new(FaultyRenderer { inner, fault });
    })
}

const CASES: &[Case] = &[
    Case {
        name: "source error",
        open: || with_source(|source| source.read = Fault::Error(5)),
        stage: "smog-read",
        cause: "injected",
    },
    Case {
        name: "source panic",
        open: || with_source(|source| source.read = Fault::Panic(5)),
        stage: "smog-read",
        cause: "panicked: the source breaks",
    },
    Case {
        name: "short row group",
        open: || with_source(|source| source.short = true),
        stage: "smog-read",
        cause: "has 6 images, expected were 7",
    },
    Case {
        name: "dispatcher panic",
        open: || with_source(|source| source.panic_in_fetch = true),
        stage: "smog-fetch",
        cause: "panicked: the dispatcher breaks",
    },
    Case {
        name: "renderer error",
        open: || with_renderer(Fault::Error(20)),
        stage: "smog-faulty",
        cause: "the device is lost",
    },
    Case {
        name: "renderer panic",
        open: || with_renderer(Fault::Panic(20)),
        stage: "smog-faulty",
        cause: "panicked: the renderer breaks",
    },
    Case {
        name: "decoder error",
        open: || {
            let config = StreamConfig { bad_samples: BadSamplePolicy::FAIL, ..config() };
            let corrupt = FaultySource { corrupt: [33].into(), ..FaultySource::new(source()) };
            BatchStream::open(Arc::new(corrupt), config, Start::Step(0)).expect("it opens")
        },
        stage: "smog-render-",
        cause: "synthetic/33.jpg",
    },
    Case {
        name: "decoder panic",
        open: || {
            let_decode(50);
            let renderer = CpuRenderer::new(config().render, 2).with_decoder(breaking_decoder);
            with_parts(|parts| parts.renderer = Arc::new(renderer))
        },
        stage: "smog-render-",
        cause: "panicked: the decoder breaks",
    },
    Case {
        name: "panic while a view is written",
        open: || {
            let memory = FaultyMemory {
                good_blocks: u64::MAX,
                breaks_when_written: true,
                num_blocks: AtomicU64::new(0),
            };
            with_parts(|parts| parts.memory = Arc::new(memory))
        },
        stage: "smog-render-",
        cause: "panicked: the memory is gone",
    },
];

/// Takes batches until the stream fails; the time is from the fault to the error.
fn fail(case: &Case) -> (String, String, Option<Duration>) {
    since_fault();
    let mut stream = (case.open)();
    for _ in 0..1000 {
        match stream.next_batch() {
            Ok(Next::Batch(_)) => {}
            Ok(Next::End) => panic!("{}: a failure was taken for the end", case.name),
            Err(PipelineError::Stage(failure)) => {
                let took = since_fault();
                // Not dropped yet: the error itself comes after the last thread has ended.
                assert_no_stage_left();
                return (failure.stage.clone(), failure.cause.to_string(), took);
            }
            Err(error) => panic!("{}: no stage: {error}", case.name),
        }
    }
    panic!("{}: the stream does not fail", case.name)
}

fn check(case: &Case) -> Option<Duration> {
    let (stage, cause, took) = fail(case);
    assert!(stage.starts_with(case.stage), "{}: {stage}: {cause}", case.name);
    assert!(cause.contains(case.cause), "{}: {cause}", case.name);
    took
}

#[test]
fn a_fault_at_any_stage_ends_in_its_root_cause_and_leaves_no_thread() {
    watched(|| {
        CASES.iter().for_each(|case| {
            check(case);
        })
    });
}

/// Not part of the ordinary run, since a bound on time fails wherever the machine is busy with something else; that the
/// same faults end in their cause is tested above. `make soak` runs it.
#[test]
#[ignore = "asserts a time, which a busy machine may miss: make soak"]
fn a_fault_at_any_stage_ends_the_stream_within_a_second() {
    watched(|| {
        for case in CASES {
            // A decoder's error has no clock: it begins as bytes that are wrong from the start.
            let slowest = (0..20).filter_map(|_| check(case)).max();
            match slowest {
                Some(slowest) => {
                    println!("{}: {:.1} ms", case.name, slowest.as_secs_f64() * 1e3);
                    assert!(slowest < Duration::from_secs(1), "{}: {slowest:?}", case.name);
                }
                None => println!("{}: not timed", case.name),
            }
        }
    });
}

#[test]
fn the_first_failure_is_reported_and_not_one_that_follows_from_it() {
    watched(|| {
        for at in [0, 3, 7] {
            let faulty = FaultySource { read: Fault::Error(at), ..FaultySource::new(source()) };
            let mut parts = StreamParts::cpu(&config());
            let inner = Arc::clone(&parts.renderer);
            parts.renderer = Arc::new(FaultyRenderer { inner, fault: Fault::Late });
            let mut stream =
                BatchStream::open_with(Arc::new(faulty), config(), Start::Step(0), parts)
                    .expect("it opens");
            let error = loop {
                match stream.next_batch() {
                    Ok(Next::Batch(_)) => {}
                    Ok(Next::End) => panic!("a failure was taken for the end"),
                    Err(error) => break error,
                }
            };
            let PipelineError::Stage(failure) = error else { panic!("no stage: {error}") };
            assert_eq!(failure.stage, "smog-read", "{:?}", failure.cause);
        }
    });
}

/// The reader runs already, and finds nobody to read for while the slots are freed.
#[test]
fn why_a_renderer_does_not_start_is_said_and_not_what_follows_from_it() {
    watched(|| {
        let parts =
            StreamParts { renderer: Arc::new(RefusingRenderer), memory: Arc::new(SlowMemory) };
        let error = BatchStream::open_with(source(), config(), Start::Step(0), parts).err();
        let text = error.expect("it does not start").to_string();
        assert!(text.contains("there is no device"), "{text}");
        assert_no_stage_left();
    });
}

#[test]
fn slots_that_cannot_be_had_are_an_error_before_a_thread_starts() {
    watched(|| {
        // Four views and three slots.
        for good_blocks in [0, 3, 11] {
            let parts = StreamParts {
                memory: Arc::new(FaultyMemory::with_room_for(good_blocks)),
                ..StreamParts::cpu(&config())
            };
            let error = BatchStream::open_with(source(), config(), Start::Step(0), parts)
                .expect_err("there is no memory");
            assert_eq!(stage_threads(), Vec::<String>::new());
            let text = error.to_string();
            assert!(text.contains("cannot allocate a slot of "), "{text}");
            assert!(text.ends_with("bytes: the device has no memory left"), "{text}");
        }
    });
}

#[test]
fn slots_that_cannot_be_had_again_fail_the_stream_and_leave_held_batches_readable() {
    watched(|| {
        let mut stream =
            with_parts(|parts| parts.memory = Arc::new(FaultyMemory::with_room_for(12)));
        let held = next(&mut stream);
        let before = digest(&held);
        let error = stream.seek(16).expect_err("there is no memory for a second ring");
        assert!(matches!(error, PipelineError::SlotMemory { .. }), "{error}");
        let again = stream.next_batch().expect_err("it has failed for good");
        assert_eq!(again.to_string(), error.to_string());
        assert_no_stage_left();
        assert_eq!(digest(&held), before);
    });
}

#[test]
fn a_trainer_that_panics_with_a_batch_in_its_hand_stops_the_stream() {
    watched(|| {
        let result = std::panic::catch_unwind(|| {
            let mut stream = open(&source(), &config(), 0);
            let _batch = next(&mut stream);
            panic!("the trainer breaks");
        });
        result.expect_err("it panicked");
        assert_no_stage_left();
    });
}

#[test]
fn a_stream_is_cancelled_wherever_its_stages_wait() {
    watched(|| {
        // Everybody waits for the trainer, the reader for room.
        let inner: Arc<dyn Source> =
            Arc::new(smog_pipeline::source::SyntheticSource::new(700, 7, 32, 5));
        let roomy = open(&inner, &config(), 0).memory();
        let tight = StreamConfig {
            memory_budget_bytes: roomy.total_bytes() - roomy.resident_groups_bytes
                + roomy.needed_groups_bytes,
            ..config()
        };
        let stream = open(&inner, &tight, 0);
        assert!(!stream.memory().keeps_all);
        eventually("all slots are filled", || stream.metrics().ready_slots() == 3);
        stream.close().expect("no stage fails");
        assert_no_stage_left();

        // Everybody waits for the source.
        let stuck = with_source(|source| source.read = Fault::Sleep(200_000));
        drop(stuck);
        assert_no_stage_left();

        // The dispatcher waits for the renderer.
        let mut stream = with_renderer(Fault::Sleep(20_000));
        drop(next(&mut stream));
        stream.close().expect("no stage fails");
        assert_no_stage_left();
    });
}
