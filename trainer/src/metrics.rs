//! `metrics.jsonl`: one JSON object per line, one line per thing that happened.
//!
//! Lines are only ever appended. A run that was killed and resumed repeats the steps after its checkpoint, so
//! a reader takes the last line of a step; `resume` lines say where.

mod summary;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::Serialize;
use smog_model::{GroupFigures, ResetReport};
use smog_pipeline::runtime::metrics::StreamMetrics;

use crate::eval::knn::KnnResult;
pub use crate::gpu_load::GpuFigures;
pub use crate::launches::DeviceFigures;
use crate::settings::DataMode;
pub use summary::SummaryFigures;

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
    /// On a GPU.
    #[serde(flatten)]
    pub device: DeviceFigures,
    /// State of the groups.
    #[serde(flatten)]
    pub groups: GroupFigures,
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
}
