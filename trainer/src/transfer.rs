//! From a slot of the stream to normalised views on the device, without a wait of the host.
//!
//! ```text
//!   slot (pinned) ──copy, side stream──> landing (u8, on the device) ──normalise, trainer's stream──> views
//!     │ lease given back when the copy is done            │ used again when its bytes were read
//! ```
//!
//! Landings are made once. The copy of a batch waits, on the device, until the bytes that lay in its landing were
//! read; the trainer's stream waits, on the device, for the copy. So the copy of the next batch goes on beside the step
//! of this one. The host waits in one place: before it takes a batch while as many leases are out as there are landings.
//! The bound on its lead (`pace.rs`) comes before that, and mostly leaves nothing to wait for. On the CPU every part is
//! done when its call returns, and the same code is a plain copy.
//!
//! Views that the renderer on the GPU made are there already. They are used where they lie; their slot is given back when
//! the next batch is asked for, behind all that the step has queued.

mod landings;

use std::collections::VecDeque;

use smog_cuda::kernels::PixelKind;
use smog_cuda::{CudaError, DeviceBatch, DeviceView};
use smog_model::device::{Event, Stream, copy_bytes};
use smog_pipeline::batch::{BatchShape, HostBatch};
use smog_pipeline::runtime::metrics::StreamMetrics;
use tch::{Device, Kind, Tensor};

use crate::data_wait::DataWait;
use crate::images::Normalizer;
use landings::{LandingMeter, Load};

/// Landings on a GPU: one being read, one being copied into.
const NUM_LANDINGS: usize = 2;

/// Memory of the device for the bytes of one batch.
#[derive(Debug)]
struct Landing {
    /// `[rows, side, side, 3]` of each view.
    views: Vec<Tensor>,
    /// The bytes are here.
    copied: Event,
    /// The bytes were read.
    used: Event,
}

/// Takes batches to the device.
#[derive(Debug)]
pub(crate) struct Transfer {
    device: Device,
    copies: Stream,
    landings: Vec<Landing>,
    next: usize,
    meter: LandingMeter,
    /// What the views are made in.
    kind: Kind,
    /// Batches whose bytes may still be read, oldest first, with their landing.
    held: VecDeque<(HostBatch, usize)>,
    /// Whether the views are made on the device. There are no landings then.
    made_there: bool,
    /// The batch of the step at work, where its views were made on the device.
    there: Option<DeviceBatch>,
    /// How long the device waited.
    pub(crate) data_wait: DataWait,
}

impl Transfer {
    /// For batches whose views are made on `device`.
    ///
    /// # Panics
    /// Where libtorch refuses, here and below.
    pub(crate) fn of_device(device: Device) -> Self {
        let shape = BatchShape { rows: 0, view_sizes: Vec::new() };
        let mut transfer = Self::with_landings(device, &shape, 0);
        transfer.made_there = true;
        transfer
    }

    /// For batches of this shape, of which the stream has `num_slots`.
    pub(crate) fn new(device: Device, shape: &BatchShape, num_slots: u32) -> Self {
        // A stream whose slots are all held could not go on.
        let most = (num_slots as usize).saturating_sub(1).max(1);
        let num_landings = if device.is_cuda() { NUM_LANDINGS.min(most) } else { 1 };
        Self::with_landings(device, shape, num_landings)
    }

    /// Makes the views in this kind instead of f32, for networks that begin by casting them to it: once for all of them.
    pub(crate) fn making(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    fn with_landings(device: Device, shape: &BatchShape, num_landings: usize) -> Self {
        let rows = i64::from(shape.rows);
        let landing = || Landing {
            views: shape
                .view_sizes
                .iter()
                .map(|&side| [rows, side.into(), side.into(), 3])
                .map(|size| Tensor::zeros(size, (Kind::Uint8, device)))
                .collect(),
            copied: Event::new(device),
            used: Event::new(device),
        };
        let landings: Vec<Landing> = (0..num_landings).map(|_| landing()).collect();
        // The zeros are written on this stream, the first copies on another.
        Stream::current(device).synchronize();
        Self {
            device,
            copies: Stream::side(device),
            landings,
            next: 0,
            meter: LandingMeter::new(device, num_landings),
            kind: Kind::Float,
            held: VecDeque::new(),
            made_there: false,
            there: None,
            data_wait: DataWait::new(device),
        }
    }

    /// To be called before the next batch is taken from the stream: there is a landing for it then. Waits for the oldest
    /// copy where all are in use.
    ///
    /// # Errors
    /// What the driver says where the views were made on the device.
    pub(crate) fn make_room(&mut self) -> Result<(), CudaError> {
        if let Some(batch) = self.there.take() {
            let trainer = Stream::current(self.device).handle() as u64;
            // SAFETY: a stream of libtorch's lives as long as the program, and the views were used on this one only.
            return unsafe { batch.release(trainer) };
        }
        self.give_back();
        if self.held.len() == self.landings.len()
            && let Some((batch, landing)) = self.held.pop_front()
        {
            self.landings[landing].copied.synchronize();
            drop(batch);
        }
        Ok(())
    }

    /// Gives back the slots whose bytes have arrived.
    fn give_back(&mut self) {
        let copied = |landing: usize| self.landings[landing].copied.is_done();
        let num_done = self.held.iter().take_while(|(_, landing)| copied(*landing)).count();
        self.held.drain(..num_done);
    }

    /// Queues the copy of the batch and what makes views of it: `[B, 3, H, W]` each, normalised, f32 or what
    /// [`Transfer::making`] said, or what they were made in on the device. Valid until [`Transfer::make_room`] is called.
    ///
    /// # Errors
    /// As [`Transfer::make_room`].
    ///
    /// # Panics
    /// Where the batch has another shape, or [`Transfer::make_room`] was not called.
    pub(crate) fn views(
        &mut self,
        batch: HostBatch,
        normalizer: &Normalizer,
    ) -> Result<Vec<Tensor>, CudaError> {
        if self.made_there {
            return self.views_there(batch);
        }
        assert!(self.held.len() < self.landings.len(), "make_room comes first");
        let trainer = Stream::current(self.device);
        let landing = &mut self.landings[self.next];
        self.copies.wait(&landing.used);
        self.meter.begin(self.copies);
        self.copies.within(|| {
            for (view, target) in landing.views.iter().enumerate() {
                // SAFETY: the batch is held until `copied`, which is recorded behind this copy on its stream, is done.
                unsafe { copy_bytes(target, batch.view(view)) };
            }
        });
        landing.copied.record(self.copies);
        self.meter.copied(self.copies);
        trainer.wait(&landing.copied);
        self.data_wait.end();
        let views = (landing.views.iter())
            .map(|bytes| normalizer.planes(bytes).to_kind(self.kind))
            .collect();
        landing.used.record(trainer);
        let bytes: usize = (0..batch.num_views()).map(|view| batch.view(view).len()).sum();
        self.meter.read(trainer, Load { rows: batch.len() as u64, bytes: bytes as u64 });
        self.held.push_back((batch, self.next));
        self.next = (self.next + 1) % self.landings.len();
        self.give_back();
        Ok(views)
    }

    /// Adds the copies to what the stream counted, where there are any.
    ///
    /// # Panics
    /// Where the device failed.
    pub(crate) fn add_to(&mut self, metrics: &mut StreamMetrics) {
        if !self.made_there {
            self.meter.add_to(metrics);
        }
    }

    /// The views where they lie, without a copy.
    fn views_there(&mut self, batch: HostBatch) -> Result<Vec<Tensor>, CudaError> {
        assert!(self.there.is_none(), "make_room comes first");
        let batch = DeviceBatch::new(batch)?;
        let trainer = Stream::current(self.device).handle() as u64;
        // SAFETY: a stream of libtorch's lives as long as the program.
        unsafe { batch.wait_ready(trainer) }?;
        self.data_wait.end();
        let views =
            (0..batch.num_views()).map(|view| wrap(batch.view(view), self.device)).collect();
        self.there = Some(batch);
        Ok(views)
    }
}

/// A tensor over a view of a slot, `[B, 3, H, W]` in channels-last order.
fn wrap(view: DeviceView, device: Device) -> Tensor {
    let kind = match view.kind {
        PixelKind::F32 => Kind::Float,
        PixelKind::Bf16 => Kind::BFloat16,
    };
    let (rows, side) = (i64::from(view.rows), i64::from(view.side));
    let (size, strides) = ([rows, side, side, 3], [side * side * 3, side * 3, 3, 1]);
    // SAFETY: the block holds so many values of this kind, contiguous, on this device. It lives as long as the ring, and
    // nobody writes it until the slot is given back, behind the last use of the tensor.
    let values =
        unsafe { Tensor::from_blob(view.address as *const u8, &size, &strides, kind, device) };
    values.permute([0, 3, 1, 2])
}

impl Drop for Transfer {
    /// No slot is given back while its bytes may still be read.
    fn drop(&mut self) {
        for (batch, landing) in self.held.drain(..) {
            let copied = &self.landings[landing].copied;
            if smog_model::guard(|| copied.synchronize()).is_err() {
                // The device failed; nobody knows whether it still reads. The slot stays taken.
                std::mem::forget(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests;
