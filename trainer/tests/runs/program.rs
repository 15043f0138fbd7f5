//! How tests start the program, watch it and send it signals.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_smog-trainer");
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
    command_on(Path::new("synthetic:60:32"), run, args)
}

/// The same on other data.
pub(crate) fn command_on(data: &Path, run: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["run", "--preset", "demo", "--data"]).arg(data).arg("--run-dir").arg(run);
    TINY.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The run in this folder goes on, with more arguments.
pub(crate) fn resume(run: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["run", "--resume"]).arg(run).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits with a deadline, so that a hang fails instead of hanging.
pub(crate) fn wait(mut child: Child) -> Output {
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

pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = wait(command.spawn().unwrap());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
}

/// Waits until the metrics hold this text; ends the process where that does not come to pass.
pub(crate) fn wait_for(child: &mut Child, run: &Path, text: &str) {
    let metrics = || std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    wait_until(child, text, &metrics);
}

pub(crate) fn wait_until(child: &mut Child, text: &str, said: &dyn Fn() -> String) {
    let start = Instant::now();
    while !said().contains(text) {
        if start.elapsed() > DEADLINE || child.try_wait().unwrap().is_some() {
            let _ = child.kill();
            panic!("{text} was not reached: {}", said());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Keeps what a program says on standard error, while it says it.
pub(crate) fn read_along(child: &mut Child) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let said = Arc::new(Mutex::new(String::new()));
    let (lines, into) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
    let reader = std::thread::Builder::new().spawn(move || {
        lines.map_while(Result::ok).for_each(|line| *into.lock().unwrap() += &(line + "\n"));
    });
    (said, reader.unwrap())
}
