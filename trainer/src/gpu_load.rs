//! What the driver says a GPU does, between two lines of the log (NVML, on Hopper and later also its GPM counters).
//!
//! "The GPU is busy" only says that some kernel ran; the share of time in which tensor cores work, and the JPEG engines',
//! says more. Where the library, the driver or the counters are missing, figures are left out.

use std::ffi::OsStr;
use std::fmt;

use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml};
use serde::Serialize;
use smog_cuda::driver::Gpu;

use crate::environment::visible_gpus;
use crate::progress::Progress;

/// The name under which the driver installs it; without the number it comes with development packages only.
const LIBRARY: &str = "libnvidia-ml.so.1";

const NVJPG: [GpmMetricId; 8] = [
    GpmMetricId::Nvjpg0Util,
    GpmMetricId::Nvjpg1Util,
    GpmMetricId::Nvjpg2Util,
    GpmMetricId::Nvjpg3Util,
    GpmMetricId::Nvjpg4Util,
    GpmMetricId::Nvjpg5Util,
    GpmMetricId::Nvjpg6Util,
    GpmMetricId::Nvjpg7Util,
];

/// Shares in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct GpuFigures {
    /// Time in which some kernel ran, over the driver's last sampling interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_busy_percent: Option<u32>,
    /// Memory in use, by whomever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_memory_used_bytes: Option<u64>,
    /// Multiprocessors at work, since the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_sm_percent: Option<f64>,
    /// Tensor cores at work, since the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_tensor_percent: Option<f64>,
    /// Bandwidth of the memory in use, since the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_dram_percent: Option<f64>,
    /// JPEG engines at work, mean of those that report, since the last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_nvjpg_percent: Option<f64>,
}

/// The driver's counters of one GPU.
#[derive(Debug)]
pub(crate) struct GpuLoad {
    nvml: &'static Nvml,
    device: Device<'static>,
    has_gpm: bool,
    /// Of the beginning of the run.
    first: Option<GpmSample<'static>>,
    last: Option<GpmSample<'static>>,
}

impl GpuLoad {
    /// Those of a run's device; none on a CPU, and none where the driver gives none, which is said once.
    pub(crate) fn of(device: tch::Device, progress: &Progress) -> Option<Self> {
        let tch::Device::Cuda(number) = device else { return None };
        // NVML goes by the bus; without its address by the number, which is the same where all devices are of a kind.
        let bus = Gpu::open(number as u32).and_then(|gpu| gpu.bus()).ok();
        Self::open(number, visible_gpus().as_deref(), bus.as_deref())
            .map_err(|problem| {
                progress.note(&format!("note: no figures of the GPU's load: {problem}"))
            })
            .ok()
    }

    /// Counters of CUDA device `number`, at `bus` as the driver says. `visible` is `CUDA_VISIBLE_DEVICES`, by which CUDA
    /// numbers devices and NVML does not.
    ///
    /// # Errors
    /// In the driver's words, where there is none.
    pub(crate) fn open(
        number: usize,
        visible: Option<&str>,
        bus: Option<&str>,
    ) -> Result<Self, String> {
        let nvml = Nvml::builder().lib_path(OsStr::new(LIBRARY)).init().map_err(text)?;
        // It lives as long as the process: samples and device borrow it.
        let nvml: &'static Nvml = Box::leak(Box::new(nvml));
        let device = match named(number, visible, bus) {
            Named::Bus(address) => nvml.device_by_pci_bus_id(address),
            Named::Index(index) => nvml.device_by_index(index),
            Named::Uuid(uuid) => nvml.device_by_uuid(uuid),
        }
        .map_err(text)?;
        let has_gpm = device.gpm_support().unwrap_or(false);
        let sample = || has_gpm.then(|| device.gpm_sample().ok()).flatten();
        let (first, last) = (sample(), sample());
        Ok(Self { nvml, device, has_gpm, first, last })
    }

    /// What is known of the time since the last call.
    pub(crate) fn read(&mut self) -> GpuFigures {
        let mut figures = GpuFigures {
            gpu_busy_percent: self.device.utilization_rates().ok().map(|rates| rates.gpu),
            gpu_memory_used_bytes: self.device.memory_info().ok().map(|memory| memory.used),
            ..GpuFigures::default()
        };
        let now = self.sample();
        if let (Some(last), Some(now)) = (&self.last, &now) {
            self.count(last, now, &mut figures);
        }
        self.last = now.or(self.last.take());
        figures
    }

    /// Means since the run began, without what is no mean.
    pub(crate) fn since_start(&self) -> GpuFigures {
        let mut figures = GpuFigures::default();
        if let (Some(first), Some(now)) = (&self.first, &self.sample()) {
            self.count(first, now, &mut figures);
        }
        figures
    }

    fn sample(&self) -> Option<GpmSample<'static>> {
        self.has_gpm.then(|| self.device.gpm_sample().ok()).flatten()
    }

    /// The counters between two samples.
    fn count(&self, from: &GpmSample<'static>, to: &GpmSample<'static>, figures: &mut GpuFigures) {
        let wanted = [GpmMetricId::SmUtil, GpmMetricId::AnyTensorUtil, GpmMetricId::DramBwUtil];
        let wanted = [&wanted[..], &NVJPG[..]].concat();
        let values: Vec<Option<f64>> = gpm_metrics_get(self.nvml, from, to, &wanted)
            .unwrap_or_default()
            .into_iter()
            .map(|metric| metric.ok().map(|metric| metric.value).filter(|x| x.is_finite()))
            .collect();
        let value = |number: usize| values.get(number).copied().flatten();
        figures.gpu_sm_percent = value(0);
        figures.gpu_tensor_percent = value(1);
        figures.gpu_dram_percent = value(2);
        figures.gpu_nvjpg_percent = mean(values.iter().skip(3).copied().flatten());
    }
}

fn text(error: NvmlError) -> String {
    error.to_string()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), x| (sum + x, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// `SM 87 %, tensor cores 45 %`; nothing where nothing is known.
impl fmt::Display for GpuFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = [
            ("SM", self.gpu_sm_percent),
            ("tensor cores", self.gpu_tensor_percent),
            ("JPEG engines", self.gpu_nvjpg_percent),
        ];
        let mut separator = "";
        for (name, percent) in counted {
            if let Some(percent) = percent {
                write!(f, "{separator}{name} {percent:.0} %")?;
                separator = ", ";
            }
        }
        match self.gpu_busy_percent {
            // That some kernel ran says little; it is all that older GPUs say.
            Some(percent) if separator.is_empty() => write!(f, "GPU busy {percent} %"),
            _ => Ok(()),
        }
    }
}

/// How NVML is told a device.
#[derive(Debug, PartialEq, Eq)]
enum Named<'a> {
    Bus(&'a str),
    Index(u32),
    Uuid(&'a str),
}

/// CUDA device `number` among the visible ones. A part of a device has no address on the bus of its own, but a name.
fn named<'a>(number: usize, visible: Option<&'a str>, bus: Option<&'a str>) -> Named<'a> {
    let entry = visible.and_then(|list| list.split(',').nth(number)).map(str::trim);
    match (entry, bus) {
        (Some(uuid), _) if uuid.starts_with("MIG-") => return Named::Uuid(uuid),
        (_, Some(address)) => return Named::Bus(address),
        _ => {}
    }
    match entry {
        Some(uuid) if uuid.starts_with("GPU-") || uuid.starts_with("MIG-") => Named::Uuid(uuid),
        Some(index) => Named::Index(index.parse().unwrap_or(number as u32)),
        None => Named::Index(number as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_by_its_place_among_the_visible_ones() {
        assert_eq!(named(1, None, None), Named::Index(1));
        assert_eq!(named(1, Some("3, 5"), None), Named::Index(5));
        assert_eq!(named(0, Some("GPU-8f2a,1"), None), Named::Uuid("GPU-8f2a"));
        assert_eq!(named(2, Some("3"), None), Named::Index(2));
    }

    #[test]
    fn the_address_that_the_driver_gives_comes_before_numbers_but_not_before_a_part_of_a_device() {
        let bus = Some("0000:3B:00.0");
        assert_eq!(named(1, None, bus), Named::Bus("0000:3B:00.0"));
        assert_eq!(named(0, Some("1,0"), bus), Named::Bus("0000:3B:00.0"));
        assert_eq!(named(0, Some("MIG-77"), bus), Named::Uuid("MIG-77"));
    }

    #[test]
    fn what_the_driver_counts_is_shown_and_a_busy_gpu_only_where_it_counts_nothing() {
        let old = GpuFigures { gpu_busy_percent: Some(99), ..GpuFigures::default() };
        assert_eq!(old.to_string(), "GPU busy 99 %");
        let new = GpuFigures { gpu_sm_percent: Some(87.4), gpu_tensor_percent: Some(45.0), ..old };
        assert_eq!(new.to_string(), "SM 87 %, tensor cores 45 %");
        assert_eq!(GpuFigures::default().to_string(), "");
    }

    #[test]
    fn figures_that_nobody_gave_are_left_out() {
        assert_eq!(serde_json::to_string(&GpuFigures::default()).unwrap(), "{}");
        assert_eq!(mean([].into_iter()), None);
        assert_eq!(mean([2.0, 4.0].into_iter()), Some(3.0));
    }

    #[test]
    fn without_a_driver_there_are_no_counters_and_it_is_said_why() {
        match GpuLoad::open(0, None, None) {
            Ok(mut load) => {
                let figures = load.read();
                assert!(figures.gpu_memory_used_bytes.is_some(), "{figures:?}");
            }
            Err(problem) => assert!(problem.contains(LIBRARY), "{problem}"),
        }
    }
}
