//! How long queues and slots are in which state. A change of state costs a reading of the clock and a few
//! relaxed atomics; a reader that comes between two of them is off by that one change.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crossbeam::utils::CachePadded;

use super::{nanos, seconds};

/// A queue over time. Between two changes its depth is constant, so what passes between them is added at the
/// second.
#[derive(Debug)]
pub struct QueueMeter(CachePadded<Queue>);

#[derive(Debug)]
struct Queue {
    origin: Instant,
    changed_nanos: AtomicU64,
    /// Below 0 for a moment where something was taken before its arrival was counted.
    depth: AtomicI64,
    occupied_nanos: AtomicU64,
    depth_nanos: AtomicU64,
}

/// A reading of a [`QueueMeter`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct QueueReading {
    pub(super) depth: u32,
    pub(super) occupied_seconds: f64,
    /// Integral of the depth over time.
    pub(super) depth_seconds: f64,
}

impl QueueMeter {
    pub(super) fn new(origin: Instant) -> Self {
        Self(CachePadded::new(Queue {
            origin,
            changed_nanos: AtomicU64::new(nanos(origin.elapsed())),
            depth: AtomicI64::new(0),
            occupied_nanos: AtomicU64::new(0),
            depth_nanos: AtomicU64::new(0),
        }))
    }

    /// Something was put in.
    pub fn put(&self) {
        let depth = self.0.depth.fetch_add(1, Relaxed);
        self.pass(depth);
    }

    /// Something was taken out.
    pub fn took(&self) {
        let depth = self.0.depth.fetch_sub(1, Relaxed);
        self.pass(depth);
    }

    /// What was in the queue is gone, since the stages were stopped.
    pub(crate) fn reset(&self) {
        let depth = self.0.depth.swap(0, Relaxed);
        self.pass(depth);
    }

    /// What lies in the queue now.
    pub(crate) fn depth(&self) -> u32 {
        self.0.depth.load(Relaxed).max(0) as u32
    }

    fn pass(&self, depth: i64) {
        let queue = &*self.0;
        let now = nanos(queue.origin.elapsed());
        let passed = now.saturating_sub(queue.changed_nanos.swap(now, Relaxed));
        if let Ok(depth @ 1..) = u64::try_from(depth) {
            queue.occupied_nanos.fetch_add(passed, Relaxed);
            queue.depth_nanos.fetch_add(passed * depth, Relaxed);
        }
    }

    pub(super) fn read(&self) -> QueueReading {
        let queue = &*self.0;
        let depth = self.depth();
        let since = nanos(queue.origin.elapsed()).saturating_sub(queue.changed_nanos.load(Relaxed));
        let now = if depth > 0 { since as f64 * 1e-9 } else { 0.0 };
        QueueReading {
            depth,
            occupied_seconds: seconds(&queue.occupied_nanos) + now,
            depth_seconds: seconds(&queue.depth_nanos) + now * f64::from(depth),
        }
    }
}

/// Where a slot is on its way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Free,
    Filling,
    Ready,
    Held,
}

/// Time of one slot in each of its states.
#[derive(Debug)]
pub(crate) struct SlotMeter {
    origin: Instant,
    state: AtomicU8,
    entered_nanos: AtomicU64,
    nanos: [AtomicU64; 4],
}

impl SlotMeter {
    pub(super) fn new(origin: Instant) -> Self {
        Self {
            origin,
            state: AtomicU8::new(SlotState::Free as u8),
            entered_nanos: AtomicU64::new(nanos(origin.elapsed())),
            nanos: Default::default(),
        }
    }

    /// The slot changes its state. Whoever calls holds the slot, so no two calls meet.
    pub(crate) fn enter(&self, state: SlotState) {
        let now = nanos(self.origin.elapsed());
        let entered = self.entered_nanos.swap(now, Relaxed);
        let left = self.state.swap(state as u8, Relaxed);
        self.nanos[usize::from(left)].fetch_add(now.saturating_sub(entered), Relaxed);
    }

    /// Seconds in each state.
    pub(super) fn read(&self) -> [f64; 4] {
        let mut totals = self.nanos.each_ref().map(seconds);
        let since = nanos(self.origin.elapsed()).saturating_sub(self.entered_nanos.load(Relaxed));
        totals[usize::from(self.state.load(Relaxed))] += since as f64 * 1e-9;
        totals
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_queue_is_occupied_while_something_lies_in_it() {
        let queue = QueueMeter::new(Instant::now());
        let pause = || sleep(Duration::from_millis(4));
        pause();
        queue.put();
        pause();
        queue.put();
        pause();
        queue.took();
        queue.took();
        let occupied = queue.read();
        pause();
        let later = queue.read();
        assert_eq!((later.depth, later.occupied_seconds), (0, occupied.occupied_seconds));
        assert!(occupied.occupied_seconds >= 0.008, "{occupied:?}");
        // One thing for the whole time, another for the second half of it.
        assert!(occupied.depth_seconds >= occupied.occupied_seconds + 0.004, "{occupied:?}");
    }

    #[test]
    fn a_queue_that_is_reset_is_empty() {
        let queue = QueueMeter::new(Instant::now());
        queue.put();
        queue.put();
        queue.reset();
        let before = queue.read();
        sleep(Duration::from_millis(2));
        assert_eq!(queue.read(), before);
    }

    #[test]
    fn what_is_taken_before_it_was_counted_leaves_the_queue_empty() {
        let queue = QueueMeter::new(Instant::now());
        queue.took();
        assert_eq!(queue.depth(), 0);
        queue.put();
        assert_eq!(queue.depth(), 0);
    }

    #[test]
    fn a_slot_is_in_one_state_at_a_time() {
        let origin = Instant::now();
        let slot = SlotMeter::new(origin);
        for state in [SlotState::Filling, SlotState::Ready, SlotState::Held, SlotState::Free] {
            slot.enter(state);
            sleep(Duration::from_millis(2));
        }
        let times = slot.read();
        assert!(times.iter().all(|&seconds| seconds >= 0.002), "{times:?}");
        assert!(times.iter().sum::<f64>() <= origin.elapsed().as_secs_f64());
    }
}
