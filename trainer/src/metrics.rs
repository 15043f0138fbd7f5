//! `metrics.jsonl`: one JSON object per line, one line per thing that happened.
//!
//! Lines are only ever appended. A run that was killed and resumed repeats the steps after its checkpoint, so
//! a reader takes the last line of a step; `resume` lines say where.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use smog_model::{GroupFigures, ResetReport};
use smog_pipeline::runtime::TRAINER;
use smog_pipeline::runtime::metrics::StreamMetrics;

use crate::eval::knn::KnnResult;
pub use crate::gpu_load::GpuFigures;
use crate::settings::DataMode;

/// A line of the file; the field `event` tells which.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The run begins.
    Start(&'a RunFigures),
    /// The run continues at this step.
    Resume(&'a RunFigures),
    /// A stretch of steps was done; figures are of the last one or means over the stretch, as named.
    Step(&'a StepFigures),
    /// The groups were made anew in this step.
    Reset {
        /// Steps done, this one included.
        step: u64,
        /// What came of it.
        #[serde(flatten)]
        report: &'a ResetReport,
        /// Time that it took.
        reset_seconds: f64,
    },
    /// k-NN was evaluated.
    Knn {
        /// Steps done.
        step: u64,
        /// The figure, with its metric.
        #[serde(flatten)]
        result: &'a KnnResult,
        /// Time since the evaluation began.
        eval_seconds: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Time that it took.
        checkpoint_seconds: f64,
    },
    /// The stream's counters since its opening, beside each line of a step.
    Stream {
        /// Steps done.
        step: u64,
        /// The counters.
        #[serde(flatten)]
        metrics: &'a StreamMetrics,
    },
    /// What the driver says of the GPU, beside each line of a step.
    Gpu {
        /// Steps done.
        step: u64,
        /// The figures; those that it does not give are left out.
        #[serde(flatten)]
        figures: GpuFigures,
    },
    /// What a sitting was limited by.
    Summary(&'a SummaryFigures),
    /// A figure has been beyond its limit for some lines: the run collapses.
    Collapse {
        /// Steps done.
        step: u64,
        /// Name of the figure.
        figure: &'static str,
        /// Its value.
        value: f64,
        /// Its limit.
        limit: f64,
        /// What to change.
        advice: &'static str,
    },
    /// The loss is not a number; the run stops.
    Diverged {
        /// The step, counted from 1.
        step: u64,
    },
    /// The run leaves, at its end or before.
    End {
        /// Steps done.
        step: u64,
        /// Whether that is all of them.
        finished: bool,
        /// Time spent in training over all sittings.
        trained_seconds: f64,
    },
}

/// What a run begins with.
#[derive(Clone, Debug, Serialize)]
pub struct RunFigures {
    /// Steps done so far.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Samples of the training split.
    pub num_samples: u64,
    /// Where the model is.
    pub device: String,
    /// Where its batches come from.
    pub data_mode: DataMode,
    /// Threads of libtorch.
    pub torch_threads: u32,
    /// Threads that decode.
    pub decode_threads: u32,
    /// Loss of a guess, ln K.
    pub chance_loss: f64,
    /// Settings that were changed on resume with `--allow-change`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Seconds since the Unix epoch.
    pub unix_seconds: u64,
}

/// What a log line shows.
#[derive(Clone, Debug, Serialize)]
pub struct StepFigures {
    /// Steps done; the figures are of the last one.
    pub step: u64,
    /// Passes over the data done, with fraction.
    pub epoch: f64,
    /// Loss of the last step; exact, so runs can be compared to the last bit.
    pub loss: f64,
    /// Mean loss over the steps since the last line.
    pub mean_loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Share of the old momentum weights kept in the last step.
    pub momentum: f64,
    /// Length of the last step's gradient before clipping, all parameters taken as one vector.
    pub gradient_norm: f64,
    /// Samples per second since the last line.
    pub images_per_second: f64,
    /// Mean time of a step since the last line.
    pub step_seconds: f64,
    /// Mean time that a step waited for its batch.
    pub data_wait_seconds: f64,
    /// Share of the time spent waiting for data.
    pub data_wait_ratio: f64,
    /// What the GPU itself lost to data per step: mean of the steps it has reported since the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_seconds: Option<f64>,
    /// The same as a share of a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_ratio: Option<f64>,
    /// State of the groups.
    #[serde(flatten)]
    pub groups: GroupFigures,
}

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
    /// Time that the GPU had nothing to do since its batch was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_seconds: Option<f64>,
    /// The same as a share of the time spent in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_ratio: Option<f64>,
    /// The stage whose threads were busiest.
    pub slowest_stage: &'static str,
    /// Share of the time in which they were busy.
    pub slowest_stage_busy_ratio: f64,
    /// Mean number of batches that were ready for the trainer.
    pub ready_batches_mean: f64,
    /// Most that can be.
    pub ready_batches_capacity: u32,
    /// What the driver counted, means since the sitting began.
    #[serde(flatten)]
    pub gpu: GpuFigures,
}

impl SummaryFigures {
    /// The figures of a sitting that trained for `seconds`, in which a GPU waited for `device_wait`, and its driver counted
    /// `gpu`; `None` where it took no batch.
    pub fn new(
        step: u64,
        seconds: f64,
        data_mode: DataMode,
        device_wait: Option<Duration>,
        gpu: Option<GpuFigures>,
        stream: &StreamMetrics,
    ) -> Option<Self> {
        let slowest = stream.bottleneck(seconds).filter(|_| stream.batches_total > 0)?;
        let waited = stream.data_wait_seconds_total;
        let device_wait = device_wait.map(|time| time.as_secs_f64());
        let ready = stream.queue(TRAINER);
        Some(Self {
            step,
            trained_seconds: seconds,
            data_mode,
            data_wait_seconds: waited,
            data_wait_ratio: waited / seconds,
            device_wait_seconds: device_wait,
            device_wait_ratio: device_wait.map(|waited| waited / seconds),
            slowest_stage: slowest.stage,
            slowest_stage_busy_ratio: slowest.busy_ratio,
            ready_batches_mean: ready.map_or(0.0, |queue| queue.mean_depth),
            ready_batches_capacity: ready.map_or(0, |queue| queue.capacity),
            gpu: gpu.unwrap_or_default(),
        })
    }
}

impl std::fmt::Display for SummaryFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.data_mode == DataMode::Resident {
            return f.write_str(
                "every step was done on one resident batch: the rates above are those of a data path that never fails",
            );
        }
        let percent = |ratio: f64| 100.0 * ratio;
        let (who, ratio) = match self.device_wait_ratio {
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
        if self.device_wait_ratio.is_none() {
            return Ok(());
        }
        let (ready, most) = (self.ready_batches_mean, self.ready_batches_capacity);
        write!(f, "; {ready:.1} of at most {most} batches were ready")?;
        match self.gpu.to_string() {
            text if text.is_empty() => Ok(()),
            text => write!(f, "; {text}"),
        }
    }
}

/// The open file.
#[derive(Debug)]
pub struct MetricsFile(File);

impl MetricsFile {
    /// Opens the file for appending. A last line that a killed run left unfinished is closed, so that it
    /// spoils no other.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self(file))
    }

    /// Appends a line, in one write.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&mut self, event: &Event<'_>) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smog_pipeline::runtime::metrics::QueueMetrics;

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        for (before, after) in [("", ""), ("{}\n", "{}\n"), ("{}\n{\"ev", "{}\n{\"ev\n")] {
            std::fs::write(&path, before).unwrap();
            let event = Event::Diverged { step: 3 };
            MetricsFile::open(&path).unwrap().write(&event).unwrap();
            let line = "{\"event\":\"diverged\",\"step\":3}\n";
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{after}{line}"));
        }
    }

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
        let gpu = text(DataMode::Stream, Some(Duration::from_millis(20)), Some(counted));
        assert_eq!(
            gpu,
            "the GPU waited for data 0.2 % of the time; the slowest stage is trainer (95 % busy); 2.5 of at most 4 batches \
             were ready; SM 91 %"
        );
        assert!(text(DataMode::Resident, None, None).contains("one resident batch"));
        let none = StreamMetrics::default();
        assert!(SummaryFigures::new(0, 1.0, DataMode::Stream, None, None, &none).is_none());
    }
}
