//! Whether a processor computes in bfloat16 itself.

use smog_model::Precision;
use tch::Device;

/// What to say before a run in bfloat16 on a processor that has to emulate it; `None` where all is well.
pub(crate) fn advice(precision: Precision, device: Device) -> Option<String> {
    let slow = precision == Precision::Bf16 && device == Device::Cpu && !processor_knows_bf16();
    slow.then(|| {
        "run.precision = bf16: this processor has no instructions for bfloat16, so libtorch emulates them, many times \
         slower than f32; use --set run.precision=f32"
            .to_owned()
    })
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
    fn only_emulated_bf16_is_advised_against() {
        assert_eq!(advice(Precision::F32, Device::Cpu), None);
        assert_eq!(advice(Precision::Bf16, Device::Cuda(0)), None);
        let found = advice(Precision::Bf16, Device::Cpu);
        assert_eq!(found.is_none(), processor_knows_bf16());
        assert!(found.is_none_or(|text| text.contains("run.precision=f32")));
    }
}
