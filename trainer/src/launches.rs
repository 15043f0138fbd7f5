//! What the host needs to queue a step, beside what a GPU needs to do it.
//!
//! Where the first is well below the second, launches hide behind the device's work, and a step that is kept as a CUDA
//! graph would gain nothing. The driver holds the host up where too many launches wait, so of a long step the time that is
//! seen is an upper bound: it comes near the device's own. What launches cost shows with a batch so small that the device
//! waits for them (docs/GPU.md).

use std::time::{Duration, Instant};

use serde::Serialize;
use tch::Device;

use crate::data_wait::Waited;
use crate::marks::Marks;

/// Measures both.
#[derive(Debug)]
pub(crate) struct Launches {
    /// Since when the step is being queued.
    since: Option<Instant>,
    /// With what the host needed.
    marks: Marks<Duration>,
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
    fn add(&mut self, (host, device): (Duration, Duration)) {
        self.num_steps += 1;
        self.host += host;
        self.device += device;
    }

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

/// What a line or a summary says of a GPU's time; nothing on a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DeviceFigures {
    /// What the GPU itself lost to data: in a line per step, mean of the steps it has reported since the last line; in a
    /// summary in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_seconds: Option<f64>,
    /// The same as a share of a step, or of the time spent in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_wait_ratio: Option<f64>,
    /// What the host took to queue a step once its batch was there: mean of the steps that the device has done in the
    /// same stretch, but for those with a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_seconds: Option<f64>,
    /// The same over what the device took for those steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_ratio: Option<f64>,
}

impl DeviceFigures {
    /// Of steps that were `launched`, where `wait_seconds` of `seconds` were lost.
    pub(crate) fn new(wait_seconds: Option<f64>, seconds: f64, launched: Option<Launched>) -> Self {
        Self {
            device_wait_seconds: wait_seconds,
            device_wait_ratio: wait_seconds.map(|waited| waited / seconds),
            launch_seconds: launched.and_then(Launched::mean_seconds),
            launch_ratio: launched.and_then(Launched::ratio),
        }
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
        Self { since: None, marks: Marks::new(device), passed: Launched::default() }
    }

    /// A step is being queued since `since`; what the device has to wait for is queued.
    pub(crate) fn begin(&mut self, since: Instant) {
        // So that marks come back, however seldom somebody asks.
        self.read();
        self.marks.begin();
        self.since = Some(since);
    }

    /// All of it is queued. It is not `counted` where the host waited for the device meanwhile.
    pub(crate) fn end(&mut self, counted: bool) {
        match self.since.take() {
            Some(since) if counted => self.marks.end(since.elapsed()),
            _ => self.marks.leave_out(),
        }
    }

    /// What is known by now.
    pub(crate) fn read(&mut self) -> Launched {
        while let Some(times) = self.marks.next_passed() {
            self.passed.add(times);
        }
        self.passed
    }

    /// All steps so far; waits for the device.
    pub(crate) fn finish(&mut self) -> Launched {
        while let Some(times) = self.marks.wait_for_next() {
            self.passed.add(times);
        }
        self.passed
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
        let (mut all, mut queued) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..3 {
            let since = Instant::now();
            pause(4);
            // On a CPU the device does a step while it is queued.
            let begun = Instant::now();
            launches.begin(since);
            pause(6);
            launches.end(true);
            (all, queued) = (all + since.elapsed(), queued + begun.elapsed());
            pause(20);
        }
        let first = launches.read();
        assert_eq!(first.num_steps, 3);
        assert!(first.host >= Duration::from_millis(30), "{first:?}");
        assert!(first.device >= Duration::from_millis(18), "{first:?}");
        assert!(
            first.host <= all && first.device <= queued,
            "more than {all:?}, {queued:?}: {first:?}"
        );
        let ratio = first.host.as_secs_f64() / first.device.as_secs_f64();
        assert_eq!(first.ratio(), Some(ratio));
        let since = Instant::now();
        launches.begin(since);
        launches.end(true);
        let all = since.elapsed();
        let later = launches.finish().since(first);
        assert_eq!(later.num_steps, 1);
        assert!(later.mean_seconds().unwrap() <= all.as_secs_f64(), "{later:?}");
        assert_eq!(later.since(later).mean_seconds(), None);
        assert_eq!(launches.marks.num_spare(), 1, "each step used the marks of the one before");
    }

    #[test]
    fn a_step_in_which_the_host_waited_is_left_out() {
        let mut launches = Launches::new(Device::Cpu);
        for counted in [false, true, false] {
            launches.begin(Instant::now());
            launches.end(counted);
        }
        assert_eq!(launches.finish().num_steps, 1);
        assert_eq!(launches.marks.num_spare(), 1, "marks are used again");
    }
}
