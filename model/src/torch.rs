//! What tch has no binding for (`model/torch/shim.cpp`): foreach and fused kernels, and autocast.
//!
//! These are plain operations like tch's own: they panic when libtorch refuses, and [`guard`](crate::guard()) makes an
//! error of that.

use std::ffi::{CStr, c_char, c_void};

use tch::{Device, TchError, Tensor};

/// A tensor as libtorch knows it: what [`Tensor::as_ptr`] points to. tch does not name the type.
pub(crate) type Raw = *mut c_void;

// SAFETY: these are the definitions of shim.cpp, which build.rs compiles.
unsafe extern "C" {
    fn smog_free_message(message: *mut c_char);
    fn smog_fused_sgd(
        weights: *const Raw,
        momenta: *const Raw,
        count: i64,
        decay: f64,
        share: f64,
        lr: f64,
    ) -> *mut c_char;
    fn smog_fused_adamw(
        weights: *const Raw,
        first: *const Raw,
        second: *const Raw,
        count: i64,
        step: f64,
        lr: f64,
        beta1: f64,
        beta2: f64,
        decay: f64,
        eps: f64,
    ) -> *mut c_char;
    fn smog_lars(
        weights: *const Raw,
        momenta: *const Raw,
        count: i64,
        decay: f64,
        trust: f64,
        eps: f64,
        share: f64,
        lr: f64,
    ) -> *mut c_char;
    fn smog_lerp(target: *const Raw, source: *const Raw, count: i64, weight: f64) -> *mut c_char;
    fn smog_gradient_norm(weights: *const Raw, count: i64, result: Raw) -> *mut c_char;
    fn smog_largest(tensors: *const Raw, count: i64, result: Raw) -> *mut c_char;
    fn smog_clip_gradients(weights: *const Raw, count: i64, norm: Raw, most: f64) -> *mut c_char;
    fn smog_drop_gradients(weights: *const Raw, count: i64) -> *mut c_char;
    fn smog_autocast_begin(cuda: bool, was_on: *mut bool) -> *mut c_char;
    fn smog_autocast_end(cuda: bool, was_on: bool);
}

/// Handles of all tensors; they live as long as the tensors.
fn raw(tensors: &[&Tensor]) -> Vec<Raw> {
    tensors.iter().map(|tensor| tensor.as_ptr().cast_mut().cast()).collect()
}

/// Panics where the shim gives a message, as tch's plain operations do.
#[expect(clippy::unwrap_used, reason = "refusals look as those of tch's plain operations")]
pub(crate) fn done(message: *mut c_char) {
    outcome(message).unwrap();
}

pub(crate) fn outcome(message: *mut c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message of the shim is a string that ends in 0, ours until it is given back, once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        smog_free_message(message);
        text
    };
    Err(TchError::Torch(text))
}

/// SGD on all weights at once: `momenta = share * momenta + gradient + decay * weights; weights -= lr * momenta`.
/// All weights have gradients, here and below.
pub(crate) fn fused_sgd(weights: &[&Tensor], momenta: &[&Tensor], decay: f64, share: f64, lr: f64) {
    assert_eq!(weights.len(), momenta.len());
    let (own, momenta) = (raw(weights), raw(momenta));
    // SAFETY: as many live tensors in each list as `count` says; so in all calls of this file.
    done(unsafe {
        smog_fused_sgd(own.as_ptr(), momenta.as_ptr(), own.len() as i64, decay, share, lr)
    });
}

/// AdamW on all weights at once; `step` counts from 1.
#[expect(clippy::too_many_arguments, reason = "those of the rule")]
pub(crate) fn fused_adamw(
    weights: &[&Tensor],
    first: &[&Tensor],
    second: &[&Tensor],
    step: i64,
    lr: f64,
    betas: [f64; 2],
    decay: f64,
    eps: f64,
) {
    assert!(weights.len() == first.len() && weights.len() == second.len());
    let (own, first, second) = (raw(weights), raw(first), raw(second));
    let [beta1, beta2] = betas;
    // SAFETY: see `fused_sgd`.
    done(unsafe {
        smog_fused_adamw(
            own.as_ptr(),
            first.as_ptr(),
            second.as_ptr(),
            own.len() as i64,
            step as f64,
            lr,
            beta1,
            beta2,
            decay,
            eps,
        )
    });
}

/// SGD on all weights at once with each gradient plus decay scaled to `trust` of the length of its weights.
pub(crate) fn lars(
    weights: &[&Tensor],
    momenta: &[&Tensor],
    [decay, trust, eps, share]: [f64; 4],
    lr: f64,
) {
    assert_eq!(weights.len(), momenta.len());
    let (own, momenta) = (raw(weights), raw(momenta));
    let count = own.len() as i64;
    // SAFETY: see `fused_sgd`.
    done(unsafe { smog_lars(own.as_ptr(), momenta.as_ptr(), count, decay, trust, eps, share, lr) });
}

/// Moves every target by `weight` of the way to its source.
pub(crate) fn lerp(target: &[&Tensor], source: &[&Tensor], weight: f64) {
    assert_eq!(target.len(), source.len());
    let (target, source) = (raw(target), raw(source));
    // SAFETY: see `fused_sgd`.
    done(unsafe { smog_lerp(target.as_ptr(), source.as_ptr(), target.len() as i64, weight) });
}

/// Length of all gradients as one vector, a scalar on their device.
pub(crate) fn gradient_norm(weights: &[&Tensor]) -> Tensor {
    let own = raw(weights);
    let norm = Tensor::from(0f32);
    // SAFETY: see `fused_sgd`; the result is written into the tensor that `norm` holds.
    done(unsafe {
        smog_gradient_norm(own.as_ptr(), own.len() as i64, norm.as_ptr().cast_mut().cast())
    });
    norm
}

/// Largest absolute value of each tensor, f64 `[n]` on their device; no number where an element is none. No tensor is
/// empty.
pub(crate) fn largest(tensors: &[&Tensor]) -> Tensor {
    let all = raw(tensors);
    let result = Tensor::new();
    // SAFETY: see `fused_sgd`; the result is written into the tensor that `result` holds.
    done(unsafe {
        smog_largest(all.as_ptr(), all.len() as i64, result.as_ptr().cast_mut().cast())
    });
    result
}

/// Scales all gradients by `min(1, most / (norm + 1e-6))`.
pub(crate) fn clip_gradients(weights: &[&Tensor], norm: &Tensor, most: f64) {
    let own = raw(weights);
    // SAFETY: see `fused_sgd`.
    done(unsafe {
        smog_clip_gradients(own.as_ptr(), own.len() as i64, norm.as_ptr().cast_mut().cast(), most)
    });
}

/// Takes the gradients away, with their memory.
pub(crate) fn drop_gradients(weights: &[&Tensor]) {
    let own = raw(weights);
    // SAFETY: see `fused_sgd`.
    done(unsafe { smog_drop_gradients(own.as_ptr(), own.len() as i64) });
}

/// While it lives, this thread computes convolutions and products in bfloat16, and the rest as PyTorch's autocast
/// does. The backward pass follows the kinds that the forward pass chose and needs none.
pub(crate) struct Autocast {
    cuda: bool,
    was_on: bool,
}

impl Autocast {
    pub(crate) fn bf16(device: Device) -> Self {
        let mut autocast = Self { cuda: device.is_cuda(), was_on: false };
        // SAFETY: writes one bool.
        done(unsafe { smog_autocast_begin(autocast.cuda, &mut autocast.was_on) });
        autocast
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: the end of a stretch that was begun.
        unsafe { smog_autocast_end(self.cuda, self.was_on) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn autocast_computes_products_in_bf16_and_ends_with_its_scope_also_in_a_panic() {
        let a = Tensor::randn([4, 4], (Kind::Float, Device::Cpu));
        {
            let _outer = Autocast::bf16(Device::Cpu);
            drop(Autocast::bf16(Device::Cpu));
            assert_eq!(a.matmul(&a).kind(), Kind::BFloat16);
        }
        assert_eq!(a.matmul(&a).kind(), Kind::Float);
        let _ = std::panic::catch_unwind(|| {
            let _autocast = Autocast::bf16(Device::Cpu);
            std::panic::resume_unwind(Box::new(()));
        });
        assert_eq!(a.matmul(&a).kind(), Kind::Float);
    }

    #[test]
    fn a_refusal_becomes_an_error_at_the_guard() {
        let a = Tensor::zeros([2], (Kind::Float, Device::Cpu));
        let b = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        let error = crate::guard(|| lerp(&[&a], &[&b], 0.5)).unwrap_err().to_string();
        assert!(error.contains("size of tensor"), "{error}");
    }
}
