// What tch has no binding for: foreach and fused kernels, and autocast on a CPU.

#include "shim.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <limits>
#include <utility>
#include <vector>

using at::Tensor;
using Tensors = std::vector<Tensor>;

namespace {

Tensors list(Tensor *const *tensors, int64_t count) {
  Tensors all;
  all.reserve(count);
  for (int64_t i = 0; i < count; ++i)
    all.push_back(*tensors[i]);
  return all;
}

// Whether elements lie in the same order. The stride of a dimension of one element says nothing.
bool same_order(const Tensor &a, const Tensor &b) {
  for (int64_t dim = 0; dim < a.dim(); ++dim)
    if (a.size(dim) > 1 && a.stride(dim) != b.stride(dim))
      return false;
  return true;
}

// Gradients in the memory order of their weights: the fused kernels on a CPU walk all buffers alike and do not look at
// strides. A gradient out of backward has that order already.
Tensors gradients(const Tensors &weights) {
  Tensors all;
  all.reserve(weights.size());
  for (const Tensor &weight : weights) {
    Tensor gradient = weight.grad();
    if (!same_order(gradient, weight))
      gradient = at::empty_like(weight.detach()).copy_(gradient);
    all.push_back(std::move(gradient));
  }
  return all;
}

// One step of SGD. libtorch refuses buffers that it would not use: without momentum they stay as they are.
void sgd(const Tensors &own, const Tensors &directions, Tensor *const *momenta, int64_t count, double decay,
         double share, double lr) {
  const Tensors buffers = share > 0 ? list(momenta, count) : Tensors();
  at::_fused_sgd_(own, directions, buffers, decay, share, lr, 0.0, false, false, false);
}

Tensor norm_of_each(const Tensors &tensors) { return at::stack(at::_foreach_norm(tensors, 2)); }

} // namespace

extern "C" {

void smog_free_message(char *message) { free(message); }

// weights -= lr * (momentum = momentum * share + gradient + decay * weights)
char *smog_fused_sgd(Tensor *const *weights, Tensor *const *momenta, int64_t count, double decay, double share,
                     double lr) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Tensors own = list(weights, count);
    sgd(own, gradients(own), momenta, count, decay, share, lr);
  });
}

// `step` counts from 1.
char *smog_fused_adamw(Tensor *const *weights, Tensor *const *first, Tensor *const *second, int64_t count,
                       double step, double lr, double beta1, double beta2, double decay, double eps) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Tensors own = list(weights, count);
    if (own.empty())
      return;
    const Tensor number = at::full({}, step, own[0].options().dtype(at::kFloat).requires_grad(false));
    at::_fused_adamw_(own, gradients(own), list(first, count), list(second, count), {}, Tensors(count, number), lr,
                      beta1, beta2, decay, eps, false, false);
  });
}

// SGD whose gradient plus decay is scaled to `trust` of the length of the weights. Where either length is 0 the
// gradient is taken as it is; decided on the device.
char *smog_lars(Tensor *const *weights, Tensor *const *momenta, int64_t count, double decay, double trust, double eps,
                double share, double lr) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Tensors own = list(weights, count);
    if (own.empty())
      return;
    const Tensors raw = gradients(own);
    const Tensor weight_norms = norm_of_each(own), gradient_norms = norm_of_each(raw);
    const Tensor usable = weight_norms.ne(0).logical_and(gradient_norms.ne(0));
    const Tensor scale = weight_norms * trust / (gradient_norms + weight_norms * decay + eps);
    const Tensor factors = at::where(usable, scale, at::ones_like(scale));
    const Tensor decays = at::where(usable, scale * decay, at::zeros_like(scale));
    Tensors scaled = at::_foreach_mul(raw, factors.unbind());
    at::_foreach_add_(scaled, at::_foreach_mul(own, decays.unbind()));
    sgd(own, scaled, momenta, count, 0.0, share, lr);
  });
}

// target += weight * (source - target)
char *smog_lerp(Tensor *const *target, Tensor *const *source, int64_t count, double weight) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    at::_foreach_lerp_(list(target, count), list(source, count), weight);
  });
}

// Length of all gradients as one vector, put into the handle that the caller gives.
char *smog_gradient_norm(Tensor *const *weights, int64_t count, Tensor *result) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    *result = norm_of_each(gradients(list(weights, count))).norm();
  });
}

// Largest absolute value of each tensor, f64 [count], put into the handle that the caller gives; no number where one of its
// elements is none.
char *smog_largest(Tensor *const *tensors, int64_t count, Tensor *result) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    const Tensors all = at::_foreach_norm(list(tensors, count), std::numeric_limits<double>::infinity());
    *result = at::stack(all).to(at::kDouble);
  });
}

// Multiplies all gradients by min(1, most / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_; nothing waits for the
// device.
char *smog_clip_gradients(Tensor *const *weights, int64_t count, const Tensor *norm, double most) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Tensors all;
    for (int64_t i = 0; i < count; ++i)
      all.push_back(weights[i]->grad());
    at::_foreach_mul_(all, (most / (*norm + 1e-6)).clamp_max(1.0));
  });
}

// Takes the gradients away: the next backward pass hands its buffers over instead of adding to zeros.
char *smog_drop_gradients(Tensor *const *weights, int64_t count) {
  return guarded([&] {
    for (int64_t i = 0; i < count; ++i)
      weights[i]->mutable_grad() = Tensor();
  });
}

// Begins a stretch in which the calling thread computes in bfloat16 what PyTorch's autocast would. The stretch before,
// if any, goes on after smog_autocast_end(was_on).
char *smog_autocast_begin(bool cuda, bool *was_on) {
  return guarded([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    *was_on = at::autocast::is_autocast_enabled(device);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

void smog_autocast_end(bool cuda, bool was_on) {
  const auto device = cuda ? at::kCUDA : at::kCPU;
  if (at::autocast::decrement_nesting() == 0)
    at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device, was_on);
}
}
