//! What the stages count, and the snapshot that the trainer logs.
//!
//! Each thread has its own counters, relaxed atomics on a cache line of their own; only a snapshot sums
//! them. How to read them: the share of a step that `data_wait` takes is the number that matters. Walking
//! from source to trainer, the bottleneck is where waiting for output turns into waiting for input.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use serde::Serialize;

use super::names;

/// Counters of one stage, summed over its threads, since the stream was opened.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageMetrics {
    /// Name of the stage.
    pub stage: &'static str,
    /// Threads that do it.
    pub threads: u32,
    /// Samples that went through.
    pub samples_total: u64,
    /// Encoded bytes that went through.
    pub bytes_total: u64,
    /// Time at work.
    pub busy_seconds_total: f64,
    /// Time waiting for something to do.
    pub wait_input_seconds_total: f64,
    /// Time waiting for somebody to take the result.
    pub wait_output_seconds_total: f64,
    /// Median, 90th and 99th percentile of the time per task, to within a fifth; 0 where nothing was timed.
    pub task_seconds: [f64; 3],
}

/// A snapshot of the stream's counters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamMetrics {
    /// In the order of the flow: read, fetch, decode, augment.
    pub stages: Vec<StageMetrics>,
    /// Batches handed to the trainer.
    pub batches_total: u64,
    /// Samples handed to the trainer, padding not counted.
    pub samples_total: u64,
    /// Bad samples met, by kind; each was replaced by another.
    pub failures_total: Vec<(&'static str, u64)>,
    /// Time that the trainer waited in `next_batch`.
    pub data_wait_seconds_total: f64,
    /// Share of the time in which at least one batch was ready.
    pub ready_occupancy: f64,
    /// Batches ready now.
    pub ready_slots: u32,
    /// Encoded bytes of the row groups in memory now, with what belongs to them.
    pub resident_bytes: u64,
    /// Most of that since the stream was opened or moved by `seek`.
    pub peak_resident_bytes: u64,
    /// Seconds since the stream was opened.
    pub uptime_seconds: f64,
}

impl StreamMetrics {
    /// The counters of a stage by its name.
    pub fn stage(&self, name: &str) -> Option<&StageMetrics> {
        self.stages.iter().find(|stage| stage.stage == name)
    }

    /// Bad samples met, over all kinds.
    pub fn bad_samples_total(&self) -> u64 {
        self.failures_total.iter().map(|&(_, count)| count).sum()
    }
}

/// Buckets per doubling of the time.
const BUCKETS_PER_OCTAVE: u32 = 4;
const NUM_BUCKETS: usize = 160;

/// Counters of one thread in one stage.
#[derive(Debug)]
pub struct StageCounters {
    inner: CachePadded<Counters>,
}

#[derive(Debug)]
struct Counters {
    samples: AtomicU64,
    bytes: AtomicU64,
    busy_nanos: AtomicU64,
    wait_input_nanos: AtomicU64,
    wait_output_nanos: AtomicU64,
    task_times: [AtomicU64; NUM_BUCKETS],
}

impl Default for StageCounters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            inner: CachePadded::new(Counters {
                samples: zero(),
                bytes: zero(),
                busy_nanos: zero(),
                wait_input_nanos: zero(),
                wait_output_nanos: zero(),
                task_times: std::array::from_fn(|_| zero()),
            }),
        }
    }
}

impl StageCounters {
    /// Counts one finished task of `samples` samples and `bytes` bytes.
    pub fn task(&self, busy: Duration, samples: u64, bytes: u64) {
        let nanos = nanos(busy);
        self.inner.busy_nanos.fetch_add(nanos, Relaxed);
        self.inner.task_times[bucket(nanos)].fetch_add(1, Relaxed);
        self.count(samples, bytes);
    }

    /// Counts samples and bytes without a time.
    pub fn count(&self, samples: u64, bytes: u64) {
        self.inner.samples.fetch_add(samples, Relaxed);
        self.inner.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts time spent without anything to do.
    pub fn waited_for_input(&self, waited: Duration) {
        self.inner.wait_input_nanos.fetch_add(nanos(waited), Relaxed);
    }

    /// All time spent waiting so far.
    pub fn waited(&self) -> Duration {
        let nanos =
            self.inner.wait_input_nanos.load(Relaxed) + self.inner.wait_output_nanos.load(Relaxed);
        Duration::from_nanos(nanos)
    }

    /// Runs `wait` and counts its time as waiting for somebody to take the result.
    pub fn wait_output<T>(&self, wait: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = wait();
        self.inner.wait_output_nanos.fetch_add(nanos(started.elapsed()), Relaxed);
        result
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// Bucket of a time: logarithmic with four steps per doubling.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(BUCKETS_PER_OCTAVE.into());
    let octave = nanos.ilog2();
    let step = (nanos >> (octave - 2)) & 3;
    ((octave * BUCKETS_PER_OCTAVE) as usize + step as usize).min(NUM_BUCKETS - 1)
}

/// The time in the middle of a bucket.
fn bucket_seconds(bucket: usize) -> f64 {
    let octave = bucket as i32 / BUCKETS_PER_OCTAVE as i32;
    let step = f64::from(bucket as u32 % BUCKETS_PER_OCTAVE);
    2f64.powi(octave) * (1.0 + (step + 0.5) / f64::from(BUCKETS_PER_OCTAVE)) * 1e-9
}

/// All counters of a stream.
#[derive(Debug)]
pub struct Metrics {
    opened: Instant,
    stages: Mutex<Vec<Registered>>,
    pub(crate) ready: ReadyMeter,
    pub(crate) batches: AtomicU64,
    pub(crate) samples: AtomicU64,
    pub(crate) data_wait_nanos: AtomicU64,
}

#[derive(Debug)]
struct Registered {
    stage: &'static str,
    thread: u32,
    counters: Arc<StageCounters>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            stages: Mutex::default(),
            ready: ReadyMeter::new(),
            batches: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            data_wait_nanos: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// The counters of thread number `thread` of `stage`. They outlive the thread and go on with the next
    /// one of that number.
    pub fn counters(&self, stage: &'static str, thread: u32) -> Arc<StageCounters> {
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = stages.iter().find(|r| r.stage == stage && r.thread == thread) {
            return Arc::clone(&known.counters);
        }
        let counters = Arc::new(StageCounters::default());
        stages.push(Registered { stage, thread, counters: Arc::clone(&counters) });
        counters
    }

    pub(crate) fn batch_taken(&self, samples: u64, waited: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.samples.fetch_add(samples, Relaxed);
        self.data_wait_nanos.fetch_add(nanos(waited), Relaxed);
    }

    /// Sums everything.
    pub(crate) fn snapshot(&self) -> StreamMetrics {
        let uptime = self.opened.elapsed().as_secs_f64();
        let (ready_seconds, ready_slots) = self.ready.read();
        StreamMetrics {
            stages: self.stages(),
            batches_total: self.batches.load(Relaxed),
            samples_total: self.samples.load(Relaxed),
            data_wait_seconds_total: seconds(&self.data_wait_nanos),
            ready_occupancy: if uptime > 0.0 { (ready_seconds / uptime).min(1.0) } else { 0.0 },
            ready_slots,
            uptime_seconds: uptime,
            ..StreamMetrics::default()
        }
    }

    fn stages(&self) -> Vec<StageMetrics> {
        let registered = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stages: Vec<StageMetrics> = Vec::new();
        let order = [names::READ, names::FETCH, names::DECODE, names::AUGMENT];
        let others = registered.iter().map(|r| r.stage).filter(|stage| !order.contains(stage));
        for stage in order.into_iter().chain(others) {
            if stages.iter().any(|known| known.stage == stage) {
                continue;
            }
            let mut sum = StageMetrics { stage, ..StageMetrics::default() };
            let mut times = [0u64; NUM_BUCKETS];
            for entry in registered.iter().filter(|r| r.stage == stage) {
                let counters = &entry.counters.inner;
                sum.threads += 1;
                sum.samples_total += counters.samples.load(Relaxed);
                sum.bytes_total += counters.bytes.load(Relaxed);
                sum.busy_seconds_total += seconds(&counters.busy_nanos);
                sum.wait_input_seconds_total += seconds(&counters.wait_input_nanos);
                sum.wait_output_seconds_total += seconds(&counters.wait_output_nanos);
                for (total, count) in times.iter_mut().zip(&counters.task_times) {
                    *total += count.load(Relaxed);
                }
            }
            sum.task_seconds = [0.5, 0.9, 0.99].map(|share| quantile(&times, share));
            if sum.threads > 0 {
                stages.push(sum);
            }
        }
        stages
    }
}

fn seconds(nanos: &AtomicU64) -> f64 {
    nanos.load(Relaxed) as f64 * 1e-9
}

fn quantile(times: &[u64; NUM_BUCKETS], share: f64) -> f64 {
    let total: u64 = times.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let wanted = ((total as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    let reached = times.iter().position(|&count| {
        seen += count;
        seen >= wanted
    });
    bucket_seconds(reached.unwrap_or(NUM_BUCKETS - 1))
}

/// Measures the share of time in which some batch is ready. Locked twice a batch.
#[derive(Debug)]
pub(crate) struct ReadyMeter(Mutex<ReadyState>);

#[derive(Debug)]
struct ReadyState {
    count: u32,
    since: Instant,
    total: Duration,
}

impl ReadyMeter {
    fn new() -> Self {
        Self(Mutex::new(ReadyState { count: 0, since: Instant::now(), total: Duration::ZERO }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ReadyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn published(&self) {
        let mut state = self.lock();
        if state.count == 0 {
            state.since = Instant::now();
        }
        state.count += 1;
    }

    pub(crate) fn taken(&self) {
        let mut state = self.lock();
        state.count = state.count.saturating_sub(1);
        if state.count == 0 {
            let since = state.since.elapsed();
            state.total += since;
        }
    }

    /// Batches that were ready when the stages were stopped are gone.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        if state.count > 0 {
            let since = state.since.elapsed();
            state.total += since;
            state.count = 0;
        }
    }

    fn read(&self) -> (f64, u32) {
        let state = self.lock();
        let now = if state.count > 0 { state.since.elapsed() } else { Duration::ZERO };
        ((state.total + now).as_secs_f64(), state.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_fifth() {
        let metrics = Metrics::default();
        let counters = metrics.counters(names::DECODE, 0);
        for micros in 1..=1000 {
            counters.task(Duration::from_micros(micros), 1, 10);
        }
        let snapshot = metrics.snapshot();
        let stage = snapshot.stage(names::DECODE).expect("registered");
        assert_eq!((stage.samples_total, stage.bytes_total, stage.threads), (1000, 10_000, 1));
        for (found, expected) in stage.task_seconds.iter().zip([500e-6, 900e-6, 990e-6]) {
            assert!((found / expected - 1.0).abs() < 0.2, "{found} for {expected}");
        }
    }

    #[test]
    fn a_thread_that_starts_again_goes_on_with_its_counters() {
        let metrics = Metrics::default();
        metrics.counters(names::FETCH, 0).count(3, 0);
        metrics.counters(names::FETCH, 0).count(4, 0);
        metrics.counters(names::FETCH, 1).count(5, 0);
        let snapshot = metrics.snapshot();
        let stage = snapshot.stage(names::FETCH).expect("registered");
        assert_eq!((stage.samples_total, stage.threads), (12, 2));
    }

    #[test]
    fn buckets_grow_with_the_time_and_never_overflow() {
        let times = [0, 1, 4, 5, 100, 10_000, 1 << 30, u64::MAX];
        let buckets: Vec<_> = times.iter().map(|&nanos| bucket(nanos)).collect();
        assert!(buckets.is_sorted());
        assert!(*buckets.last().expect("some") < NUM_BUCKETS);
    }
}
