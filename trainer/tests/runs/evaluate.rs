//! Encoders of runs, evaluated; and evaluations that were interrupted.

use std::path::{Path, PathBuf};

use smog_trainer::checkpoint::{Store, tensors};

use crate::call::{call, done, exported, on, results, trained};
use crate::support::within;

#[test]
fn every_evaluation_prints_its_protocol_and_writes_json_and_takes_an_exported_file() {
    within(240, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let file = exported(&run);
        let small = ["--batch-size", "16", "--epochs", "2"];
        let mut of = Vec::new();
        for subject in [&run, &file] {
            let eval = subject.join("eval");
            let eval = if subject.is_file() { subject.with_extension("eval") } else { eval };
            let out = done(subject, &["eval", "linear"], &[]);
            assert!(
                out.contains("quick (ours)") && out.contains("train -> test, 60 tested"),
                "{out}"
            );
            for (protocol, source) in [
                ("swav", "SwAV eval_linear"),
                ("lightly", "lightly linear_eval"),
                ("moby", "MoBY moby_linear"),
            ] {
                let more = [&small[..], &["--protocol", protocol]].concat();
                let out = done(subject, &["eval", "linear"], &more);
                let start = format!("{protocol}-changed ({source}.py): frozen encoder");
                assert!(out.contains(&start), "{out}");
            }
            done(subject, &["eval", "knn"], &["--k", "5"]);
            let json = [results(&eval, "linear-"), results(&eval, "knn-")].concat();
            assert_eq!(json.len(), 6, "{json:?}");
            let mut top1: Vec<_> = json.iter().map(|json| json["top1"].as_f64().unwrap()).collect();
            top1.sort_by(f64::total_cmp);
            of.push(top1);
            assert!(
                !std::fs::read_dir(&eval)
                    .unwrap()
                    .flatten()
                    .any(|entry| { entry.file_name().to_string_lossy().starts_with(".features") })
            );
        }
        assert_eq!(of[0], of[1], "the file is the run's encoder");
        let eval = run.join("eval");
        for (command, changed) in [("knn", ["--k", "4,3"]), ("linear", ["--epochs", "3"])] {
            let before = results(&eval, command).len();
            done(&run, &["eval", command], &changed);
            done(&run, &["eval", command], &changed);
            let added = if command == "knn" { 4 } else { 1 };
            assert_eq!(results(&eval, command).len(), before + added, "{command}: one overwritten");
        }
        let out = done(&run, &["eval", "clusters"], &["--largest", "3"]);
        assert!(out.contains("NMI 0.") && out.contains("of 8 groups are used"), "{out}");
        let of_momentum =
            done(&run, &["eval", "clusters"], &["--largest", "3", "--branch", "momentum"]);
        assert!(out.contains("online branch") && of_momentum.contains("momentum branch"));
        assert_eq!(results(&run.join("eval"), "clusters-").len(), 2, "a result of each branch");
        let json = &results(&run.join("eval"), "clusters-")[0];
        assert_eq!(
            (json["split"].as_str(), json["num_samples"].as_u64()),
            (Some("train"), Some(60))
        );
        let (code, _, err) = on(&file, &["eval", "clusters"], &[]);
        assert!(code == 2 && err.contains("give the run folder"), "{code} {err}");
    });
}

/// As one that is interrupted does: the features of the encoders before are there for the next call.
#[test]
fn a_comparison_that_does_not_get_to_its_end_keeps_the_features_of_the_encoders_before() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let kept = || {
            let entries = std::fs::read_dir(run.join("eval")).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name.starts_with(".features")).count()
        };
        let encoders = ["--encoder", "pixels,untrained,trained", "--k", "5"];
        let (code, _, err) =
            on(&run, &["eval", "knn"], &[&encoders[..], &["--checkpoint", "7"]].concat());
        assert!(code == 2 && err.contains("no complete checkpoint of step 7"), "{code} {err}");
        assert_eq!(kept(), 4, "two splits by two encoders");
        let before = results(&run.join("eval"), "knn");
        done(&run, &["eval", "knn"], &encoders);
        assert_eq!(kept(), 0);
        let after = results(&run.join("eval"), "knn");
        for result in &before {
            let same = |other: &&serde_json::Value| {
                ["encoder", "metric", "top1"].iter().all(|key| other[key] == result[key])
            };
            assert!(after.iter().any(|other| same(&other)), "{result}");
        }
        assert_eq!((before.len(), after.len()), (4, 6));
    });
}

/// Checkpoint of the only work folder with this prefix.
fn work(run: &Path, prefix: &str) -> (PathBuf, Store) {
    let dirs: Vec<PathBuf> = std::fs::read_dir(run.join("eval"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with(prefix)
        })
        .collect();
    assert_eq!(dirs.len(), 1, "{dirs:?}");
    (dirs[0].clone(), Store::new(dirs[0].clone(), 1))
}

#[test]
fn interrupted_classifiers_are_those_that_were_never_interrupted_to_the_last_bit() {
    within(240, || {
        let dir = tempfile::tempdir().unwrap();
        for (command, more) in [
            (["eval", "linear"], vec!["--protocol", "swav"]),
            (["eval", "finetune"], vec!["--fraction", "60%", "--lr", "0.1"]),
        ] {
            let copies = ["whole", "pieces"].map(|name| {
                let base = dir.path().join(command[1]).join(name);
                std::fs::create_dir_all(&base).unwrap();
                trained(&base)
            });
            let small = ["--batch-size", "12", "--epochs", "3"];
            let more = [&more[..], &small[..]].concat();
            done(&copies[0], &command, &more);
            let mut codes = Vec::new();
            while codes.last() != Some(&0) {
                let (code, _, err) =
                    on(&copies[1], &command, &[&more[..], &["--stop-after", "4"]].concat());
                assert!(
                    code == 0 || (code == 75 && err.contains("a checkpoint was saved")),
                    "{err}"
                );
                codes.push(code);
            }
            assert!(codes.len() >= 3, "{codes:?}");
            let [whole, pieces] =
                copies.each_ref().map(|run| work(run, command[1]).1.newest().unwrap());
            assert_eq!(whole.state.files, pieces.state.files, "{command:?}");
            assert_eq!(whole.state.stream, pieces.state.stream);
            let [whole, pieces] =
                copies.each_ref().map(|run| results(&run.join("eval"), command[1]));
            assert_eq!(whole[0]["top1"], pieces[0]["top1"]);
            assert_eq!(whole[0]["last_loss"], pieces[0]["last_loss"]);
        }
    });
}

#[test]
fn fine_tuning_records_its_subset_and_takes_it_as_a_list() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let small = ["--batch-size", "8", "--epochs", "1"];
        let tune = |more: &[&str]| done(&run, &["eval", "finetune"], &[&small[..], more].concat());
        let out = tune(&["--fraction", "30%"]);
        assert!(out.contains("SwAV eval_semisup.py") && out.contains("% of the labels"), "{out}");
        let (folder, _) = work(&run, "finetune");
        let list = folder.join("subset.txt");
        let first = std::fs::read_to_string(&list).unwrap();
        let count = first.lines().filter(|line| !line.starts_with('#')).count();
        assert!((8..=26).contains(&count), "{first}");
        let before = results(&run.join("eval"), "finetune");
        assert_eq!(before[0]["num_train"].as_u64(), Some(count as u64));
        // The same samples as a list are the same job.
        let copy = dir.path().join("list.txt");
        std::fs::write(&copy, &first).unwrap();
        tune(&["--subset", copy.to_str().unwrap()]);
        assert_eq!(results(&run.join("eval"), "finetune")[0]["top1"], before[0]["top1"]);
        std::fs::write(&copy, "999\n").unwrap();
        let (code, _, err) = on(&run, &["eval", "finetune"], &["--subset", copy.to_str().unwrap()]);
        assert!(code == 1 && err.contains("999 is no sample of this split, which has 60"), "{err}");
    });
}

#[test]
fn what_cannot_be_evaluated_is_said_in_plain_words() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let refused = |command: &[&str], more: &[&str], code: i32, part: &str| {
            let (found, _, err) = on(&run, command, more);
            assert!(found == code && err.contains(part), "{command:?} {more:?}: {found} {err}");
        };
        let linear = ["eval", "linear"];
        refused(
            &linear,
            &["--checkpoint", "7"],
            2,
            "no complete checkpoint of step 7; there are those of 3",
        );
        refused(
            &linear,
            &["--protocol", "swav", "--batch-size", "256"],
            2,
            "--batch-size 256 is larger than the 60 training samples",
        );
        refused(&linear, &["--lr", "0.1"], 2, "quick, which chooses the rate itself");
        refused(&linear, &["--stop-after", "3"], 2, "quick, which keeps no checkpoint");
        refused(&linear, &["--epochs", "0"], 2, "--epochs 0: expected at least 1");
        refused(&linear, &["--batch-size", "0"], 2, "--batch-size 0: expected at least 2");
        refused(&["eval", "finetune"], &["--batch-size", "1"], 2, "expected at least 2");
        refused(&["eval", "finetune"], &["--fraction", "0.1"], 2, "such as 1% or 10%");
        refused(&["embed"], &["--out", "/no/such/folder/x.parquet"], 2, "/no/such/folder");
        let other = dir.path().join("other.safetensors");
        tensors::write(&other, &[("x".to_owned(), tch::Tensor::from(1i64))]).unwrap();
        let (code, _, err) = on(&other, &linear, &[]);
        assert!(code == 1 && err.contains("only files of `smog-trainer export`"), "{code} {err}");
    });
}

#[test]
fn labels_and_splits_that_are_missing_are_named() {
    within(60, || {
        let data_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-formats");
        if !data_dir.is_dir() {
            eprintln!("SKIPPED: {} is not there", data_dir.display());
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let parquet = data_dir.join("hf-cifar10-style.parquet");
        let args = |command: &'static str, more: &[&str]| {
            let parts =
                ["eval", command, run.to_str().unwrap(), "--data", parquet.to_str().unwrap()];
            call(&[&parts[..], more].concat())
        };
        let (code, _, err) = args("linear", &["--test-split", "missing"]);
        assert!(code == 2 && err.contains("missing"), "{code} {err}");
        // One split only: a tenth of it is held out, and the output says so.
        let (code, out, err) = args("linear", &["--epochs", "2"]);
        assert!(code == 0 && out.contains("fixed hold-out of one in 10, 20 tested"), "{out}{err}");
        let (code, out, err) = args("finetune", &["--epochs", "1", "--batch-size", "16"]);
        assert!(code == 0 && out.contains("fixed hold-out of one in 10"), "{out}{err}");
        // Fewer samples than the protocol's batch: all of them are one, and the name says that it is another protocol.
        let (code, out, err) = args("finetune", &["--epochs", "1", "--fraction", "30%"]);
        assert!(
            code == 0 && out.contains("-changed") && !out.contains("batches of 256"),
            "{out}{err}"
        );
    });
}
