//! The step loop, top to bottom.
//!
//! A step does, in this order (method.md 1.3): batch, forward of all views, loss, backward, optimiser, groups,
//! feature memory, then either the moving average of the momentum branch or, when it is due, the reset of the
//! groups. Nothing in it waits for the device except the log line and, on a CPU, the check of the loss.

use std::time::{Duration, Instant};

use smog_model::{GroupStats, ModelError, ResetReport, guard};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::runtime::TRAINER;
use smog_pipeline::sample::SampleKey;
use smog_pipeline::stream::Next;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::Store;
use crate::collapse::Warning;
use crate::error::TrainError;
use crate::eval::knn::Metric;
use crate::metrics::{Event, StepFigures, SummaryFigures};
use crate::progress::EvalProgress;
use crate::session::{METRICS_FILE, Session};
use crate::signals::StopRequest;
use crate::timetable::Timetable;

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

/// The steps since the last log line.
struct Window {
    start: Instant,
    waited: Duration,
    losses: Vec<Tensor>,
}

impl Window {
    fn new() -> Self {
        Self { start: Instant::now(), waited: Duration::ZERO, losses: Vec::new() }
    }
}

impl Session {
    /// Trains until all steps are done or somebody asks to stop, and saves a checkpoint at the end of either.
    ///
    /// # Errors
    /// If the stream or libtorch fails, the loss is not a finite number, or the disk refuses.
    pub fn train(mut self, stop: &StopRequest) -> Result<Outcome, TrainError> {
        let outcome = self.run(stop);
        self.progress.finish();
        let closed = self.stream.close();
        let outcome = outcome?;
        closed?;
        Ok(outcome)
    }

    fn run(&mut self, stop: &StopRequest) -> Result<Outcome, TrainError> {
        let total = self.timetable.scale.total_steps;
        let leave_at = self.options.stop_after.map(|steps| self.position.step + steps);
        if self.position.step == 0 {
            self.evaluate()?;
        }
        let mut window = Window::new();
        let mut sitting = Instant::now();
        let trained_before = self.position.trained_seconds;
        let mut keys: Vec<SampleKey> = Vec::new();
        while self.position.step < total {
            let waiting = Instant::now();
            let batch = self.next_batch()?;
            window.waited += waiting.elapsed();
            keys.clear();
            keys.extend_from_slice(batch.keys());

            let step = self.position.step;
            let Some(report) = self.step(step, batch)? else {
                return Err(self.diverged(step, &keys)?);
            };
            window.losses.push(report.loss);
            let done = self.position.step;
            let is_last = done == total;
            let is_stopping = stop.is_requested() || leave_at == Some(done);

            if let Some((reset, took)) = &report.reset {
                self.report_reset(done, reset, *took)?;
            }
            if done.is_multiple_of(self.timetable.log_every) || is_last || is_stopping {
                self.log(&mut window, &report.groups)?;
                if self.position.last_loss.is_some_and(|loss| !loss.is_finite()) {
                    return Err(self.diverged(step, &keys)?);
                }
            }
            let knn =
                (Timetable::is_due(self.timetable.knn_every, done) || is_last) && !is_stopping;
            let save =
                Timetable::is_due(self.timetable.checkpoint_every, done) || is_last || is_stopping;
            if save || knn || self.timetable.epoch_ended(done).is_some() {
                self.position.trained_seconds += sitting.elapsed().as_secs_f64();
                if save {
                    self.save()?;
                }
                if knn {
                    self.evaluate()?;
                }
                // Neither belongs to the rate of the steps.
                (sitting, window.start, window.waited) =
                    (Instant::now(), Instant::now(), Duration::ZERO);
                window.losses.clear();
            }
            if is_stopping && !is_last {
                return self.end(Outcome::Interrupted, trained_before);
            }
        }
        self.end(Outcome::Finished, trained_before)
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

    /// One step; `None` where its loss is not finite, in which case nothing was changed by it. On a GPU that
    /// is only seen at the next log line.
    fn step(&mut self, step: u64, batch: HostBatch) -> Result<Option<StepReport>, TrainError> {
        let _span = tracing::debug_span!(TRAINER, step).entered();
        let num_large = self.config.augment.num_large();
        let reset_settings = &self.config.reset;
        // The one boundary at which a refusal of libtorch becomes an error.
        let report = guard(|| -> Result<_, ModelError> {
            let views: Vec<Tensor> =
                (0..batch.num_views()).map(|view| self.normalizer.view(&batch, view)).collect();
            drop(batch);
            let output = self.model.forward(&views, num_large, step);
            let loss = output.loss.detach();
            if self.device == Device::Cpu && !loss.double_value(&[]).is_finite() {
                return Ok(None);
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
            let is_due = self.timetable.reset_due(
                self.position.steps_since_reset,
                self.position.num_resets,
                remembered,
            );
            let mut reset = None;
            match &self.memory {
                Some(memory) if is_due => {
                    let start = Instant::now();
                    let report = self.model.reset_groups(
                        memory,
                        &reset_settings.kmeans,
                        self.config.run.seed,
                        step,
                    )?;
                    // In this step the momentum branch is copied or stays; it does not average (method.md 2).
                    if reset_settings.copy_to_momentum {
                        self.model.copy_to_momentum();
                    }
                    reset = Some((report, start.elapsed()));
                }
                _ => self.model.update_momentum(self.timetable.momentum(step)),
            }
            Ok(Some(StepReport { loss, groups: output.group_stats, reset }))
        })?;
        match report {
            Ok(Some(report)) => {
                if report.reset.is_some() {
                    self.position.steps_since_reset = 0;
                    self.position.num_resets += 1;
                }
                self.position.step += 1;
                Ok(Some(report))
            }
            // The features of a run that has diverged cannot be clustered.
            Ok(None) | Err(ModelError::NotFinite { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the losses since the last line from the device and shows the state of the run.
    fn log(&mut self, window: &mut Window, groups: &GroupStats) -> Result<(), TrainError> {
        let step = self.position.step;
        let (losses, groups, gradient_norm) = guard(|| {
            let losses =
                Tensor::stack(&window.losses, 0).to_kind(Kind::Double).to_device(Device::Cpu);
            let mut values = vec![0f64; window.losses.len()];
            losses.copy_data(&mut values, window.losses.len());
            let norm = self.optimizer.gradient_norm(self.model.parameters());
            (values, groups.read(), norm.double_value(&[]))
        })?;
        let num_steps = losses.len() as f64;
        let seconds = window.start.elapsed().as_secs_f64();
        let loss = losses.last().copied().unwrap_or(f64::NAN);
        self.position.last_loss = Some(loss);
        let scale = self.timetable.scale;
        let figures = StepFigures {
            step,
            epoch: step as f64 / scale.steps_per_epoch as f64,
            loss,
            mean_loss: losses.iter().sum::<f64>() / num_steps,
            lr: self.timetable.lr(step - 1),
            momentum: self.timetable.momentum(step - 1),
            gradient_norm,
            images_per_second: num_steps * scale.batch_size as f64 / seconds,
            step_seconds: seconds / num_steps,
            data_wait_seconds: window.waited.as_secs_f64() / num_steps,
            data_wait_ratio: window.waited.as_secs_f64() / seconds,
            groups,
        };
        self.write(&Event::Step(&figures))?;
        self.write(&Event::Stream { step, metrics: &self.stream.metrics() })?;
        for warning in self.collapse.line(&figures.groups) {
            tracing::warn!("{warning}");
            let Warning { figure, value, limit, .. } = warning;
            self.write(&Event::Collapse { step, figure, value, limit })?;
        }
        self.progress.step(&figures, &self.timetable, self.config.model.groups.count);
        *window = Window::new();
        Ok(())
    }

    fn report_reset(
        &mut self,
        step: u64,
        report: &ResetReport,
        took: Duration,
    ) -> Result<(), TrainError> {
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
        self.write(&Event::Reset { step, report, reset_seconds: took.as_secs_f64() })
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let start = Instant::now();
        write_state(self, &self.store)?;
        let event = Event::Checkpoint {
            step: self.position.step,
            checkpoint_seconds: start.elapsed().as_secs_f64(),
        };
        self.write(&event)
    }

    /// Evaluates k-NN where the settings ask for it.
    fn evaluate(&mut self) -> Result<(), TrainError> {
        let Some((data, stream)) = &self.knn else { return Ok(()) };
        let start = Instant::now();
        let (k, temperature) = (self.config.eval.k, self.config.eval.temperature);
        let (model, progress) = (&self.model, &self.progress);
        let mut counter = EvalProgress::new(data.num_samples());
        let features = data
            .features(stream, &self.normalizer, &|images| model.encode(images), &mut |done| {
                progress.evaluating(&mut counter, done)
            })
            .map_err(TrainError::eval)?;
        for metric in Metric::ALL {
            let result = features.evaluate(metric, k, temperature).map_err(TrainError::eval)?;
            self.progress.note(&format!("-- step {}: {result} --", self.position.step));
            let eval_seconds = start.elapsed().as_secs_f64();
            self.write(&Event::Knn { step: self.position.step, result: &result, eval_seconds })?;
        }
        Ok(())
    }

    /// Keeps the state of a run that cannot go on, for a look, outside the checkpoints: nothing resumes there.
    fn diverged(&mut self, step: u64, keys: &[SampleKey]) -> Result<TrainError, TrainError> {
        let store = Store::new(self.folder.path().join("diverged"), 1);
        let saved = write_state(self, &store)?;
        let path = saved.join("samples.json");
        let text = serde_json::to_vec_pretty(keys).unwrap_or_default();
        std::fs::write(&path, text).map_err(TrainError::io("write", &path))?;
        self.write(&Event::Diverged { step: step + 1 })?;
        Ok(TrainError::Diverged { step: step + 1, lr: self.timetable.lr(step), saved })
    }

    /// The last lines. `trained_before` is the time spent in earlier sittings.
    fn end(&mut self, outcome: Outcome, trained_before: f64) -> Result<Outcome, TrainError> {
        let seconds = self.position.trained_seconds - trained_before;
        let figures = SummaryFigures::new(self.position.step, seconds, &self.stream.metrics());
        if let Some(figures) = figures {
            self.write(&Event::Summary(&figures))?;
            self.progress.note(&format!("-- {figures} --"));
        }
        self.write(&Event::End {
            step: self.position.step,
            finished: outcome == Outcome::Finished,
            trained_seconds: self.position.trained_seconds,
        })?;
        Ok(outcome)
    }

    fn write(&mut self, event: &Event<'_>) -> Result<(), TrainError> {
        let path = self.folder.path().join(METRICS_FILE);
        self.metrics.write(event).map_err(TrainError::io("write", &path))
    }
}

fn write_state(session: &Session, store: &Store) -> Result<std::path::PathBuf, TrainError> {
    let mut parts =
        vec![("model", session.model.state()), ("optimizer", session.optimizer.state())];
    if let Some(memory) = &session.memory {
        parts.push(("memory", memory.state()));
    }
    Ok(guard(|| store.write(session.state(), &parts))??)
}
