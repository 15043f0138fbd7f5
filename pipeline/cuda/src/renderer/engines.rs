//! The thread that feeds the JPEG engines.
//!
//! It takes rows from the queue of all decoders and makes batches of those that the engines take; the others it passes
//! to the workers. A batch begins as soon as the engines are idle, with what there is, so the last rows of a slot never
//! wait for company. While it is under way the next one gathers and begins behind it, if at least half of what fills the
//! engines is there; less waits until they are idle, or many small batches would come out of a queue that is just not
//! empty.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, TrySendError, never};
use smog_pipeline::render::sample::RenderSettings;
use smog_pipeline::render::{RenderContext, RowJob};
use smog_pipeline::runtime::metrics::{QueueMeter, StageCounters};
use smog_pipeline::runtime::{Cancel, StageExit};
use smog_pipeline::sample::ImageMeta;

use super::counts::Routes;
use super::{BatchDecoder, Decoded, Device, Output, Placed, draw_plan};
use crate::CudaError;
use crate::kernels::Surface;
use crate::nvjpeg::Begun;
use crate::route::{Route, Router};
use crate::surfaces::SurfaceLease;

/// Batches under way at once.
pub(super) const MAX_BUSY: usize = 2;
/// After so many failed batches in a row the engines are not used any more. A few bad images do not fail so many, and a
/// batch that fails costs the time of its images twice.
pub(super) const MAX_FAILED: u32 = 8;

/// The thread.
pub(super) struct Engines {
    /// First, so that it goes first: it waits for what is under way.
    pub(super) decoder: Box<dyn BatchDecoder>,
    /// Rows for the next batch, their plans drawn.
    pub(super) pending: VecDeque<RowJob>,
    /// Rows that are pending or in a batch under way.
    pub(super) queue: Arc<QueueMeter>,
    /// Batches under way, oldest first.
    pub(super) busy: VecDeque<Batch>,
    pub(super) device: Arc<dyn Device>,
    pub(super) router: Router,
    pub(super) settings: RenderSettings,
    pub(super) context: RenderContext,
    pub(super) jobs: Receiver<RowJob>,
    pub(super) pass: Pass,
    pub(super) decoded: Output,
    pub(super) counters: Arc<StageCounters>,
    pub(super) routes: Arc<Routes>,
    /// When the engines ended their last batch.
    pub(super) idle_since: Instant,
    /// Batches that failed since one was whole.
    pub(super) failed_in_a_row: u32,
    /// Whether a failed batch was warned of.
    pub(super) warned: bool,
}

/// To the workers.
pub(super) struct Pass {
    pub(super) sender: Sender<RowJob>,
    pub(super) queue: Arc<QueueMeter>,
}

/// Rows whose images are decoded together.
#[derive(Debug)]
pub(super) struct Batch {
    rows: Vec<(RowJob, SurfaceLease)>,
    started: Instant,
}

impl Engines {
    pub(super) fn run(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        while self.failed_in_a_row < MAX_FAILED {
            self.turn(cancel)?;
            if cancel.is_cancelled() {
                return Err(StageExit::Cancelled);
            }
        }
        self.retire(cancel)
    }

    /// Gathers what there is, and begins a batch or ends one.
    fn turn(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        if self.pending.is_empty() && self.busy.is_empty() {
            let job = self.counters.wait_input(|| cancel.recv(&self.jobs))?;
            self.accept(job, cancel)?;
        }
        while self.pending.len() < self.decoder.max_images() {
            // A queue that is closed is noticed by the wait above.
            let Ok(job) = self.jobs.try_recv() else { break };
            self.accept(job, cancel)?;
        }
        let begun = self.may_begin() && self.begin(cancel)?;
        // Where nothing can begin, since too little is there or there is no room for it, something has to end.
        let stuck = !begun || self.busy.len() == MAX_BUSY;
        if stuck && !self.busy.is_empty() {
            self.finish(cancel)?;
        }
        Ok(())
    }

    /// Leaves the rest to the workers, whose decoders take what the engines take.
    fn retire(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        tracing::warn!(
            batches = self.failed_in_a_row,
            "the JPEG engines failed one batch after another and are not used any more; the hybrid decoders take \
             their images"
        );
        while !self.busy.is_empty() {
            self.finish(cancel)?;
        }
        while let Some(job) = self.pending.pop_front() {
            self.queue.took();
            self.pass_on(job, cancel)?;
        }
        // The thread stays, for workers take the end of their queue for a failure.
        self.counters.wait_input(|| cancel.recv(&never::<()>()))
    }

    /// Whether what is pending is enough for a batch.
    fn may_begin(&self) -> bool {
        let least = match self.busy.len() {
            0 => 1,
            MAX_BUSY.. => return false,
            _ => self.decoder.max_images().div_ceil(2),
        };
        self.pending.len() >= least
    }

    /// Keeps a row for the next batch, or passes it on.
    fn accept(&mut self, mut job: RowJob, cancel: &Cancel) -> Result<(), StageExit> {
        self.context.metrics.rows.took();
        let meta = *meta(&job);
        let encoded = job.group.encoded(job.row_in_group);
        let fits = encoded.len() <= self.decoder.max_bytes()
            && self.device.surfaces().fits(meta.width, meta.height);
        let taken = fits
            && self.router.route(encoded, &meta) == Route::Hardware
            && self
                .decoder
                .takes(encoded, meta.width, meta.height)
                .map_err(CudaError::into_exit)?;
        if !taken {
            return self.pass_on(job, cancel);
        }
        let key = job.key;
        draw_plan(&mut job, &key, &meta, &self.settings, &self.context);
        self.pending.push_back(job);
        self.queue.put();
        Ok(())
    }

    /// Begins a batch of as many pending rows as there is room for, if there are any. Waits for room only where nothing is
    /// under way that could be finished instead.
    fn begin(&mut self, cancel: &Cancel) -> Result<bool, StageExit> {
        let mut rows: Vec<(RowJob, SurfaceLease)> = Vec::new();
        let mut bytes = 0;
        while let Some(job) = self.pending.front()
            && rows.len() < self.decoder.max_images()
        {
            let ImageMeta { width, height, .. } = *meta(job);
            bytes += job.group.encoded(job.row_in_group).len();
            if bytes > self.decoder.max_bytes() {
                break;
            }
            let surface = match self.device.surfaces().try_allocate(width, height) {
                Ok(Some(surface)) => surface,
                Ok(None) if rows.is_empty() && self.busy.is_empty() => {
                    let surfaces = self.device.surfaces();
                    self.counters.wait_output(|| surfaces.allocate(width, height, cancel))?
                }
                Ok(None) => break,
                Err(error) => return Err(error.into_exit()),
            };
            if let Some(job) = self.pending.pop_front() {
                rows.push((job, surface));
            }
        }
        if rows.is_empty() {
            return Ok(false);
        }
        // Behind the wait for room, which is no work of the engines.
        let started = Instant::now();
        // The largest first, as the engines share the batch among them.
        rows.sort_by_key(|(job, _)| Reverse(job.group.encoded(job.row_in_group).len()));
        let images: Vec<(&[u8], Surface)> = rows
            .iter()
            .map(|(job, surface)| (job.group.encoded(job.row_in_group), *surface.surface()))
            .collect();
        match self.decoder.begin(&images).map_err(CudaError::into_exit)? {
            Begun::UnderWay => self.busy.push_back(Batch { rows, started }),
            Begun::Refused(error) => {
                // Those before it come first: whether they are whole says whether it is one of a row of failures.
                while !self.busy.is_empty() {
                    self.finish(cancel)?;
                }
                self.give_up(rows, Some(&error), cancel)?;
            }
        }
        Ok(true)
    }

    /// Waits for the oldest batch and hands its rows on.
    fn finish(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        let whole = self.decoder.finish().map_err(CudaError::into_exit)?;
        let Some(Batch { rows, started }) = self.busy.pop_front() else { return Ok(()) };
        if !whole {
            return self.give_up(rows, None, cancel);
        }
        self.failed_in_a_row = 0;
        let bytes: usize =
            rows.iter().map(|(job, _)| job.group.encoded(job.row_in_group).len()).sum();
        // Batches overlap; what the engines did for this one begins where the one before ended.
        let busy = started.max(self.idle_since).elapsed();
        self.idle_since = Instant::now();
        self.counters.task(busy, rows.len() as u64, bytes as u64);
        self.routes.hardware.fetch_add(rows.len() as u64, Relaxed);
        self.routes.hardware_batches.fetch_add(1, Relaxed);
        for (job, surface) in rows {
            self.queue.took();
            self.context.bad_samples.shown();
            let orientation = self.settings.orientation(meta(&job));
            let (row, key) = job.choice(0);
            let image = Placed { surface, orientation, left: 0, top: 0 };
            let done = Decoded { job, row, key, image };
            self.decoded.send(done, &self.counters, cancel)?;
        }
        Ok(())
    }

    /// A batch failed, and nobody knows for which of its images: workers try them one by one.
    fn give_up(
        &mut self,
        rows: Vec<(RowJob, SurfaceLease)>,
        error: Option<&CudaError>,
        cancel: &Cancel,
    ) -> Result<(), StageExit> {
        self.routes.hardware_refused.fetch_add(rows.len() as u64, Relaxed);
        self.failed_in_a_row += 1;
        let reason = error.map_or_else(|| "no reason given".to_owned(), ToString::to_string);
        if std::mem::replace(&mut self.warned, true) {
            tracing::debug!(images = rows.len(), reason, "a batch of the JPEG engines failed");
        } else {
            tracing::warn!(
                images = rows.len(),
                reason,
                "a batch of the JPEG engines failed; its images are tried one by one (said once)"
            );
        }
        // All of them give their room back before the first is passed on, and may be waited for.
        let jobs: Vec<RowJob> = rows.into_iter().map(|(job, _)| job).collect();
        jobs.iter().for_each(|_| self.queue.took());
        jobs.into_iter().try_for_each(|job| self.pass_on(job, cancel))
    }

    /// Passes a row to the workers. They may be waiting for room that batches under way hold, and take nothing from their
    /// queue meanwhile, so where that is full a batch is ended first.
    fn pass_on(&mut self, mut job: RowJob, cancel: &Cancel) -> Result<(), StageExit> {
        while !self.busy.is_empty() {
            match self.pass.sender.try_send(job) {
                Ok(()) => {
                    self.pass.queue.put();
                    return Ok(());
                }
                Err(TrySendError::Full(back)) => {
                    job = back;
                    self.finish(cancel)?;
                }
                Err(TrySendError::Disconnected(back)) => {
                    job = back;
                    break;
                }
            }
        }
        self.counters.wait_output(|| cancel.send(&self.pass.sender, job))?;
        self.pass.queue.put();
        Ok(())
    }
}

fn meta(job: &RowJob) -> &ImageMeta {
    &job.group.metas[job.row_in_group as usize]
}
