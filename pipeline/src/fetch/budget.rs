//! A limit in bytes on what is read ahead.
//!
//! Images differ a hundredfold in size, so a limit by count protects nothing. Two rules keep the limit from
//! becoming a deadlock: what is larger than the whole budget passes when nothing else is held, and what the
//! consumer is waiting for passes in any case.

use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::runtime::{Cancel, StageExit};

/// The budget. Bytes are taken by the reader and given back by dropping the [`Permit`], wherever that is.
#[derive(Debug)]
pub struct ByteBudget {
    limit: u64,
    state: Mutex<State>,
    /// Holds a token when something changed since the reader last looked.
    changed: (Sender<()>, Receiver<()>),
}

#[derive(Debug, Default)]
struct State {
    held: u64,
    peak: u64,
    starving: bool,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default(), changed: bounded(1) })
    }

    /// Takes `bytes`, waiting until they fit or one of the two rules applies.
    ///
    /// # Errors
    /// If the stream was cancelled.
    pub fn acquire(self: &Arc<Self>, bytes: u64, cancel: &Cancel) -> Result<Permit, StageExit> {
        loop {
            if let Some(permit) = self.try_acquire(bytes) {
                return Ok(permit);
            }
            cancel.recv(&self.changed.1)?;
        }
    }

    fn try_acquire(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.acquire_if(bytes, |state| state.held == 0 || state.starving)
    }

    /// Takes `bytes` if they fit now. The consumer's plea is left for [`ByteBudget::acquire`]: what it waits for
    /// is on its way already.
    pub(crate) fn acquire_ahead(self: &Arc<Self>, bytes: u64) -> Option<Permit> {
        self.acquire_if(bytes, |_| false)
    }

    fn acquire_if(
        self: &Arc<Self>,
        bytes: u64,
        over_limit: impl Fn(&State) -> bool,
    ) -> Option<Permit> {
        let mut state = self.lock();
        if state.held + bytes > self.limit && !over_limit(&state) {
            return None;
        }
        // One pass per plea: the consumer asks again if this was not what it waits for.
        state.starving = false;
        state.held += bytes;
        state.peak = state.peak.max(state.held);
        Some(Permit { budget: Arc::clone(self), bytes })
    }

    /// Says that the consumer can do nothing before the next row group arrives.
    pub fn starve(&self) {
        self.lock().starving = true;
        self.wake();
    }

    /// Takes back [`ByteBudget::starve`]: something arrived.
    pub fn fed(&self) {
        self.lock().starving = false;
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.lock().held
    }

    /// Most bytes that were ever held.
    pub fn peak(&self) -> u64 {
        self.lock().peak
    }

    fn wake(&self) {
        // A full channel means that the reader has not looked yet and will see this change as well.
        let _ = self.changed.0.try_send(());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Counters stay consistent whatever panics while they are held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to hold some bytes; gives them back when dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<ByteBudget>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.lock().held -= self.bytes;
        self.budget.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_beyond_the_limit_wait_for_a_permit_to_be_dropped() {
        let budget = ByteBudget::new(100);
        let first = budget.try_acquire(60).expect("fits");
        assert!(budget.try_acquire(60).is_none());
        drop(first);
        let _second = budget.try_acquire(60).expect("fits again");
        assert_eq!((budget.held(), budget.peak()), (60, 60));
    }

    #[test]
    fn an_item_larger_than_the_budget_passes_when_nothing_else_is_held() {
        let budget = ByteBudget::new(100);
        let large = budget.try_acquire(500).expect("alone");
        assert!(budget.try_acquire(1).is_none());
        drop(large);
        let _small = budget.try_acquire(1).expect("fits");
        assert!(budget.try_acquire(500).is_none());
    }

    #[test]
    fn what_the_consumer_waits_for_passes_once() {
        let budget = ByteBudget::new(100);
        let _held = budget.try_acquire(100).expect("fits");
        budget.starve();
        let _wanted = budget.try_acquire(30).expect("the consumer waits for it");
        assert!(budget.try_acquire(30).is_none());
        assert_eq!(budget.peak(), 130);
    }
}
