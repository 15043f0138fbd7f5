// Streams, events, pinned memory and copies that do not wait, over the generic device interface of c10: it needs no
// header of CUDA and links to the CPU half alone. The functions here are for CUDA devices, but where they say otherwise.

#include "shim.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

using at::Tensor;

// A stream of a CUDA device. Streams belong to libtorch's pool and live as long as the process.
struct RawStream {
  int64_t id;
  int64_t device;
};

namespace {

c10::Device cuda(int64_t device) { return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device)); }

c10::impl::VirtualGuardImpl backend() { return c10::impl::VirtualGuardImpl(c10::kCUDA); }

c10::Stream unpack(const RawStream *stream) {
  return c10::Stream::unpack3(stream->id, static_cast<c10::DeviceIndex>(stream->device), c10::kCUDA);
}

RawStream pack(const c10::Stream &stream) { return {stream.id(), stream.device_index()}; }

} // namespace

extern "C" {

// Releases: that of the headers this was compiled with, and that of the library which is loaded.
void smog_torch_versions(int32_t compiled[3], int32_t loaded[3]) {
  compiled[0] = TORCH_VERSION_MAJOR;
  compiled[1] = TORCH_VERSION_MINOR;
  compiled[2] = TORCH_VERSION_PATCH;
  const uint64_t version = aoti_torch_abi_version();
  for (int part = 0; part < 3; ++part)
    loaded[part] = static_cast<int32_t>((version >> (56 - 8 * part)) & 0xff);
}

// The stream on which the calling thread's operations are queued.
char *smog_stream_current(int64_t device, RawStream *stream) {
  return guarded([&] { *stream = pack(backend().getStream(cuda(device))); });
}

// A stream beside it, of high priority, that does not wait for the default stream.
char *smog_stream_side(int64_t device, RawStream *stream) {
  return guarded([&] { *stream = pack(backend().getStreamFromGlobalPool(cuda(device), true)); });
}

// Queues the calling thread's operations on `stream` from now on; gives the stream before.
char *smog_stream_enter(const RawStream *stream, RawStream *before) {
  return guarded([&] { *before = pack(backend().exchangeStream(unpack(stream))); });
}

// cudaStream_t.
char *smog_stream_handle(const RawStream *stream, void **handle) {
  return guarded([&] { *handle = unpack(stream).native_handle(); });
}

// Blocks the calling thread until all that was queued is done.
char *smog_stream_synchronize(const RawStream *stream) {
  return guarded([&] { unpack(stream).synchronize(); });
}

// An event; only timed ones can be subtracted, and they cost a little more.
char *smog_event_new(bool timed, c10::Event **event) {
  return guarded([&] {
    *event = new c10::Event(c10::kCUDA, timed ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT);
  });
}

void smog_event_free(c10::Event *event) { delete event; }

// The event is done when the stream has done all that is queued on it now.
char *smog_event_record(c10::Event *event, const RawStream *stream) {
  return guarded([&] { event->record(unpack(stream)); });
}

// What is queued on the stream from now on waits, on the device, for the event as it was last recorded. One that was
// never recorded is waited for by nobody.
char *smog_event_block(const c10::Event *event, const RawStream *stream) {
  return guarded([&] { event->block(unpack(stream)); });
}

char *smog_event_query(const c10::Event *event, bool *done) {
  return guarded([&] { *done = event->query(); });
}

// Blocks the calling thread until the event is done.
char *smog_event_synchronize(const c10::Event *event) {
  return guarded([&] { event->synchronize(); });
}

// Milliseconds between two timed events that are done.
char *smog_event_elapsed(const c10::Event *from, const c10::Event *to, double *milliseconds) {
  return guarded([&] { *milliseconds = from->elapsedTime(*to); });
}

// `bytes` bytes of host memory that a device reads and writes without the processor's help.
char *smog_pinned(int64_t bytes, Tensor *result) {
  return guarded([&] { *result = at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(true)); });
}

// Any device: target = source, queued on the current stream. Between a device and pinned memory nobody waits.
char *smog_copy_async(const Tensor *target, const Tensor *source) {
  return guarded([&] { target->copy_(*source, /*non_blocking=*/true); });
}

// A host tensor on a device, by way of pinned memory: the host does not wait for the stream. The allocator of pinned
// memory keeps the block until the copy is done.
char *smog_upload(const Tensor *source, int64_t device, Tensor *result) {
  return guarded([&] { *result = source->pin_memory().to(cuda(device), /*non_blocking=*/true); });
}

// The tensor's memory is not given away before `stream` has done what is queued on it now.
char *smog_record_stream(const Tensor *tensor, const RawStream *stream) {
  return guarded([&] {
    Tensor own = *tensor;
    own.record_stream(unpack(stream));
  });
}

// Any device, for the whole process: whether f32 convolutions of a GPU may round to TF32, and whether cuDNN tries its
// algorithms for each new shape and keeps the fastest. Products never round: those of groups, loss and k-means could not be
// told from those of a network.
char *smog_set_math(bool tf32, bool benchmark) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setAllowTF32CuDNN(tf32);
    at::globalContext().setBenchmarkCuDNN(benchmark);
  });
}

char *smog_math(bool *tf32, bool *products, bool *benchmark) {
  return guarded([&] {
    *tf32 = at::globalContext().allowTF32CuDNN();
    *products = at::globalContext().allowTF32CuBLAS();
    *benchmark = at::globalContext().benchmarkCuDNN();
  });
}
}
