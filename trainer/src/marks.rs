//! Stretches of a device's time, by marks in its queue.

use std::collections::VecDeque;
use std::time::Duration;

use smog_model::device::{Event, Stream};
use tch::Device;

/// Measures stretches between two marks on the device, and keeps a `T` beside each. Marks are read when the device has
/// passed them, so nobody waits for a figure; it lags by the steps that the host is ahead.
#[derive(Debug)]
pub(crate) struct Marks<T> {
    device: Device,
    begun: Option<[Event; 2]>,
    pending: VecDeque<(T, [Event; 2])>,
    spare: Vec<[Event; 2]>,
}

impl<T> Marks<T> {
    pub(crate) fn new(device: Device) -> Self {
        Self { device, begun: None, pending: VecDeque::new(), spare: Vec::new() }
    }

    /// A stretch begins behind all that is queued.
    pub(crate) fn begin(&mut self) {
        let device = self.device;
        let mut marks =
            self.spare.pop().unwrap_or_else(|| [Event::timed(device), Event::timed(device)]);
        marks[0].record(Stream::current(device));
        self.begun = Some(marks);
    }

    /// It ends behind all that is queued; nothing happens where none was begun.
    pub(crate) fn end(&mut self, beside: T) {
        if let Some(mut marks) = self.begun.take() {
            marks[1].record(Stream::current(self.device));
            self.pending.push_back((beside, marks));
        }
    }

    /// It does not count.
    pub(crate) fn leave_out(&mut self) {
        self.spare.extend(self.begun.take());
    }

    /// The oldest stretch that the device has passed.
    pub(crate) fn next_passed(&mut self) -> Option<(T, Duration)> {
        let (_, [_, end]) = self.pending.front()?;
        if end.is_done() { self.take_oldest() } else { None }
    }

    /// The oldest stretch; waits for the device.
    pub(crate) fn wait_for_next(&mut self) -> Option<(T, Duration)> {
        let (_, [_, end]) = self.pending.front()?;
        end.synchronize();
        self.take_oldest()
    }

    fn take_oldest(&mut self) -> Option<(T, Duration)> {
        let (beside, marks) = self.pending.pop_front()?;
        let time = marks[0].until(&marks[1]);
        self.spare.push(marks);
        Some((beside, time))
    }

    /// Pairs of marks that are not in use.
    #[cfg(test)]
    pub(crate) fn num_spare(&self) -> usize {
        self.spare.len()
    }
}
