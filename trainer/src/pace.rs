//! How far the host may run ahead of the device.
//!
//! What keeps a device busy is that the next step is queued before this one has ended. More than that only takes memory,
//! makes figures late, and lets a stop wait for all that is queued. So before a step is queued, the one before the last
//! has to be done: one step is at work then while the host queues the next.

use std::collections::VecDeque;
use std::time::Duration;

use smog_model::device::{Event, Stream};
use tch::Device;

use crate::launches::Launches;

/// Steps that may be queued and not done.
const AHEAD: usize = 2;
/// Time between two looks at the device. A whole step is still queued while the host waits, so looking late costs
/// nothing; waiting in the driver would keep a core busy that decodes otherwise.
const LOOK: Duration = Duration::from_micros(200);

/// Marks the ends of steps, and waits for them.
#[derive(Debug)]
pub(crate) struct Pace {
    device: Device,
    /// Ends of steps that may not be done, oldest first.
    ends: VecDeque<Event>,
    spare: Vec<Event>,
    /// What queueing a step costs.
    pub(crate) launches: Launches,
}

impl Pace {
    pub(crate) fn new(device: Device) -> Self {
        let launches = Launches::new(device);
        Self { device, ends: VecDeque::new(), spare: Vec::new(), launches }
    }

    /// To be called before a step is queued: blocks until few enough are.
    ///
    /// # Panics
    /// Where the device failed, here and below.
    pub(crate) fn wait(&mut self) {
        while self.ends.len() >= AHEAD
            && let Some(end) = self.ends.pop_front()
        {
            look_until(|| end.is_done());
            self.spare.push(end);
        }
    }

    /// All of a step is queued.
    pub(crate) fn mark(&mut self) {
        let mut end = self.spare.pop().unwrap_or_else(|| Event::new(self.device));
        end.record(Stream::current(self.device));
        self.ends.push_back(end);
    }
}

fn look_until(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_begins_with_one_other_in_the_queue_and_marks_are_used_again() {
        let mut pace = Pace::new(Device::Cpu);
        for step in 0..7 {
            pace.wait();
            assert_eq!(pace.ends.len(), step.min(AHEAD - 1), "before step {step}");
            pace.mark();
        }
        assert_eq!(pace.ends.len() + pace.spare.len(), AHEAD, "no mark is made per step");
    }

    #[test]
    fn it_looks_until_the_device_is_there() {
        let mut looks = 0;
        look_until(|| {
            looks += 1;
            looks == 4
        });
        assert_eq!(looks, 4);
    }
}
