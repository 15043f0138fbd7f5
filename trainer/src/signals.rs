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
use smog_terminal::exit_code::aborted;
use smog_terminal::{note, quoted};

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
    /// Whether the model is being evaluated between two steps, or after the last one.
    evaluation: Option<Evaluation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evaluation {
    Between,
    Last,
}

impl Training {
    /// What is done, and saved, before a run that was asked to leaves.
    fn ahead(&self) -> String {
        let next = self.done + 1;
        match self.evaluation {
            None => format!("step {next}"),
            // Before the first step, so that there is something to save. The evaluation itself is left.
            Some(Evaluation::Between) => format!("step {next}"),
            Some(Evaluation::Last) => "the evaluation after the last step".to_owned(),
        }
    }

    /// Whether it leaves an evaluation between two steps, before which all was saved.
    fn is_left(&self) -> bool {
        self.evaluation == Some(Evaluation::Between) && self.done > 0 && self.done == self.saved
    }

    /// What is gone if it ends now.
    fn loss(&self) -> String {
        let steps = self.done - self.saved;
        match (self.evaluation, steps) {
            (None, 0) => "the step under way".to_owned(),
            (None, steps) => format!("{} steps", steps + 1),
            (Some(_), 0) => "the evaluation under way".to_owned(),
            (Some(_), 1) => "the evaluation under way and a step".to_owned(),
            (Some(_), steps) => format!("the evaluation under way and {steps} steps"),
        }
    }
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
        let training =
            Training { run: run.to_owned(), is_kept, done, saved: done, evaluation: None };
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

    /// The model is evaluated from now on.
    pub(crate) fn evaluating(&self, is_last: bool) {
        let evaluation = if is_last { Evaluation::Last } else { Evaluation::Between };
        self.set_evaluation(Some(evaluation));
    }

    /// The evaluation is over.
    pub(crate) fn evaluated(&self) {
        self.set_evaluation(None);
    }

    fn set_evaluation(&self, evaluation: Option<Evaluation>) {
        if let Some(training) = &mut *self.training() {
            training.evaluation = evaluation;
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
                low_level::exit(aborted(signal));
            }
            say(self.stop(again));
        }
    }

    /// What the first signal brings about.
    fn stop(&self, again: &str) -> String {
        match &*self.training() {
            Some(training) if training.is_kept && training.is_left() => {
                format!(
                    "interrupted: leaving the evaluation; all is saved ({again} leaves at once)"
                )
            }
            Some(training) if training.is_kept => {
                let is_last = training.evaluation == Some(Evaluation::Last);
                format!(
                    "interrupted: finishing {}{} ({again} leaves at once and loses {})",
                    training.ahead(),
                    if is_last { "; all is saved" } else { ", then saving" },
                    training.loss()
                )
            }
            Some(training) => format!("interrupted: finishing {}", training.ahead()),
            None => format!(
                "interrupted: finishing what is under way, then saving ({again} leaves at once)"
            ),
        }
    }

    /// What the second signal costs.
    fn abort(&self) -> String {
        match &*self.training() {
            Some(training) if training.is_kept => {
                let place = match training.saved {
                    0 => "there is no checkpoint yet. Start again".to_owned(),
                    saved => format!("the last checkpoint is that of step {saved}. Go on"),
                };
                format!(
                    "aborted: this loses {}; {place} with: smog-trainer run --resume {}",
                    training.loss(),
                    quoted(&training.run)
                )
            }
            _ => "aborted".to_owned(),
        }
    }
}

/// Says it, or goes on without where nobody takes it.
fn say(text: String) {
    let (done, wait) = mpsc::sync_channel(1);
    let speaker = std::thread::Builder::new().name("smog-message".to_owned()).spawn(move || {
        // On a terminal the bar of progress and `^C` stand in the line.
        let line = if std::io::stderr().is_terminal() { "\n" } else { "" };
        note(&format!("{line}{text}"));
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
        stop.begin(Path::new("my runs/x"), true, 0);
        stop.evaluating(false);
        let text = stop.stop("");
        assert!(text.contains("finishing step 1, then saving"), "{text}");
        assert!(text.contains("loses the evaluation under way"), "{text}");
        stop.begin(Path::new("my runs/x"), true, 9);
        let text = stop.abort();
        assert!(text.ends_with("smog-trainer run --resume 'my runs/x'"), "{text}");
        stop.evaluating(false);
        let text = stop.stop("Ctrl-C again");
        assert!(text.contains("leaving the evaluation; all is saved (Ctrl-C again"), "{text}");
        assert!(stop.abort().contains("loses the evaluation under way; the last"));
        stop.done(11, false);
        stop.evaluating(true);
        let text = stop.stop("");
        assert!(text.contains("finishing the evaluation after the last step; all is saved"));
        assert!(stop.abort().contains("loses the evaluation under way and 2 steps; the last"));
        stop.evaluated();
        assert!(stop.stop("").contains("finishing step 12, then saving"), "{}", stop.stop(""));
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
