//! What a sitting was limited by.

use serde::{Serialize, Serializer};
use smog_pipeline::runtime::TRAINER;
use smog_pipeline::runtime::metrics::{RingFill, StreamMetrics};

use super::GpuFigures;
use crate::launches::{DeviceFigures, DeviceTimes};
use crate::settings::DataMode;

/// Share of the batches that were not finished when they were taken, from which on it is told.
const TOLD_FROM: f64 = 0.05;

/// How a sitting's time was spent.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryFigures {
    /// Steps done over all sittings.
    pub step: u64,
    /// Time spent in training in this sitting.
    pub trained_seconds: f64,
    /// Where the batches came from.
    pub data_mode: DataMode,
    /// Time that the trainer waited for data.
    pub data_wait_seconds: f64,
    /// Share of the time spent waiting for data.
    pub data_wait_ratio: f64,
    /// On a GPU.
    #[serde(flatten)]
    pub device: DeviceFigures,
    /// The stage whose threads were busiest.
    pub slowest_stage: &'static str,
    /// Share of the time in which they were busy.
    pub slowest_stage_busy_ratio: f64,
    /// Mean number of batches that were ready for the trainer.
    pub ready_batches_mean: f64,
    /// Most that can be.
    pub ready_batches_capacity: u32,
    /// Share of the batches that were taken before the kernels that make their views had ended, where those are made on the
    /// GPU: a batch counts as ready when they are enqueued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished_batches_ratio: Option<f64>,
    /// How full each ring was on average, by its name.
    #[serde(serialize_with = "by_name")]
    pub ring_fill_ratios: Vec<RingFill>,
    /// What the driver counted, means since the sitting began.
    #[serde(flatten)]
    pub gpu: GpuFigures,
}

impl SummaryFigures {
    /// The figures of a sitting that trained for `seconds`; `device` are a GPU's times, and `gpu` is what its driver counted.
    /// `None` where it took no batch.
    pub(crate) fn new(
        step: u64,
        seconds: f64,
        data_mode: DataMode,
        device: Option<DeviceTimes>,
        gpu: Option<GpuFigures>,
        stream: &StreamMetrics,
    ) -> Option<Self> {
        let slowest = stream.bottleneck(seconds).filter(|_| stream.batches_total > 0)?;
        let waited = stream.data_wait_seconds_total;
        let device_wait = device.map(|times| times.waited.time.as_secs_f64());
        let launched = device.map(|times| times.launched);
        let taken = stream.batches_total as f64;
        let ready = stream.queue(TRAINER);
        Some(Self {
            step,
            trained_seconds: seconds,
            data_mode,
            data_wait_seconds: waited,
            data_wait_ratio: waited / seconds,
            device: DeviceFigures::new(device_wait, seconds, launched),
            slowest_stage: slowest.stage,
            slowest_stage_busy_ratio: slowest.busy_ratio,
            ready_batches_mean: ready.map_or(0.0, |queue| queue.mean_depth),
            ready_batches_capacity: ready.map_or(0, |queue| queue.capacity),
            unfinished_batches_ratio: stream
                .device
                .map(|device| device.unfinished_batches_total as f64 / taken),
            ring_fill_ratios: stream.rings(None),
            gpu: gpu.unwrap_or_default(),
        })
    }
}

impl SummaryFigures {
    fn write_launches(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Some(seconds), Some(ratio)) = (self.device.launch_seconds, self.device.launch_ratio)
        else {
            return Ok(());
        };
        let (milliseconds, percent) = (1e3 * seconds, 100.0 * ratio);
        write!(
            f,
            "; queueing a step took the host {milliseconds:.1} ms, {percent:.0} % of the GPU's time"
        )
    }
}

impl std::fmt::Display for SummaryFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.data_mode == DataMode::Resident {
            f.write_str(
                "every step was done on one resident batch: the rates above are those of a data path that never fails",
            )?;
            return self.write_launches(f);
        }
        let percent = |ratio: f64| 100.0 * ratio;
        let (who, ratio) = match self.device.device_wait_ratio {
            Some(ratio) => ("GPU", ratio),
            None => ("trainer", self.data_wait_ratio),
        };
        write!(
            f,
            "the {who} waited for data {:.1} % of the time; the slowest stage is {} ({:.0} % busy)",
            percent(ratio),
            self.slowest_stage,
            percent(self.slowest_stage_busy_ratio),
        )?;
        if self.device.device_wait_ratio.is_none() {
            return Ok(());
        }
        let (ready, most) = (self.ready_batches_mean, self.ready_batches_capacity);
        write!(f, "; {ready:.1} of at most {most} batches were ready")?;
        if let Some(ratio) = self.unfinished_batches_ratio.filter(|&ratio| ratio > TOLD_FROM) {
            write!(f, ", {:.0} % were taken before their kernels had ended", percent(ratio))?;
        }
        // What is ready was said.
        let rings = self.ring_fill_ratios.iter().filter(|fill| fill.ring != TRAINER);
        let mut separator = "; rings were full to: ";
        for RingFill { ring, ratio } in rings {
            write!(f, "{separator}{ring} {:.0} %", percent(*ratio))?;
            separator = ", ";
        }
        self.write_launches(f)?;
        match self.gpu.to_string() {
            text if text.is_empty() => Ok(()),
            text => write!(f, "; {text}"),
        }
    }
}

fn by_name<S: Serializer>(rings: &[RingFill], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rings.iter().map(|fill| (fill.ring, fill.ratio)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use smog_pipeline::runtime::metrics::{DeviceMetrics, QueueMetrics, StageMetrics};
    use smog_pipeline::runtime::{ENGINES, SURFACES};

    use crate::data_wait::Waited;
    use crate::launches::Launched;

    #[test]
    fn the_summary_names_who_waited() {
        let stream = StreamMetrics {
            batches_total: 10,
            data_wait_seconds_total: 0.5,
            queues: vec![QueueMetrics {
                stage: TRAINER,
                capacity: 4,
                mean_depth: 2.5,
                ..QueueMetrics::default()
            }],
            ..StreamMetrics::default()
        };
        let text = |mode, wait, gpu| {
            SummaryFigures::new(10, 10.0, mode, wait, gpu, &stream).unwrap().to_string()
        };
        assert_eq!(
            text(DataMode::Stream, None, None),
            "the trainer waited for data 5.0 % of the time; the slowest stage is trainer (95 % busy)"
        );
        let counted = GpuFigures { gpu_sm_percent: Some(91.2), ..GpuFigures::default() };
        let times = DeviceTimes {
            waited: Waited { num_steps: 10, time: Duration::from_millis(20) },
            launched: Launched::default(),
        };
        let gpu = text(DataMode::Stream, Some(times), Some(counted));
        assert_eq!(
            gpu,
            "the GPU waited for data 0.2 % of the time; the slowest stage is trainer (95 % busy); 2.5 of at most 4 batches \
             were ready; SM 91 %"
        );
        assert!(text(DataMode::Resident, None, None).contains("one resident batch"));
        let none = StreamMetrics::default();
        assert!(SummaryFigures::new(0, 1.0, DataMode::Stream, None, None, &none).is_none());
    }

    #[test]
    fn rings_and_launches_of_a_gpu_are_told_and_nothing_of_them_on_a_cpu() {
        let queue = |stage, capacity, mean_depth| QueueMetrics {
            stage,
            capacity,
            mean_depth,
            ..QueueMetrics::default()
        };
        let stream = StreamMetrics {
            stages: vec![StageMetrics {
                stage: ENGINES,
                threads: 1,
                busy_seconds_total: 9.7,
                ..StageMetrics::default()
            }],
            queues: vec![queue(ENGINES, 50, 46.5), queue(TRAINER, 4, 0.5)],
            device: Some(DeviceMetrics {
                surfaces_capacity_bytes: 100,
                surfaces_byte_seconds_total: 310.0,
                unfinished_batches_total: 4,
                ..DeviceMetrics::default()
            }),
            batches_total: 10,
            data_wait_seconds_total: 3.0,
            uptime_seconds: 10.0,
            ..StreamMetrics::default()
        };
        let times = DeviceTimes {
            waited: Waited { num_steps: 10, time: Duration::from_secs(2) },
            launched: Launched {
                num_steps: 10,
                host: Duration::from_millis(250),
                device: Duration::from_millis(2500),
            },
        };
        let figures = |device| {
            SummaryFigures::new(10, 10.0, DataMode::Stream, device, None, &stream).unwrap()
        };
        assert_eq!(
            figures(Some(times)).to_string(),
            "the GPU waited for data 20.0 % of the time; the slowest stage is engines (97 % busy); 0.5 of at most 4 batches \
             were ready, 40 % were taken before their kernels had ended; rings were full to: engines 93 %, surfaces 31 %; \
             queueing a step took the host 25.0 ms, 10 % of the GPU's time"
        );
        let json = serde_json::to_value(figures(Some(times))).unwrap();
        let ratio = |ring: &str| json["ring_fill_ratios"][ring].as_f64().unwrap();
        assert!((ratio(ENGINES) - 0.93).abs() < 1e-9 && (ratio(SURFACES) - 0.31).abs() < 1e-9);
        assert!((ratio(TRAINER) - 0.125).abs() < 1e-9, "{json}");
        assert_eq!((&json["launch_seconds"], &json["launch_ratio"]), (&0.025.into(), &0.1.into()));
        assert_eq!(json["unfinished_batches_ratio"], 0.4);
        let resident = SummaryFigures { data_mode: DataMode::Resident, ..figures(Some(times)) };
        assert!(resident.to_string().ends_with("25.0 ms, 10 % of the GPU's time"), "{resident}");
        let json = serde_json::to_value(figures(None)).unwrap();
        assert!(json.get("launch_seconds").is_none() && json.get("launch_ratio").is_none());
        assert!(!figures(None).to_string().contains("rings"));
    }
}
