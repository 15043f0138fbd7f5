//! What the host needs to queue a step, beside what a GPU needs to do it.
//!
//! Where the first is well below the second, launches hide behind the device's work, and a step that is kept as a CUDA
//! graph would gain nothing. The driver holds the host up where too many launches wait, so of a long step the time that is
//! seen is an upper bound: it comes near the device's own. What launches cost shows with a batch so small that the device
//! waits for them (docs/GPU.md).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smog_model::device::{Event, Stream};
use tch::Device;

use crate::data_wait::Waited;

/// Measures both. Marks are read when the device has passed them, so nobody waits for a figure.
#[derive(Debug)]
pub(crate) struct Launches {
    device: Device,
    /// The step that is being queued: since when, and its marks.
    begun: Option<(Instant, [Event; 2])>,
    /// What the host needed, and the marks.
    pending: VecDeque<(Duration, [Event; 2])>,
    spare: Vec<[Event; 2]>,
    passed: Launched,
}

/// Steps, and the time that both took for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launched {
    pub(crate) num_steps: u64,
    /// What the host took to queue them.
    pub(crate) host: Duration,
    /// What the device took to do them, its waits for the host included.
    pub(crate) device: Duration,
}

impl Launched {
    /// What came after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            num_steps: self.num_steps - earlier.num_steps,
            host: self.host.saturating_sub(earlier.host),
            device: self.device.saturating_sub(earlier.device),
        }
    }

    /// What the host took for a step; `None` where none was measured.
    pub(crate) fn mean_seconds(self) -> Option<f64> {
        (self.num_steps > 0).then(|| self.host.as_secs_f64() / self.num_steps as f64)
    }

    /// The host's time over the device's.
    pub(crate) fn ratio(self) -> Option<f64> {
        let device = self.device.as_secs_f64();
        (device > 0.0).then(|| self.host.as_secs_f64() / device)
    }
}

/// What is known of the device's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceTimes {
    /// For data.
    pub(crate) waited: Waited,
    pub(crate) launched: Launched,
}

impl DeviceTimes {
    /// What came after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            waited: self.waited.since(earlier.waited),
            launched: self.launched.since(earlier.launched),
        }
    }
}

impl Launches {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            device,
            begun: None,
            pending: VecDeque::new(),
            spare: Vec::new(),
            passed: Launched::default(),
        }
    }

    /// A step is being queued since `since`; what the device has to wait for is queued.
    pub(crate) fn begin(&mut self, since: Instant) {
        // So that marks come back, however seldom somebody asks.
        self.read();
        let device = self.device;
        let mut marks =
            self.spare.pop().unwrap_or_else(|| [Event::timed(device), Event::timed(device)]);
        marks[0].record(Stream::current(device));
        self.begun = Some((since, marks));
    }

    /// All of it is queued. It is not `counted` where the host waited for the device meanwhile.
    pub(crate) fn end(&mut self, counted: bool) {
        let Some((since, mut marks)) = self.begun.take() else { return };
        if counted {
            let took = since.elapsed();
            marks[1].record(Stream::current(self.device));
            self.pending.push_back((took, marks));
        } else {
            self.spare.push(marks);
        }
    }

    /// What is known by now.
    pub(crate) fn read(&mut self) -> Launched {
        while self.pending.front().is_some_and(|(_, [_, end])| end.is_done()) {
            self.take_oldest();
        }
        self.passed
    }

    /// All steps so far; waits for the device.
    pub(crate) fn finish(&mut self) -> Launched {
        while let Some((_, [_, end])) = self.pending.front() {
            end.synchronize();
            self.take_oldest();
        }
        self.passed
    }

    fn take_oldest(&mut self) {
        if let Some((took, marks)) = self.pending.pop_front() {
            self.passed.num_steps += 1;
            self.passed.host += took;
            self.passed.device += marks[0].until(&marks[1]);
            self.spare.push(marks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    #[test]
    fn a_step_is_queued_from_its_batch_to_its_last_launch() {
        let mut launches = Launches::new(Device::Cpu);
        launches.end(true);
        assert_eq!(launches.read(), Launched::default(), "nothing was begun");
        for _ in 0..3 {
            let since = Instant::now();
            pause(4);
            // On a CPU the device does a step while it is queued.
            launches.begin(since);
            pause(6);
            launches.end(true);
            pause(200);
        }
        let first = launches.read();
        assert_eq!(first.num_steps, 3);
        assert!(first.host >= Duration::from_millis(30), "{first:?}");
        assert!(
            first.device >= Duration::from_millis(18) && first.device < first.host,
            "{first:?}"
        );
        assert!(first.host < Duration::from_millis(500), "time between steps counts: {first:?}");
        let ratio = first.host.as_secs_f64() / first.device.as_secs_f64();
        assert_eq!(first.ratio(), Some(ratio));
        launches.begin(Instant::now());
        launches.end(true);
        let later = launches.finish().since(first);
        assert_eq!(later.num_steps, 1);
        assert!(later.mean_seconds().unwrap() < 0.2, "{later:?}");
        assert_eq!(later.since(later).mean_seconds(), None);
        assert_eq!(launches.spare.len(), 1, "each step used the marks of the one before");
    }

    #[test]
    fn a_step_in_which_the_host_waited_is_left_out() {
        let mut launches = Launches::new(Device::Cpu);
        for counted in [false, true, false] {
            launches.begin(Instant::now());
            launches.end(counted);
        }
        assert_eq!(launches.finish().num_steps, 1);
        assert_eq!(launches.spare.len(), 1, "marks are used again");
    }
}
