//! Which device a run computes on, and why.

use std::fmt;
use std::path::PathBuf;

use smog_model::cuda::{self, CudaError};
use tch::Device;

use crate::error::TrainError;

/// A device, and what there is to say about the choice.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The device.
    pub device: Device,
    /// Where libtorch's CUDA half was found; only on a GPU.
    pub found_at: Option<PathBuf>,
    /// Why `auto` took the CPU.
    pub why_cpu: Option<CudaError>,
}

impl Chosen {
    /// The device that `run.device` names.
    ///
    /// # Errors
    /// If it is not there. `auto` takes the CPU then.
    pub fn new(wanted: &str) -> Result<Self, TrainError> {
        let cpu = |why_cpu| Self { device: Device::Cpu, found_at: None, why_cpu };
        let number = match wanted {
            "cpu" => return Ok(cpu(None)),
            "auto" | "cuda" => 0,
            other => match other.strip_prefix("cuda:").map(str::parse::<u8>) {
                Some(Ok(number)) => usize::from(number),
                _ => return Err(TrainError::NoSuchDevice { wanted: wanted.to_owned() }),
            },
        };
        match cuda::device(number) {
            Ok(device) => {
                Ok(Self { device, found_at: cuda::load(None).clone().ok(), why_cpu: None })
            }
            Err(error) if wanted == "auto" => Ok(cpu(Some(error))),
            Err(reason) => Err(TrainError::Device { wanted: wanted.to_owned(), reason }),
        }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.device))?;
        match (&self.found_at, &self.why_cpu) {
            (Some(library), _) => write!(f, " (by {})", library.display()),
            // Who has no CUDA wants none: the loader's words would read as an error.
            (None, Some(CudaError::Library { .. })) => {
                f.write_str(" (no GPU support found; smog-trainer devices says why)")
            }
            (None, Some(error)) => write!(f, " ({error})"),
            (None, None) => Ok(()),
        }
    }
}

/// The device in the words of `run.device`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(number) => format!("cuda:{number}"),
        Device::Cpu => "cpu".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The device that `run.device` names, without a word about the choice.
///
/// # Errors
/// As [`Chosen::new`].
pub fn device(wanted: &str) -> Result<Device, TrainError> {
    Chosen::new(wanted).map(|chosen| chosen.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_refused_with_its_name_and_the_way_on() {
        assert_eq!(device("cpu").unwrap(), Device::Cpu);
        let message = device("cuda:200").unwrap_err().to_string();
        assert!(message.contains("run.device = cuda:200"), "{message}");
        assert!(message.contains("--set run.device=cpu"), "{message}");
        for nonsense in ["cuda:x", "cuda:300", "gpu"] {
            let message = device(nonsense).unwrap_err().to_string();
            assert!(message.contains("expected auto, cpu, cuda or cuda:N"), "{message}");
        }
    }

    #[test]
    fn auto_takes_what_is_there_and_says_why_it_is_not_a_gpu() {
        let chosen = Chosen::new("auto").unwrap();
        let text = chosen.to_string();
        match chosen.why_cpu {
            Some(error) => {
                assert_eq!(chosen.device, Device::Cpu);
                match error {
                    CudaError::Library { .. } => {
                        assert_eq!(
                            text,
                            "cpu (no GPU support found; smog-trainer devices says why)"
                        );
                    }
                    error => assert_eq!(text, format!("cpu ({error})")),
                }
            }
            None => assert!(text.starts_with("cuda:0 (by /"), "{text}"),
        }
        assert_eq!(Chosen::new("cpu").unwrap().to_string(), "cpu", "nothing was looked for");
    }
}
