//! A watchdog against hangs, and a count of the pipeline's threads and memory.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use smog_pipeline::runtime::THREAD_PREFIX;

/// Longest time for one test. Generous, since the machine may be busy; it only has to be shorter than
/// forever.
const LIMIT: Duration = Duration::from_secs(300);

/// One pipeline at a time, so that threads and memory can be told apart.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test of the pipeline alone. If it takes too long, says which stages still run and aborts, since a
/// thread that hangs cannot be ended. Afterwards no thread of the pipeline may be left.
#[expect(clippy::print_stderr, reason = "the last words of a test that hangs")]
pub fn watched<T>(body: impl FnOnce() -> T) -> T {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let (done, ended) = mpsc::channel::<()>();
    let watchdog = thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs after {LIMIT:?}; these stages run: {:?}", stage_threads());
                std::process::abort();
            }
        })
        .expect("a thread can be started");
    let result = body();
    assert_no_stage_left();
    drop(done);
    watchdog.join().expect("the watchdog does not panic");
    result
}

/// Runs an ignored test of the same program in a process of its own and gives its output: memory can only be compared
/// where nothing else was done before. Fails as that test does.
pub fn alone(test: &str) -> String {
    let program = std::env::current_exe().expect("tests run from a file");
    let output = Command::new(program)
        .args(["--ignored", "--exact", test, "--nocapture"])
        .output()
        .expect("the same program starts again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    text.into_owned()
}

/// Names of the pipeline's threads in this process.
pub fn stage_threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    let names =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with(THREAD_PREFIX))
        .collect()
}

/// Fails if a thread of the pipeline is left. A joined thread stays in the list for a moment.
pub fn assert_no_stage_left() {
    let started = Instant::now();
    while !stage_threads().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "left over: {:?}", stage_threads());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Resident memory of this process in bytes.
pub fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// Most of it since [`reset_peak`].
pub fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

/// Lets [`peak_bytes`] count from now on. Where the system refuses, the peak is that of the whole process.
pub fn reset_peak() -> std::io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

fn status_bytes(entry: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with(entry)).expect("the kernel counts");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

/// Waits until `reached` holds.
pub fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(120), "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
