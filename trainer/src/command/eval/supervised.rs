//! What `eval linear` and `eval finetune` share: splits, the job, its output.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use serde::Serialize;
use smog_terminal::exit_code::INTERRUPTED;
use smog_terminal::{note, outln};
use smog_trainer::data::DataSet;
use smog_trainer::error::TrainError;
use smog_trainer::eval::left_out;
use smog_trainer::eval::splits::Splits;
use smog_trainer::eval::supervised::{Ended, Job, Protocol, Report, Score, TrainingFigures};
use smog_trainer::settings::RunConfig;
use smog_trainer::signals::StopRequest;

use super::{labelled, named, write};

/// Flags of both commands.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Split whose labels are learnt [default: eval.train_split]
    #[arg(long, value_name = "SPLIT")]
    train_split: Option<String>,
    /// Split that is tested [default: the first of eval.test_splits that is there and has
    /// classes]
    #[arg(long, value_name = "SPLIT")]
    test_split: Option<String>,
    /// Passes over the training samples [default: the protocol's]
    #[arg(long)]
    pub(super) epochs: Option<u32>,
    /// Samples per step; learning rates follow it in a straight line [default: the protocol's, or all samples where there
    /// are fewer]
    #[arg(long, value_name = "N")]
    pub(super) batch_size: Option<u32>,
    /// Seed of order, augmentation, first weights and subsets
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Save and leave after so many steps, with code 75, as if interrupted
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stop_after: Option<u64>,
}

/// Learning rates that were asked for, for the batch as it is.
#[derive(Clone, Copy, Default)]
pub(super) struct Rates {
    pub(super) encoder: Option<f64>,
    pub(super) head: Option<f64>,
}

impl Options {
    /// The labelled splits.
    pub(super) fn splits(&self, data: &DataSet, config: &RunConfig) -> Result<Splits> {
        let (train, test) = (self.train_split.as_deref(), self.test_split.as_deref());
        let data = labelled(data, config, train, test)?;
        let splits = Splits::new(&data)?;
        data.remark().iter().for_each(|remark| note(remark));
        Ok(splits)
    }

    /// Refuses numbers that no training can be done with.
    pub(super) fn check(&self) -> Result<()> {
        if self.epochs == Some(0) {
            return Err(wrong("--epochs 0: expected at least 1".to_owned()));
        }
        match self.batch_size {
            Some(size @ 0..2) => Err(wrong(format!("--batch-size {size}: expected at least 2"))),
            _ => Ok(()),
        }
    }

    /// The protocol with what was asked for; its name then says that it is not the published one.
    pub(super) fn apply(
        &self,
        protocol: &mut Protocol,
        rates: Rates,
        num_train: u64,
    ) -> Result<()> {
        let published = protocol.clone();
        self.check()?;
        protocol.set_epochs(self.epochs.unwrap_or(protocol.epochs));
        if let Some(batch_size) = self.batch_size.filter(|&size| u64::from(size) > num_train) {
            return Err(wrong(format!(
                "--batch-size {batch_size} is larger than the {num_train} training samples"
            )));
        }
        // Without a word of the user the batch fits a small set; the name says that it is not the published one.
        let most = u32::try_from(num_train).unwrap_or(u32::MAX);
        let is_cut = self.batch_size.is_none() && most < protocol.batch_size;
        protocol.batch_size = self.batch_size.unwrap_or(protocol.batch_size.min(most));
        protocol.seed = self.seed;
        ensure!(protocol.batch_size > 1, "a single training sample is too few for a batch");
        for (lr, to) in [
            (rates.encoder, &mut protocol.encoder_lr_per_256),
            (rates.head, &mut protocol.head_lr_per_256),
        ] {
            let Some(lr) = lr else { continue };
            if !(lr.is_finite() && lr >= 0.0) {
                return Err(wrong(format!("a learning rate is a number from 0, got {lr}")));
            }
            *to = lr * 256.0 / f64::from(protocol.batch_size);
        }
        let decisive = |protocol: &Protocol| {
            (protocol.epochs, protocol.encoder_lr_per_256, protocol.head_lr_per_256)
        };
        if decisive(protocol) != decisive(&published) || is_cut {
            protocol.name.push_str("-changed");
        }
        Ok(())
    }
}

/// A call that cannot be followed.
pub(super) fn wrong(text: String) -> anyhow::Error {
    TrainError::Call(text).into()
}

#[derive(Serialize)]
struct Written<'a, T> {
    kind: &'a str,
    protocol: &'a Protocol,
    protocol_in_words: String,
    branch: &'a str,
    step: u64,
    data: &'a Path,
    splits: &'a str,
    version: &'static str,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(flatten)]
    facts: T,
}

/// What was evaluated, for the output.
pub(super) struct About<'a, T> {
    /// `linear` or `finetune`.
    pub(super) kind: &'static str,
    pub(super) branch: String,
    pub(super) step: u64,
    pub(super) data: &'a Path,
    pub(super) splits: String,
    pub(super) facts: T,
}

/// Trains, tests, prints and writes.
pub(super) fn evaluate(
    mut job: Job,
    protocol: &Protocol,
    options: &Options,
    about: About<'_, impl Serialize>,
    stop: &StopRequest,
) -> Result<ExitCode> {
    job.stop_after = options.stop_after;
    outln!("{} after {} steps of training: {protocol}", about.kind, about.step);
    match job.run(stop, &mut show)? {
        Ended::Interrupted => {
            note(&format!(
                "interrupted; a checkpoint was saved in {}, and the same command goes on there",
                job.dir().display()
            ));
            Ok(ExitCode::from(INTERRUPTED))
        }
        Ended::Finished(report) => {
            let (encoder_lr, head_lr) = protocol.rates();
            let lr = match protocol.is_frozen {
                true => format!("{head_lr}"),
                false => format!("{encoder_lr} / {head_lr}"),
            };
            let tested = format!("{}{}", about.splits, left_out(report.num_left_out));
            table(&tested, &report.score, report.chance, protocol.epochs, &lr);
            if let Some(text) = not_learnt(report.last_loss, report.chance, head_lr) {
                note(&text);
            }
            let trained = job.dir().file_name().unwrap_or_default().to_string_lossy();
            let name = named(&trained, &[&job.tested_with()]);
            let parent = job.dir().parent().unwrap_or(Path::new("."));
            let written = Written {
                kind: about.kind,
                protocol,
                protocol_in_words: protocol.to_string(),
                branch: &about.branch,
                step: about.step,
                data: about.data,
                splits: &about.splits,
                version: env!("CARGO_PKG_VERSION"),
                report: &report,
                facts: about.facts,
            };
            write(parent, &name, &written)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What to say of a classifier that ends worse than guessing: SwAV's rates are for 1,000 classes, and are too much for
/// a few hundred samples of ten.
fn not_learnt(last_loss: Option<f64>, chance: f64, head_lr: f64) -> Option<String> {
    let guessing = -chance.ln();
    last_loss.filter(|&loss| loss > guessing).map(|loss| {
        format!(
            "the last loss, {loss:.2}, is above that of guessing ({guessing:.2}): the classifier has not learnt, and the \
             figures say nothing about the encoder; try a lower --lr (it was {head_lr}) or more --epochs"
        )
    })
}

/// One row of figures under their names.
pub(super) fn table(splits: &str, score: &Score, chance: f64, epochs: u32, lr: &str) {
    let top5 = score.top5.map_or_else(|| "-".to_owned(), |top5| format!("{:.2} %", 100.0 * top5));
    outln!(
        "  {:>8}  {:>8}  {:>8}  {:>6}  {:>12}  splits",
        "top-1",
        "top-5",
        "chance",
        "epochs",
        "lr"
    );
    outln!(
        "  {:>6.2} %  {top5:>8}  {:>6.2} %  {epochs:>6}  {lr:>12}  {splits}, {} tested",
        100.0 * score.top1,
        100.0 * chance,
        score.num_samples
    );
}

fn show(figures: &TrainingFigures) {
    note(&format!(
        "epoch {:.2}  step {}/{}  loss {:.3}  {:.0} images/s  {} left",
        figures.epoch,
        figures.step,
        figures.num_steps,
        figures.loss,
        figures.images_per_second,
        indicatif::HumanDuration(figures.left),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_worse_than_guessing_is_named() {
        assert_eq!(not_learnt(None, 0.1, 5.0), None);
        assert_eq!(not_learnt(Some(2.3), 0.1, 5.0), None);
        let text = not_learnt(Some(2.4), 0.1, 5.0).unwrap();
        assert!(text.contains("2.40") && text.contains("--lr (it was 5)"), "{text}");
    }
}
