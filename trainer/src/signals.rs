//! Ctrl-C, SIGTERM, SIGHUP: the first one asks to finish the step, save and leave, and says so at once; the second aborts
//! and says what is lost.
//!
//! Signals are counted on a thread of their own, since a step may take longer than a person waits. What it says is written
//! by another one: standard error may be a pipe that nobody reads, and the second signal must not wait for it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::progress::tell;

/// How long the thread of the signals waits until its words are written.
const SAYING: Duration = Duration::from_millis(500);

/// A request to stop after the step under way. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct StopRequest(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_requested: AtomicBool,
    /// Only while a run trains.
    training: Mutex<Option<Training>>,
}

/// What a person who interrupts a run wants to know.
#[derive(Clone, Debug)]
struct Training {
    run: PathBuf,
    /// Whether the run keeps checkpoints.
    is_kept: bool,
    done: u64,
    /// Step of the last checkpoint; 0 where there is none.
    saved: u64,
}

impl StopRequest {
    /// A request that SIGINT, SIGTERM and SIGHUP (a terminal that went away) make. A second signal ends the process at
    /// once, with 128 plus its number as exit code, as the shell would report it. SIGHUP stays without effect where the
    /// process was started so, as `nohup` does.
    ///
    /// # Errors
    /// If the system refuses the handlers or the thread.
    pub fn on_signals() -> std::io::Result<Self> {
        let request = Self::default();
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
        let watched = request.clone();
        std::thread::Builder::new()
            .name("smog-signals".to_owned())
            .spawn(move || watched.watch(signals))?;
        Ok(request)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.is_requested.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.is_requested.load(Ordering::SeqCst)
    }

    /// A run trains from now on; `done` steps are done and, where it keeps checkpoints, saved.
    pub(crate) fn begin(&self, run: &Path, is_kept: bool, done: u64) {
        let training = Training { run: run.to_owned(), is_kept, done, saved: done };
        *self.training() = Some(training);
    }

    /// So many steps are done, and now they are saved or not.
    pub(crate) fn done(&self, steps: u64, is_saved: bool) {
        if let Some(training) = &mut *self.training() {
            training.done = steps;
            if is_saved {
                training.saved = steps;
            }
        }
    }

    fn training(&self) -> std::sync::MutexGuard<'_, Option<Training>> {
        self.0.training.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, mut signals: Signals) {
        for signal in signals.forever() {
            let again = if signal == SIGINT { "Ctrl-C again" } else { "a second signal" };
            if self.0.is_requested.swap(true, Ordering::SeqCst) {
                say(self.abort());
                // Without the exit handlers of libraries whose threads are at work.
                low_level::exit(128 + signal);
            }
            say(self.stop(again));
        }
    }

    /// What the first signal brings about.
    fn stop(&self, again: &str) -> String {
        match &*self.training() {
            Some(Training { is_kept: true, done, saved, .. }) => format!(
                "interrupted: finishing step {}, then saving ({again} leaves at once and loses {})",
                done + 1,
                steps(done + 1 - saved)
            ),
            Some(Training { done, .. }) => format!("interrupted: finishing step {}", done + 1),
            None => format!(
                "interrupted: finishing what is under way, then saving ({again} leaves at once)"
            ),
        }
    }

    /// What the second signal costs.
    fn abort(&self) -> String {
        match &*self.training() {
            Some(Training { is_kept: true, run, done, saved }) => {
                let place = match saved {
                    0 => "there is no checkpoint yet. Start again".to_owned(),
                    saved => format!("the last checkpoint is that of step {saved}. Go on"),
                };
                format!(
                    "aborted: this loses {}; {place} with: smog-trainer run --resume {}",
                    steps(done + 1 - saved),
                    run.display()
                )
            }
            _ => "aborted".to_owned(),
        }
    }
}

fn steps(number: u64) -> String {
    match number {
        1 => "the step under way".to_owned(),
        number => format!("{number} steps"),
    }
}

/// Says it, or goes on without where nobody takes it.
fn say(text: String) {
    let (done, wait) = mpsc::sync_channel(1);
    let speaker = std::thread::Builder::new().name("smog-message".to_owned()).spawn(move || {
        // On a terminal the bar of progress and `^C` stand in the line.
        let line = if std::io::stderr().is_terminal() { "\n" } else { "" };
        tell(&format!("{line}{text}"));
        let _ = done.send(());
    });
    if speaker.is_ok() {
        let _ = wait.recv_timeout(SAYING);
    }
}

/// Whether the process was started with this signal ignored, as far as the system says.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, signal)
}

fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_is_finished_and_what_a_second_signal_costs() {
        let stop = StopRequest::default();
        assert!(stop.stop("Ctrl-C again").contains("Ctrl-C again leaves at once"));
        stop.begin(Path::new("runs/x"), true, 0);
        stop.done(7, false);
        assert!(stop.stop("").contains("finishing step 8, then saving"), "{}", stop.stop(""));
        assert!(stop.stop("").contains("loses 8 steps"), "{}", stop.stop(""));
        assert!(stop.abort().contains("loses 8 steps; there is no checkpoint yet. Start again"));
        stop.done(9, true);
        assert!(stop.stop("").contains("loses the step under way"), "{}", stop.stop(""));
        let text = stop.abort();
        assert!(text.contains("that of step 9. Go on with: smog-trainer run --resume runs/x"));
        stop.begin(Path::new("runs/x"), false, 0);
        assert_eq!(stop.stop(""), "interrupted: finishing step 1");
    }

    #[test]
    fn a_signal_that_was_ignored_from_the_start_is_seen_in_the_mask() {
        let status = "Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP) && !ignores(status, SIGINT));
        assert!(!ignores("", SIGHUP));
    }
}
