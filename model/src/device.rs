//! Streams, events, pinned memory and copies that do not wait: what tch lacks to keep a GPU busy.
//!
//! All of it also works on the CPU, where work is done when the call returns: there is one stream, an event is done
//! when it is recorded, and memory is plain. So code that is written for a GPU runs, and is tested, without one.
//!
//! Operations panic when libtorch refuses, as tch's plain ones do; see [`guard`](crate::guard()).

use std::ffi::{c_char, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::torch::{Raw, done, outcome};

/// A stream of a CUDA device as device.cpp packs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct RawStream {
    id: i64,
    device: i64,
}

/// `c10::Event`.
#[repr(C)]
struct RawEvent {
    opaque: [u8; 0],
}

// SAFETY: these are the definitions of device.cpp, which build.rs compiles.
unsafe extern "C" {
    fn smog_stream_current(device: i64, stream: *mut RawStream) -> *mut c_char;
    fn smog_stream_side(device: i64, stream: *mut RawStream) -> *mut c_char;
    fn smog_stream_enter(stream: *const RawStream, before: *mut RawStream) -> *mut c_char;
    fn smog_stream_handle(stream: *const RawStream, handle: *mut *mut c_void) -> *mut c_char;
    fn smog_stream_synchronize(stream: *const RawStream) -> *mut c_char;
    fn smog_event_new(timed: bool, event: *mut *mut RawEvent) -> *mut c_char;
    fn smog_event_free(event: *mut RawEvent);
    fn smog_event_record(event: *mut RawEvent, stream: *const RawStream) -> *mut c_char;
    fn smog_event_block(event: *const RawEvent, stream: *const RawStream) -> *mut c_char;
    fn smog_event_query(event: *const RawEvent, done: *mut bool) -> *mut c_char;
    fn smog_event_synchronize(event: *const RawEvent) -> *mut c_char;
    fn smog_event_elapsed(
        from: *const RawEvent,
        to: *const RawEvent,
        milliseconds: *mut f64,
    ) -> *mut c_char;
    fn smog_pinned(bytes: i64, result: Raw) -> *mut c_char;
    fn smog_copy_async(target: Raw, source: Raw) -> *mut c_char;
    fn smog_upload(source: Raw, device: i64, result: Raw) -> *mut c_char;
    fn smog_record_stream(tensor: Raw, stream: *const RawStream) -> *mut c_char;
    fn smog_set_math(tf32: bool, benchmark: bool) -> *mut c_char;
    fn smog_math(tf32: *mut bool, products: *mut bool, benchmark: *mut bool) -> *mut c_char;
}

fn raw(tensor: &Tensor) -> Raw {
    tensor.as_ptr().cast_mut().cast()
}

/// Number of a CUDA device, `None` for any other.
fn number(device: Device) -> Option<i64> {
    match device {
        Device::Cuda(number) => Some(number as i64),
        _ => None,
    }
}

/// A queue of work of a device. Streams belong to libtorch; this is a name of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(Option<RawStream>);

impl Stream {
    /// The one that this thread's operations are queued on.
    pub fn current(device: Device) -> Self {
        Self(number(device).map(|device| {
            let mut stream = RawStream::default();
            // SAFETY: writes one value of this layout.
            done(unsafe { smog_stream_current(device, &mut stream) });
            stream
        }))
    }

    /// One beside it, of high priority, for copies and short kernels.
    pub fn side(device: Device) -> Self {
        Self(number(device).map(|device| {
            let mut stream = RawStream::default();
            // SAFETY: as in `current`.
            done(unsafe { smog_stream_side(device, &mut stream) });
            stream
        }))
    }

    /// Queues what `body` does on this stream, also where it panics.
    pub fn within<T>(self, body: impl FnOnce() -> T) -> T {
        let Some(own) = self.0 else { return body() };
        /// Puts the stream before back.
        struct Back(RawStream);
        impl Drop for Back {
            fn drop(&mut self) {
                let mut own = RawStream::default();
                // SAFETY: reads one value of this layout and writes one. Entering a stream that libtorch gave does not
                // fail, and in a drop there is nobody to tell.
                drop(outcome(unsafe { smog_stream_enter(&self.0, &mut own) }));
            }
        }
        let mut before = RawStream::default();
        // SAFETY: as in the drop above.
        done(unsafe { smog_stream_enter(&own, &mut before) });
        let _back = Back(before);
        body()
    }

    /// Lets what is queued from now on wait for the event, on the device.
    pub fn wait(self, event: &Event) {
        if let (Some(stream), Recorded::Device(event)) = (self.0, &event.0) {
            // SAFETY: the event lives, and so does the stream, with libtorch.
            done(unsafe { smog_event_block(*event, &stream) });
        }
    }

    /// Blocks this thread until all that was queued is done.
    pub fn synchronize(self) {
        if let Some(stream) = self.0 {
            // SAFETY: reads one value of this layout.
            done(unsafe { smog_stream_synchronize(&stream) });
        }
    }

    /// The `cudaStream_t`; null on the CPU.
    pub fn handle(self) -> *mut c_void {
        let mut handle = ptr::null_mut();
        if let Some(stream) = self.0 {
            // SAFETY: reads one value of this layout and writes a pointer.
            done(unsafe { smog_stream_handle(&stream, &mut handle) });
        }
        handle
    }
}

/// A mark in a stream's queue that can be asked for, waited for, and subtracted from another one.
#[derive(Debug)]
pub struct Event(Recorded);

#[derive(Debug)]
enum Recorded {
    /// On the CPU: when it was recorded.
    Host(Option<Instant>),
    /// libtorch's. A pointer, so that it stays with its thread.
    Device(*mut RawEvent),
}

impl Event {
    /// A mark that was not made yet.
    pub fn new(device: Device) -> Self {
        Self::make(device, false)
    }

    /// One that [`Event::until`] can take; it costs the device a little more.
    pub fn timed(device: Device) -> Self {
        Self::make(device, true)
    }

    fn make(device: Device, timed: bool) -> Self {
        if number(device).is_none() {
            return Self(Recorded::Host(None));
        }
        let mut event = ptr::null_mut();
        // SAFETY: writes one pointer, which the drop gives back.
        done(unsafe { smog_event_new(timed, &mut event) });
        Self(Recorded::Device(event))
    }

    /// Makes the mark behind all that is queued on `stream` now. One made earlier is forgotten.
    pub fn record(&mut self, stream: Stream) {
        match (&mut self.0, stream.0) {
            (Recorded::Host(at), _) => *at = Some(Instant::now()),
            (Recorded::Device(event), Some(stream)) => {
                // SAFETY: the event lives and is ours alone.
                done(unsafe { smog_event_record(*event, &stream) });
            }
            (Recorded::Device(_), None) => {
                unreachable!("an event of a GPU is recorded on one of its streams")
            }
        }
    }

    /// Whether the device has come this far; also where the mark was not made yet.
    pub fn is_done(&self) -> bool {
        let Recorded::Device(event) = &self.0 else { return true };
        let mut is_done = false;
        // SAFETY: the event lives; writes one bool.
        done(unsafe { smog_event_query(*event, &mut is_done) });
        is_done
    }

    /// Blocks this thread until the device has come this far.
    pub fn synchronize(&self) {
        if let Recorded::Device(event) = &self.0 {
            // SAFETY: the event lives.
            done(unsafe { smog_event_synchronize(*event) });
        }
    }

    /// Time from this mark to a later one on the device. Both are timed, and done.
    pub fn until(&self, later: &Self) -> Duration {
        match (&self.0, &later.0) {
            (Recorded::Host(from), Recorded::Host(to)) => match (from, to) {
                (Some(from), Some(to)) => to.saturating_duration_since(*from),
                _ => Duration::ZERO,
            },
            (Recorded::Device(from), Recorded::Device(to)) => {
                let mut milliseconds = 0.0;
                // SAFETY: both events live; writes one number.
                done(unsafe { smog_event_elapsed(*from, *to, &mut milliseconds) });
                Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or_default()
            }
            _ => unreachable!("events of one device are subtracted"),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Recorded::Device(event) = &self.0 {
            // SAFETY: it came from `smog_event_new` and is given back once. CUDA itself keeps what is still queued.
            unsafe { smog_event_free(*event) };
        }
    }
}

/// `bytes` bytes of host memory; where `device` is a GPU, memory that it copies from without the processor's help.
/// libtorch rounds such blocks up to a power of two and keeps them for later.
pub fn host_bytes(bytes: usize, device: Device) -> Tensor {
    if number(device).is_none() {
        return Tensor::zeros([bytes as i64], (Kind::Uint8, Device::Cpu));
    }
    let mut result = Tensor::new();
    // SAFETY: the result is written into the tensor that `result` holds.
    done(unsafe { smog_pinned(bytes as i64, raw(&result)) });
    let _ = result.zero_();
    result
}

/// Queues `target = source` on the current stream. Between a GPU and pinned memory this thread does not wait; the host's
/// side must then stay as it is until an event that is recorded behind the copy is done.
pub fn copy_async(target: &Tensor, source: &Tensor) {
    // SAFETY: both tensors live.
    done(unsafe { smog_copy_async(raw(target), raw(source)) });
}

/// Queues a copy of `source` into a tensor of bytes on the current stream.
///
/// # Safety
/// Where `target` is on a GPU, `source` must stay valid and unchanged until an event that is recorded on the current
/// stream after this call is done.
///
/// # Panics
/// Where the target is no contiguous tensor of as many bytes.
pub unsafe fn copy_bytes(target: &Tensor, source: &[u8]) {
    assert_eq!(
        (target.kind(), target.numel(), target.is_contiguous()),
        (Kind::Uint8, source.len(), true),
        "a target of as many bytes"
    );
    // SAFETY: the tensor is a view of the slice, for the length of this call and, as the caller promises, for as long
    // as a copy that was queued reads from it. Nothing writes through it.
    let view = unsafe {
        Tensor::from_blob(source.as_ptr(), &target.size(), &[], Kind::Uint8, Device::Cpu)
    };
    copy_async(target, &view);
}

/// `source`, a tensor of the host, on `device`. Plain tch makes this thread wait there until the GPU has done all that is
/// queued; this does not.
pub(crate) fn upload(source: &Tensor, device: Device) -> Tensor {
    let Some(number) = number(device) else { return source.to_device(device) };
    let result = Tensor::new();
    // SAFETY: the tensors live; the result is written into the one that `result` holds.
    done(unsafe { smog_upload(raw(source), number, raw(&result)) });
    result
}

/// Keeps the tensor's memory, once it is freed, from being given away before `stream` has done what is queued now: for a
/// tensor that was made on another stream.
pub fn record_stream(tensor: &Tensor, stream: Stream) {
    if let Some(stream) = stream.0 {
        // SAFETY: the tensor lives; reads one value of this layout.
        done(unsafe { smog_record_stream(raw(tensor), &stream) });
    }
}

/// How a GPU computes, for the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMath {
    /// Whether f32 convolutions may be rounded to TF32 (10 bits of mantissa). Products of matrices never are: groups, logits
    /// and k-means need theirs whole. Networks that are made of products gain by [`Precision::Bf16`](crate::Precision).
    pub tf32: bool,
    /// Whether cuDNN tries its algorithms for each new shape and keeps the fastest. Which one wins may differ from run to
    /// run, and with it the last bits.
    pub benchmark: bool,
}

impl GpuMath {
    /// Tells libtorch. Changes nothing on a CPU.
    pub fn apply(self) {
        // SAFETY: takes two values.
        done(unsafe { smog_set_math(self.tf32, self.benchmark) });
    }

    /// What libtorch was told.
    pub fn current() -> Self {
        Self::with_products().0
    }

    /// What libtorch was told, and whether products may be rounded, too.
    fn with_products() -> (Self, bool) {
        let mut math = Self { tf32: false, benchmark: false };
        let mut products = false;
        // SAFETY: writes three values.
        done(unsafe { smog_math(&mut math.tf32, &mut products, &mut math.benchmark) });
        (math, products)
    }
}

/// Numbers on their way from a device to the host.
#[derive(Debug)]
pub struct Readback {
    values: Tensor,
    copied: Event,
}

impl Readback {
    /// Queues the copy of `values`, f64 `[n]`, behind what is queued on the current stream. Nobody waits.
    ///
    /// # Panics
    /// Where the values have another kind or shape.
    pub fn begin(values: &Tensor) -> Self {
        assert_eq!((values.kind(), values.dim()), (Kind::Double, 1), "a row of f64");
        let device = values.device();
        let bytes = host_bytes(8 * values.numel(), device);
        let target = bytes.view_dtype(Kind::Double);
        copy_async(&target, values);
        let mut copied = Event::new(device);
        copied.record(Stream::current(device));
        Self { values: target, copied }
    }

    /// Whether they have arrived.
    pub fn is_done(&self) -> bool {
        self.copied.is_done()
    }

    /// The values; blocks this thread until they have arrived.
    pub fn read(self) -> Vec<f64> {
        self.copied.synchronize();
        let mut values = vec![0.0; self.values.numel()];
        let count = values.len();
        self.values.copy_data(&mut values, count);
        values
    }
}

#[cfg(test)]
mod tests;
