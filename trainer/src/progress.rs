//! What a person sees while a run works: a line that is kept current on a terminal, a line every few seconds
//! elsewhere. Everything goes to standard error; results go to standard output.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use smog_pipeline::runtime::metrics::{RingFill, StreamMetrics};
use smog_terminal::{note, quoted};

use crate::metrics::{GpuFigures, StepFigures};
use crate::timetable::Timetable;

/// Time between two lines where there is no terminal.
const LINE_SECONDS: f64 = 5.0;
/// How full a ring has to be, on average, to be shown.
const FULL_FROM: f64 = 0.75;

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    total_steps: u64,
    /// Mean time of a step, slowly moving; for the time left.
    step_seconds: Option<f64>,
    /// What the stream had counted at the last stretch.
    stream: Option<StreamMetrics>,
    is_quiet: bool,
}

impl Progress {
    /// Progress of a run of `total_steps`. A quiet one shows nothing.
    pub fn new(total_steps: u64, is_quiet: bool) -> Self {
        let bar = (!is_quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(total_steps);
            let style = ProgressStyle::with_template("[{bar:20}] {msg}");
            bar.set_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "),
            );
            bar
        });
        Self { bar, last_line: None, total_steps, step_seconds: None, stream: None, is_quiet }
    }

    /// A line that stays.
    pub fn note(&self, text: &str) {
        match &self.bar {
            _ if self.is_quiet => {}
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    /// Shows how far an evaluation within the run is.
    pub fn evaluating(&self, progress: &mut EvalProgress, done: u64) {
        match (progress.line(done), &self.bar) {
            (Some(line), Some(bar)) => bar.set_message(line),
            (Some(line), None) => self.note(&line),
            (None, _) => {}
        }
    }

    /// The state after a stretch of steps; `stream` is what the stages have counted since the stream was opened.
    pub fn step(
        &mut self,
        figures: &StepFigures,
        gpu: Option<&GpuFigures>,
        stream: StreamMetrics,
        timetable: &Timetable,
        num_groups: i64,
    ) {
        let seen = figures.step_seconds;
        let mean = self.step_seconds.map_or(seen, |mean| 0.8 * mean + 0.2 * seen);
        self.step_seconds = Some(mean);
        let left = self.total_steps.saturating_sub(figures.step);
        let left_time = Duration::from_secs_f64(mean * left as f64);
        let rings = stream.rings(self.stream.as_ref());
        self.stream = Some(stream);
        let line = line(figures, gpu, &rings, timetable, num_groups, left_time);
        if let Some(bar) = &self.bar {
            bar.set_position(figures.step);
            bar.set_message(line);
            return;
        }
        let is_due = self.last_line.is_none_or(|last| last.elapsed().as_secs_f64() >= LINE_SECONDS);
        if is_due || left == 0 {
            self.last_line = Some(Instant::now());
            self.note(&line);
        }
    }

    /// That a run is done, and what comes next. `run` is the folder where there is something to go on with.
    pub(crate) fn finished(&self, run: Option<&Path>, steps: u64, seconds: f64, is_labelled: bool) {
        let took = HumanDuration(Duration::from_secs_f64(seconds));
        let next = match run {
            Some(run) if is_labelled => {
                format!(
                    "; next: smog-trainer eval knn {} --encoder pixels,untrained,trained",
                    quoted(run)
                )
            }
            Some(run) => {
                format!("; next: smog-trainer export {} --out encoder.safetensors", quoted(run))
            }
            None => String::new(),
        };
        self.note(&format!("finished: {steps} steps in {took}{next}"));
    }

    /// That there is nothing left to do.
    pub(crate) fn already_finished(&self, run: &Path, steps: u64) {
        self.note(&format!(
            "this run is finished already, with {steps} steps. To train longer: smog-trainer run --resume {} --epochs N \
             --allow-change run.length",
            quoted(run)
        ));
    }

    /// Takes the bar away and leaves its last line.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn line(
    figures: &StepFigures,
    gpu: Option<&GpuFigures>,
    rings: &[RingFill],
    timetable: &Timetable,
    num_groups: i64,
    left: Duration,
) -> String {
    // On a CPU the share of time says it all.
    let rings =
        if figures.device.device_wait_ratio.is_some() { full(rings) } else { String::new() };
    let gpu = load(gpu);
    let scale = timetable.scale;
    let epochs = scale.total_steps as f64 / scale.steps_per_epoch as f64;
    let decimals = if epochs.fract() == 0.0 { 0 } else { 2 };
    format!(
        "epoch {:.2}/{epochs:.decimals$}  step {}/{}  loss {:.3} (chance ln K = {:.3})  {:.0} images/s  data wait {:.0} %  \
         {rings}{gpu}groups {:.0}/{num_groups}  lr {:.4}  {} left",
        figures.epoch,
        figures.step,
        scale.total_steps,
        figures.mean_loss,
        timetable.chance_loss,
        figures.images_per_second,
        // On a GPU what it lost itself: the host may wait without harm while there is work queued.
        100.0 * figures.device.device_wait_ratio.unwrap_or(figures.data_wait_ratio),
        figures.groups.effective_groups_since_reset,
        figures.lr,
        HumanDuration(left),
    )
}

/// Rings that were full or nearly so since the last line, as a part of the line: what fills up waits for the stage behind.
fn full(rings: &[RingFill]) -> String {
    let full = rings.iter().filter(|fill| fill.ratio >= FULL_FROM);
    let parts: Vec<String> =
        full.map(|fill| format!("{} {:.0} %", fill.ring, 100.0 * fill.ratio)).collect();
    if parts.is_empty() { String::new() } else { format!("full: {}  ", parts.join(", ")) }
}

/// What a driver counted, as a part of the line; nothing where it counts nothing.
fn load(gpu: Option<&GpuFigures>) -> String {
    let text = gpu.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() { text } else { format!("{text}  ") }
}

/// Progress of an evaluation: a line every few seconds, so that a long one does not look like a hang.
#[derive(Debug)]
pub struct EvalProgress {
    num_samples: u64,
    last_line: Instant,
}

impl EvalProgress {
    /// Nothing of `num_samples` done yet.
    pub fn new(num_samples: u64) -> Self {
        Self { num_samples, last_line: Instant::now() }
    }

    /// The line to show now that `done` samples were encoded, if it is time for one.
    pub fn line(&mut self, done: u64) -> Option<String> {
        if self.last_line.elapsed().as_secs_f64() < LINE_SECONDS {
            return None;
        }
        self.last_line = Instant::now();
        Some(format!("evaluation: {done}/{} samples encoded", self.num_samples))
    }

    /// Shows that line on standard error.
    pub fn show(&mut self, done: u64) {
        if let Some(line) = self.line(done) {
            note(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_a_part_of_the_line_where_they_are_nearly_full() {
        let fill = |ring, ratio| RingFill { ring, ratio };
        let rings = [fill("decode", 0.2), fill("engines", 0.93), fill("trainer", 0.75)];
        assert_eq!(full(&rings), "full: engines 93 %, trainer 75 %  ");
        assert_eq!(full(&rings[..1]), "");
    }

    #[test]
    fn a_gpu_is_a_part_of_the_line_where_its_driver_counts() {
        let counted = GpuFigures { gpu_sm_percent: Some(87.0), ..GpuFigures::default() };
        assert_eq!(load(Some(&counted)), "SM 87 %  ");
        assert_eq!(load(Some(&GpuFigures::default())), "");
        assert_eq!(load(None), "");
    }
}
