//! The batch stream: the only thing of this crate that the trainer drives.

mod config;
mod memory;
mod state;

use std::sync::Arc;

use crate::batch::HostBatch;
use crate::runtime::PipelineError;
use crate::runtime::metrics::StreamMetrics;
use crate::source::Source;

pub use config::{StreamConfig, StreamMode};
pub use memory::MemoryForecast;
pub use state::StreamState;

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// At this step.
    Step(u64),
    /// Where another stream with the same settings stood.
    State(&'a StreamState),
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// A batch.
    Batch(HostBatch),
    /// The end of a finite stream; again at every later call.
    End,
}

/// A stream of batches as a pure function of the step number.
#[derive(Debug)]
pub struct BatchStream {
    state: StreamState,
    forecast: MemoryForecast,
}

impl BatchStream {
    /// Checks the settings, allocates the slots and starts the stages.
    ///
    /// # Errors
    /// If the settings cannot be met, the memory budget does not suffice, or `start` is a position in
    /// another stream.
    pub fn open(
        _source: Arc<dyn Source>,
        config: StreamConfig,
        _start: Start<'_>,
    ) -> Result<Self, PipelineError> {
        Err(PipelineError::Setting {
            key: "batch_size",
            value: config.batch_size.to_string(),
            expected: "the stream, which is under construction".into(),
        })
    }

    /// Waits for the next batch.
    ///
    /// # Errors
    /// The first failure of any stage; again at every later call.
    pub fn next_batch(&mut self) -> Result<Next, PipelineError> {
        Ok(Next::End)
    }

    /// The position after the last batch that was handed out.
    pub fn position(&self) -> StreamState {
        self.state.clone()
    }

    /// Continues at another step. Batches that are still held stay valid.
    ///
    /// # Errors
    /// As [`BatchStream::open`].
    pub fn seek(&mut self, next_step: u64) -> Result<(), PipelineError> {
        self.state.next_step = next_step;
        Ok(())
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        0
    }

    /// Resolved figures.
    pub fn memory(&self) -> MemoryForecast {
        self.forecast.clone()
    }

    /// What the stages counted since the stream was opened.
    pub fn metrics(&self) -> StreamMetrics {
        StreamMetrics::default()
    }

    /// Stops all stages and waits for them.
    ///
    /// # Errors
    /// A failure that was not reported yet, or the names of stages that did not end.
    pub fn close(self) -> Result<(), PipelineError> {
        Ok(())
    }
}
