//! What is evaluated: the encoder of a run, or one in a file of `smog-trainer export`.

use std::path::PathBuf;

use smog_model::device::GpuMath;
use smog_model::{Backbone, EncoderBranch, EncoderConfig, SmogModel};

use crate::checkpoint::{Checkpoint, CheckpointError, tensors};
use crate::device::device;
use crate::error::TrainError;
use crate::export::{About, about};
use crate::folder::{INIT_FILE, checkpoints, stored_settings};
use crate::settings::RunConfig;
use crate::threads::ThreadBudget;

/// Which encoder.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A run folder, or a file of `smog-trainer export`.
    pub path: PathBuf,
    /// Step of the checkpoint; the newest where it is not given.
    pub step: Option<u64>,
    /// Online or momentum branch.
    pub branch: EncoderBranch,
    /// Device, where it is not that of the run.
    pub device: Option<String>,
    /// Cores, where they are not those of the run.
    pub threads: Option<u32>,
    /// Memory for reading in MiB, where it is not that of the run.
    pub memory_budget_mib: Option<u64>,
}

/// An encoder and where it comes from.
#[derive(Debug)]
pub struct Trained {
    /// Settings of the run; for a file, those that fit it.
    pub config: RunConfig,
    /// The encoder.
    pub backbone: Backbone,
    /// Branch, step and pictures.
    pub about: About,
    /// Names the weights: a digest of the file that they come from.
    pub identity: String,
    /// Where results are written.
    pub results: PathBuf,
}

impl Wanted {
    fn is_file(&self) -> bool {
        self.path.is_file()
    }

    /// Loads the encoder.
    ///
    /// # Errors
    /// If there is no such run, checkpoint or file, or the device is not there.
    pub fn load(&self) -> Result<Trained, TrainError> {
        if self.is_file() {
            return self.load_file();
        }
        let config = self.settings()?;
        let checkpoint = self.checkpoint()?;
        let mut backbone =
            Backbone::new(&config.model.encoder, config.run.seed, device(&config.run.device)?)?;
        let state = checkpoint.tensors("model")?;
        smog_model::guard(|| backbone.load_state(&state, self.branch.prefix()))??;
        let digest = checkpoint.state.files.get("model.safetensors");
        let digest = digest.map(|file| file.blake3.as_str()).unwrap_or_default();
        let (branch, step) = (branch_name(self.branch), checkpoint.state.step);
        Ok(self.trained(config, backbone, branch, step, format!("{branch} {digest}")))
    }

    /// The encoder that the run began with.
    ///
    /// # Errors
    /// As [`Wanted::load`].
    pub fn untrained(&self) -> Result<Trained, TrainError> {
        if self.is_file() {
            return Err(self.needs_run("the encoder before training"));
        }
        let config = self.settings()?;
        let (seed, device) = (config.run.seed, device(&config.run.device)?);
        let mut backbone = Backbone::new(&config.model.encoder, seed, device)?;
        if config.run.init.is_some() {
            let path = self.path.join(INIT_FILE);
            let state = tensors::read(&path)?;
            smog_model::guard(|| backbone.load_pretrained(state))
                .and_then(|result| result)
                .map_err(|source| TrainError::Init { path, source })?;
        }
        let identity = format!("untrained {seed} {:?}", config.run.init);
        Ok(self.trained(config, backbone, "online", 0, identity))
    }

    /// The whole model of a run, with its groups, and the step that it was trained for.
    ///
    /// # Errors
    /// As [`Wanted::load`]; also for a file, which has no groups.
    pub fn model(&self) -> Result<(RunConfig, SmogModel, u64), TrainError> {
        if self.is_file() {
            return Err(self.needs_run("the groups"));
        }
        let config = self.settings()?;
        let device = device(&config.run.device)?;
        let checkpoint = self.checkpoint()?;
        let mut model = SmogModel::new(&config.model, config.run.seed, device)?;
        let state = checkpoint.tensors("model")?;
        smog_model::guard(|| model.load_state(&state))??;
        Ok((config, model, checkpoint.state.step))
    }

    fn load_file(&self) -> Result<Trained, TrainError> {
        let bytes = std::fs::read(&self.path).map_err(TrainError::io("read", &self.path))?;
        let identity = format!("file {}", blake3::hash(&bytes).to_hex());
        let (state, header) = tensors::parse(&self.path, &bytes)?;
        drop(bytes);
        let about = about(&self.path, &header)?;
        let mut config = crate::settings::RawConfig::preset("imagenet-resnet50")?.resolve()?;
        config.model.encoder = about.encoder.clone();
        (config.eval.size, config.eval.resize) = (about.size, about.resize);
        config.eval.path = None;
        config.stream.apply_exif = about.apply_exif;
        "auto".clone_into(&mut config.run.device);
        let config = self.with_device(config)?;
        let mut backbone = Backbone::new(&about.encoder, 0, device(&config.run.device)?)?;
        smog_model::guard(|| backbone.load_state(&state, ""))??;
        let mut trained = self.trained(config, backbone, &about.branch, about.step, identity);
        trained.about = about;
        Ok(trained)
    }

    fn trained(
        &self,
        config: RunConfig,
        backbone: Backbone,
        branch: &str,
        step: u64,
        identity: String,
    ) -> Trained {
        let about = About {
            encoder: config.model.encoder.clone(),
            branch: branch.to_owned(),
            step,
            size: config.eval_size(),
            resize: config.eval_resize(),
            apply_exif: config.stream.apply_exif,
        };
        Trained { config, backbone, about, identity, results: self.results() }
    }

    /// Where results are written: `eval/` in the run folder, or a folder beside the file.
    pub fn results(&self) -> PathBuf {
        match self.is_file() {
            true => self.path.with_extension("eval"),
            false => self.path.join("eval"),
        }
    }

    fn settings(&self) -> Result<RunConfig, TrainError> {
        self.with_device(stored_settings(&self.path)?.resolve()?)
    }

    fn with_device(&self, mut config: RunConfig) -> Result<RunConfig, TrainError> {
        if let Some(name) = &self.device {
            config.run.device.clone_from(name);
        }
        if let Some(threads) = self.threads {
            config.run.threads = threads;
        }
        if let Some(mib) = self.memory_budget_mib {
            config.stream.memory_budget_mib = mib;
        }
        let device = device(&config.run.device)?;
        // Rounding as in training: libtorch's own default is TF32. Nothing is tried out, so that figures repeat.
        GpuMath { tf32: config.run.tf32, benchmark: false }.apply();
        ThreadBudget::of_run(&config, device).apply();
        Ok(config)
    }

    fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let store = checkpoints(&self.path, 1);
        let Some(step) = self.step else { return Ok(store.newest()?) };
        store.of_step(step).map_err(|error| match error {
            CheckpointError::Incomplete { .. } => {
                TrainError::NoCheckpoint { path: self.path.clone(), step, there: store.steps() }
            }
            other => other.into(),
        })
    }

    fn needs_run(&self, what: &'static str) -> TrainError {
        TrainError::NeedsRun { path: self.path.clone(), what }
    }
}

/// An encoder in a few words: a transformer's width is said where it is not the usual one.
pub fn encoder_name(encoder: &EncoderConfig) -> String {
    let arch = encoder.arch.to_string();
    if arch.starts_with("resnet") || encoder.width != EncoderConfig::default().width {
        format!("{arch} width {}", encoder.width)
    } else {
        arch
    }
}

/// The name of a branch in files and output.
pub fn branch_name(branch: EncoderBranch) -> &'static str {
    match branch {
        EncoderBranch::Online => "online",
        EncoderBranch::Momentum => "momentum",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RawConfig;

    /// libtorch is told for the whole process, and tests that train beside this one tell it not to round: so, once is enough.
    #[test]
    fn evaluation_rounds_as_its_run_does() {
        let raw = RawConfig::preset("demo").unwrap().with_set("run.tf32=true").unwrap();
        let config = raw.resolve().unwrap();
        let wanted = Wanted { device: Some("cpu".to_owned()), ..Wanted::default() };
        let before = GpuMath::current();
        let is_told = || {
            wanted.with_device(config.clone()).unwrap();
            GpuMath::current() == GpuMath { tf32: true, benchmark: false }
        };
        assert!((0..100).any(|_| is_told()));
        before.apply();
    }
}
