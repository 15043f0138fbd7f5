//! How long copies take, and landings are in use, by the device's own clock. The host would only see that a batch has
//! landed when it comes by, once a step.

use std::collections::VecDeque;
use std::time::Duration;

use smog_model::device::{Event, Stream};
use smog_pipeline::runtime::TRANSFER;
use smog_pipeline::runtime::metrics::{QueueMetrics, StageMetrics, StreamMetrics};
use tch::Device;

/// The way of a batch.
#[derive(Debug)]
struct Marks {
    /// Its landing is free, and its copy begins.
    begun: Event,
    /// Its bytes are there.
    copied: Event,
    /// They were read.
    read: Event,
}

impl Marks {
    fn new(device: Device) -> Self {
        let mark = || Event::timed(device);
        Self { begun: mark(), copied: mark(), read: mark() }
    }
}

/// How much a batch is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// The landings over time. Marks are read when the device has passed them.
#[derive(Debug)]
pub(super) struct LandingMeter {
    device: Device,
    capacity: u32,
    begun: Option<Marks>,
    /// Batches that may not have been read, oldest first.
    pending: VecDeque<(Marks, Load)>,
    spare: Vec<Marks>,
    /// Of the batch before the oldest of these.
    last: Option<Marks>,
    totals: Totals,
}

/// Batches that were read.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    rows: u64,
    bytes: u64,
    /// Time of the copies.
    copying: Duration,
    /// Time from the end of a copy until the bytes were read.
    lying: Duration,
    /// Time in which any landing was in use.
    occupied: Duration,
}

impl LandingMeter {
    pub(super) fn new(device: Device, num_landings: usize) -> Self {
        Self {
            device,
            capacity: num_landings as u32,
            begun: None,
            pending: VecDeque::new(),
            spare: Vec::new(),
            last: None,
            totals: Totals::default(),
        }
    }

    /// A copy is queued next on `copies`, behind the wait for its landing.
    pub(super) fn begin(&mut self, copies: Stream) {
        self.take_passed();
        let mut marks = self.spare.pop().unwrap_or_else(|| Marks::new(self.device));
        marks.begun.record(copies);
        self.begun = Some(marks);
    }

    /// It is queued.
    pub(super) fn copied(&mut self, copies: Stream) {
        if let Some(marks) = &mut self.begun {
            marks.copied.record(copies);
        }
    }

    /// What reads its bytes is queued on `trainer`, behind a wait for it.
    pub(super) fn read(&mut self, trainer: Stream, load: Load) {
        if let Some(mut marks) = self.begun.take() {
            marks.read.record(trainer);
            self.pending.push_back((marks, load));
        }
    }

    fn take_passed(&mut self) {
        while self.pending.front().is_some_and(|(marks, _)| marks.read.is_done()) {
            let Some((marks, load)) = self.pending.pop_front() else { return };
            let copying = marks.begun.until(&marks.copied);
            let lying = marks.copied.until(&marks.read);
            // Counted from a mark that is before both: nothing where the batch before was read first.
            let shared = self.last.as_ref().map(|last| {
                last.begun.until(&last.read).saturating_sub(last.begun.until(&marks.begun))
            });
            self.totals.rows += load.rows;
            self.totals.bytes += load.bytes;
            self.totals.copying += copying;
            self.totals.lying += lying;
            self.totals.occupied += (copying + lying).saturating_sub(shared.unwrap_or_default());
            self.spare.extend(self.last.replace(marks));
        }
    }

    /// Adds the copies as a stage, and the landings as the queue behind them that the step takes from.
    pub(super) fn add_to(&mut self, metrics: &mut StreamMetrics) {
        self.take_passed();
        let Totals { rows, bytes, copying, lying, occupied } = self.totals;
        let uptime = metrics.uptime_seconds;
        let share = |time: Duration| if uptime > 0.0 { time.as_secs_f64() / uptime } else { 0.0 };
        metrics.stages.push(StageMetrics {
            stage: TRANSFER,
            threads: 1,
            samples_total: rows,
            bytes_total: bytes,
            busy_seconds_total: copying.as_secs_f64(),
            wait_input_seconds_total: (uptime - occupied.as_secs_f64()).max(0.0),
            wait_output_seconds_total: lying.as_secs_f64(),
            ..StageMetrics::default()
        });
        metrics.queues.push(QueueMetrics {
            stage: TRANSFER,
            depth: self.pending.len() as u32,
            capacity: self.capacity,
            mean_depth: share(copying + lying),
            occupied_seconds_total: occupied.as_secs_f64(),
            occupancy_ratio: share(occupied).min(1.0),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(meter: &mut LandingMeter, uptime_seconds: f64) -> (StageMetrics, QueueMetrics) {
        let mut metrics = StreamMetrics { uptime_seconds, ..StreamMetrics::default() };
        meter.add_to(&mut metrics);
        (metrics.stages.remove(0), metrics.queues.remove(0))
    }

    fn pause(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    #[test]
    fn a_landing_is_in_use_from_the_begin_of_its_copy_until_it_was_read() {
        let stream = Stream::current(Device::Cpu);
        let mut meter = LandingMeter::new(Device::Cpu, 2);
        for _ in 0..3 {
            meter.begin(stream);
            pause(4);
            meter.copied(stream);
            pause(6);
            meter.read(stream, Load { rows: 10, bytes: 500 });
            pause(20);
        }
        let (stage, queue) = metered(&mut meter, 10.0);
        assert_eq!((stage.stage, stage.samples_total, stage.bytes_total), (TRANSFER, 30, 1500));
        assert!(stage.busy_seconds_total >= 0.012 && stage.wait_output_seconds_total >= 0.018);
        let both = stage.busy_seconds_total + stage.wait_output_seconds_total;
        assert!((queue.mean_depth * 10.0 - both).abs() < 1e-6, "{queue:?}");
        assert!((queue.occupied_seconds_total - both).abs() < 1e-6, "one at a time: {queue:?}");
        assert!((stage.wait_input_seconds_total + both - 10.0).abs() < 1e-6, "{stage:?}");
        assert_eq!((queue.stage, queue.depth, queue.capacity), (TRANSFER, 0, 2));
        assert_eq!(meter.spare.len() + usize::from(meter.last.is_some()), 2, "marks go round");
    }

    /// As on a GPU, where the second copy goes on beside the step that has the first.
    #[test]
    fn two_landings_at_once_count_twice_for_the_mean_and_once_for_the_time() {
        let stream = Stream::current(Device::Cpu);
        let mut meter = LandingMeter::new(Device::Cpu, 2);
        let [mut first, mut second] = [Marks::new(Device::Cpu), Marks::new(Device::Cpu)];
        first.begun.record(stream);
        first.copied.record(stream);
        pause(4);
        second.begun.record(stream);
        second.copied.record(stream);
        pause(8);
        first.read.record(stream);
        pause(4);
        second.read.record(stream);
        let whole = first.begun.until(&second.read).as_secs_f64();
        let shared = second.begun.until(&first.read).as_secs_f64();
        let load = Load { rows: 1, bytes: 1 };
        meter.pending.extend([(first, load), (second, load)]);
        let (_, queue) = metered(&mut meter, 1.0);
        assert!((queue.occupied_seconds_total - whole).abs() < 1e-6, "{queue:?} of {whole}");
        assert!(shared >= 0.008 && (queue.mean_depth - whole - shared).abs() < 1e-6, "{queue:?}");
    }
}
