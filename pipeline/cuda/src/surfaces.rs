//! Memory for decoded images: one block of the device, given out piece by piece in a circle.
//!
//! A piece goes from *used* (a decoder writes it) to *submitted* (kernels that read it are enqueued) to free. Pieces are
//! freed in the order in which they were given out, so there is nothing to search and nothing is ever split. Whoever
//! needs room that is still submitted waits **on the host** for the fence of the kernels. The JPEG engines begin to
//! write before the work that was enqueued ahead of them has ended, so the order of a stream would
//! not do.
//!
//! A piece that is used is waited for by polling: its holder waits for nobody who waits here, so it comes free (the thread of
//! the JPEG engines ends a batch rather than wait for a worker that waits here).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smog_pipeline::runtime::{Cancel, StageExit};

use crate::CudaError;
use crate::kernels::Surface;

/// Alignment of a piece, as the driver aligns whole blocks.
const ALIGNMENT: u64 = 256;
/// How long a waiting thread sleeps before it looks whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(20);

/// A point behind which the device has read a surface.
pub(crate) trait Fence: Send + Sync {
    /// Sleeps until it is reached.
    fn wait(&self) -> Result<(), CudaError>;
    /// Whether it is reached.
    fn has_passed(&self) -> Result<bool, CudaError>;
}

/// The circle.
#[derive(Debug)]
pub(crate) struct Surfaces {
    base: u64,
    bytes: u64,
    circle: Mutex<Circle>,
    changed: Condvar,
    /// Nanoseconds for which threads waited until kernels had read a piece.
    wait_kernels: AtomicU64,
    /// The same until a decoder had done with one.
    wait_decoders: AtomicU64,
}

/// How much of the circle is in use, and was over time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// From the first piece to the head: what nobody else can have.
    pub(crate) held_bytes: u64,
    /// Of the whole circle.
    pub(crate) capacity_bytes: u64,
    /// Integral of the bytes in use over time.
    pub(crate) byte_seconds: f64,
    /// Time for which threads waited until kernels had read a piece.
    pub(crate) wait_kernels: Duration,
    /// The same until a decoder had done with one.
    pub(crate) wait_decoders: Duration,
}

#[derive(Debug)]
struct Circle {
    /// Of the whole block.
    bytes: u64,
    /// Where the next piece begins.
    head: u64,
    /// Number of the first piece below.
    first: u64,
    pieces: VecDeque<Piece>,
    /// When `byte_seconds` was brought up to date.
    counted: Instant,
    byte_seconds: f64,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    state: State,
}

enum State {
    Used,
    Submitted(Arc<dyn Fence>),
    Free,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Used => "Used",
            Self::Submitted(_) => "Submitted",
            Self::Free => "Free",
        })
    }
}

/// A piece for one image. Dropped without being submitted, it is free at once: the decoder has given up on it.
#[derive(Debug)]
pub(crate) struct SurfaceLease {
    surfaces: Arc<Surfaces>,
    number: u64,
    surface: Surface,
    submitted: bool,
}

impl Surfaces {
    /// A circle over `bytes` bytes from the device address `base` on.
    pub(crate) fn new(base: u64, bytes: u64) -> Arc<Self> {
        let circle = Circle {
            bytes,
            head: 0,
            first: 0,
            pieces: VecDeque::new(),
            counted: Instant::now(),
            byte_seconds: 0.0,
        };
        Arc::new(Self {
            base,
            bytes,
            circle: Mutex::new(circle),
            changed: Condvar::new(),
            wait_kernels: AtomicU64::new(0),
            wait_decoders: AtomicU64::new(0),
        })
    }

    /// Bytes that an image takes.
    fn piece_bytes(width: u32, height: u32) -> u64 {
        (3 * u64::from(width) * u64::from(height)).next_multiple_of(ALIGNMENT)
    }

    /// Whether an image has room at all.
    pub(crate) fn fits(&self, width: u32, height: u32) -> bool {
        Self::piece_bytes(width, height) <= self.bytes
    }

    /// A piece for an image of this size, unless that would mean to wait.
    pub(crate) fn try_allocate(
        self: &Arc<Self>,
        width: u32,
        height: u32,
    ) -> Result<Option<SurfaceLease>, CudaError> {
        let mut circle = self.locked();
        loop {
            if let Some(lease) = self.place(&mut circle, width, height) {
                return Ok(Some(lease));
            }
            match circle.pieces.front().map(|piece| &piece.state) {
                Some(State::Submitted(fence)) if fence.has_passed()? => circle.pop(),
                _ => return Ok(None),
            }
        }
    }

    /// A piece for an image of this size. Call [`Surfaces::fits`] before.
    pub(crate) fn allocate(
        self: &Arc<Self>,
        width: u32,
        height: u32,
        cancel: &Cancel,
    ) -> Result<SurfaceLease, StageExit> {
        let mut circle = self.locked();
        loop {
            if cancel.is_cancelled() {
                return Err(StageExit::Cancelled);
            }
            if let Some(lease) = self.place(&mut circle, width, height) {
                return Ok(lease);
            }
            let number = circle.first;
            let fence = match circle.pieces.front().map(|piece| &piece.state) {
                Some(State::Submitted(fence)) => Some(Arc::clone(fence)),
                _ => None,
            };
            if let Some(fence) = fence {
                drop(circle);
                let begun = Instant::now();
                fence.wait().map_err(CudaError::into_exit)?;
                count(&self.wait_kernels, begun);
                circle = self.locked();
                circle.free(number);
            } else {
                let begun = Instant::now();
                let waited = self.changed.wait_timeout(circle, PATIENCE);
                count(&self.wait_decoders, begun);
                circle = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Puts a piece at the head if there is room.
    fn place(
        self: &Arc<Self>,
        circle: &mut Circle,
        width: u32,
        height: u32,
    ) -> Option<SurfaceLease> {
        let length = Self::piece_bytes(width, height);
        while matches!(circle.pieces.front(), Some(Piece { state: State::Free, .. })) {
            circle.pop();
        }
        let start = match circle.pieces.front() {
            None => (length <= self.bytes).then_some(0),
            // What is given out lies between tail and head; the rest of the block and its begin are free.
            Some(Piece { start: tail, .. }) if circle.head > *tail => {
                if length <= self.bytes - circle.head {
                    Some(circle.head)
                } else {
                    (length < *tail).then_some(0)
                }
            }
            // The head has gone round. It never reaches the tail, for then full would look like empty.
            Some(Piece { start: tail, .. }) => (length < tail - circle.head).then_some(circle.head),
        }?;
        circle.count();
        circle.head = start + length;
        circle.pieces.push_back(Piece { start, state: State::Used });
        Some(SurfaceLease {
            surfaces: Arc::clone(self),
            number: circle.first + circle.pieces.len() as u64 - 1,
            surface: Surface { pixels: self.base + start, width, height, pitch: 3 * width },
            submitted: false,
        })
    }

    /// Takes back what the kernels have read by now. Whoever needs room finds it without this; but what is in use is
    /// only known by it.
    pub(crate) fn reap(&self) -> Result<(), CudaError> {
        let mut circle = self.locked();
        let mut passed: Option<Arc<dyn Fence>> = None;
        while let Some(piece) = circle.pieces.front() {
            match &piece.state {
                State::Used => break,
                State::Free => {}
                // All images of a launch have one fence.
                State::Submitted(fence)
                    if passed.as_ref().is_some_and(|p| Arc::ptr_eq(p, fence)) => {}
                State::Submitted(fence) if fence.has_passed()? => passed = Some(Arc::clone(fence)),
                State::Submitted(_) => break,
            }
            circle.pop();
        }
        Ok(())
    }

    /// What is in use now, as far as the host has noticed.
    pub(crate) fn usage(&self) -> Usage {
        let nanos = |total: &AtomicU64| Duration::from_nanos(total.load(Relaxed));
        let mut circle = self.locked();
        circle.count();
        Usage {
            held_bytes: circle.held(),
            capacity_bytes: self.bytes,
            byte_seconds: circle.byte_seconds,
            wait_kernels: nanos(&self.wait_kernels),
            wait_decoders: nanos(&self.wait_decoders),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Circle> {
        self.circle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the time since `begun`.
fn count(total: &AtomicU64, begun: Instant) {
    total.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
}

impl Circle {
    /// Bytes between tail and head, gaps and what was freed out of turn included.
    fn held(&self) -> u64 {
        match self.pieces.front() {
            None => 0,
            Some(Piece { start: tail, .. }) if self.head > *tail => self.head - tail,
            Some(Piece { start: tail, .. }) => self.bytes - tail + self.head,
        }
    }

    /// Brings the integral up to date, before what is held changes.
    fn count(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.counted);
        self.byte_seconds += self.held() as f64 * passed.as_secs_f64();
        self.counted = now;
    }

    fn pop(&mut self) {
        self.count();
        self.pieces.pop_front();
        self.first += 1;
    }

    /// Frees the piece of this number, unless it has gone already.
    fn free(&mut self, number: u64) {
        self.set(number, State::Free);
    }

    fn set(&mut self, number: u64, state: State) {
        let at = number.checked_sub(self.first).map(|at| at as usize);
        if let Some(piece) = at.and_then(|at| self.pieces.get_mut(at)) {
            piece.state = state;
        }
    }
}

impl SurfaceLease {
    /// Where it lies.
    pub(crate) fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Says that kernels that read it were enqueued; they have ended when the fence has passed.
    pub(crate) fn submitted(mut self, fence: &Arc<dyn Fence>) {
        self.submitted = true;
        self.surfaces.locked().set(self.number, State::Submitted(Arc::clone(fence)));
        self.surfaces.changed.notify_all();
    }
}

impl Drop for SurfaceLease {
    fn drop(&mut self) {
        if !self.submitted {
            self.surfaces.locked().free(self.number);
            self.surfaces.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
