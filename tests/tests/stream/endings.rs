//! The four endings of a stream, with faults at each stage: always the root cause, never a hang, and no
//! thread left (which `watched` checks after each test).

use std::sync::Arc;
use std::time::Duration;

use smog_pipeline::render::CpuRenderer;
use smog_pipeline::runtime::{FailureCause, PipelineError};
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode, StreamParts};
use smog_tests::faults::{Fault, FaultyRenderer, FaultySource};
use smog_tests::streams::{config, digest, next, open, source};
use smog_tests::watch::{assert_no_stage_left, eventually, resident_bytes, stage_threads, watched};

/// Takes batches until the stream fails; gives the stage and the cause.
fn failure(stream: &mut BatchStream) -> (String, String) {
    for _ in 0..1000 {
        match stream.next_batch() {
            Ok(Next::Batch(_)) => {}
            Ok(Next::End) => panic!("a failure was taken for the end"),
            Err(error) => {
                let again = stream.next_batch().expect_err("it has failed for good");
                assert_eq!(again.to_string(), error.to_string());
                let PipelineError::Stage(failure) = error else { panic!("no stage: {error}") };
                return (failure.stage.clone(), failure.cause.to_string());
            }
        }
    }
    panic!("the stream does not fail")
}

fn with_source(source: FaultySource) -> BatchStream {
    // Little memory, so that row groups are read again and again.
    BatchStream::open(Arc::new(source), config(), Start::Step(0)).expect("it opens")
}

fn with_renderer(fault: Fault) -> BatchStream {
    let inner = Arc::new(CpuRenderer::new(config().render, 2));
    let renderer = Arc::new(FaultyRenderer { inner, fault });
    let parts = StreamParts { renderer, ..StreamParts::cpu(&config()) };
    BatchStream::open_with(source(), config(), Start::Step(0), parts).expect("it opens")
}

#[test]
fn a_row_group_that_cannot_be_read_is_the_reason_wherever_it_is() {
    watched(|| {
        for at in [0, 1, 5, 9] {
            let source = FaultySource { read: Fault::Error(at), ..FaultySource::new(source()) };
            let (stage, cause) = failure(&mut with_source(source));
            assert_eq!(stage, "smog-read");
            assert!(cause.contains("train-00003.parquet") && cause.contains("injected"), "{cause}");
            assert_no_stage_left();
        }
    });
}

#[test]
fn a_panic_in_the_dispatcher_is_the_reason_and_not_the_orphans_that_it_leaves() {
    watched(|| {
        let source = FaultySource { panic_in_fetch: true, ..FaultySource::new(source()) };
        let (stage, cause) = failure(&mut with_source(source));
        assert_eq!(
            (stage.as_str(), cause.as_str()),
            ("smog-fetch", "panicked: the dispatcher breaks")
        );
    });
}

#[test]
fn an_error_or_a_panic_in_the_renderer_is_the_reason() {
    watched(|| {
        for at in [0, 3, 50] {
            let (stage, cause) = failure(&mut with_renderer(Fault::Error(at)));
            assert!(stage.starts_with("smog-faulty"), "{stage}");
            assert_eq!(cause, "the device is lost");
            let (stage, cause) = failure(&mut with_renderer(Fault::Panic(at)));
            assert!(stage.starts_with("smog-faulty"), "{stage}");
            assert_eq!(cause, "panicked: the renderer breaks");
        }
    });
}

#[test]
fn closing_reports_a_failure_that_nobody_has_seen() {
    watched(|| {
        let source = FaultySource { read: Fault::Error(0), ..FaultySource::new(source()) };
        let stream = with_source(source);
        eventually("the stages end", || stage_threads().is_empty());
        let PipelineError::Stage(failure) = stream.close().expect_err("it had failed") else {
            panic!("no stage");
        };
        assert!(matches!(failure.cause, FailureCause::Source(_)));
    });
}

#[test]
fn seeking_in_a_stream_that_failed_reports_the_failure() {
    watched(|| {
        let source = FaultySource { read: Fault::Error(5), ..FaultySource::new(source()) };
        let mut stream = with_source(source);
        let (_, cause) = failure(&mut stream);
        let PipelineError::Stage(again) = stream.seek(0).expect_err("it had failed") else {
            panic!("no stage");
        };
        assert_eq!(again.cause.to_string(), cause);
    });
}

#[test]
fn a_stream_can_be_dropped_at_any_moment() {
    watched(|| {
        for taken in [0, 1, 2, 9] {
            let mut stream = open(&source(), &config(), 0);
            let held: Vec<_> =
                (0..taken).map(|_| next(&mut stream)).map(|batch| digest(&batch)).collect();
            drop(stream);
            assert_no_stage_left();
            assert_eq!(held.len(), taken);
        }
    });
}

#[test]
fn a_batch_may_be_dropped_after_its_stream() {
    watched(|| {
        let mut stream = open(&source(), &config(), 0);
        let batches = [next(&mut stream), next(&mut stream)];
        let before = batches.each_ref().map(digest);
        stream.close().expect("no stage fails");
        assert_no_stage_left();
        assert_eq!(batches.each_ref().map(digest), before);
    });
}

#[test]
fn a_stream_is_stopped_while_its_source_and_its_workers_are_slow() {
    watched(|| {
        let slow = FaultySource { read: Fault::Sleep(100_000), ..FaultySource::new(source()) };
        let stream = with_source(slow);
        std::thread::sleep(Duration::from_millis(30));
        stream.close().expect("no stage fails");
        let stream = with_renderer(Fault::Sleep(50_000));
        std::thread::sleep(Duration::from_millis(30));
        drop(stream);
    });
}

#[test]
fn the_threads_of_a_finite_stream_are_gone_when_it_says_that_it_ends() {
    watched(|| {
        let mut stream = open(&source(), &StreamConfig { mode: StreamMode::Once, ..config() }, 0);
        while let Next::Batch(_) = stream.next_batch().expect("no stage fails") {}
        assert_no_stage_left();
        stream.close().expect("no stage fails");
    });
}

#[test]
fn fifty_streams_opened_and_closed_leave_no_thread_and_no_memory() {
    watched(|| {
        let source = source();
        let mut cycle = |steps: usize| {
            let mut stream = open(&source, &config(), 0);
            (0..steps).for_each(|_| drop(next(&mut stream)));
            stream.close().expect("no stage fails");
            assert_no_stage_left();
        };
        (0..10).for_each(&mut cycle);
        let before = resident_bytes();
        (0..50).for_each(|round| cycle(round % 4));
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "grown by {grown} bytes");
    });
}

#[test]
fn each_row_group_is_read_once_where_the_data_set_fits_in_memory() {
    watched(|| {
        let source = Arc::new(FaultySource::new(source()));
        let mut stream =
            BatchStream::open(Arc::clone(&source) as Arc<dyn Source>, config(), Start::Step(0))
                .expect("it opens");
        assert!(stream.memory().keeps_all);
        (0..50).for_each(|_| drop(next(&mut stream)));
        assert_eq!(source.reads(), 10);
    });
}
