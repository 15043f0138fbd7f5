//! `smog-trainer eval`

mod clusters;
mod finetune;
mod groups;
mod knn;
mod linear;
mod supervised;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;
use smog_model::EncoderBranch;
use smog_terminal::{Progress, outln};
use smog_trainer::data::{DataError, DataSet};
use smog_trainer::error::TrainError;
use smog_trainer::eval::knn::KnnData;
use smog_trainer::export::write_text;
use smog_trainer::settings::RunConfig;
use smog_trainer::trained::Wanted;

/// Flags of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Weighted k-NN accuracy of the encoder's features
    Knn(knn::KnnArgs),
    /// Accuracy of a linear classifier over the frozen encoder
    Linear(linear::LinearArgs),
    /// Accuracy of the encoder fine-tuned with some of the labels
    Finetune(finetune::FinetuneArgs),
    /// The groups against the labels: NMI, ARI, purity
    Clusters(clusters::ClustersArgs),
    /// A sheet of the images nearest to some of the groups
    Groups(groups::GroupsArgs),
}

/// Which encoder is evaluated, and with which data.
#[derive(clap::Args)]
pub(crate) struct Subject {
    /// Run folder; `knn` of the trained encoder, `linear`, `finetune` and `embed` also take a file of `smog-trainer export`
    run: PathBuf,
    /// Shards, images, Parquet files or WebDataset tars: a folder, file or pattern; or synthetic:COUNT[:SIDE] [default:
    /// the data of the run; of `knn`, `linear` and `finetune` its eval.path, where that is set]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Step of the checkpoint [default: the newest]
    #[arg(long, value_name = "STEP")]
    checkpoint: Option<u64>,
    /// The trained encoder, or its moving average
    #[arg(long, value_enum, default_value = "online")]
    branch: Branch,
    /// auto, cpu, cuda or cuda:N [default: as the run]
    #[arg(long)]
    device: Option<String>,
    /// Cores to use; 0 takes all [default: as the run]
    #[arg(long)]
    threads: Option<u32>,
    /// Memory for reading the data, in MiB [default: as the run]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    memory_budget_mib: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Branch {
    Online,
    Momentum,
}

impl From<Branch> for EncoderBranch {
    fn from(branch: Branch) -> Self {
        match branch {
            Branch::Online => Self::Online,
            Branch::Momentum => Self::Momentum,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Knn(args) => knn::run(&args)?,
        What::Linear(args) => return linear::run(&args),
        What::Finetune(args) => return finetune::run(&args),
        What::Clusters(args) => clusters::run(&args)?,
        What::Groups(args) => groups::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Subject {
    /// The encoder.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            path: self.run.clone(),
            step: self.checkpoint,
            branch: self.branch.into(),
            device: self.device.clone(),
            threads: self.threads,
            memory_budget_mib: self.memory_budget_mib,
        }
    }

    /// The data of the run where no other is asked for, and what it is called.
    pub(crate) fn data(&self, config: &RunConfig) -> Result<(DataSet, PathBuf), TrainError> {
        self.find(config, None)
    }

    /// The labelled data of the run, and what it is called: what its settings name for evaluation goes before its own.
    fn labelled_data(&self, config: &RunConfig) -> Result<(DataSet, PathBuf), TrainError> {
        self.find(config, config.eval.path.as_ref())
    }

    fn find(
        &self,
        config: &RunConfig,
        before: Option<&PathBuf>,
    ) -> Result<(DataSet, PathBuf), TrainError> {
        let path = self.data.as_ref().or(before).or(config.data.path.as_ref());
        let path = path.ok_or(DataError::NotGiven)?;
        let data = DataSet::find(path, &config.data.remote(), &Progress::new())?;
        Ok((data, path.clone()))
    }
}

/// The labelled splits: those asked for, or else those of the settings.
fn labelled(
    data: &DataSet,
    config: &RunConfig,
    train: Option<&str>,
    test: Option<&str>,
) -> Result<KnnData, TrainError> {
    let train = train.unwrap_or(&config.eval.train_split);
    let Some(test) = test else {
        let knn = data.knn(train, &config.eval.test_splits);
        return Ok(knn.map_err(|error| error.chosen_by("--train-split NAME"))?);
    };
    // Asked for by name, so it must be there and is never passed over; only the settings' list is a choice.
    Ok(data.knn_with(train, test)?)
}

/// Writes a result as JSON, whole or not at all, and says where.
fn write(dir: &Path, name: &str, report: &impl Serialize) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{name}.json"));
    write_text(&path, &serde_json::to_vec_pretty(report)?)?;
    outln!("written to {}", path.display());
    Ok(())
}

/// A name that ends in a digest of all that decides the outcome: another result never takes the place of this one.
fn named(prefix: &str, decisive: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in decisive {
        hasher.update(part.as_bytes()).update(b"\n");
    }
    format!("{prefix}-{}", &hasher.finalize().to_hex()[..8])
}
