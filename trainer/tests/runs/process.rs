//! The program itself: exit codes, signals, resume by command line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_smog-trainer");
const DEADLINE: Duration = Duration::from_secs(120);

const TINY: &[&str] = &[
    "run.batch_size=8",
    "run.threads=1",
    "run.device=cpu",
    "run.log_every=\"1 steps\"",
    "model.encoder.width=8",
    "model.projector_hidden=16",
    "model.predictor_hidden=16",
    "model.dim=8",
    "model.groups.count=8",
    "augment.views.0.size=24",
    "augment.views.1.size=24",
    "eval.size=24",
    "eval.resize=24",
];

/// A tiny run by the program, with more arguments; the later one of two settings counts.
pub(crate) fn command(run: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["run", "--preset", "demo", "--data", "synthetic:60:32", "--run-dir"]).arg(run);
    TINY.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits with a deadline, so that a hang fails instead of hanging.
fn wait(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("not done within {DEADLINE:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = wait(command.spawn().unwrap());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// Waits until the metrics hold this text; ends the process where that does not come to pass.
fn wait_for(child: &mut Child, run: &Path, text: &str) {
    let metrics = || std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    wait_until(child, text, &metrics);
}

fn wait_until(child: &mut Child, text: &str, said: &dyn Fn() -> String) {
    let start = Instant::now();
    while !said().contains(text) {
        if start.elapsed() > DEADLINE || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!("{text} was not reached: {}", said());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_first_interrupt_saves_and_leaves_with_its_code_and_the_run_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    for (name, step) in [("-INT", 3), ("-TERM", 6)] {
        let mut command = match step {
            3 => command(&path, &["--steps", "100000", "--set", "schedule.warmup=never"]),
            _ => {
                let mut command = Command::new(BINARY);
                command
                    .args(["run", "--resume"])
                    .arg(&path)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped());
                command
            }
        };
        let mut child = command.spawn().unwrap();
        wait_for(&mut child, &path, &format!("\"event\":\"step\",\"step\":{step},"));
        signal(&child, name);
        let output = wait(child);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{text}");
        assert!(text.contains("--resume"), "{text}");
        let again = if name == "-INT" { "Ctrl-C again" } else { "a second signal" };
        assert!(text.contains("interrupted: finishing step ") && text.contains(again), "{text}");
        assert!(path.join("checkpoints/latest").is_file());
    }
}

/// Keeps what a program says on standard error, while it says it.
fn read_along(child: &mut Child) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let said = Arc::new(Mutex::new(String::new()));
    let (lines, into) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
    let reader = std::thread::Builder::new().spawn(move || {
        lines.map_while(Result::ok).for_each(|line| *into.lock().unwrap() += &(line + "\n"));
    });
    (said, reader.unwrap())
}

#[test]
fn a_second_interrupt_aborts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    // The first step takes much longer than two signals; it follows the evaluation, whose end the metrics show.
    let sets = [
        "run.batch_size=60",
        "augment.views.0.size=192",
        "augment.views.1.size=192",
        "model.encoder.stem=cifar",
        "eval.knn_every=\"1000 steps\"",
        "eval.k=5",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let mut child = command(&path, &sets).spawn().unwrap();
    let (said, reader) = read_along(&mut child);
    wait_for(&mut child, &path, "\"metric\":\"centred-cosine\"");
    signal(&child, "-INT");
    // A signal that is still pending would swallow a second one.
    wait_until(&mut child, "finishing step 1, then saving", &|| said.lock().unwrap().clone());
    signal(&child, "-INT");
    assert_eq!(wait(child).status.code(), Some(130));
    reader.join().unwrap();
    let text = said.lock().unwrap();
    assert!(
        text.contains("aborted: this loses the step under way; there is no checkpoint yet"),
        "{text}"
    );
}

#[test]
fn an_interrupt_in_the_evaluation_after_the_last_step_says_that_all_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    // An evaluation that takes much longer than a signal, after a step that was not saved and one that was.
    let sets = [
        "schedule.warmup=never",
        "eval.knn_every=\"1000 steps\"",
        "eval.k=5",
        "eval.size=384",
        "eval.resize=384",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let mut child = command(&path, &[&sets[..], &["--steps", "2"]].concat()).spawn().unwrap();
    wait_for(&mut child, &path, "\"event\":\"checkpoint\"");
    signal(&child, "-INT");
    let output = wait(child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("interrupted: finishing the evaluation after the last step; all is saved"),
        "{text}"
    );
    assert!(text.contains("loses the evaluation under way)"), "{text}");
}

/// As when a connection breaks, with a log that nothing more can be written to.
#[test]
fn a_terminal_that_goes_away_saves_the_run_even_where_nothing_can_be_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let program = command(&path, &["--steps", "100000", "--set", "schedule.warmup=never"]);
    // The test may run under nohup itself, whose deafness its children would have.
    let mut heard = Command::new("env");
    heard.arg("--default-signal=HUP").arg(program.get_program()).args(program.get_args());
    let mut child = heard.stdout(Stdio::null()).stderr(full).spawn().unwrap();
    wait_for(&mut child, &path, "\"event\":\"step\",\"step\":3,");
    signal(&child, "-HUP");
    assert_eq!(wait(child).status.code(), Some(75));
    assert!(path.join("checkpoints/latest").is_file());
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let program = command(&path, &["--steps", "100000", "--set", "schedule.warmup=never"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(program.get_program());
    shell.args(program.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    wait_for(&mut child, &path, "\"event\":\"step\",\"step\":3,");
    signal(&child, "-HUP");
    let steps = || {
        let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap_or_default();
        text.matches("\"event\":\"step\"").count()
    };
    let before = steps();
    wait_for(&mut child, &path, &format!("\"event\":\"step\",\"step\":{},", before + 5));
    signal(&child, "-TERM");
    assert_eq!(wait(child).status.code(), Some(75));
}

/// A limit on the size of files stands in for the full disk: the metrics fit, the checkpoint does not.
#[test]
fn a_disk_that_is_full_leaves_the_last_good_checkpoint_and_no_half_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (code, text) = run(&mut command(&path, &["--steps", "2", "--quiet"]));
    assert_eq!(code, Some(0), "{text}");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", BINARY, "run", "--resume"])
        .arg(&path)
        .args(["--steps", "4", "--allow-change", "run.length"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (code, text) = run(&mut shell);
    assert_eq!(code, Some(1), "{text}");
    let said = text.lines().last().unwrap();
    assert!(
        said.contains(
            "the checkpoint of step 4 was not saved; the last good one is that of step 2"
        ),
        "{text}"
    );
    assert!(said.contains(&format!("run --resume {}", path.display())), "{text}");
    let left = std::fs::read_dir(path.join("checkpoints")).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["latest", "step-00000002"]);
    let mut command = Command::new(BINARY);
    command.args(["run", "--quiet", "--steps", "4", "--allow-change", "run.length", "--resume"]);
    let (code, text) = run(command.arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()));
    assert_eq!(code, Some(0), "with room it goes on: {text}");
}

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
    let mut again = Command::new(BINARY);
    again.args(["run", "--resume"]).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, text) = run(&mut again);
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
fn a_trace_has_the_steps_beside_the_stages_and_is_whole_after_an_interrupt() {
    let dir = tempfile::tempdir().unwrap();
    let (path, trace) = (dir.path().join("run"), dir.path().join("trace.json"));
    let mut child =
        command(&path, &["--steps", "100000", "--set", "schedule.warmup=never", "--trace"])
            .arg(&trace)
            .spawn()
            .unwrap();
    wait_for(&mut child, &path, "\"step\":3,");
    signal(&child, "-INT");
    let output = wait(child);
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ui.perfetto.dev"));
    let text = std::fs::read_to_string(&trace).unwrap();
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for name in ["read", "fetch", "decode", "augment", "collate", "take", "trainer"] {
        assert!(events.iter().any(|event| event["name"] == name), "{name}");
    }
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
