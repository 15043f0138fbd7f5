//! How long a device had nothing to do since its batch was not there.

use std::time::Duration;

use tch::Device;

use crate::marks::Marks;

/// Measures on the device: a mark behind the work of the last step, before the trainer takes the next batch, and one
/// where the device may go on with that batch. The time between the two is lost to data.
#[derive(Debug)]
pub(crate) struct DataWait {
    marks: Marks<()>,
    passed: Waited,
}

/// Steps and the time that the device waited in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waited {
    pub(crate) num_steps: u64,
    pub(crate) time: Duration,
}

impl Waited {
    fn add(&mut self, time: Duration) {
        self.num_steps += 1;
        self.time += time;
    }

    /// What came after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            num_steps: self.num_steps - earlier.num_steps,
            time: self.time.saturating_sub(earlier.time),
        }
    }

    /// Mean of a step; `None` where no step was measured.
    pub(crate) fn mean_seconds(self) -> Option<f64> {
        (self.num_steps > 0).then(|| self.time.as_secs_f64() / self.num_steps as f64)
    }
}

impl DataWait {
    pub(crate) fn new(device: Device) -> Self {
        Self { marks: Marks::new(device), passed: Waited::default() }
    }

    /// The device's work so far is queued; the trainer goes for a batch.
    pub(crate) fn begin(&mut self) {
        self.marks.begin();
    }

    /// All that the device waits for in order to go on is queued.
    pub(crate) fn end(&mut self) {
        self.marks.end(());
    }

    /// What is known by now.
    pub(crate) fn read(&mut self) -> Waited {
        while let Some(((), time)) = self.marks.next_passed() {
            self.passed.add(time);
        }
        self.passed
    }

    /// All steps so far; waits for the device.
    pub(crate) fn finish(&mut self) -> Waited {
        while let Some(((), time)) = self.marks.wait_for_next() {
            self.passed.add(time);
        }
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_time_between_the_marks_of_each_step_is_summed() {
        let mut wait = DataWait::new(Device::Cpu);
        wait.end();
        assert_eq!(wait.read(), Waited::default(), "nothing was begun");
        let mut inside = Duration::ZERO;
        for milliseconds in [4, 0, 7] {
            let begun = Instant::now();
            wait.begin();
            std::thread::sleep(Duration::from_millis(milliseconds));
            wait.end();
            inside += begun.elapsed();
            std::thread::sleep(Duration::from_millis(20));
        }
        let first = wait.read();
        assert_eq!(first.num_steps, 3);
        assert!(first.time >= Duration::from_millis(11), "{first:?}");
        assert!(first.time <= inside, "more than {inside:?}: {first:?}");
        let begun = Instant::now();
        wait.begin();
        wait.end();
        let inside = begun.elapsed();
        let later = wait.finish().since(first);
        assert_eq!(later.num_steps, 1);
        assert!(later.mean_seconds().unwrap() <= inside.as_secs_f64(), "{later:?}");
        assert_eq!(later.since(later).mean_seconds(), None);
        assert_eq!(wait.marks.num_spare(), 3, "the fourth step used the marks of an earlier one");
    }
}
