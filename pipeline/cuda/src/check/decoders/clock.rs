//! From when to when the images of a decoder are counted.

use std::time::{Duration, Instant};

use super::DecodeRate;

/// How long a decoder runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Before it is measured: memory is taken, clocks rise.
    pub(crate) warm_up: Duration,
    /// At least so long it is measured.
    pub(crate) measured: Duration,
}

/// Counts images from the first end of a batch behind the warm-up to the last one.
pub(super) struct Clock {
    times: Times,
    begun: Instant,
    /// When the count began.
    from: Option<Instant>,
    to: Instant,
    /// Batches that have ended since then, and their images.
    batches: u64,
    images: u64,
}

impl Clock {
    pub(super) fn new(times: Times) -> Self {
        let begun = Instant::now();
        Self { times, begun, from: None, to: begun, batches: 0, images: 0 }
    }

    /// A batch has ended, with so many images; none where it was refused.
    pub(super) fn ended(&mut self, images: u64) {
        self.to = Instant::now();
        match self.from {
            Some(_) => {
                self.batches += 1;
                self.images += images;
            }
            None if self.to - self.begun >= self.times.warm_up => self.from = Some(self.to),
            None => {}
        }
    }

    /// Whether the time is over. It is longer than asked for where no batch has ended in it, so that its rate is none of
    /// nothing.
    pub(super) fn is_over(&self) -> bool {
        match self.from {
            Some(from) => self.batches > 0 && from.elapsed() >= self.times.measured,
            None => false,
        }
    }

    pub(super) fn rate(&self) -> DecodeRate {
        let seconds = self.from.map_or(0.0, |from| (self.to - from).as_secs_f64());
        rate(self.images, seconds, 0)
    }
}

/// A rate of so many images in so many seconds.
pub(super) fn rate(images: u64, seconds: f64, refused: u64) -> DecodeRate {
    let images_per_second = if seconds > 0.0 { images as f64 / seconds } else { 0.0 };
    DecodeRate { images_per_second, images, refused }
}
