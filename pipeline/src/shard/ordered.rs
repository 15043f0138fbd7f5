//! Work that is done by many and handed over in order, with a bound on what is under way.
//!
//! Items are claimed in order of their number, and a claim waits until its bytes fit. An item larger than
//! the whole bound may pass when nothing else is held, so the bound cannot become a deadlock: whatever the
//! consumer waits for was claimed already, or is next and claimed once the rest is taken.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Charged per item above its bytes, so that tiny items are bounded, too.
const ITEM_BYTES: u64 = 1024;

/// The hand-over between workers and the one consumer.
pub(super) struct Ordered<T> {
    state: Mutex<State<T>>,
    /// The consumer's next item is there, or never will be.
    ready: Condvar,
    /// There is room for the next claim, or there will be no more claims.
    room: Condvar,
    num_items: usize,
    limit_bytes: u64,
}

struct State<T> {
    next_claim: usize,
    next_take: usize,
    ready: BTreeMap<usize, (u64, T)>,
    held_bytes: u64,
    /// The consumer has left: claims end.
    stopped: bool,
    /// A worker panicked: the consumer must not wait for its item.
    panicked: Option<String>,
}

impl<T> Ordered<T> {
    /// `num_items` items, of which at most `limit_bytes` are under way at a time.
    pub(super) fn new(num_items: usize, limit_bytes: u64) -> Self {
        Self {
            state: Mutex::new(State {
                next_claim: 0,
                next_take: 0,
                ready: BTreeMap::new(),
                held_bytes: 0,
                stopped: false,
                panicked: None,
            }),
            ready: Condvar::new(),
            room: Condvar::new(),
            num_items,
            limit_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item to work on, once its bytes fit; `None` when there are no more.
    pub(super) fn claim(&self, bytes_of: impl Fn(usize) -> u64) -> Option<usize> {
        let mut state = self.lock();
        loop {
            let item = state.next_claim;
            if state.stopped || state.panicked.is_some() || item >= self.num_items {
                self.room.notify_one();
                return None;
            }
            let bytes = bytes_of(item) + ITEM_BYTES;
            if state.held_bytes == 0 || state.held_bytes + bytes <= self.limit_bytes {
                state.next_claim += 1;
                state.held_bytes += bytes;
                // All wait for the same next item, so one is woken at a time, and wakes the next.
                self.room.notify_one();
                return Some(item);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands over the result of a claimed item; `bytes` as when it was claimed.
    pub(super) fn deliver(&self, item: usize, bytes: u64, result: T) {
        let mut state = self.lock();
        state.ready.insert(item, (bytes + ITEM_BYTES, result));
        if item == state.next_take {
            self.ready.notify_all();
        }
    }

    /// Waits for the next result in order; `None` after the last.
    ///
    /// # Errors
    /// The message of a worker that panicked.
    pub(super) fn take(&self) -> Result<Option<T>, String> {
        let mut state = self.lock();
        loop {
            let item = state.next_take;
            if item >= self.num_items {
                return Ok(None);
            }
            if let Some((bytes, result)) = state.ready.remove(&item) {
                state.next_take += 1;
                state.held_bytes -= bytes;
                self.room.notify_one();
                return Ok(Some(result));
            }
            if let Some(message) = &state.panicked {
                return Err(message.clone());
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets workers end after their current item.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_all();
    }

    /// Records that a worker panicked.
    pub(super) fn fail(&self, message: String) {
        self.lock().panicked.get_or_insert(message);
        self.ready.notify_all();
        self.room.notify_all();
    }
}

/// A bound on bytes that are in use at the same time; one request above it passes alone.
pub(super) struct Gate {
    used: Mutex<u64>,
    freed: Condvar,
    limit_bytes: u64,
}

impl Gate {
    /// A bound of `limit_bytes`.
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { used: Mutex::new(0), freed: Condvar::new(), limit_bytes }
    }

    /// Runs `work` once `bytes` are free.
    pub(super) fn with<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && *used + bytes > self.limit_bytes {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        drop(used);
        let _held = Held { gate: self, bytes };
        work()
    }
}

/// Gives the bytes back, also when the work panics.
struct Held<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.gate.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Runs `test` in a thread; a hang is a failure.
    fn watched(test: impl FnOnce() + Send + 'static) {
        let (done, wait) = mpsc::channel();
        let thread = thread::Builder::new()
            .spawn(move || {
                test();
                done.send(()).unwrap();
            })
            .unwrap();
        match wait.recv_timeout(Duration::from_secs(60)) {
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
            _ => thread.join().unwrap(),
        }
    }

    #[test]
    fn results_come_in_order_and_bytes_under_way_stay_within_the_bound() {
        watched(|| {
            let sizes = |item: usize| if item == 70 { 1 << 20 } else { (item as u64 * 37) % 5000 };
            let (queue, held, peak) =
                (Ordered::new(200, 20_000), AtomicU64::new(0), AtomicU64::new(0));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        while let Some(item) = queue.claim(sizes) {
                            let now = held.fetch_add(sizes(item), Ordering::SeqCst) + sizes(item);
                            if item != 70 {
                                peak.fetch_max(now, Ordering::SeqCst);
                            } else {
                                assert_eq!(now, 1 << 20, "the giant passes alone");
                            }
                            thread::sleep(Duration::from_micros(item as u64 * 7919 % 300));
                            held.fetch_sub(sizes(item), Ordering::SeqCst);
                            queue.deliver(item, sizes(item), item);
                        }
                    });
                }
                for expected in 0..200 {
                    assert_eq!(queue.take(), Ok(Some(expected)));
                }
                assert_eq!(queue.take(), Ok(None));
            });
            assert!(peak.load(Ordering::SeqCst) <= 20_000);
        });
    }

    #[test]
    fn a_stop_ends_workers_that_wait_and_a_panic_ends_the_consumer() {
        watched(|| {
            let queue = Ordered::<u8>::new(10, 1);
            thread::scope(|scope| {
                assert_eq!(queue.claim(|_| 5), Some(0));
                let waiting = scope.spawn(|| queue.claim(|_| 5));
                queue.stop();
                assert_eq!(waiting.join().unwrap(), None);
                let consumer = scope.spawn(|| queue.take());
                queue.fail("broken".to_owned());
                assert_eq!(consumer.join().unwrap(), Err("broken".to_owned()));
            });
        });
    }
}
