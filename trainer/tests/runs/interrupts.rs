//! Signals: what the first one saves, what the second one costs, and whom they reach.

use std::process::{Command, Stdio};

use crate::program::{command, read_along, resume, signal, wait, wait_for, wait_until};

#[test]
fn the_first_interrupt_saves_and_leaves_with_its_code_and_the_run_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    for (name, step) in [("-INT", 3), ("-TERM", 6)] {
        let mut command = match step {
            3 => command(&path, &["--steps", "100000", "--set", "schedule.warmup=never"]),
            _ => resume(&path, &[]),
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
