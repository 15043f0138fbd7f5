//! Counters of one thread in one stage.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;

use super::{nanos, seconds};
use crate::runtime::names::{WAIT_INPUT, WAIT_OUTPUT};

/// Buckets per doubling of the time.
const BUCKETS_PER_OCTAVE: u32 = 4;
const NUM_BUCKETS: usize = 160;

/// Counters of one thread in one stage: relaxed atomics on cache lines of their own.
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

    /// Runs `wait` and counts its time as waiting for something to do.
    pub fn wait_input<T>(&self, wait: impl FnOnce() -> T) -> T {
        let _span = tracing::trace_span!(WAIT_INPUT).entered();
        timed(&self.inner.wait_input_nanos, wait)
    }

    /// Runs `wait` and counts its time as waiting for somebody to take the result.
    pub fn wait_output<T>(&self, wait: impl FnOnce() -> T) -> T {
        let _span = tracing::trace_span!(WAIT_OUTPUT).entered();
        timed(&self.inner.wait_output_nanos, wait)
    }

    /// All time spent waiting so far.
    pub fn waited(&self) -> Duration {
        let nanos =
            self.inner.wait_input_nanos.load(Relaxed) + self.inner.wait_output_nanos.load(Relaxed);
        Duration::from_nanos(nanos)
    }
}

fn timed<T>(total_nanos: &AtomicU64, wait: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = wait();
    total_nanos.fetch_add(nanos(started.elapsed()), Relaxed);
    result
}

/// Counters of several threads, added up.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) threads: u32,
    pub(super) samples: u64,
    pub(super) bytes: u64,
    pub(super) busy_seconds: f64,
    pub(super) wait_input_seconds: f64,
    pub(super) wait_output_seconds: f64,
    task_times: [u64; NUM_BUCKETS],
}

impl Sum {
    pub(super) fn of<'a>(threads: impl Iterator<Item = &'a StageCounters>) -> Self {
        let mut sum = Self {
            threads: 0,
            samples: 0,
            bytes: 0,
            busy_seconds: 0.0,
            wait_input_seconds: 0.0,
            wait_output_seconds: 0.0,
            task_times: [0; NUM_BUCKETS],
        };
        for counters in threads.map(|thread| &*thread.inner) {
            sum.threads += 1;
            sum.samples += counters.samples.load(Relaxed);
            sum.bytes += counters.bytes.load(Relaxed);
            sum.busy_seconds += seconds(&counters.busy_nanos);
            sum.wait_input_seconds += seconds(&counters.wait_input_nanos);
            sum.wait_output_seconds += seconds(&counters.wait_output_nanos);
            for (total, count) in sum.task_times.iter_mut().zip(&counters.task_times) {
                *total += count.load(Relaxed);
            }
        }
        sum
    }

    /// The time that this share of the tasks did not exceed; 0 where nothing was timed.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.task_times.iter().sum();
        if total == 0 {
            return 0.0;
        }
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.task_times.iter().position(|&count| {
            seen += count;
            seen >= wanted
        });
        bucket_seconds(reached.unwrap_or(NUM_BUCKETS - 1))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_fifth() {
        let counters = StageCounters::default();
        for micros in 1..=1000 {
            counters.task(Duration::from_micros(micros), 1, 10);
        }
        let sum = Sum::of([&counters].into_iter());
        assert_eq!((sum.samples, sum.bytes, sum.threads), (1000, 10_000, 1));
        for (share, expected) in [(0.5, 500e-6), (0.9, 900e-6), (0.99, 990e-6)] {
            let found = sum.quantile(share);
            assert!((found / expected - 1.0).abs() < 0.2, "{found} for {expected}");
        }
    }

    #[test]
    fn waiting_is_counted_on_the_side_on_which_it_was() {
        let counters = StageCounters::default();
        let pause = || std::thread::sleep(Duration::from_millis(2));
        counters.wait_input(pause);
        counters.wait_output(pause);
        counters.wait_output(pause);
        let sum = Sum::of([&counters].into_iter());
        assert!(sum.wait_input_seconds >= 0.002 && sum.wait_output_seconds >= 0.004, "{sum:?}");
        let both = sum.wait_input_seconds + sum.wait_output_seconds;
        assert!((counters.waited().as_secs_f64() - both).abs() < 1e-6);
    }

    #[test]
    fn buckets_grow_with_the_time_and_never_overflow() {
        let times = [0, 1, 4, 5, 100, 10_000, 1 << 30, u64::MAX];
        let buckets: Vec<_> = times.iter().map(|&nanos| bucket(nanos)).collect();
        assert!(buckets.is_sorted());
        assert!(*buckets.last().expect("some") < NUM_BUCKETS);
    }
}
