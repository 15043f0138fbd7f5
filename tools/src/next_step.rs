//! What to do with a finished data set: the command that trains on it.

use smog_pipeline::manifest::MANIFEST_FILE;
use smog_pipeline::shard::{ShardReport, SplitReport};
use smog_terminal::quoted;

/// The split that presets train on.
const TRAIN: &str = "train";

/// A preset of `smog-trainer`, with the sets that it is for.
struct Preset {
    name: &'static str,
    /// Mean side of the images in pixels, at most.
    max_side: f64,
    /// Number of images, at most.
    max_samples: u64,
    /// `run.batch_size` and `model.groups.count`: no set can be smaller.
    batch_size: u64,
    groups: u64,
}

/// The first that fits is taken.
const PRESETS: [Preset; 4] = [
    Preset {
        name: "cifar10-resnet18",
        max_side: 48.0,
        max_samples: u64::MAX,
        batch_size: 256,
        groups: 300,
    },
    Preset { name: "demo", max_side: 160.0, max_samples: u64::MAX, batch_size: 64, groups: 300 },
    Preset {
        name: "imagenet100-resnet50",
        max_side: f64::INFINITY,
        max_samples: 400_000,
        batch_size: 256,
        groups: 300,
    },
    Preset {
        name: "imagenet-resnet50",
        max_side: f64::INFINITY,
        max_samples: u64::MAX,
        batch_size: 512,
        groups: 3000,
    },
];

/// The lines that say so, for a data set with at least one split.
pub(crate) fn next_step(report: &ShardReport) -> String {
    let Some(split) = trained_on(report) else {
        return format!("Next: smog-tools inspect {}", place(report));
    };
    let side = split.mean_pixels.sqrt();
    let fits =
        |preset: &&Preset| side <= preset.max_side && split.num_samples <= preset.max_samples;
    let preset = PRESETS.iter().find(fits).unwrap_or(&PRESETS[PRESETS.len() - 1]);
    let mut command = format!("smog-trainer run --preset {} --data {}", preset.name, place(report));
    if split.split != TRAIN {
        command += &format!(" --set data.split={}", quoted(&split.split));
    }
    let samples = split.num_samples;
    if samples < preset.batch_size {
        command += &format!(" --batch-size {}", (samples / 4).max(1));
    }
    if samples < preset.groups {
        command += &format!(" --set model.groups.count={}", (samples / 50).max(2).min(samples));
    }
    format!("Next: {command}\n(`smog-trainer presets` lists what else there is to start from)")
}

/// The split for a run: `train`, or else the only one there is.
fn trained_on(report: &ShardReport) -> Option<&SplitReport> {
    let train = report.splits.iter().find(|split| split.split == TRAIN);
    let made_earlier = || report.out.join(TRAIN).join(MANIFEST_FILE).is_file();
    match &report.splits[..] {
        _ if train.is_some() => train,
        [only] if !made_earlier() => Some(only),
        _ => None,
    }
}

fn place(report: &ShardReport) -> String {
    quoted(&report.out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn report(split: &str, num_samples: u64, side: f64) -> ShardReport {
        let split = SplitReport {
            split: split.to_owned(),
            dir: Path::new("my photos").join(split),
            part: None,
            num_samples,
            num_classes: 0,
            num_shards: 1,
            num_row_groups: 1,
            image_bytes: 1,
            shard_bytes: 1,
            mean_pixels: side * side,
            refused: BTreeMap::new(),
            num_other_files: 0,
            num_resumed_shards: 0,
            already_done: false,
            seconds: 1.0,
        };
        ShardReport { out: "my photos".into(), splits: vec![split] }
    }

    fn line(split: &str, num_samples: u64, side: f64) -> String {
        next_step(&report(split, num_samples, side)).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_preset_fits_the_images() {
        let run =
            |preset: &str| format!("Next: smog-trainer run --preset {preset} --data 'my photos'");
        assert_eq!(line("train", 50_000, 32.0), run("cifar10-resnet18"));
        assert_eq!(line("train", 6_000, 118.0), run("demo"));
        assert_eq!(line("train", 9_000, 400.0), run("imagenet100-resnet50"));
        assert_eq!(line("train", 1_281_167, 430.0), run("imagenet-resnet50"));
        assert_eq!(
            line("birds", 50_000, 32.0),
            run("cifar10-resnet18") + " --set data.split=birds"
        );
        let small = " --batch-size 25 --set model.groups.count=2";
        assert_eq!(line("train", 100, 32.0), run("cifar10-resnet18") + small);
    }

    #[test]
    fn the_presets_are_those_of_the_trainer() {
        for preset in PRESETS {
            let path =
                format!("{}/../trainer/presets/{}.toml", env!("CARGO_MANIFEST_DIR"), preset.name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
            for setting in [
                format!("batch_size = {} ", preset.batch_size),
                format!("count = {} ", preset.groups),
            ] {
                assert!(text.contains(&setting), "{path}: {setting}");
            }
        }
    }
}
