//! Encoders of runs: exported, begun with, embedded, evaluated; and evaluations that were interrupted.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::Source;
use smog_trainer::checkpoint::{Store, tensors};
use smog_trainer::data::DataSet;
use smog_trainer::embed::{FeatureFile, write_features};
use smog_trainer::eval::{EvalStream, Interrupted};
use smog_trainer::images::Normalizer;
use smog_trainer::settings::Span;
use smog_trainer::signals::StopRequest;
use smog_trainer::train::Outcome;
use smog_trainer::trained::Wanted;

use crate::support::{data, newest, open, refused, tiny, train, within};

/// A run of three steps.
fn trained(dir: &Path) -> PathBuf {
    let run = dir.join("run");
    train(tiny(&["run.length=\"3 steps\"", "schedule.warmup=never"]), &run, false, None);
    run
}

/// Exit code, standard output and standard error of a command on the tiny data.
fn call(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_smog-trainer")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn on(run: &Path, command: &[&str], more: &[&str]) -> (i32, String, String) {
    let run = [run.to_str().unwrap(), "--data", "synthetic:60:32"];
    call(&[command, &run, more].concat())
}

fn done(run: &Path, command: &[&str], more: &[&str]) -> String {
    let (code, out, err) = on(run, command, more);
    assert_eq!(code, 0, "{command:?} {more:?}: {out}{err}");
    out
}

/// The JSON files of a folder of results whose names begin so.
fn results(dir: &Path, prefix: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(prefix) && name.ends_with(".json")
        })
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

#[test]
fn an_exported_encoder_is_that_of_the_checkpoint_and_says_what_it_is() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let model = newest(&run).tensors("model").unwrap();
        for branch in ["online", "momentum"] {
            let out = dir.path().join(format!("{branch}.safetensors"));
            let text = [run.to_str().unwrap(), "--out", out.to_str().unwrap(), "--branch", branch];
            let (code, _, err) = call(&[&["export"], &text[..]].concat());
            assert_eq!(code, 0, "{err}");
            let (tensors, header) = tensors::read_about(&out).unwrap();
            assert_eq!(tensors.len(), model.len_of(branch));
            for (name, tensor) in &tensors {
                assert_eq!(tensor, &model[&format!("{branch}.encoder.{name}")], "{name}");
            }
            assert_eq!(header["format"], "pt");
            assert_eq!((header["smog.step"].as_str(), header["smog.size"].as_str()), ("3", "24"));
            assert!(header["smog.encoder"].contains("\"width\":8"), "{header:?}");
            assert!(header["smog.mean"].starts_with("[0.485,"), "{header:?}");
        }
        let others = std::fs::read_dir(dir.path()).unwrap().flatten();
        assert_eq!(others.count(), 3, "no temporary file is left");
    });
}

trait LenOf {
    fn len_of(&self, branch: &str) -> usize;
}

impl LenOf for std::collections::HashMap<String, tch::Tensor> {
    fn len_of(&self, branch: &str) -> usize {
        self.keys().filter(|name| name.starts_with(&format!("{branch}.encoder."))).count()
    }
}

#[test]
fn a_run_begins_with_a_file_keeps_it_and_resumes_without_it() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let first = trained(dir.path());
        let file = dir.path().join("encoder.safetensors");
        let text = [first.to_str().unwrap(), "--out", file.to_str().unwrap()];
        assert_eq!(call(&[&["export"], &text[..]].concat()).0, 0);
        let (encoder, _) = tensors::read_about(&file).unwrap();
        let set = format!("run.init={}", file.display());
        let run = dir.path().join("second");
        // Before its first step the run is the file, in both branches.
        let config = || tiny(&[&set, "run.length=\"4 steps\""]);
        drop(open(config(), &run, false, None).unwrap());
        let beginning = smog_trainer::trained::Wanted { path: run.clone(), ..Default::default() };
        for (name, tensor) in beginning.untrained().unwrap().backbone.state() {
            assert_eq!(tensor, encoder[&name], "{name}");
        }
        // Stopped before the first checkpoint, and the file is gone: the run has its own copy.
        std::fs::remove_file(&file).unwrap();
        let (code, _, err) = call(&[
            "run",
            "--resume",
            run.to_str().unwrap(),
            "--stop-after",
            "2",
            "--data",
            "synthetic:60:32",
        ]);
        assert_eq!(code, 75, "{err}");
        assert!(err.contains("init: the encoder begins with 120 tensors"), "{err}");
        assert_eq!(train(config(), &run, true, None), Outcome::Finished);
        let plain = dir.path().join("plain");
        train(tiny(&["run.length=\"4 steps\""]), &plain, false, None);
        assert_ne!(
            newest(&plain).state.files["model.safetensors"],
            newest(&run).state.files["model.safetensors"]
        );
        // Without the file the run is another one.
        let message = refused(tiny(&["run.length=\"4 steps\""]), &run, true);
        assert!(message.contains("run.init") && message.contains("not set now"), "{message}");
    });
}

#[test]
fn a_file_of_another_encoder_is_refused_before_the_run_has_a_folder() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let first = trained(dir.path());
        let file = dir.path().join("encoder.safetensors");
        let text = [first.to_str().unwrap(), "--out", file.to_str().unwrap()];
        assert_eq!(call(&[&["export"], &text[..]].concat()).0, 0);
        let set = format!("run.init={}", file.display());
        let run = dir.path().join("second");
        let error = open(tiny(&[&set, "model.encoder.width=16"]), &run, false, None).err().unwrap();
        let text = format!("{:#}", anyhow::Error::from(error));
        for part in
            ["encoder.safetensors", "conv1.weight", "[8, 3, 7, 7]", "[16, 3, 7, 7]", "width"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!run.exists());
    });
}

#[test]
fn every_evaluation_prints_its_protocol_and_writes_json_and_takes_an_exported_file() {
    within(240, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let file = dir.path().join("encoder.safetensors");
        let text = [run.to_str().unwrap(), "--out", file.to_str().unwrap()];
        assert_eq!(call(&[&["export"], &text[..]].concat()).0, 0);
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
fn encoding_that_was_interrupted_goes_on_behind_its_last_part_to_the_same_features() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let mut config = tiny(&["eval.batch_size=16"]);
        config.eval.batch_size = 16;
        let source = data().open("train").unwrap();
        let normalizer = Normalizer::new(tch::Device::Cpu).unwrap();
        let encode = |images: &tch::Tensor| images.flatten(1, -1).narrow(1, 100, 7);
        let run = |stop: &StopRequest, seen: &mut Vec<u64>| {
            let stream = EvalStream::new(&config).resumable(dir.path(), "pixels", stop);
            let result =
                stream.features(source.clone(), &normalizer, &encode, &mut |done| seen.push(done));
            (result, stream)
        };
        let whole = EvalStream::new(&config)
            .features(source.clone(), &normalizer, &encode, &mut |_| ())
            .unwrap();
        let stop = StopRequest::default();
        stop.request();
        for expected in [[16], [32]] {
            let mut seen = Vec::new();
            assert!(run(&stop, &mut seen).0.err().unwrap().is::<Interrupted>());
            assert_eq!(seen, expected);
        }
        let mut seen = Vec::new();
        let (found, stream) = run(&StopRequest::default(), &mut seen);
        let found = found.unwrap();
        assert_eq!(seen, [48, 60]);
        assert_eq!((found.features, found.labels), (whole.features, whole.labels));
        stream.forget_parts();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    });
}

/// The tiny data as a Parquet file, with some samples cut short.
fn with_bad(path: &Path, bad: &[usize]) -> Arc<dyn Source> {
    let source = data().open("train").unwrap();
    let mut images: Vec<Vec<u8>> = Vec::new();
    for group in 0..source.row_groups().len() as u32 {
        let group = source.read(RowGroupId(group)).unwrap();
        images.extend((0..group.rows()).map(|row| group.encoded(row).to_vec()));
    }
    bad.iter().for_each(|&row| images[row].truncate(60));
    let labels: Int64Array = (0..images.len() as i64).map(|row| Some(row % 3)).collect();
    // As Hugging Face `datasets` writes pictures.
    let bytes: BinaryArray = images.iter().map(Some).collect();
    let paths: StringArray = images.iter().map(|_| Some("")).collect();
    let field = |name: &str, kind| Arc::new(Field::new(name, kind, true));
    let images = StructArray::from(vec![
        (field("bytes", DataType::Binary), Arc::new(bytes) as ArrayRef),
        (field("path", DataType::Utf8), Arc::new(paths)),
    ]);
    let columns: [(_, ArrayRef); 2] = [("image", Arc::new(images)), ("label", Arc::new(labels))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let found = DataSet::find(path, &RemoteOptions::default(), &()).unwrap();
    found.open("train").unwrap()
}

#[test]
fn embedding_that_was_interrupted_goes_on_to_the_same_file() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let mut trained = Wanted { path: run, ..Wanted::default() }.load().unwrap();
        trained.config.eval.batch_size = 16;
        trained.config.stream.max_bad = Span::Percent(10.0);
        let normalizer = Normalizer::new(tch::Device::Cpu).unwrap();
        // Two cannot be decoded, one of them in the first part of the interrupted call.
        let source = with_bad(&dir.path().join("pictures.parquet"), &[3, 20]);
        let write = |name: &str, stop: &StopRequest| {
            let path = dir.path().join("out").join(name);
            let file = FeatureFile { path: &path, about: &trained.about, split: "train" };
            let stream = EvalStream::new(&trained.config).resumable(
                &dir.path().join("out"),
                &trained.identity,
                stop,
            );
            let rows = write_features(
                &file,
                source.clone(),
                &stream,
                &normalizer,
                &trained.backbone,
                &mut |_| (),
            )?;
            stream.forget_parts();
            anyhow::Ok((rows, std::fs::read(path)?))
        };
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let whole = write("whole", &StopRequest::default()).unwrap();
        assert_eq!(whole.0, 58);
        let stop = StopRequest::default();
        stop.request();
        for _ in 0..2 {
            assert!(write("twice", &stop).err().unwrap().is::<Interrupted>());
        }
        assert_eq!(
            std::fs::read_dir(dir.path().join("out")).unwrap().count(),
            2,
            "parts and whole"
        );
        assert_eq!(write("twice", &StopRequest::default()).unwrap(), whole);
        assert_eq!(std::fs::read_dir(dir.path().join("out")).unwrap().count(), 2, "two files");
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
