//! Long runs: memory stays flat over 10,000 steps.

use std::sync::Arc;

use smog_pipeline::source::{Source, SyntheticSource};
use smog_pipeline::stream::StreamConfig;
use smog_tests::streams::{config, next, open};
use smog_tests::watch::{alone, resident_bytes, stage_threads, watched};

/// Steps before memory is looked at: every buffer has grown to its size by then.
const WARM_UP: u64 = 500;
const STEPS: u64 = 10_000;
/// Memory may move by so much: the allocator's arenas breathe.
const TOLERANCE_BYTES: u64 = 2 << 20;

#[expect(clippy::print_stdout, reason = "the figures are what a soak is for")]
fn soak(what: &str, config: &StreamConfig, source: &Arc<dyn Source>) {
    let mut stream = open(source, config, 0);
    let threads = || stage_threads().len();
    (0..WARM_UP).for_each(|_| drop(next(&mut stream)));
    let (before, threads_before) = (resident_bytes(), threads());
    let mut most = before;
    for step in 0..STEPS {
        drop(next(&mut stream));
        if step % 500 == 499 {
            most = most.max(resident_bytes());
        }
    }
    let after = resident_bytes();
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{what}: {:.1} MB resident after {WARM_UP} steps, {:.1} MB after {STEPS} more, at most {:.1} MB; \
         forecast for the stream {:.1} MB; {} epochs, {threads_before} threads",
        mb(before),
        mb(after),
        mb(most),
        mb(stream.memory().total_bytes()),
        (WARM_UP + STEPS) / stream.steps_per_epoch(),
    );
    assert_eq!(threads(), threads_before);
    assert!(most <= before + TOLERANCE_BYTES, "grown by {} bytes", most - before);
    stream.close().expect("no stage fails");
}

#[test]
fn ten_thousand_steps_leave_memory_flat() {
    alone("soak::everything_stays_in_memory_alone");
    alone("soak::row_groups_come_and_go_alone");
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn everything_stays_in_memory_alone() {
    watched(|| {
        let source: Arc<dyn Source> = Arc::new(SyntheticSource::new(700, 7, 32, 5));
        assert!(open(&source, &config(), 0).memory().keeps_all);
        soak("all row groups kept", &config(), &source);
    });
}

#[test]
#[ignore = "runs in a process of its own, started by the test above"]
fn row_groups_come_and_go_alone() {
    watched(|| {
        let source: Arc<dyn Source> = Arc::new(SyntheticSource::new(700, 7, 32, 5));
        let roomy = open(&source, &config(), 0).memory();
        let least = roomy.total_bytes() - roomy.resident_groups_bytes + roomy.needed_groups_bytes;
        let tight = StreamConfig { memory_budget_bytes: least, ..config() };
        assert!(!open(&source, &tight, 0).memory().keeps_all);
        soak("row groups read again each epoch", &tight, &source);
    });
}
