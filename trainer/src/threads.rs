//! Which threads do what: one budget, printed at start.

use std::fmt;
use std::num::NonZero;

use tch::Device;

use crate::settings::RunConfig;

/// How the cores are shared between decoding and libtorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadBudget {
    /// Cores that may be used.
    pub cores: u32,
    /// Threads that decode and augment.
    pub decode: u32,
    /// Threads of libtorch.
    pub torch: u32,
}

impl ThreadBudget {
    /// Shares `cores` for training on `device`. `decode` is the number that the user set, or 0.
    ///
    /// On a GPU libtorch needs one core to drive it, and decoding the rest. On a CPU the network takes nearly
    /// all the time: an eighth of the cores decodes. Up to four cores the decoder gets no core of its own: it
    /// would stand idle most of the time, and it sleeps when enough batches are ready.
    pub fn new(cores: u32, decode: u32, device: Device) -> Self {
        let cores = cores.max(1);
        let is_cpu = device == Device::Cpu;
        let decode = match decode {
            0 if is_cpu => (cores / 8).max(1),
            0 => cores.saturating_sub(1).max(1),
            decode => decode,
        };
        let torch = if is_cpu && cores <= 4 && decode == 1 {
            cores
        } else {
            cores.saturating_sub(decode).max(1)
        };
        Self { cores, decode, torch }
    }

    /// The budget of a run.
    pub fn of_run(config: &RunConfig, device: Device) -> Self {
        let cores = if config.run.threads == 0 { available() } else { config.run.threads };
        Self::new(cores, config.stream.workers, device)
    }

    /// Tells libtorch.
    pub fn apply(self) {
        tch::set_num_threads(self.torch as i32);
    }
}

/// Cores of the machine that this process may use.
fn available() -> u32 {
    std::thread::available_parallelism().map_or(1, NonZero::get) as u32
}

impl fmt::Display for ThreadBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cores: {} for decoding, {} for libtorch",
            self.cores, self.decode, self.torch
        )?;
        let there = available();
        if self.cores > there {
            write!(
                f,
                " (run.threads asks for more than the {there} that are there: the run will be slower, not faster)"
            )?;
        } else if self.decode + self.torch > self.cores {
            f.write_str(" (shared: decoding takes little here)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_by_device_and_never_run_out() {
        let budget = |cores, decode, device| {
            let budget = ThreadBudget::new(cores, decode, device);
            (budget.decode, budget.torch)
        };
        assert_eq!(budget(16, 0, Device::Cuda(0)), (15, 1));
        assert_eq!(budget(1, 0, Device::Cuda(0)), (1, 1));
        assert_eq!(budget(16, 0, Device::Cpu), (2, 14));
        assert_eq!(budget(2, 0, Device::Cpu), (1, 2));
        assert_eq!(budget(1, 0, Device::Cpu), (1, 1));
        assert_eq!(budget(8, 3, Device::Cpu), (3, 5));
        assert_eq!(budget(2, 5, Device::Cpu), (5, 1));
    }

    #[test]
    fn more_cores_than_there_are_is_said() {
        let text = ThreadBudget::new(available() + 1, 0, Device::Cpu).to_string();
        assert!(text.contains("more than the"), "{text}");
        let text = ThreadBudget::new(available(), 0, Device::Cpu).to_string();
        assert!(!text.contains("more than the"), "{text}");
    }
}
