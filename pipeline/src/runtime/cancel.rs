//! Telling all stages to end, and keeping the reason of the first that failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam::channel::{Receiver, Sender, bounded};
use crossbeam::select;

use super::error::{FailureCause, StageFailure};

/// Nothing is ever sent: the sender's end is the signal.
enum Never {}

/// A switch that all stages of a stream share. Every blocking send and receive of a stage goes through it,
/// so a stage that sleeps on a queue wakes when the stream ends.
#[derive(Clone, Debug)]
pub struct Cancel {
    shared: Arc<Shared>,
    cancelled: Receiver<Never>,
}

#[derive(Debug)]
struct Shared {
    flag: AtomicBool,
    /// Dropped to wake everybody.
    sender: Mutex<Option<Sender<Never>>>,
    first_failure: OnceLock<Arc<StageFailure>>,
    first_orphan: OnceLock<Arc<StageFailure>>,
}

/// Why a stage ends before its work is done.
#[derive(Debug)]
pub enum StageExit {
    /// It was told to.
    Cancelled,
    /// The stage on the other end of a channel is gone. That stage has the reason, so this one is reported
    /// only if there is no other.
    Orphaned,
    /// It failed.
    Failed(FailureCause),
}

impl StageExit {
    pub(crate) fn bug(message: String) -> Self {
        Self::Failed(FailureCause::Other(message))
    }
}

impl From<FailureCause> for StageExit {
    fn from(cause: FailureCause) -> Self {
        Self::Failed(cause)
    }
}

impl Default for Cancel {
    fn default() -> Self {
        // Nothing is sent, but without room for one item each wait would allocate a place to hand it over.
        let (sender, cancelled) = bounded(1);
        let shared = Shared {
            flag: AtomicBool::new(false),
            sender: Mutex::new(Some(sender)),
            first_failure: OnceLock::new(),
            first_orphan: OnceLock::new(),
        };
        Self { shared: Arc::new(shared), cancelled }
    }
}

impl Cancel {
    /// Tells all stages to end.
    pub fn cancel(&self) {
        self.shared.flag.store(true, Ordering::Release);
        self.shared.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether the stages were told to end.
    pub fn is_cancelled(&self) -> bool {
        self.shared.flag.load(Ordering::Acquire)
    }

    /// Sleeps until the stages are told to end.
    pub fn wait(&self) {
        let _ = self.cancelled.recv();
    }

    /// Sleeps for `duration` or until the stages are told to end.
    ///
    /// # Errors
    /// [`StageExit::Cancelled`] if they were.
    pub fn sleep(&self, duration: std::time::Duration) -> Result<(), StageExit> {
        match self.cancelled.recv_timeout(duration) {
            Err(crossbeam::channel::RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(StageExit::Cancelled),
        }
    }

    /// Receives from `channel`.
    ///
    /// # Errors
    /// If the stream was cancelled meanwhile, or all senders are gone.
    pub fn recv<T>(&self, channel: &Receiver<T>) -> Result<T, StageExit> {
        if self.is_cancelled() {
            return Err(StageExit::Cancelled);
        }
        select! {
            recv(channel) -> item => item.map_err(|_| self.disconnected()),
            recv(self.cancelled) -> _ => Err(StageExit::Cancelled),
        }
    }

    /// Receives from `first`, or, if nothing is there, from whichever of the two channels has something first. Also says
    /// whether it came from `first`.
    ///
    /// # Errors
    /// If the stream was cancelled meanwhile, or all senders of one of them are gone.
    pub fn recv_either<T>(
        &self,
        first: &Receiver<T>,
        second: &Receiver<T>,
    ) -> Result<(T, bool), StageExit> {
        if self.is_cancelled() {
            return Err(StageExit::Cancelled);
        }
        if let Ok(item) = first.try_recv() {
            return Ok((item, true));
        }
        select! {
            recv(first) -> item => item.map(|item| (item, true)).map_err(|_| self.disconnected()),
            recv(second) -> item => item.map(|item| (item, false)).map_err(|_| self.disconnected()),
            recv(self.cancelled) -> _ => Err(StageExit::Cancelled),
        }
    }

    /// Sends to `channel`.
    ///
    /// # Errors
    /// If the stream was cancelled meanwhile, or all receivers are gone.
    pub fn send<T>(&self, channel: &Sender<T>, item: T) -> Result<(), StageExit> {
        if self.is_cancelled() {
            return Err(StageExit::Cancelled);
        }
        select! {
            send(channel, item) -> sent => sent.map_err(|_| self.disconnected()),
            recv(self.cancelled) -> _ => Err(StageExit::Cancelled),
        }
    }

    /// A neighbour that ends because of a cancel closes its channels, too.
    fn disconnected(&self) -> StageExit {
        if self.is_cancelled() { StageExit::Cancelled } else { StageExit::Orphaned }
    }

    /// Records how a stage ended and tells the others, unless it ended as it should.
    pub(crate) fn stage_ended(&self, stage: &str, result: Result<(), StageExit>) {
        let (cell, cause) = match result {
            Ok(()) | Err(StageExit::Cancelled) => return,
            Err(StageExit::Failed(cause)) => (&self.shared.first_failure, cause),
            Err(StageExit::Orphaned) => (&self.shared.first_orphan, FailureCause::Orphaned),
        };
        // The first one wins; a later one is a consequence more often than news.
        let _ = cell.set(Arc::new(StageFailure { stage: stage.to_owned(), cause }));
        self.cancel();
    }

    /// What failed first. Complete only when all stages have ended.
    pub(crate) fn failure(&self) -> Option<Arc<StageFailure>> {
        self.shared.first_failure.get().or_else(|| self.shared.first_orphan.get()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outranks_the_orphans_that_it_leaves() {
        let cancel = Cancel::default();
        cancel.stage_ended("late", Err(StageExit::Orphaned));
        cancel.stage_ended("cause", Err(StageExit::bug("broken".into())));
        cancel.stage_ended("other", Err(StageExit::bug("also".into())));
        assert!(cancel.is_cancelled());
        assert_eq!(cancel.failure().expect("recorded").stage, "cause");
    }

    #[test]
    fn cancelling_wakes_whoever_sleeps_on_a_channel() {
        let cancel = Cancel::default();
        let (sender, receiver) = bounded::<u32>(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cancel.recv(&receiver));
            cancel.cancel();
            assert!(matches!(waiting.join().expect("no panic"), Err(StageExit::Cancelled)));
        });
        assert!(matches!(cancel.send(&sender, 1), Err(StageExit::Cancelled)));
    }

    #[test]
    fn of_two_channels_the_first_is_preferred_and_both_wake() {
        let cancel = Cancel::default();
        let (first, a) = bounded::<u32>(1);
        let (second, b) = bounded::<u32>(1);
        second.send(2).expect("open");
        first.send(1).expect("open");
        assert_eq!(cancel.recv_either(&a, &b).expect("open"), (1, true));
        assert_eq!(cancel.recv_either(&a, &b).expect("open"), (2, false));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| cancel.recv_either(&a, &b));
            drop(second);
            assert!(matches!(waiting.join().expect("no panic"), Err(StageExit::Orphaned)));
        });
        cancel.cancel();
        assert!(matches!(cancel.recv_either(&a, &b), Err(StageExit::Cancelled)));
    }

    #[test]
    fn a_closed_channel_is_never_the_end_of_data() {
        let cancel = Cancel::default();
        let (sender, receiver) = bounded::<u32>(1);
        drop(sender);
        assert!(matches!(cancel.recv(&receiver), Err(StageExit::Orphaned)));
    }
}
