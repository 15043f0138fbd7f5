//! The sections of the settings, typed. One section per component; `model`, `optimizer` and `augment` are
//! the components' own types.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use smog_model::{KMeansSettings, ModelConfig, OptimizerConfig, Precision};
use smog_pipeline::augment::Recipe;
use smog_pipeline::codec::{DamagePolicy, DecodeLimits, DecoderKind};
use smog_pipeline::order::OrderSettings;
use smog_pipeline::remote::{CacheOptions, RemoteOptions};
use smog_pipeline::render::sample::RenderSettings;
use smog_pipeline::render::{BadSampleLimit, BadSamplePolicy};
use smog_pipeline::stream::{StreamConfig, StreamMode};

use super::span::Span;

/// Names of all sections.
pub(super) const SECTIONS: &[&str] =
    &["run", "data", "stream", "augment", "model", "optimizer", "schedule", "reset", "eval"];

/// Typed and checked settings of a run. Made by [`RawConfig::resolve`](super::RawConfig::resolve).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Length, batch, device, threads, log and checkpoints.
    pub run: RunSection,
    /// Where samples come from.
    pub data: DataSection,
    /// How they are read and decoded.
    pub stream: StreamSection,
    /// Which views are made of them.
    pub augment: Recipe,
    /// Encoder, heads and groups.
    pub model: ModelConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// Learning rate and momentum over time.
    pub schedule: ScheduleSection,
    /// The periodic k-means.
    pub reset: ResetSection,
    /// k-NN during the run.
    pub eval: EvalSection,
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSection {
    /// Name of the run; part of the default run folder.
    pub name: String,
    /// How long to train.
    pub length: Span,
    /// Samples per step.
    pub batch_size: u32,
    /// Seed of weights, order, augmentation and k-means.
    pub seed: u64,
    /// File with the encoder's first weights (safetensors, names of torchvision or timm); usually given as
    /// `--init`. The run keeps a copy of it.
    pub init: Option<PathBuf>,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `f32`, or `bf16`: convolutions and products of a step in bfloat16; weights, groups, loss and k-means stay
    /// f32. Pays where the hardware has it.
    pub precision: Precision,
    /// Whether a GPU may round f32 convolutions to TF32: faster, about three decimal digits. Products of matrices stay f32,
    /// so a ViT or Swin gains nothing: `precision = "bf16"` is their way.
    pub tf32: bool,
    /// `stream`, or `resident`: one batch is taken and every step is done on it. Measures the rate that a perfect data
    /// path would give, and learns nothing; no checkpoints are written.
    pub data_mode: DataMode,
    /// Cores that the run may use; 0 takes all.
    pub threads: u32,
    /// Steps between lines of progress and metrics.
    pub log_every: Span,
    /// Stretch between checkpoints. One is always written at the end, on the first Ctrl-C and before an evaluation.
    pub checkpoint_every: Span,
    /// Checkpoints that are kept; older ones are deleted, but the last whose weights are known to give a finite loss.
    pub keep_checkpoints: u32,
}

impl Default for RunSection {
    fn default() -> Self {
        Self {
            name: "smog".to_owned(),
            length: Span::Epochs(100.0),
            batch_size: 256,
            seed: 0,
            init: None,
            device: "auto".to_owned(),
            precision: Precision::F32,
            tf32: false,
            data_mode: DataMode::Stream,
            threads: 0,
            log_every: Span::Steps(10),
            checkpoint_every: Span::Epochs(1.0),
            keep_checkpoints: 3,
        }
    }
}

/// Where the batches of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataMode {
    /// The stream.
    #[default]
    Stream,
    /// The stream's first batch, again and again.
    Resident,
}

/// What makes views of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RendererKind {
    /// What is best among what is there.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The GPU of the run.
    Cuda,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Shards by folder or URL, images by folder, Parquet files or WebDataset tars by folder, file or pattern, or
    /// `synthetic:COUNT[:SIDE]`; usually given as `--data`.
    pub path: Option<PathBuf>,
    /// Split to train on.
    pub split: String,
    /// Folder that keeps row groups of data behind a URL, in `smog-row-groups`; none fetches them anew each epoch.
    pub cache_dir: Option<PathBuf>,
    /// Most that it may hold, in MiB.
    pub cache_mib: u64,
    /// Row groups that are fetched at the same time.
    pub concurrent_reads: u32,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            path: None,
            split: "train".to_owned(),
            cache_dir: None,
            cache_mib: CacheOptions::DEFAULT_MAX_BYTES >> 20,
            concurrent_reads: RemoteOptions::default().concurrent_reads,
        }
    }
}

impl DataSection {
    /// How data behind a URL is read.
    pub fn remote(&self) -> RemoteOptions {
        let max_bytes = self.cache_mib.saturating_mul(1 << 20);
        RemoteOptions {
            cache: self.cache_dir.clone().map(|dir| CacheOptions { dir, max_bytes }),
            concurrent_reads: self.concurrent_reads,
            ..RemoteOptions::default()
        }
    }
}

/// `[stream]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSection {
    /// Order of samples within an epoch.
    pub order: OrderSettings,
    /// `auto`, `cpu` or `cuda`: what decodes and makes the views.
    pub renderer: RendererKind,
    /// Library for JPEG.
    pub decoder: DecoderKind,
    /// Let the decoder reduce large images. Faster, slightly other pixels.
    pub scaled_decode: bool,
    /// Rotate images as their EXIF tag says; the reference recipes do not.
    pub apply_exif: bool,
    /// Largest image in pixels.
    pub max_pixels: u64,
    /// What is done with damaged JPEGs: `refuse` (another sample takes the place) or `fill`.
    pub damaged: DamagePolicy,
    /// Threads that decode; 0 chooses by device and cores.
    pub workers: u32,
    /// Batches in flight.
    pub num_slots: u32,
    /// Memory for slots, row groups and scratch in MiB.
    pub memory_budget_mib: u64,
    /// Undecodable samples that are borne, as `"1 %"` of those shown or as `"10 samples"`.
    pub max_bad: Span,
}

impl Default for StreamSection {
    fn default() -> Self {
        Self {
            order: OrderSettings::default(),
            renderer: RendererKind::Auto,
            decoder: DecoderKind::default(),
            scaled_decode: false,
            apply_exif: false,
            max_pixels: DecodeLimits::default().max_pixels,
            damaged: DamagePolicy::default(),
            workers: 0,
            num_slots: StreamConfig::DEFAULT_NUM_SLOTS,
            memory_budget_mib: StreamConfig::DEFAULT_MEMORY_BUDGET_BYTES >> 20,
            max_bad: Span::Percent(1.0),
        }
    }
}

impl StreamSection {
    /// How samples are decoded.
    pub fn render(&self) -> RenderSettings {
        RenderSettings {
            decoder: self.decoder,
            limits: DecodeLimits { max_pixels: self.max_pixels, damaged: self.damaged },
            scaled_decode: self.scaled_decode,
            apply_exif: self.apply_exif,
        }
    }

    /// A stream with these settings on one rank.
    pub fn config(
        &self,
        recipe: Recipe,
        batch_size: u32,
        seed: u64,
        mode: StreamMode,
    ) -> StreamConfig {
        let max = match self.max_bad {
            Span::Percent(percent) => BadSampleLimit::Rate(percent / 100.0),
            Span::Samples(samples) => BadSampleLimit::Count(samples),
            _ => BadSampleLimit::Count(0),
        };
        let order = match mode {
            StreamMode::Endless => self.order,
            StreamMode::Once => OrderSettings::Sequential,
        };
        StreamConfig {
            render: self.render(),
            seed,
            order,
            mode,
            num_slots: self.num_slots,
            workers: self.workers,
            memory_budget_bytes: self.memory_budget_mib << 20,
            bad_samples: BadSamplePolicy { max, ..BadSamplePolicy::default() },
            ..StreamConfig::new(recipe, batch_size)
        }
    }
}

/// `[schedule]`: learning rate and encoder momentum as functions of the step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSection {
    /// Learning rate for a batch of 256; scaled with the batch size in a straight line.
    pub lr_per_256: f64,
    /// Rise in a straight line to the learning rate.
    pub warmup: Span,
    /// Learning rate of the first step over the highest one; 0 begins with an equal share of the rise.
    pub warmup_start: f64,
    /// Last learning rate over the highest one; between them half a cosine.
    pub final_lr_ratio: f64,
    /// Share of the old momentum weights that an update keeps, at step 0.
    pub momentum_start: f64,
    /// Whether that share rises to 1 along half a cosine, or stays.
    pub momentum_rises: bool,
}

impl Default for ScheduleSection {
    fn default() -> Self {
        Self {
            lr_per_256: 0.12,
            warmup: Span::Percent(5.0),
            warmup_start: 0.0,
            final_lr_ratio: 0.001,
            momentum_start: 0.99,
            momentum_rises: true,
        }
    }
}

/// `[reset]`: the periodic k-means over remembered projections (step 6 of docs/METHOD.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResetSection {
    /// Stretch between resets; `"never"` leaves them out.
    pub every: Span,
    /// Make the first reset as soon as the memory holds ten features per group, instead of training for a
    /// whole interval against random groups.
    pub early_first: bool,
    /// Copy the online weights to the momentum branch at a reset, too.
    pub copy_to_momentum: bool,
    /// Features remembered; 0 takes those of one interval, at most `kmeans.max_points_per_group` per group.
    pub memory: u64,
    /// How the memory is clustered.
    pub kmeans: KMeansSettings,
}

impl Default for ResetSection {
    fn default() -> Self {
        Self {
            every: Span::Steps(300),
            early_first: true,
            copy_to_momentum: true,
            memory: 0,
            kmeans: KMeansSettings::default(),
        }
    }
}

/// `[eval]`: k-NN during the run and the pictures that evaluation looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSection {
    /// Stretch between k-NN evaluations; `"never"` leaves them out.
    pub knn_every: Span,
    /// Labelled data for `knn`, `linear` and `finetune`; the training data where it is not given.
    pub path: Option<PathBuf>,
    /// Split whose samples are the bank.
    pub train_split: String,
    /// Splits to look for the queries in; the first that is there and has classes is taken.
    pub test_splits: Vec<String>,
    /// Neighbours that vote.
    pub k: u32,
    /// Temperature of the vote.
    pub temperature: f64,
    /// Side of the pictures; 0 takes that of the first view.
    pub size: u32,
    /// Short side before the centre crop; 0 takes 8/7 of `size` from 64 pixels on (256 to 224), below it
    /// `size` itself.
    pub resize: u32,
    /// Pictures that are encoded at once.
    pub batch_size: u32,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self {
            knn_every: Span::Never,
            path: None,
            train_split: "train".to_owned(),
            test_splits: vec!["test".to_owned(), "val".to_owned()],
            k: 20,
            temperature: 0.07,
            size: 0,
            resize: 0,
            batch_size: 128,
        }
    }
}
