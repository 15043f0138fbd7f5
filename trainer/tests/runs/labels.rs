//! Evaluations on data of others: without some labels, in the order of its classes, with images that cannot be decoded.

use std::path::{Path, PathBuf};

use smog_trainer::session::{RunOptions, Session};

use crate::call::{call, results, trained};
use crate::pictures::{Pictures, in_place};
use crate::support::{data, tiny, train, within};

/// A folder with a file of each split.
fn folder(dir: &Path, splits: &[(&str, Pictures<'_>)]) -> PathBuf {
    let folder = dir.join("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    for (split, pictures) in splits {
        pictures.write(&folder.join(format!("{split}-00000.parquet")));
    }
    folder
}

/// Exit code, and standard output and error together.
fn eval(run: &Path, data: &Path, command: &[&str]) -> (i32, String) {
    let subject = [run.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (code, out, err) = call(&[&["eval"], &command[..1], &subject, &command[1..]].concat());
    (code, out + &err)
}

fn done(run: &Path, data: &Path, command: &[&str]) -> String {
    let (code, text) = eval(run, data, command);
    assert_eq!(code, 0, "{command:?}: {text}");
    text
}

const SWAV: &[&str] = &["linear", "--protocol", "swav", "--epochs", "1", "--batch-size", "16"];
const FINETUNE: &[&str] = &["finetune", "--epochs", "1", "--batch-size", "16"];

#[test]
fn samples_without_a_label_are_refused_before_anything_is_encoded() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let some = Pictures { label: &|row| (row != 7).then_some(row % 3), ..Pictures::default() };
        let all = Pictures::default;
        let pictures = folder(dir.path(), &[("train", all()), ("test", some), ("val", all())]);
        let told = "1 of the 60 samples to be used of split `test` have no label";
        for command in [&["knn"], &["linear"], SWAV, FINETUNE] {
            let (code, text) = eval(&run, &pictures, command);
            assert!(code == 2 && text.contains(told), "{command:?}: {code} {text}");
            assert!(text.contains("--test-split NAME"), "{text}");
        }
        assert!(!run.join("eval").exists(), "nothing was encoded or trained");
        let text = done(&run, &pictures, &["knn", "--test-split", "val", "--k", "5"]);
        assert!(text.contains("train -> val, 60 against 60"), "{text}");
        let (code, text) = eval(&run, &pictures, &["knn", "--train-split", "test"]);
        assert!(code == 2 && text.contains("--train-split NAME"), "{code} {text}");
        // Before a share of the labels is drawn.
        let splits = ["--train-split", "test", "--test-split", "val"];
        let (code, text) = eval(&run, &pictures, &[FINETUNE, &splits].concat());
        assert!(code == 2 && text.contains(told), "{code} {text}");

        // A run that would look at them during the training does not begin.
        let of_run = |sets: &[&str]| {
            let run_dir = dir.path().join("watched");
            let options = RunOptions { run_dir, quiet: true, ..RunOptions::default() };
            Session::open(tiny(sets), &data(), Some(&in_place(&pictures)), options).map(|_| ())
        };
        let every = "eval.knn_every=\"2 steps\"";
        let error = of_run(&[every]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(told), "{error}");
        assert!(error.to_string().contains("--set 'eval.test_splits=["), "{error}");
        assert!(!dir.path().join("watched").exists());
        of_run(&[every, "eval.test_splits=[\"val\"]"]).unwrap();
    });
}

#[test]
fn a_test_split_without_any_label_is_passed_over_and_said() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let none = Pictures { label: &|_| None, ..Pictures::default() };
        // The last class is missing in `val`, whose classes are numbers.
        let two = Pictures { label: &|row| Some(row % 2), count: 20, ..Pictures::default() };
        let pictures =
            folder(dir.path(), &[("train", Pictures::default()), ("test", none), ("val", two)]);
        for command in [&["knn", "--k", "5"], &["linear", "--epochs", "1"], SWAV, FINETUNE] {
            let text = done(&run, &pictures, command);
            let remark = "split `test` has no labels to test with; `val` is taken instead";
            assert_eq!(text.matches(remark).count(), 1, "{text}");
            assert!(text.contains("train -> val") && text.contains("33.33 %"), "{text}");
        }
        let (code, text) = eval(&run, &pictures, &["knn", "--test-split", "test"]);
        assert!(code == 2 && text.contains("60 of the 60 samples"), "{code} {text}");
    });
}

#[test]
fn images_that_cannot_be_decoded_do_not_count_twice_and_are_said() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = trained(dir.path());
        let bad = || Pictures { bad: &[3, 20], ..Pictures::default() };
        let one = folder(&dir.path().join("one"), &[("train", bad())]);
        let number = |prefix: &str, key: &str| {
            let json = results(&run.join("eval"), prefix);
            json[0][key].as_u64().unwrap_or_else(|| panic!("{prefix} {key}: {}", json[0]))
        };
        let told = "2 that cannot be decoded left out";
        let text = done(&run, &one, &["knn", "--k", "5", "--metric", "cosine"]);
        assert!(text.contains("fixed hold-out of one in 10") && text.contains(told), "{text}");
        assert_eq!(number("knn", "num_bank") + number("knn", "num_queries"), 58);
        let text = done(&run, &one, &["linear", "--epochs", "1"]);
        assert!(text.contains(told), "{text}");
        let text = done(&run, &one, &["clusters"]);
        assert!(text.contains(told), "{text}");
        assert_eq!(
            (number("clusters", "num_samples"), number("clusters", "num_left_out")),
            (58, 2)
        );
        let sheet = dir.path().join("groups.png");
        let text = done(&run, &one, &["groups", "--out", sheet.to_str().unwrap()]);
        assert!(text.contains(told) && text.contains("one of 58 images of train"), "{text}");
        assert_eq!((number("groups", "num_samples"), number("groups", "num_left_out")), (58, 2));

        let both =
            folder(&dir.path().join("both"), &[("train", Pictures::default()), ("test", bad())]);
        let text = done(&run, &both, &["knn", "--k", "5", "--metric", "cosine"]);
        assert!(text.contains("58 against 60 samples") && text.contains(told), "{text}");
        let text = done(&run, &both, SWAV);
        assert!(text.contains(told) && text.contains("58 tested"), "{text}");
    });
}

#[test]
fn data_in_the_order_of_its_classes_is_warned_of() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let sets = [
            "run.length=\"2 steps\"",
            "schedule.warmup=never",
            "stream.order.kind=window",
            "stream.order.row_groups=2",
        ];
        train(tiny(&sets), &run, false, None);
        let sorted = Pictures { label: &|row| Some(row / 20), rows: 4, ..Pictures::default() };
        let mixed = || Pictures { rows: 4, ..Pictures::default() };
        let sorted = folder(&dir.path().join("sorted"), &[("train", sorted), ("test", mixed())]);
        let mixed = folder(&dir.path().join("mixed"), &[("train", mixed()), ("test", mixed())]);
        let told = "the data lies sorted by class";
        let sheet = dir.path().join("groups.png");
        let groups = ["groups", "--samples", "20", "--out", sheet.to_str().unwrap()];
        for command in [SWAV, &groups] {
            let text = done(&run, &sorted, command);
            assert!(text.contains(told), "{command:?}: {text}");
            let text = done(&run, &mixed, command);
            assert!(!text.contains(told), "{command:?}: {text}");
        }
        // A small subset is read as one row group, which is shuffled whole.
        let text = done(&run, &sorted, FINETUNE);
        assert!(!text.contains(told), "{text}");
        // All of it is looked at.
        let text = done(&run, &sorted, &["groups", "--out", sheet.to_str().unwrap()]);
        assert!(!text.contains(told), "{text}");
    });
}
