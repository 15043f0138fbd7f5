//! What a run computes in, and whether that suits its device.

use smog_model::Precision;
use tch::{Device, Kind};

/// What to say before a run whose precision is a slow one on its device; `None` where all is well.
pub(crate) fn advice(precision: Precision, tf32: bool, device: Device) -> Option<&'static str> {
    match (precision, device) {
        (Precision::Bf16, Device::Cpu) if !processor_knows_bf16() => Some(
            "run.precision = bf16: this processor has no instructions for bfloat16, so libtorch emulates them, many \
             times slower than f32; use --set run.precision=f32",
        ),
        (Precision::F32, Device::Cuda(_)) if !tf32 => Some(
            "run.precision = f32 without run.tf32 leaves the GPU's tensor cores idle; --set run.precision=bf16 uses \
             them",
        ),
        _ => None,
    }
}

/// What views are made in on the device. On a GPU that computes in bfloat16 every network would begin by casting them.
pub(crate) fn of_views(precision: Precision, device: Device) -> Kind {
    match (precision, device) {
        (Precision::Bf16, Device::Cuda(_)) => Kind::BFloat16,
        _ => Kind::Float,
    }
}

#[cfg(target_arch = "x86_64")]
fn processor_knows_bf16() -> bool {
    // AMX lies beside AVX-512 BF16 on every processor that has it.
    is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn processor_knows_bf16() -> bool {
    true // Not known here; nothing is said.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_that_is_slow_on_its_device_is_advised_against() {
        assert_eq!(advice(Precision::F32, false, Device::Cpu), None);
        assert_eq!(advice(Precision::Bf16, false, Device::Cuda(0)), None);
        assert_eq!(advice(Precision::F32, true, Device::Cuda(0)), None);
        let slow = advice(Precision::F32, false, Device::Cuda(0)).unwrap();
        assert!(slow.contains("run.precision=bf16"), "{slow}");
        let found = advice(Precision::Bf16, false, Device::Cpu);
        assert_eq!(found.is_none(), processor_knows_bf16());
        assert!(found.is_none_or(|text| text.contains("run.precision=f32")));
    }

    #[test]
    fn only_a_gpu_in_bf16_gets_its_views_in_bf16() {
        assert_eq!(of_views(Precision::Bf16, Device::Cuda(0)), Kind::BFloat16);
        assert_eq!(of_views(Precision::F32, Device::Cuda(0)), Kind::Float);
        assert_eq!(of_views(Precision::Bf16, Device::Cpu), Kind::Float);
    }
}
