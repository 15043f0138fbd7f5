//! The program itself: its exit codes, and what it prints.

use std::process::{Command, Stdio};

use crate::program::{BINARY, command, resume, run, wait};

#[test]
fn a_finished_run_leaves_with_zero_and_a_wrong_call_with_two() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (code, text) = run(&mut command(&path, &["--steps", "3"]));
    assert_eq!(code, Some(0), "{text}");
    let next = format!("; next: smog-trainer eval knn {}", path.display());
    for part in [
        "loss",
        "chance ln K = 2.079",
        "images/s",
        "data wait",
        "groups",
        "settings: preset demo, but for\n",
        "  run.batch_size = 8\n",
        "finished: 3 steps in ",
        &next,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for noise in ["[schedule]", "cannot open shared object", "\u{1b}["] {
        assert!(!text.contains(noise), "{noise}: {text}");
    }
    let (code, text) = run(&mut resume(&path, &[]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("finished already, with 3 steps"), "{text}");
    assert!(!text.contains("resuming"), "{text}");
    let (code, text) = run(&mut command(&path, &["--steps", "3"]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("already holds a run"), "{text}");
    let (code, text) = run(&mut command(&dir.path().join("other"), &["--set", "run.batchsize=3"]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("did you mean `run.batch_size`?"), "{text}");
    assert_eq!(text.lines().count(), 1, "printed once: {text}");
}

#[test]
fn the_next_command_can_be_pasted_where_a_folder_has_a_space() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my run");
    let name = format!("'{}'", path.display());
    let stopped = run(&mut command(&path, &["--steps", "3", "--stop-after", "1"]));
    let finished = run(&mut resume(&path, &[]));
    let already = run(&mut resume(&path, &[]));
    let taken = run(&mut command(&path, &["--steps", "3"]));
    for ((code, text), expected, part) in [
        (stopped, 75, format!("Go on with: smog-trainer run --resume {name}\n")),
        (finished, 0, format!("; next: smog-trainer eval knn {name} --encoder")),
        (already, 0, format!("To train longer: smog-trainer run --resume {name} --epochs N")),
        (taken, 2, format!("continue it with --resume {name}, or")),
    ] {
        assert!(code == Some(expected) && text.contains(&part), "{part}: {code:?} {text}");
    }
}

#[test]
fn an_evaluation_over_its_memory_budget_is_a_wrong_call_and_says_what_would_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let large = ["--set", "eval.size=96", "--set", "eval.resize=96"];
    let (code, text) = run(&mut command(&path, &[&["--steps", "2"], &large[..]].concat()));
    assert_eq!(code, Some(0), "{text}");
    let call = |what: &[&str], mib: &str| {
        let mut command = Command::new(BINARY);
        command.args(what).arg(&path).args(["--memory-budget-mib", mib]);
        run(command.current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    };
    let knn = ["eval", "knn", "--k", "5"];
    for what in
        [&knn[..], &["eval", "linear"], &["eval", "linear", "--protocol", "swav"], &["embed"]]
    {
        let (code, text) = call(what, "1");
        assert_eq!(code, Some(2), "{what:?}: {text}");
        assert!(text.contains("does not fit in its memory budget"), "{what:?}: {text}");
    }
    let (_, text) = call(&knn, "1");
    let (_, needed) = text.split_once("raise the budget: --memory-budget-mib ").unwrap();
    let (needed, _) = needed.split_once(' ').unwrap();
    let (code, text) = call(&knn, needed);
    assert_eq!(code, Some(0), "{needed}: {text}");
}

#[test]
fn a_run_is_evaluated_with_every_encoder_and_each_figure_names_its_metric() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (code, text) = run(&mut command(&path, &["--steps", "3", "--quiet"]));
    assert_eq!((code, text.as_str()), (Some(0), ""), "a quiet run says nothing");
    let mut command = Command::new(BINARY);
    command.args(["eval", "knn"]).arg(&path).args([
        "--encoder",
        "pixels,untrained,trained",
        "--k",
        "5",
    ]);
    let output = wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text.lines().count(), 12, "{text}");
    for part in [
        "pixels",
        "untrained",
        "after 3 steps",
        "ours: cosine",
        "centred-cosine",
        "k = 5",
        "train -> test",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let written = |line: &&str| line.contains("written to") && line.contains("-trained-cosine-");
    let json = text.lines().find(written).unwrap().trim().strip_prefix("written to ").unwrap();
    let json = std::fs::read_to_string(json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["metric"].as_str(), json["encoder"].as_str()),
        (Some("cosine"), Some("trained"))
    );
}

#[test]
fn the_groups_of_a_run_are_drawn_as_a_sheet() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("run"), dir.path().join("groups.png"));
    let (code, text) = run(&mut command(&path, &["--steps", "6", "--quiet"]));
    assert_eq!(code, Some(0), "{text}");
    let mut command = Command::new(BINARY);
    command.args(["eval", "groups"]).arg(&path).arg("--out").arg(&out);
    let output = wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("of 8 groups hold one of 60 images"),
        "{output:?}"
    );
    assert_eq!(&std::fs::read(out).unwrap()[..8], b"\x89PNG\r\n\x1a\n");
}

#[test]
fn presets_are_listed_and_printed_with_their_comments() {
    let print = |args: &[&str]| {
        let output = Command::new(BINARY).arg("presets").args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = print(&[]);
    assert_eq!(code, Some(0));
    assert!(
        ["demo", "cifar10-resnet18", "imagenet-resnet50"].iter().all(|name| text.contains(name)),
        "{text}"
    );
    assert!(print(&["demo"]).1.contains("# ours"));
    assert_eq!(print(&["dmo"]).0, Some(2));
}

#[test]
fn all_settings_are_printed_where_asked_for_and_begin_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let output = wait(command(&path, &["--print-config", "--seed", "7"]).spawn().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table: toml::Table = String::from_utf8_lossy(&output.stdout).parse().unwrap();
    assert_eq!(table["run"]["seed"].as_integer(), Some(7));
    assert!(table.contains_key("schedule") && table.contains_key("augment"));
    assert!(!path.exists());
}

#[test]
fn a_wrong_call_leaves_with_two_and_spoils_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, photo) = (dir.path().join("run"), dir.path().join("0000.jpg"));
    let (code, text) = run(&mut command(&path, &["--steps", "2", "--quiet"]));
    assert_eq!(code, Some(0), "{text}");
    std::fs::write(&photo, b"\xff\xd8\xff\xe0 a photograph").unwrap();
    std::fs::write(dir.path().join("photo"), b"\xff\xd8\xff\xe0 a photograph").unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let run_dir = at("run");
    let calls: &[(&[&str], &str)] = &[
        (&["run", "--resume"], "--resume needs a run"),
        (
            &["run", "--preset", "demo", "--data", "synthetic:60", "--init", "no.pth"],
            "no such file",
        ),
        (
            &[
                "run",
                "--preset",
                "demo",
                "--data",
                "synthetic:600",
                "--run-dir",
                &at("new"),
                "--init",
                &at("0000.jpg"),
            ],
            "is not a safetensors file",
        ),
        (&["run", "--resume", &run_dir, "--run-dir", &at("copy")], "are two folders"),
        (&["run", "--resume", &run_dir, "--stop-after", "0"], "--stop-after"),
        (&["eval", "finetune", &run_dir, "--stop-after", "0"], "--stop-after"),
        (&["eval", "linear", &run_dir, "--protocol", "swav", "--stop-after", "0"], "--stop-after"),
        (&["eval", "knn", &run_dir, "--k", "0"], "--k"),
        (
            &["eval", "finetune", &run_dir, "--batch-size", "500"],
            "larger than the 60 training samples",
        ),
        (&["export", &run_dir, "--out", &at("encoder.onnx")], "ends in .safetensors"),
        (&["export", &run_dir, "--out", &at("0000.jpg")], "ends in .safetensors"),
        (&["export", &run_dir, "--out", &at("photo")], "is there already"),
        (&["export", &run_dir, "--out", &at("no/encoder.safetensors")], "is not there"),
        (&["embed", &run_dir, "--out", &at("features.csv")], "ends in .parquet"),
        (&["embed", &at("0000.jpg")], "is not a safetensors file"),
        (&["eval", "groups", &run_dir, "--out", &at("g.jpg")], "ends in .png"),
    ];
    for (args, part) in calls {
        let mut command = Command::new(BINARY);
        command.args(*args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, text) = run(command.current_dir(dir.path()));
        assert_eq!(code, Some(2), "{args:?}: {text}");
        assert!(text.contains(part), "{args:?}: {text}");
    }
    assert_eq!(std::fs::read(&photo).unwrap(), b"\xff\xd8\xff\xe0 a photograph");
    let mut files: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["0000.jpg", "photo", "run"]);
}
