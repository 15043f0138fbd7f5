//! A run made ready: everything is opened and checked here, before step 0, so that what can go wrong goes
//! wrong at once and in plain words. The loop itself is in [`crate::train`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use smog_cuda::CudaRenderer;
use smog_model::device::GpuMath;
use smog_model::{FeatureMemory, Optimizer, SmogModel, guard};
use smog_pipeline::batch::BatchShape;
use smog_pipeline::source::{Source, mixing_advice};
use smog_pipeline::stream::{BatchStream, Start, StreamMode};
use tch::{Device, Tensor};

use crate::checkpoint::{Checkpoint, RunState, Store};
use crate::collapse::CollapseWatch;
use crate::data::DataSet;
use crate::device::{Chosen, name};
use crate::error::TrainError;
use crate::eval::EvalStream;
use crate::eval::knn::KnnData;
use crate::eval::labels::LabelError;
use crate::folder::RunFolder;
use crate::gpu_load::GpuLoad;
use crate::images::Normalizer;
use crate::initial;
use crate::metrics::{Event, MetricsFile, RunFigures};
use crate::misfits;
use crate::pace::Pace;
use crate::precision;
use crate::progress::Progress;
use crate::renderer::{Made, make_renderer};
use crate::resume;
use crate::settings::{DataMode, Difference, RunConfig};
use crate::size_advice;
use crate::threads::ThreadBudget;
use crate::timetable::Timetable;
use crate::train::{Kept, Line, RecentKeys};
use crate::trained::encoder_name;
use crate::transfer::Transfer;

/// File name of the metrics within a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// What is asked of this sitting; the run itself is described by its settings.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The run folder.
    pub run_dir: PathBuf,
    /// Nobody chose `run_dir`: where a run is there already, a new one takes that name with `-2`, `-3`, ... behind it.
    pub may_number: bool,
    /// Go on with the run that is there.
    pub resume: bool,
    /// Settings that may differ from the checkpoint's.
    pub allow_change: Vec<String>,
    /// Leave after so many steps, as if interrupted.
    pub stop_after: Option<u64>,
    /// Show no progress.
    pub quiet: bool,
}

/// How far a run is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    pub(crate) step: u64,
    pub(crate) steps_since_reset: u64,
    pub(crate) num_resets: u64,
    pub(crate) last_loss: Option<f64>,
    pub(crate) trained_seconds: f64,
}

/// A run that is ready to train.
pub struct Session {
    pub(crate) config: RunConfig,
    pub(crate) options: RunOptions,
    pub(crate) timetable: Timetable,
    pub(crate) device: Device,
    pub(crate) stream: BatchStream,
    pub(crate) model: SmogModel,
    pub(crate) optimizer: Optimizer,
    /// Only with resets.
    pub(crate) memory: Option<FeatureMemory>,
    pub(crate) normalizer: Normalizer,
    pub(crate) transfer: Transfer,
    pub(crate) pace: Pace,
    /// The views of every step, in a run on one batch.
    pub(crate) resident: Option<Vec<Tensor>>,
    pub(crate) position: Position,
    pub(crate) folder: RunFolder,
    pub(crate) store: Store,
    /// Which of its checkpoints are good.
    pub(crate) kept: Kept,
    pub(crate) metrics: MetricsFile,
    /// Why the metrics lack lines. The run then ends, once its state is saved.
    pub(crate) unwritten: Option<std::io::Error>,
    pub(crate) progress: Progress,
    /// Whether the samples have classes, so that an evaluation can be suggested.
    pub(crate) is_labelled: bool,
    /// Only where the views are made on the GPU.
    pub(crate) cuda: Option<Arc<CudaRenderer>>,
    /// Only on a GPU whose driver gives figures.
    pub(crate) gpu_load: Option<GpuLoad>,
    pub(crate) collapse: CollapseWatch,
    /// A line of the log whose figures are on their way from the device.
    pub(crate) line: Option<Line>,
    /// What was shown in the steps whose loss was not looked at yet.
    pub(crate) keys: RecentKeys,
    /// Only where k-NN is asked for during the run.
    pub(crate) knn: Option<(KnnData, EvalStream)>,
}

impl Session {
    /// Makes a run ready: a new one, or with [`RunOptions::resume`] one that goes on at its newest
    /// checkpoint. `eval_data` is where k-NN finds its samples; the training data where it is `None`.
    ///
    /// # Errors
    /// If settings and data do not fit together, the run folder cannot be used, the settings differ from the
    /// checkpoint's, or a part cannot be opened. A new run has no folder then.
    pub fn open(
        config: RunConfig,
        data: &DataSet,
        eval_data: Option<&DataSet>,
        options: RunOptions,
    ) -> Result<Self, TrainError> {
        if config.run.data_mode == DataMode::Resident && options.resume {
            return Err(TrainError::Resident { path: options.run_dir });
        }
        if !options.resume && !options.may_number {
            RunFolder::check_new(&options.run_dir)?;
        }
        let chosen = Chosen::new(&config.run.device)?;
        let device = chosen.device;
        // On a GPU the sizes of the views stay as they are, so what cuDNN tries out is paid once.
        GpuMath { tf32: config.run.tf32, benchmark: device.is_cuda() }.apply();
        let source = data.open_for(&config.data.split, "--set data.split=NAME")?;
        let timetable = misfits::timetable(&config, source.num_samples())?;
        let threads = ThreadBudget::of_run(&config, device);
        threads.apply();
        let progress = Progress::new(timetable.scale.total_steps, options.quiet);
        let say = |line: &str| progress.note(line);
        let opened = options.resume.then(|| RunFolder::open(&options.run_dir)).transpose()?;
        let checkpoint =
            opened.as_ref().map(|folder| resume::newest(folder, &say)).transpose()?.flatten();
        let changed = match (&opened, &checkpoint) {
            (Some(folder), Some(Checkpoint { state, .. })) => {
                resume::compare(&config, folder, state, &*source, &options.allow_change)?
            }
            _ => Vec::new(),
        };
        // Reads all labels, which takes a while where they are far away: what is refused without that comes first.
        let knn = knn_data(&config, eval_data.unwrap_or(data), device, &say)?;

        let mut stream = config.stream.config(
            config.augment.clone(),
            config.run.batch_size,
            config.run.seed,
            StreamMode::Endless,
        );
        stream.workers = threads.decode;
        let start =
            checkpoint.as_ref().map_or(Start::Step(0), |found| Start::State(&found.state.stream));
        if let Ok(Some(advice)) = mixing_advice(&*source, stream.order, stream.batch_size) {
            tracing::warn!("{advice}");
        }
        if let Ok(Some(advice)) = size_advice::advice(&*source, &stream.recipe) {
            tracing::warn!("{advice}");
        }
        let Made { parts, cuda } =
            make_renderer(config.stream.renderer, &chosen, config.run.precision, &stream)?;
        let num_slots = stream.num_slots;
        let stream = BatchStream::open_with(Arc::clone(&source), stream, start, parts)?;
        let shape =
            BatchShape { rows: config.run.batch_size, view_sizes: config.augment.view_sizes() };
        let transfer = guard(|| match &cuda {
            Some(_) => Transfer::of_device(device),
            None => Transfer::new(device, &shape, num_slots)
                .making(precision::of_views(config.run.precision, device)),
        })?;
        let mut model = SmogModel::new(&config.model, config.run.seed, device)?;
        let init = match &checkpoint {
            None => initial::load(&mut model, &config, opened.as_ref())?,
            Some(_) => None,
        };
        if let Some(advice) = precision::advice(config.run.precision, config.run.tf32, device) {
            tracing::warn!("{advice}");
        }
        model.set_precision(config.run.precision);
        let mut optimizer = Optimizer::new(&config.optimizer, model.parameters())?;
        let mut memory = match timetable.memory {
            0 => None,
            capacity => Some(FeatureMemory::new(capacity as i64, config.model.dim, device)?),
        };
        let mut position = Position::default();
        if let Some(Checkpoint { state, .. }) = &checkpoint {
            position = Position {
                step: state.step,
                steps_since_reset: state.steps_since_reset,
                num_resets: state.num_resets,
                last_loss: state.last_loss,
                trained_seconds: state.trained_seconds,
            };
        }
        if let Some(checkpoint) = &checkpoint {
            model.load_state(&checkpoint.tensors("model")?)?;
            optimizer.load_state(&checkpoint.tensors("optimizer")?)?;
            if let Some(memory) = &mut memory {
                resume::load_memory(memory, checkpoint, !changed.is_empty())?;
                if memory.is_empty() {
                    // The checkpoint is of a run without resets: the first comes when there is something to make groups
                    // of, not as soon as there is a feature for each.
                    position.steps_since_reset = 0;
                }
            }
        }

        let folder = match opened {
            Some(folder) => folder,
            None if options.may_number => RunFolder::create_numbered(&options.run_dir, &config)?,
            None => RunFolder::create(&options.run_dir, &config)?,
        };
        if options.resume {
            // In this order, so that a run that is killed in between has settings and files that belong together.
            if let Some(init) = &init {
                init.make_room(&folder)?;
            }
            resume::keep_allowed(&folder, position.step, &changed)?;
            folder.store(&config)?;
        }
        if let Some(init) = &init {
            init.keep(&folder)?;
            progress.note(&init.to_string());
        }
        let path = folder.path().join(METRICS_FILE);
        let mut metrics = MetricsFile::open(&path).map_err(TrainError::io("open", &path))?;
        let figures = RunFigures {
            step: position.step,
            total_steps: timetable.scale.total_steps,
            steps_per_epoch: timetable.scale.steps_per_epoch,
            num_samples: source.num_samples(),
            device: name(device),
            data_mode: config.run.data_mode,
            torch_threads: threads.torch,
            decode_threads: threads.decode,
            chance_loss: timetable.chance_loss,
            changed: changed.iter().map(Difference::in_words).collect(),
            unix_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs()),
        };
        let event =
            if position.step == 0 { Event::Start(&figures) } else { Event::Resume(&figures) };
        metrics.write(&event).map_err(TrainError::io("write", &path))?;

        let session = Self {
            gpu_load: GpuLoad::of(device, &progress),
            cuda,
            normalizer: Normalizer::new(device).map_err(TrainError::eval)?,
            transfer,
            pace: Pace::new(device),
            resident: None,
            line: None,
            keys: RecentKeys::default(),
            collapse: CollapseWatch::new(config.model.groups.count, config.model.dim),
            store: folder.checkpoints(config.run.keep_checkpoints),
            kept: Kept::resumed(checkpoint.as_ref().map(|found| found.state.step)),
            config,
            options,
            timetable,
            device,
            stream,
            model,
            optimizer,
            memory,
            position,
            folder,
            metrics,
            unwritten: None,
            progress,
            is_labelled: !source.classes().is_empty(),
            knn,
        };
        session.introduce(&*source, threads, &chosen);
        Ok(session)
    }

    /// The run folder.
    pub fn run_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Says what is about to happen, in a few lines.
    fn introduce(&self, source: &dyn Source, threads: ThreadBudget, chosen: &Chosen) {
        let (table, config) = (&self.timetable, &self.config);
        let say = |line: String| self.progress.note(&line);
        let num_parameters: i64 =
            self.model.parameters().iter().map(|parameter| parameter.tensor.numel() as i64).sum();
        say(format!("run folder: {}", self.folder.path().display()));
        say(format!("device: {chosen}"));
        say(format!(
            "data: {} samples, {} classes; {} steps per epoch, {} steps in all",
            source.num_samples(),
            source.classes().len(),
            table.scale.steps_per_epoch,
            table.scale.total_steps,
        ));
        say(format!(
            "model: {}, {:.2} M trained parameters, {} groups (chance loss ln K = {:.3})",
            encoder_name(&config.model.encoder),
            num_parameters as f64 / 1e6,
            config.model.groups.count,
            table.chance_loss,
        ));
        say(format!("threads: {threads}"));
        say(format!("stream: {}", self.stream.memory()));
        if let Some(cuda) = &self.cuda {
            say(format!("renderer: cuda, {}", cuda.facts()));
        }
        match table.reset_every {
            Some(every) => say(format!(
                "groups are made anew every {every} steps ({:.2} epochs) from a memory of {} features",
                every as f64 / table.scale.steps_per_epoch as f64,
                table.memory,
            )),
            None => say("groups are never made anew".to_owned()),
        }
        if config.run.data_mode == DataMode::Resident {
            say("data mode: resident; every step is done on the first batch, to measure the rate. Nothing is learnt, and \
                 no checkpoints are written"
                .to_owned());
        }
        table.warnings.iter().for_each(|warning| say(format!("note: {warning}")));
        if self.position.step > 0 && self.position.step < table.scale.total_steps {
            say(format!("resuming after step {}", self.position.step));
        }
    }

    /// What a checkpoint of this moment says beside its tensors.
    pub(crate) fn state(&self) -> RunState {
        let versions =
            [("smog", env!("CARGO_PKG_VERSION")), ("tch", "0.24.0"), ("libtorch", "2.11.0")];
        RunState {
            version: RunState::VERSION,
            step: self.position.step,
            steps_since_reset: self.position.steps_since_reset,
            num_resets: self.position.num_resets,
            last_loss: self.position.last_loss,
            trained_seconds: self.position.trained_seconds,
            stream: self.stream.position(),
            config_digest: self.config.digest(),
            config: self.config.to_table(),
            versions: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
            files: BTreeMap::new(),
        }
    }
}

/// The samples for k-NN during the run, opened now so that a mistake shows before the first step.
fn knn_data(
    config: &RunConfig,
    data: &DataSet,
    device: Device,
    say: &dyn Fn(&str),
) -> Result<Option<(KnnData, EvalStream)>, TrainError> {
    if config
        .eval
        .knn_every
        .steps(crate::settings::Scale { batch_size: 1, steps_per_epoch: 1, total_steps: 1 })
        .is_none()
    {
        return Ok(None);
    }
    let knn = data
        .knn(&config.eval.train_split, &config.eval.test_splits)
        .map_err(|error| error.chosen_by("--set eval.train_split=NAME"))?;
    knn.check().map_err(|error| match error {
        // A file that cannot be read is no matter of settings.
        error @ TrainError::Labels(LabelError::Read { .. }) => error,
        TrainError::Labels(error) => TrainError::NoKnn { source: error.into() },
        error => error,
    })?;
    if let Some(remark) = knn.remark() {
        say(&format!("k-NN: {remark}"));
    }
    Ok(Some((knn, EvalStream::new(config, device))))
}
