//! What the stages count, and the snapshot that the trainer logs.
//!
//! Each thread has its own counters, relaxed atomics on a cache line of their own; only a snapshot sums
//! them. Queues and slots have one meter each. How to read the figures: the share of a step that `data_wait`
//! takes is the number that matters. Walking from source to trainer, the bottleneck is the stage behind the
//! last queue that is full.

mod counters;
mod device;
mod meters;
mod report;
mod rings;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use counters::StageCounters;
pub use device::{DeviceMeter, DeviceMetrics};
pub use meters::QueueMeter;
pub(crate) use meters::{SlotMeter, SlotState};
pub use report::{Bottleneck, QueueMetrics, StageMetrics, StreamMetrics};
pub use rings::RingFill;

use super::names;
use counters::Sum;

/// All counters of a stream.
#[derive(Debug)]
pub struct Metrics {
    opened: Instant,
    stages: Mutex<Vec<Registered>>,
    slots: Mutex<Slots>,
    /// Row groups between reader and dispatcher.
    pub(crate) row_groups: QueueMeter,
    /// Row jobs. The dispatcher counts them in; a renderer counts each out when it takes it.
    pub rows: QueueMeter,
    /// Batches that are ready for the trainer.
    pub(crate) ready: QueueMeter,
    /// Capacities of the three queues.
    pub(crate) capacities: [AtomicU32; 3],
    /// Queues between the threads of a renderer.
    within: Mutex<Vec<Within>>,
    /// Memory and slots of a renderer on a device.
    device: Mutex<Option<Arc<dyn DeviceMeter>>>,
    batches: AtomicU64,
    samples: AtomicU64,
    data_wait_nanos: AtomicU64,
}

/// A queue within a renderer.
#[derive(Debug)]
struct Within {
    /// The stage that takes from it.
    stage: &'static str,
    capacity: u32,
    meter: Arc<QueueMeter>,
}

#[derive(Debug)]
struct Registered {
    stage: &'static str,
    thread: u32,
    counters: Arc<StageCounters>,
}

/// Meters of the slots of the ring in use, and the times of those that were in their place before.
#[derive(Debug, Default)]
struct Slots {
    meters: Vec<Arc<SlotMeter>>,
    before: Vec<[f64; 4]>,
}

impl Slots {
    fn read(&self) -> Vec<[f64; 4]> {
        let mut times = self.before.clone();
        times.resize(times.len().max(self.meters.len()), [0.0; 4]);
        for (total, meter) in times.iter_mut().zip(&self.meters) {
            for (total, seconds) in total.iter_mut().zip(meter.read()) {
                *total += seconds;
            }
        }
        times
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let opened = Instant::now();
        Self {
            opened,
            stages: Mutex::default(),
            slots: Mutex::default(),
            row_groups: QueueMeter::new(opened),
            rows: QueueMeter::new(opened),
            ready: QueueMeter::new(opened),
            capacities: Default::default(),
            within: Mutex::default(),
            device: Mutex::default(),
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
        let mut stages = locked(&self.stages);
        if let Some(known) = stages.iter().find(|r| r.stage == stage && r.thread == thread) {
            return Arc::clone(&known.counters);
        }
        let counters = Arc::new(StageCounters::default());
        stages.push(Registered { stage, thread, counters: Arc::clone(&counters) });
        counters
    }

    /// The meter of a queue within a renderer, from which `stage` takes. It outlives the threads and goes on with the
    /// next ones.
    pub fn queue(&self, stage: &'static str, capacity: u32) -> Arc<QueueMeter> {
        let mut within = locked(&self.within);
        if let Some(known) = within.iter_mut().find(|queue| queue.stage == stage) {
            known.capacity = capacity;
            return Arc::clone(&known.meter);
        }
        let meter = Arc::new(QueueMeter::new(self.opened));
        within.push(Within { stage, capacity, meter: Arc::clone(&meter) });
        meter
    }

    /// What tells of the renderer's memory and slots on a device. The first one counts: the stages of a stream that is
    /// moved go on with the same renderer.
    pub fn device(&self, meter: impl FnOnce() -> Arc<dyn DeviceMeter>) {
        locked(&self.device).get_or_insert_with(meter);
    }

    /// The slots that were there are given up and others come. A batch that is held of the old ones counts
    /// no more.
    pub(crate) fn new_ring(&self) {
        let mut slots = locked(&self.slots);
        slots.before = slots.read();
        slots.meters.clear();
    }

    /// The meter of the next slot of the ring.
    pub(crate) fn slot(&self) -> Arc<SlotMeter> {
        let meter = Arc::new(SlotMeter::new(self.opened));
        locked(&self.slots).meters.push(Arc::clone(&meter));
        meter
    }

    /// The queues are as new.
    pub(crate) fn reset_queues(&self) {
        [&self.row_groups, &self.rows, &self.ready].into_iter().for_each(QueueMeter::reset);
        locked(&self.within).iter().for_each(|queue| queue.meter.reset());
    }

    pub(crate) fn batch_taken(&self, samples: u64, waited: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.samples.fetch_add(samples, Relaxed);
        self.data_wait_nanos.fetch_add(nanos(waited), Relaxed);
    }

    /// Sums everything.
    pub(crate) fn snapshot(&self) -> StreamMetrics {
        let slots = locked(&self.slots).read();
        let uptime = self.opened.elapsed().as_secs_f64();
        StreamMetrics {
            stages: self.stages(),
            queues: self.queues(uptime),
            slots,
            device: locked(&self.device).as_ref().map(|meter| meter.read()),
            batches_total: self.batches.load(Relaxed),
            samples_total: self.samples.load(Relaxed),
            data_wait_seconds_total: seconds(&self.data_wait_nanos),
            uptime_seconds: uptime,
            ..StreamMetrics::default()
        }
    }

    fn queues(&self, uptime: f64) -> Vec<QueueMetrics> {
        let share = |seconds: f64| if uptime > 0.0 { seconds / uptime } else { 0.0 };
        let queue = |stage, meter: &QueueMeter, capacity| {
            let reading = meter.read();
            QueueMetrics {
                stage,
                depth: reading.depth,
                capacity,
                mean_depth: share(reading.depth_seconds),
                occupied_seconds_total: reading.occupied_seconds,
                occupancy_ratio: share(reading.occupied_seconds).min(1.0),
            }
        };
        let [row_groups, rows, ready] =
            self.capacities.each_ref().map(|capacity| capacity.load(Relaxed));
        let mut queues = vec![
            queue(names::FETCH, &self.row_groups, row_groups),
            queue(names::DECODE, &self.rows, rows),
        ];
        let within = locked(&self.within);
        queues.extend(within.iter().map(|own| queue(own.stage, &own.meter, own.capacity)));
        queues.push(queue(names::TRAINER, &self.ready, ready));
        queues
    }

    fn stages(&self) -> Vec<StageMetrics> {
        let registered = locked(&self.stages);
        let mut stages: Vec<StageMetrics> = Vec::new();
        let order = [
            names::READ,
            names::FETCH,
            names::ENGINES,
            names::DECODE,
            names::AUGMENT,
            names::KERNELS,
        ];
        let others = registered.iter().map(|r| r.stage).filter(|stage| !order.contains(stage));
        for stage in order.into_iter().chain(others) {
            if stages.iter().any(|known| known.stage == stage) {
                continue;
            }
            let threads = registered.iter().filter(|r| r.stage == stage).map(|r| &*r.counters);
            let sum = Sum::of(threads);
            if sum.threads == 0 {
                continue;
            }
            stages.push(StageMetrics {
                stage,
                threads: sum.threads,
                samples_total: sum.samples,
                bytes_total: sum.bytes,
                busy_seconds_total: sum.busy_seconds,
                wait_input_seconds_total: sum.wait_input_seconds,
                wait_output_seconds_total: sum.wait_output_seconds,
                task_seconds: [0.5, 0.9, 0.99].map(|share| sum.quantile(share)),
                failures_total: Vec::new(),
            });
        }
        stages
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

fn seconds(nanos: &AtomicU64) -> f64 {
    nanos.load(Relaxed) as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_queue_within_a_renderer_stands_before_that_of_the_trainer() {
        let metrics = Metrics::default();
        metrics.queue(names::AUGMENT, 3).put();
        metrics.queue(names::AUGMENT, 5).put();
        let queues = metrics.snapshot().queues;
        let found: Vec<_> = queues.iter().map(|queue| queue.stage).collect();
        assert_eq!(found, [names::FETCH, names::DECODE, names::AUGMENT, names::TRAINER]);
        assert_eq!((queues[2].depth, queues[2].capacity), (2, 5));
        metrics.reset_queues();
        assert_eq!(metrics.snapshot().queues[2].depth, 0);
    }

    #[test]
    fn slots_of_a_new_ring_go_on_where_the_old_ones_were() {
        let metrics = Metrics::default();
        metrics.new_ring();
        let old = metrics.slot();
        old.enter(SlotState::Held);
        std::thread::sleep(Duration::from_millis(3));
        metrics.new_ring();
        metrics.slot();
        metrics.slot();
        let held = |snapshot: StreamMetrics| (snapshot.slots.len(), snapshot.slots[0][3]);
        let (count, before) = held(metrics.snapshot());
        assert_eq!(count, 2);
        assert!(before >= 0.003);
        old.enter(SlotState::Free);
        assert_eq!(held(metrics.snapshot()).1, before, "a batch of the old ring counts no more");
    }
}
