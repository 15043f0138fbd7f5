//! The thread that enqueues the kernels, for as many rows at once as are decoded, and commits the rows.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::Receiver;
use smog_pipeline::augment::{CropBox, ViewPlan};
use smog_pipeline::runtime::metrics::{Metrics, QueueMeter, StageCounters};
use smog_pipeline::runtime::{AUGMENT, Cancel, KERNELS, StageExit};

use super::{Decoded, Device, ViewKernels};
use crate::CudaError;
use crate::kernels::ViewTask;
use crate::ring::DeviceSlot;

/// The thread. Its buffers are kept from call to call.
pub(super) struct Augment {
    kernels: Box<dyn ViewKernels>,
    max_rows: usize,
    input: Input,
    counters: Arc<StageCounters>,
    /// What the device does of it, by its own clock.
    on_device: Arc<StageCounters>,
    device: Arc<dyn Device>,
    rows: Vec<Decoded>,
    tasks: Vec<ViewTask>,
    /// Slots that the rows belong to, and how many of each.
    slots: Vec<(Arc<DeviceSlot>, u32)>,
}

/// The queue of decoded rows, as the thread sees it.
pub(super) struct Input {
    pub(super) finished: Receiver<Decoded>,
    pub(super) queue: Arc<QueueMeter>,
}

impl Augment {
    pub(super) fn new(
        device: Arc<dyn Device>,
        kernels: Box<dyn ViewKernels>,
        max_rows: usize,
        input: Input,
        metrics: &Metrics,
    ) -> Self {
        let (counters, on_device) = (metrics.counters(AUGMENT, 0), metrics.counters(KERNELS, 0));
        let (rows, tasks, slots) = (Vec::new(), Vec::new(), Vec::new());
        Self { kernels, max_rows, input, counters, on_device, device, rows, tasks, slots }
    }

    pub(super) fn run(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        loop {
            let first = self.counters.wait_input(|| cancel.recv(&self.input.finished))?;
            self.input.queue.took();
            self.rows.push(first);
            while self.rows.len() < self.max_rows {
                let Ok(row) = self.input.finished.try_recv() else { break };
                self.input.queue.took();
                self.rows.push(row);
            }
            let started = Instant::now();
            let count = self.rows.len() as u64;
            let _span = tracing::trace_span!(AUGMENT, rows = count).entered();
            // So that memory which was read long ago does not count as in use: once per call of the kernels.
            self.device.surfaces().reap().map_err(CudaError::into_exit)?;
            self.submit()?;
            self.counters.task(started.elapsed(), count, 0);
            self.on_device.count(count, 0);
            if let Some(busy) = self.kernels.busy() {
                self.on_device.task(busy, 0, 0);
            }
        }
    }

    /// Enqueues what the rows need, records the events of their slots, and commits them.
    fn submit(&mut self) -> Result<(), StageExit> {
        self.tasks.clear();
        self.slots.clear();
        let stream = self.kernels.stream();
        for number in 0..self.rows.len() {
            let slot = slot(&self.rows[number])?;
            if let Some((_, rows)) =
                self.slots.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &slot))
            {
                *rows += 1;
            } else {
                if slot.is_fresh() {
                    // The trainer may still read what this slot held before.
                    slot.begin(stream).map_err(CudaError::into_exit)?;
                }
                self.slots.push((Arc::clone(&slot), 1));
            }
            push_tasks(&mut self.rows[number], &slot, &mut self.tasks);
        }
        self.kernels.render(&self.tasks).map_err(CudaError::into_exit)?;
        let fence = self.kernels.fence().map_err(CudaError::into_exit)?;
        for (slot, rows) in self.slots.drain(..) {
            if slot.enqueued(rows) {
                // All rows of the slot are ahead of this on one stream. Before the commit below, which may publish it.
                slot.events().record_ready(stream).map_err(CudaError::into_exit)?;
            }
        }
        for Decoded { job, row, key, image } in self.rows.drain(..) {
            image.surface.submitted(&fence);
            let label = job.group.labels[row as usize];
            job.lease.commit(key, label, job.valid);
        }
        Ok(())
    }
}

/// One task per view of the row.
fn push_tasks(row: &mut Decoded, slot: &DeviceSlot, tasks: &mut Vec<ViewTask>) {
    let (number, image) = (row.job.lease.row(), &row.image);
    let plan = &row.job.lease.parts().plan.views;
    tasks.extend(plan.iter().enumerate().map(|(view, plan)| ViewTask {
        surface: *image.surface.surface(),
        plan: moved(plan, image.left, image.top),
        orientation: image.orientation,
        out: slot.row(view, number),
    }));
}

/// The plan in pixels of a surface that begins `left` and `top` pixels into the image.
fn moved(plan: &ViewPlan, left: u32, top: u32) -> ViewPlan {
    let CropBox { x, y, width, height } = plan.crop;
    let crop = CropBox { x: x - f64::from(left), y: y - f64::from(top), width, height };
    ViewPlan { crop, ..*plan }
}

/// The slot on the device that a row belongs to.
fn slot(row: &Decoded) -> Result<Arc<DeviceSlot>, StageExit> {
    let slot = row.job.lease.device_slot().cloned().and_then(|slot| slot.downcast().ok());
    slot.ok_or_else(|| {
        CudaError::Options {
            key: "memory of the stream",
            value: "another".to_owned(),
            expected: "the DeviceRing of its renderer".to_owned(),
        }
        .into_exit()
    })
}
