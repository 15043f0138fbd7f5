//! What a run tells of its steps, and the watch over their losses.
//!
//! Losses stay on the device. A line of the log is computed there and sent to the host behind the steps that are queued;
//! it is written when it has arrived, on a GPU some steps later, on the CPU at once. So the check that every loss is a
//! finite number lags, too, and misses none: a checkpoint, an evaluation and the end of a run wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use smog_model::device::{self, Readback, Stream};
use smog_model::{GroupFigures, GroupStats, ResetReport, guard};
use smog_pipeline::runtime::metrics::StreamMetrics;
use smog_pipeline::sample::SampleKey;
use tch::{Kind, Tensor};

use super::Outcome;
use crate::collapse::Warning;
use crate::error::{Broken, TrainError};
use crate::gpu_load::GpuLoad;
use crate::launches::{DeviceFigures, DeviceTimes};
use crate::metrics::{Event, StepFigures, SummaryFigures};
use crate::session::Session;

/// The steps since the last log line.
pub(super) struct Window {
    /// On the device's clock. The host's would stop when a line is queued, some steps before the device has done them.
    start: device::Event,
    pub(super) waited: Duration,
    /// What was known of the device's time at its start.
    device_times: DeviceTimes,
    /// Of every step since the last line, on the device.
    pub(super) losses: Vec<Tensor>,
    /// How many of them are of before the clock was started anew: a checkpoint came between.
    untimed: usize,
}

/// A line of the log on its way from the device.
#[derive(Debug)]
pub(crate) struct Line {
    /// Losses, length of the gradient, figures of the groups.
    values: Readback,
    num_steps: usize,
    /// The last of them, whose time it is.
    num_timed: usize,
    /// Steps done at its end.
    step: u64,
    /// The device's work of its steps.
    time: [device::Event; 2],
    waited: Duration,
    /// Only on a GPU.
    device_times: Option<DeviceTimes>,
}

/// What was shown in recent steps.
#[derive(Debug, Default)]
pub(crate) struct RecentKeys {
    steps: VecDeque<(u64, Vec<SampleKey>)>,
    spare: Vec<Vec<SampleKey>>,
}

impl RecentKeys {
    pub(super) fn note(&mut self, step: u64, keys: &[SampleKey]) {
        let mut own = self.spare.pop().unwrap_or_default();
        own.clear();
        own.extend_from_slice(keys);
        self.steps.push_back((step, own));
    }

    /// The losses up to this step are finite. The newest batch is kept: a run on one batch goes on with it.
    pub(super) fn checked(&mut self, step: u64) {
        while self.steps.len() > 1 && self.steps.front().is_some_and(|(first, _)| *first <= step) {
            self.spare.extend(self.steps.pop_front().map(|(_, keys)| keys));
        }
    }

    /// What was shown in this step.
    pub(super) fn of(&self, step: u64) -> &[SampleKey] {
        let known = self.steps.iter().rev().find(|(first, _)| *first <= step);
        known.map_or(&[], |(_, keys)| keys)
    }
}

impl Session {
    /// A window that begins now.
    pub(super) fn window(&mut self) -> Result<Window, TrainError> {
        Ok(Window {
            start: self.mark()?,
            waited: Duration::ZERO,
            device_times: self.device_times(),
            losses: Vec::new(),
            untimed: 0,
        })
    }

    /// One that begins now, after what does not belong to the rate of the steps. The losses of the steps before it count in
    /// the next line.
    pub(super) fn window_after(&mut self, before: Window) -> Result<Window, TrainError> {
        let untimed = before.losses.len();
        Ok(Window { losses: before.losses, untimed, ..self.window()? })
    }

    /// A point in the device's time, behind what is queued.
    fn mark(&self) -> Result<device::Event, TrainError> {
        Ok(guard(|| {
            let mut mark = device::Event::timed(self.device);
            mark.record(Stream::current(self.device));
            mark
        })?)
    }

    fn device_times(&mut self) -> DeviceTimes {
        // The step's own guard meets the device's error, if there is one.
        guard(|| DeviceTimes {
            waited: self.transfer.data_wait.read(),
            launched: self.pace.launches.read(),
        })
        .unwrap_or_default()
    }

    /// What the stages counted, with the copies to the device, which are the trainer's.
    fn stream_metrics(&mut self) -> StreamMetrics {
        let mut metrics = self.stream.metrics();
        // As above.
        drop(guard(|| self.transfer.add_to(&mut metrics)));
        metrics
    }

    /// Queues what a log line needs behind the steps that are queued, and begins the next window.
    pub(super) fn begin_line(
        &mut self,
        window: &mut Window,
        groups: &GroupStats,
    ) -> Result<(), TrainError> {
        self.read_line(true)?;
        // Figures of this line are computed in the next window's time, so that windows leave no gap.
        let end = self.mark()?;
        let next = self.window()?;
        let values = guard(|| {
            let losses = Tensor::stack(&window.losses, 0).to_kind(Kind::Double);
            let norm = self.optimizer.gradient_norm(self.model.parameters());
            let norm = norm.to_kind(Kind::Double).view(1);
            Readback::begin(&Tensor::cat(&[losses, norm, groups.figures()], 0))
        })?;
        let device_times = next.device_times.since(window.device_times);
        let window = std::mem::replace(window, next);
        self.line = Some(Line {
            values,
            num_steps: window.losses.len(),
            num_timed: window.losses.len() - window.untimed,
            step: self.position.step,
            time: [window.start, end],
            waited: window.waited,
            device_times: self.device.is_cuda().then_some(device_times),
        });
        Ok(())
    }

    /// Writes and shows the line that is on its way, if it has arrived or `must` be waited for.
    pub(super) fn read_line(&mut self, must: bool) -> Result<(), TrainError> {
        let arrived = match &self.line {
            Some(line) => must || guard(|| line.values.is_done())?,
            None => false,
        };
        let Some(line) = self.line.take_if(|_| arrived) else { return Ok(()) };
        // Both marks lie before what is read.
        let (values, seconds) = guard(|| {
            let [start, end] = &line.time;
            (line.values.read(), start.until(end).as_secs_f64())
        })?;
        let (losses, rest) = values.split_at(line.num_steps);
        let Some((&gradient_norm, groups)) = rest.split_first() else { return Ok(()) };
        let Ok(groups) = groups.try_into() else { return Ok(()) };
        let (step, num_timed) = (line.step, line.num_timed as f64);
        let step_seconds = seconds / num_timed;
        let device_wait = line.device_times.and_then(|times| times.waited.mean_seconds());
        let launched = line.device_times.map(|times| times.launched);
        let loss = losses.last().copied().unwrap_or(f64::NAN);
        self.position.last_loss = Some(loss);
        let scale = self.timetable.scale;
        let figures = StepFigures {
            step,
            epoch: step as f64 / scale.steps_per_epoch as f64,
            loss,
            mean_loss: losses.iter().sum::<f64>() / losses.len() as f64,
            lr: self.timetable.lr(step - 1),
            momentum: self.timetable.momentum(step - 1),
            gradient_norm,
            images_per_second: num_timed * scale.batch_size as f64 / seconds,
            step_seconds,
            data_wait_seconds: line.waited.as_secs_f64() / num_timed,
            data_wait_ratio: line.waited.as_secs_f64() / seconds,
            device: DeviceFigures::new(device_wait, step_seconds, launched),
            groups: GroupFigures::from_values(groups),
        };
        self.write(&Event::Step(&figures));
        let metrics = self.stream_metrics();
        self.write(&Event::Stream { step, metrics: &metrics });
        let gpu = self.gpu_load.as_mut().map(GpuLoad::read);
        if let Some(figures) = gpu {
            self.write(&Event::Gpu { step, figures });
        }
        let warnings = self.collapse.line(&figures.groups);
        self.warn(step, warnings);
        let num_groups = self.config.model.groups.count;
        self.progress.step(&figures, gpu.as_ref(), metrics, &self.timetable, num_groups);
        self.judge(step - losses.len() as u64, losses)
    }

    /// Looks at every loss that was not looked at yet; waits for the device.
    pub(super) fn check_losses(&mut self, window: &Window) -> Result<(), TrainError> {
        self.read_line(true)?;
        if window.losses.is_empty() {
            return Ok(());
        }
        let losses = guard(|| {
            Readback::begin(&Tensor::stack(&window.losses, 0).to_kind(Kind::Double)).read()
        })?;
        self.judge(self.position.step - losses.len() as u64, &losses)
    }

    /// Ends the run where one of these losses, of the steps from `first` on, is not a finite number.
    fn judge(&mut self, first: u64, losses: &[f64]) -> Result<(), TrainError> {
        let finite = losses.iter().take_while(|loss| loss.is_finite()).count();
        let step = first + finite as u64;
        if finite == losses.len() {
            self.proven(step);
            return Ok(());
        }
        if finite > 0 {
            self.proven(step);
        }
        Err(self.diverged(step, Broken::Loss))
    }

    fn warn(&mut self, step: u64, warnings: Vec<Warning>) {
        for warning in warnings {
            tracing::warn!("{warning}");
            let Warning { figure, value, limit, advice, .. } = warning;
            self.write(&Event::Collapse { step, figure, value, limit, advice });
        }
    }

    pub(super) fn report_reset(&mut self, step: u64, report: &ResetReport, took: Duration) {
        self.progress.note(&format!(
            "-- step {step}: groups made anew from {} of {} features in {:.1} s (mean cosine {:.3}, clusters of {} to \
             {}); the loss jumps now and falls again --",
            report.num_clustered,
            report.num_features,
            took.as_secs_f64(),
            report.mean_cosine,
            report.smallest,
            report.largest,
        ));
        self.write(&Event::Reset { step, report, reset_seconds: took.as_secs_f64() });
        let warnings = self.collapse.reset(report);
        self.warn(step, warnings);
    }

    /// The last lines. `trained_before` is the time spent in earlier sittings.
    pub(super) fn end(
        &mut self,
        outcome: Outcome,
        trained_before: f64,
    ) -> Result<Outcome, TrainError> {
        let seconds = self.position.trained_seconds - trained_before;
        let times = guard(|| DeviceTimes {
            waited: self.transfer.data_wait.finish(),
            launched: self.pace.launches.finish(),
        })?;
        let metrics = self.stream_metrics();
        let figures = SummaryFigures::new(
            self.position.step,
            seconds,
            self.config.run.data_mode,
            self.device.is_cuda().then_some(times),
            self.gpu_load.as_ref().map(GpuLoad::since_start),
            &metrics,
        );
        if let Some(figures) = figures {
            self.write(&Event::Summary(&figures));
            self.progress.note(&format!("-- {figures} --"));
        }
        self.write(&Event::End {
            step: self.position.step,
            finished: outcome == Outcome::Finished,
            trained_seconds: self.position.trained_seconds,
        });
        self.all_written()?;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
