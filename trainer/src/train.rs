//! The step loop, top to bottom.
//!
//! A step does, in this order (docs/METHOD.md, One step): batch, forward of all views, loss, backward, optimiser, groups,
//! feature memory, then either the moving average of the momentum branch or, when it is due, the reset of the
//! groups. Nothing in it waits for the device except a checkpoint, an evaluation, a reset of the groups, the bound on how
//! far the host runs ahead (`pace.rs`) and, on a CPU, the check of the loss; lines of the log are read from the device when
//! they have arrived (`train/report.rs`). What is kept of a run, and when it counts as good, is in `train/keep.rs`.

mod failure;
mod keep;
mod report;
#[cfg(test)]
mod tiny;

use std::time::{Duration, Instant};

use smog_cuda::CudaError;
use smog_model::{GroupStats, ModelError, ResetReport, guard};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::runtime::TRAINER;
use smog_pipeline::stream::Next;
use tch::{Device, Tensor};

use crate::error::{Broken, TrainError};
use crate::eval::Interrupted;
use crate::eval::knn::Metric;
use crate::metrics::Event;
use crate::progress::EvalProgress;
use crate::session::Session;
use crate::settings::DataMode;
use crate::signals::StopRequest;
use crate::timetable::Timetable;
pub(crate) use keep::Kept;
use report::Window;
pub(crate) use report::{Line, RecentKeys};

/// How a sitting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Somebody asked to stop; a checkpoint of the last step was saved.
    Interrupted,
}

/// What a step leaves for the log.
struct StepReport {
    loss: Tensor,
    groups: GroupStats,
    reset: Option<(ResetReport, Duration)>,
}

impl Session {
    /// Trains until all steps are done or somebody asks to stop, and saves a checkpoint at the end of either.
    ///
    /// # Errors
    /// If the stream or libtorch fails, the loss or a weight is not a finite number, or the disk refuses. Where the stream or
    /// an evaluation fails, or the disk refuses a line of the metrics, the state is saved first.
    pub fn train(mut self, stop: &StopRequest) -> Result<Outcome, TrainError> {
        if self.position.step >= self.timetable.scale.total_steps {
            self.progress.already_finished(self.folder.path(), self.position.step);
            self.stream.close()?;
            return Ok(Outcome::Finished);
        }
        let is_kept = self.is_kept();
        stop.begin(self.folder.path(), is_kept, self.position.step);
        let outcome = self.run(stop).map_err(|error| self.explained(error));
        self.progress.finish();
        if let Ok(Outcome::Finished) = outcome {
            let (step, seconds) = (self.position.step, self.position.trained_seconds);
            self.progress.finished(
                is_kept.then(|| self.folder.path()),
                step,
                seconds,
                self.is_labelled,
            );
        }
        let closed = self.stream.close();
        let outcome = outcome?;
        closed?;
        Ok(outcome)
    }

    /// Whether it keeps checkpoints.
    fn is_kept(&self) -> bool {
        self.config.run.data_mode != DataMode::Resident
    }

    fn run(&mut self, stop: &StopRequest) -> Result<Outcome, TrainError> {
        let total = self.timetable.scale.total_steps;
        let leave_at = self.options.stop_after.map(|steps| self.position.step + steps);
        if self.position.step == 0 {
            self.evaluate(stop, false)?;
            self.all_written()?;
        }
        let mut window = self.window()?;
        let mut sitting = Instant::now();
        let trained_before = self.position.trained_seconds;
        while self.position.step < total {
            let step = self.position.step;
            let batch = match self.take_batch(&mut window) {
                Err(TrainError::Pipeline(error)) => {
                    self.position.trained_seconds += sitting.elapsed().as_secs_f64();
                    return Err(self.stream_failed(error, &window));
                }
                taken => taken?,
            };
            let report = match self.step(step, batch)? {
                Ok(report) => report,
                Err(what) => {
                    // On a GPU an earlier step may be to blame.
                    self.check_losses(&window)?;
                    if what == Broken::Features {
                        self.proven(step + 1);
                    }
                    return Err(self.diverged(step, what));
                }
            };
            window.losses.push(report.loss);
            let done = self.position.step;
            let is_last = done == total;
            let is_stopping = stop.is_requested() || leave_at == Some(done);

            self.read_line(false)?;
            if let Some((reset, took)) = &report.reset {
                self.report_reset(done, reset, *took);
            }
            if done.is_multiple_of(self.timetable.log_every) || is_last || is_stopping {
                self.begin_line(&mut window, &report.groups)?;
                self.read_line(is_last || is_stopping)?;
            }
            // What was trained is worth more than its metrics: it is saved before the run ends for their sake.
            let mut is_stopping = is_stopping || self.unwritten.is_some();
            let knn = self.knn.is_some()
                && (Timetable::is_due(self.timetable.knn_every, done) || is_last)
                && !is_stopping;
            // An evaluation may take hours, and fail: what it looks at is saved before.
            let save = Timetable::is_due(self.timetable.checkpoint_every, done)
                || is_last
                || is_stopping
                || knn;
            if save {
                // A state that is kept or looked at is finite, and so are all losses before it.
                self.check_losses(&window)?;
                self.position.trained_seconds += sitting.elapsed().as_secs_f64();
                let parts = self.checked_parts()?;
                self.save(&parts)?;
                stop.done(done, true);
                if knn {
                    self.evaluate(stop, is_last)?;
                    is_stopping |= stop.is_requested();
                }
                self.all_written()?;
                // Neither belongs to the rate of the steps.
                (sitting, window) = (Instant::now(), self.window_after(window)?);
            } else {
                stop.done(done, false);
            }
            if is_stopping && !is_last {
                return self.end(Outcome::Interrupted, trained_before);
            }
        }
        self.end(Outcome::Finished, trained_before)
    }

    /// The next batch, and the time that it took to come. None where every step is done on a batch that is on the device.
    fn take_batch(&mut self, window: &mut Window) -> Result<Option<HostBatch>, TrainError> {
        guard(|| self.pace.wait())?;
        if self.resident.is_some() {
            return Ok(None);
        }
        guard(|| {
            self.transfer.make_room()?;
            self.transfer.data_wait.begin();
            Ok::<_, CudaError>(())
        })??;
        let waiting = Instant::now();
        let batch = self.next_batch()?;
        window.waited += waiting.elapsed();
        self.keys.note(self.position.step, batch.keys());
        Ok(Some(batch))
    }

    fn next_batch(&mut self) -> Result<HostBatch, TrainError> {
        let expected = self.position.step;
        match self.stream.next_batch()? {
            Next::Batch(batch) if batch.step() == expected => Ok(batch),
            Next::Batch(batch) => {
                Err(TrainError::OutOfStep { found: format!("step {}", batch.step()), expected })
            }
            Next::End => Err(TrainError::OutOfStep { found: "its end".to_owned(), expected }),
        }
    }

    /// One step, or what of it is not finite. Where that is its loss, it has changed no parameter, moment or group; running
    /// statistics have seen its views. On a GPU a loss is only seen at the next log line, or when the groups are due.
    fn step(
        &mut self,
        step: u64,
        batch: Option<HostBatch>,
    ) -> Result<Result<StepReport, Broken>, TrainError> {
        let _span = tracing::debug_span!(TRAINER, step).entered();
        let since = Instant::now();
        let views = guard(|| {
            let views = self.views(batch)?;
            self.pace.launches.begin(since);
            Ok::<_, CudaError>(views)
        })??;
        let num_large = self.config.augment.num_large();
        let reset_settings = &self.config.reset;
        // The one boundary at which a refusal of libtorch becomes an error.
        let report = guard(|| -> Result<_, ModelError> {
            let output = self.model.forward(&views, num_large, step);
            let loss = output.loss.detach();
            if self.device == Device::Cpu {
                if !loss.double_value(&[]).is_finite() {
                    return Ok(Err(Broken::Loss));
                }
                self.keys.checked(step);
            }
            self.optimizer.zero_grad(self.model.parameters());
            self.model.backward(&output);
            self.optimizer.step(self.model.parameters(), self.timetable.lr(step));
            self.model.update_groups(&output);
            let mut remembered = 0;
            if let Some(memory) = &mut self.memory {
                memory.push(&output.projections);
                remembered = memory.len() as u64;
            }
            self.position.steps_since_reset += 1;
            if self.timetable.reset_waits(self.position.steps_since_reset, remembered) {
                tracing::warn!(
                    "the reset of the groups due now waits: the memory holds {remembered} features, and {} groups need \
                     as many; raise reset.every, or lower model.groups.count",
                    self.config.model.groups.count
                );
            }
            // New groups serve later steps only: those of a last step would have learnt nothing, and the momentum branch
            // would be a copy. In a run that is made longer the reset comes a step later.
            let is_due = step + 1 < self.timetable.scale.total_steps
                && self.timetable.reset_due(
                    self.position.steps_since_reset,
                    self.position.num_resets,
                    remembered,
                );
            let mut reset = None;
            match &self.memory {
                Some(memory) if is_due => {
                    let start = Instant::now();
                    let report = match self.model.reset_groups(
                        memory,
                        &reset_settings.kmeans,
                        self.config.run.seed,
                        step,
                    ) {
                        // The features of a run that has diverged cannot be clustered.
                        Err(ModelError::NotFinite { .. }) => {
                            let is_finite = loss.double_value(&[]).is_finite();
                            return Ok(Err(if is_finite {
                                Broken::Features
                            } else {
                                Broken::Loss
                            }));
                        }
                        done => done?,
                    };
                    // In this step the momentum branch is copied or stays; it does not average (step 6 of docs/METHOD.md).
                    if reset_settings.copy_to_momentum {
                        self.model.copy_to_momentum();
                    }
                    reset = Some((report, start.elapsed()));
                }
                _ => self.model.update_momentum(self.timetable.momentum(step)),
            }
            self.pace.mark();
            // A reset waits for the device.
            self.pace.launches.end(reset.is_none());
            Ok(Ok(StepReport { loss, groups: output.group_stats, reset }))
        })??;
        if let Ok(report) = &report {
            if report.reset.is_some() {
                self.position.steps_since_reset = 0;
                self.position.num_resets += 1;
            }
            self.position.step += 1;
        }
        Ok(report)
    }

    /// The views of a step on the device.
    fn views(&mut self, batch: Option<HostBatch>) -> Result<Vec<Tensor>, CudaError> {
        let views = match batch {
            Some(batch) => self.transfer.views(batch, &self.normalizer)?,
            None => self.resident.take().unwrap_or_default(),
        };
        if self.config.run.data_mode == DataMode::Resident {
            self.resident = Some(views.iter().map(Tensor::shallow_clone).collect());
        }
        Ok(views)
    }

    /// Evaluates k-NN where the settings ask for it. A request to stop ends it, but for that after the last step: nothing
    /// else is left to do then.
    fn evaluate(&mut self, stop: &StopRequest, is_last: bool) -> Result<(), TrainError> {
        stop.evaluating(is_last);
        let done = match self.knn_figures((!is_last).then_some(stop)) {
            Err(error) if error.is::<Interrupted>() => {
                let step = self.position.step;
                self.progress
                    .note(&format!("-- step {step}: the evaluation was left unfinished --"));
                Ok(())
            }
            done => done.map_err(|error| self.evaluation_failed(error)),
        };
        stop.evaluated();
        done
    }

    fn knn_figures(&mut self, stop: Option<&StopRequest>) -> anyhow::Result<()> {
        let Some((data, stream)) = &self.knn else { return Ok(()) };
        let stream = stream.clone().interruptible(stop);
        let start = Instant::now();
        let (k, temperature) = (self.config.eval.k, self.config.eval.temperature);
        let (model, progress) = (&self.model, &self.progress);
        let mut counter = EvalProgress::new(data.num_samples());
        let features = data.features(
            &stream,
            &self.normalizer,
            &|images| model.encode(images),
            &mut |done| progress.evaluating(&mut counter, done),
        )?;
        for metric in Metric::ALL {
            if stop.is_some_and(StopRequest::is_requested) {
                return Err(Interrupted::default().into());
            }
            for result in features.evaluate(metric, &[k], temperature)? {
                self.progress.note(&format!("-- step {}: {result} --", self.position.step));
                let eval_seconds = start.elapsed().as_secs_f64();
                self.write(&Event::Knn { step: self.position.step, result: &result, eval_seconds });
            }
        }
        Ok(())
    }

    /// Writes a line of the metrics. Where the disk refuses one, no further is tried, and the loop ends the run once its
    /// state is saved.
    fn write(&mut self, event: &Event<'_>) {
        if self.unwritten.is_none() {
            self.unwritten = self.metrics.write(event).err();
        }
    }
}
