//! Threads of a stream: named, guarded against panics, joined at the end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::cancel::{Cancel, StageExit};
use super::error::{FailureCause, PipelineError};

/// How often the names of stages that still run are logged while waiting for them.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// Nothing is ever sent: when all threads have dropped their sender, all have ended.
enum Never {}

/// The threads of a stream. Each runs to its end or until it is cancelled, and a panic in one cancels all.
#[derive(Debug)]
pub struct StageSet {
    cancel: Cancel,
    threads: Vec<(String, JoinHandle<()>)>,
    running: Option<Sender<Never>>,
    ended: Receiver<Never>,
}

impl StageSet {
    pub(crate) fn new(cancel: Cancel) -> Self {
        let (running, ended) = bounded(0);
        Self { cancel, threads: Vec::new(), running: Some(running), ended }
    }

    /// The switch that stops these stages.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Starts a thread called `name` that runs `body`, once. Whatever `body` needs is moved into it, so that
    /// the ends of its channels close after it has returned and its failure was recorded: nobody who ends
    /// because of that can be taken for the cause.
    ///
    /// # Errors
    /// If the system refuses another thread.
    pub fn spawn<F>(&mut self, name: String, mut body: F) -> Result<(), PipelineError>
    where
        F: FnMut(&Cancel) -> Result<(), StageExit> + Send + 'static,
    {
        let cancel = self.cancel.clone();
        let running = self.running.clone();
        let stage = name.clone();
        let guarded = move || {
            let result =
                catch_unwind(AssertUnwindSafe(|| body(&cancel))).unwrap_or_else(|payload| {
                    Err(FailureCause::Panic { message: message(&*payload) }.into())
                });
            cancel.stage_ended(&stage, result);
            drop(body);
            drop(running);
        };
        match Builder::new().name(name.clone()).spawn(guarded) {
            Ok(handle) => {
                self.threads.push((name, handle));
                Ok(())
            }
            Err(source) => Err(PipelineError::Spawn { name, source: Arc::new(source) }),
        }
    }

    /// Waits until all threads have ended, at most for `deadline`; meanwhile logs the names of those that
    /// still run. Call after cancelling.
    ///
    /// # Errors
    /// The names of the threads that had not ended by then. They are left to themselves.
    pub(crate) fn join(&mut self, deadline: Duration) -> Result<(), PipelineError> {
        self.running = None;
        let started = Instant::now();
        loop {
            let left = deadline.saturating_sub(started.elapsed());
            match self.ended.recv_timeout(left.min(WARN_EVERY)) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => break,
            }
            let stages: Vec<String> = self
                .threads
                .iter()
                .filter(|(_, thread)| !thread.is_finished())
                .map(|(name, _)| name.clone())
                .collect();
            if started.elapsed() >= deadline {
                self.threads.clear();
                return Err(PipelineError::StillRunning { stages, seconds: deadline.as_secs() });
            }
            tracing::warn!(stages = stages.join(", "), "waiting for stages to end");
        }
        for (_, thread) in self.threads.drain(..) {
            // The guard has caught every panic, so there is nothing to learn from the result.
            let _ = thread.join();
        }
        Ok(())
    }
}

/// The text of a panic.
fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> StageSet {
        StageSet::new(Cancel::default())
    }

    #[test]
    fn a_panic_cancels_the_others_and_its_message_is_kept() {
        let mut stages = set();
        stages
            .spawn("waits".into(), |cancel| {
                cancel.wait();
                Err(StageExit::Cancelled)
            })
            .expect("spawned");
        stages.spawn("panics".into(), |_| panic!("seven is {}", 7)).expect("spawned");
        stages.join(Duration::from_secs(20)).expect("all ended");
        let failure = stages.cancel.failure().expect("recorded");
        assert_eq!(failure.stage, "panics");
        assert_eq!(failure.cause.to_string(), "panicked: seven is 7");
    }

    #[test]
    fn a_stage_that_does_not_end_is_named() {
        let mut stages = set();
        let (release, held) = bounded::<Never>(0);
        stages
            .spawn("stuck".into(), move |_| {
                let _ = held.recv();
                Ok(())
            })
            .expect("spawned");
        stages.spawn("quick".into(), |_| Ok(())).expect("spawned");
        stages.cancel.cancel();
        let error = stages.join(Duration::from_millis(50)).expect_err("one is stuck");
        assert!(matches!(error, PipelineError::StillRunning { stages, .. } if stages == ["stuck"]));
        drop(release);
    }
}
