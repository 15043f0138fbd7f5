//! The training loop of a classifier, its checkpoints and its test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use smog_model::guard;
use smog_pipeline::source::mixing_advice;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamState};
use tch::{Device, Kind, Tensor, no_grad};

use super::protocol::Protocol;
use super::score::Score;
use super::training::{Training, labels};
use crate::checkpoint::{CheckpointError, RunState, Store};
use crate::error::TrainError;
use crate::eval::features::{EvalStream, is_own};
use crate::eval::splits::Splits;
use crate::images::Normalizer;
use crate::signals::StopRequest;
use crate::trained::Trained;

/// A checkpoint is saved about as often, and when somebody asks to stop: a kill costs no more than this.
const SAVE_SECONDS: f64 = 300.0;
/// Time between two lines of progress.
const LINE_SECONDS: f64 = 5.0;
/// A classifier to be trained.
pub struct Job {
    protocol: Protocol,
    trained: Trained,
    splits: Splits,
    stream: EvalStream,
    dir: PathBuf,
    digest: String,
    /// Leave after so many steps, as if interrupted.
    pub stop_after: Option<u64>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug)]
pub struct TrainingFigures {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub num_steps: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Mean loss since the last line.
    pub loss: f64,
    /// Pictures per second since the last line.
    pub images_per_second: f64,
    /// Time left at that speed.
    pub left: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// All epochs are done and the test, too.
    Finished(Report),
    /// Somebody asked to stop; a checkpoint was saved.
    Interrupted,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Accuracy on the test split.
    #[serde(flatten)]
    pub score: Score,
    /// Samples of the test split that cannot be decoded, and were not tested.
    pub num_left_out: u64,
    /// Share that guessing would get right.
    pub chance: f64,
    /// Samples that were trained on.
    pub num_train: u64,
    /// Steps in all.
    pub num_steps: u64,
    /// Loss of the last step.
    pub last_loss: Option<f64>,
    /// Time spent in training, over all sittings.
    pub trained_seconds: f64,
}

/// What a checkpoint says beside tensors and place in the data.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    loss: Option<f64>,
    seconds: f64,
}

impl Job {
    /// A job whose checkpoints lie in the results of `trained`, in a folder named by all that decides the outcome.
    ///
    /// # Errors
    /// If the batch is larger than the training split, or a sample of either split has no label.
    pub fn new(protocol: Protocol, trained: Trained, splits: Splits, prefix: &str) -> Result<Self> {
        let num_train = splits.train.num_samples();
        ensure!(
            u64::from(protocol.batch_size) <= num_train,
            "a batch of {} is larger than the {num_train} training samples; lower --batch-size",
            protocol.batch_size
        );
        splits.check_labels()?;
        let stream = EvalStream::new(&trained.config, trained.backbone.device());
        let mut hasher = blake3::Hasher::new();
        let recipe = stream.training(protocol.batch_size, protocol.seed);
        let facts = serde_json::to_string(&protocol)?;
        let render = format!("{:?} {:?} {:?}", recipe.recipe, recipe.render, recipe.order);
        for part in [&facts, &trained.identity, &render, splits.train.digest()] {
            hasher.update(part.as_bytes()).update(b"\n");
        }
        // As many as the training split has, but for numbered classes of which it lacks the last.
        let num_classes = splits.num_classes();
        if num_classes != splits.train.classes().len() as i64 {
            hasher.update(&num_classes.to_le_bytes());
        }
        let digest = hasher.finalize().to_hex().to_string();
        let name = format!("{prefix}-{:08}-{}-{}", trained.about.step, protocol.name, &digest[..8]);
        let dir = trained.results.join(name);
        Ok(Self { protocol, trained, splits, stream, dir, digest, stop_after: None })
    }

    /// Where checkpoints are kept. Results lie beside it, under the same name.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it is tested with: the samples, and how they are cut.
    pub fn tested_with(&self) -> String {
        let about = &self.trained.about;
        format!("{} {} {}", self.splits.test.digest(), about.size, about.resize)
    }

    /// Trains from where it was left and tests.
    ///
    /// # Errors
    /// If the data cannot be read, a sample has no label, the loss is not a finite number, or the disk refuses.
    pub fn run(
        &mut self,
        stop: &StopRequest,
        progress: &mut dyn FnMut(&TrainingFigures),
    ) -> Result<Ended> {
        let store = Store::new(self.dir.clone(), 1);
        let saved = match store.newest() {
            Ok(saved) => Some(saved),
            Err(CheckpointError::None { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let mut training = Training::new(&self.protocol, &self.trained, self.splits.num_classes())?;
        let mut position = Position::default();
        if let Some(saved) = &saved {
            training.load(&mut self.trained, saved)?;
            let state = &saved.state;
            position = Position { loss: state.last_loss, seconds: state.trained_seconds };
        }
        let config = self.stream.training(self.protocol.batch_size, self.protocol.seed);
        let train = self.splits.train.clone();
        if let Ok(Some(advice)) = mixing_advice(&*train, config.order, config.batch_size) {
            tracing::warn!("training samples of the classifier: {advice}");
        }
        let start =
            saved.as_ref().map_or(Start::Step(0), |saved| Start::State(&saved.state.stream));
        let mut stream = BatchStream::open(train, config, start)
            .map_err(TrainError::of_evaluation)
            .context("cannot open the training split")?;
        let num_steps = stream.steps_per_epoch() * u64::from(self.protocol.epochs);
        let is_done = self.train(
            &mut stream,
            &mut training,
            &mut position,
            num_steps,
            &store,
            stop,
            progress,
        )?;
        stream.close().context("reading the training split failed")?;
        if !is_done {
            return Ok(Ended::Interrupted);
        }
        let (score, num_left_out) = self.test(&training)?;
        Ok(Ended::Finished(Report {
            score,
            num_left_out,
            chance: 1.0 / self.splits.num_classes() as f64,
            num_train: self.splits.train.num_samples(),
            num_steps,
            last_loss: position.loss,
            trained_seconds: position.seconds,
        }))
    }

    /// Whether all steps are done.
    #[expect(clippy::too_many_arguments, reason = "the parts of one loop")]
    fn train(
        &self,
        stream: &mut BatchStream,
        training: &mut Training,
        position: &mut Position,
        num_steps: u64,
        store: &Store,
        stop: &StopRequest,
        progress: &mut dyn FnMut(&TrainingFigures),
    ) -> Result<bool> {
        let normalizer = Normalizer::new(self.trained.backbone.device())?;
        let per_epoch = stream.steps_per_epoch();
        let mut step = stream.position().next_step;
        let leave_at = self.stop_after.map(|steps| step + steps);
        let mut last_save = Instant::now();
        let mut window = (Instant::now(), Vec::new());
        while step < num_steps {
            let batch = stream.next_batch().context("reading the training split failed")?;
            let Next::Batch(batch) = batch else {
                bail!("the training split ended at step {step}")
            };
            let loss = training.step(
                &self.protocol,
                &self.trained,
                &normalizer,
                batch,
                (step, per_epoch),
            )?;
            window.1.push(loss);
            step += 1;
            let is_last = step == num_steps;
            let is_stopping = !is_last && (stop.is_requested() || leave_at == Some(step));
            let save = is_last || is_stopping || last_save.elapsed().as_secs_f64() >= SAVE_SECONDS;
            if save || window.0.elapsed().as_secs_f64() >= LINE_SECONDS {
                let (seconds, steps) = (window.0.elapsed().as_secs_f64(), window.1.len() as f64);
                let losses = guard(|| Tensor::stack(&window.1, 0).to_kind(Kind::Double))?;
                let loss = losses.mean(Kind::Double).double_value(&[]);
                ensure!(
                    loss.is_finite(),
                    "the loss is not a finite number at step {step}; try a lower --lr"
                );
                position.loss = Some(losses.double_value(&[-1]));
                position.seconds += seconds;
                let rate = steps / seconds;
                progress(&TrainingFigures {
                    step,
                    num_steps,
                    epoch: step as f64 / per_epoch as f64,
                    loss,
                    images_per_second: rate * f64::from(self.protocol.batch_size),
                    left: Duration::from_secs_f64((num_steps - step) as f64 / rate),
                });
                window = (Instant::now(), Vec::new());
            }
            if save {
                let state = self.state(step, position, stream.position());
                let parts = training.parts(&self.trained);
                guard(|| store.write(state, &parts))??;
                last_save = Instant::now();
            }
            if is_stopping {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Accuracy, and how many samples cannot be decoded: what stands in for them is not tested twice.
    fn test(&self, training: &Training) -> Result<(Score, u64)> {
        let normalizer = Normalizer::new(self.trained.backbone.device())?;
        let (mut score, mut num_left_out) = (Score::default(), 0);
        self.stream.for_each(self.splits.test.clone(), |batch| {
            let num_valid = batch.num_valid();
            let rows: Vec<i64> = (0..num_valid)
                .filter(|&row| is_own(&batch.keys()[row]))
                .map(|row| row as i64)
                .collect();
            num_left_out += (num_valid - rows.len()) as u64;
            if rows.is_empty() {
                return Ok(true);
            }
            let labels = labels(batch, num_valid)?;
            guard(|| {
                no_grad(|| {
                    let features = self.trained.backbone.encode(&normalizer.view(batch, 0));
                    let logits = training.head.forward(&features).to_device(Device::Cpu);
                    let rows = Tensor::from_slice(&rows);
                    score.count(&logits.index_select(0, &rows), &labels.index_select(0, &rows));
                })
            })?;
            Ok(true)
        })?;
        Ok((score.finish(), num_left_out))
    }

    fn state(&self, step: u64, position: &Position, stream: StreamState) -> RunState {
        let config = toml::Table::try_from(&self.protocol);
        RunState {
            version: RunState::VERSION,
            step,
            steps_since_reset: 0,
            num_resets: 0,
            last_loss: position.loss,
            trained_seconds: position.seconds,
            stream,
            config_digest: self.digest.clone(),
            config: config.expect("a protocol is plain values that TOML can hold"),
            versions: [("smog".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
            files: BTreeMap::new(),
        }
    }
}
