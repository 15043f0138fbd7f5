//! The batch stream: the only thing of this crate that the trainer drives.
//!
//! ```text
//!             smog-read            smog-fetch            smog-render-N          the trainer
//!   source ──> Reader ──Fetched──> Dispatcher ──RowJob──> Renderer ──rows──┐
//!              (2, bytes)   ^      takes a free slot      (2 x workers)    v
//!                           └────────── free ────────── [ slots ] ──ready──> next_batch
//! ```
//!
//! What a step shows depends on its number and the settings only. Threads, slots and restarts decide when
//! a batch is made, never what is in it.

mod config;
mod memory;
mod state;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;

use crate::batch::{BatchShape, HeapMemory, HostBatch, ReadySide, SlotMemory, ring};
use crate::fetch::{ByteBudget, Dispatcher, READ_AHEAD, Reader};
use crate::order::{Order, Positions, order};
use crate::render::{BadSamples, CpuRenderer, RenderContext, Renderer};
use crate::runtime::metrics::{Metrics, StreamMetrics};
use crate::runtime::{
    COUNTERS, Cancel, DECODE, FETCH, FETCH_THREAD, PipelineError, READ, READ_THREAD, StageSet, TAKE,
};
use crate::source::Source;

pub use config::{StreamConfig, StreamMode};
pub use memory::MemoryForecast;
pub use state::StreamState;

/// How long stages are waited for after they were told to end.
const JOIN_DEADLINE: Duration = Duration::from_secs(30);

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

/// The parts behind the seams of a stream.
#[derive(Clone, Debug)]
pub struct StreamParts {
    /// Where slots are allocated.
    pub memory: Arc<dyn SlotMemory>,
    /// Who fills them.
    pub renderer: Arc<dyn Renderer>,
}

impl StreamParts {
    /// Heap memory, and as many threads of the processor as the settings say.
    pub fn cpu(config: &StreamConfig) -> Self {
        Self {
            memory: Arc::new(HeapMemory),
            renderer: Arc::new(CpuRenderer::new(config.render, config.resolved_workers())),
        }
    }
}

/// A stream of batches as a pure function of the step number.
pub struct BatchStream {
    source: Arc<dyn Source>,
    order: Arc<dyn Order>,
    positions: Positions,
    shape: BatchShape,
    parts: StreamParts,
    context: RenderContext,
    forecast: MemoryForecast,
    state: StreamState,
    running: Option<Running>,
    failure: Option<PipelineError>,
    peak_resident_bytes: u64,
}

/// The threads of a stream and the trainer's end of their channels.
struct Running {
    ready: ReadySide,
    stages: StageSet,
    budget: Arc<ByteBudget>,
}

impl std::fmt::Debug for BatchStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchStream")
            .field("state", &self.state)
            .field("forecast", &self.forecast)
            .field("running", &self.running.is_some())
            .finish_non_exhaustive()
    }
}

impl BatchStream {
    /// Checks the settings, allocates the slots and starts the stages. Takes no longer in the middle of a
    /// run than at its start.
    ///
    /// # Errors
    /// If the settings cannot be met, the memory budget does not suffice, or `start` is a position in
    /// another stream.
    pub fn open(
        source: Arc<dyn Source>,
        config: StreamConfig,
        start: Start<'_>,
    ) -> Result<Self, PipelineError> {
        let parts = StreamParts::cpu(&config);
        Self::open_with(source, config, start, parts)
    }

    /// As [`BatchStream::open`], with other memory or another renderer.
    ///
    /// # Errors
    /// As [`BatchStream::open`].
    pub fn open_with(
        source: Arc<dyn Source>,
        config: StreamConfig,
        start: Start<'_>,
        parts: StreamParts,
    ) -> Result<Self, PipelineError> {
        config.validate(source.num_samples())?;
        let shape = BatchShape { rows: config.batch_size, view_sizes: config.recipe.view_sizes() };
        let order: Arc<dyn Order> = order(config.order, source.row_groups(), config.seed).into();
        let (memory, renderer) = (&*parts.memory, &*parts.renderer);
        let forecast = MemoryForecast::new(&*source, &config, &shape, &*order, memory, renderer)?;
        let mut state = StreamState {
            version: StreamState::VERSION,
            dataset_digest: source.digest().to_owned(),
            order: config.order,
            recipe_digest: config.recipe.digest(),
            seed: config.seed,
            global_batch: config.global_batch(),
            world_size: config.world_size,
            next_step: 0,
        };
        state.next_step = match start {
            Start::Step(step) => step,
            Start::State(saved) => {
                state.accept(saved)?;
                saved.next_step
            }
        };
        let positions = Positions {
            num_samples: source.num_samples() as u32,
            batch_size: config.batch_size,
            rank: config.rank,
            world_size: config.world_size,
            mode: config.mode,
        };
        let context = RenderContext {
            recipe: Arc::new(config.recipe),
            seed: config.seed,
            bad_samples: Arc::new(BadSamples::new(config.bad_samples)),
            metrics: Arc::new(Metrics::default()),
        };
        let mut stream = Self {
            source,
            order,
            positions,
            shape,
            parts,
            context,
            forecast,
            state,
            running: None,
            failure: None,
            peak_resident_bytes: 0,
        };
        let first = stream.state.next_step;
        stream.start(first)?;
        Ok(stream)
    }

    /// Allocates a ring and starts the stages at `step`.
    fn start(&mut self, step: u64) -> Result<(), PipelineError> {
        let last = self.positions.end().unwrap_or_else(|| {
            self.positions.steps_per_epoch().saturating_mul(u64::from(u32::MAX))
        });
        if step > last {
            return Err(PipelineError::Setting {
                key: "next_step",
                value: step.to_string(),
                expected: format!("at most {last}"),
            });
        }
        self.state.next_step = step;
        if self.positions.end() == Some(step) {
            return Ok(());
        }
        let metrics = &self.context.metrics;
        let (fill, ready) =
            ring(&self.shape, self.forecast.num_slots, &*self.parts.memory, metrics)?;
        let budget = ByteBudget::new(self.forecast.resident_groups_bytes);
        let (fetched, input) = bounded(READ_AHEAD);
        let (jobs, rows) = bounded(self.parts.renderer.queue_rows() as usize);
        let capacities =
            [READ_AHEAD, jobs.capacity().unwrap_or(0), self.forecast.num_slots as usize];
        for (known, capacity) in metrics.capacities.iter().zip(capacities) {
            known.store(capacity as u32, Relaxed);
        }
        let reader = Reader {
            source: Arc::clone(&self.source),
            order: Arc::clone(&self.order),
            positions: self.positions,
            first_step: step,
            keeps_all: self.forecast.keeps_all,
            budget: Arc::clone(&budget),
            output: fetched,
            counters: metrics.counters(READ, 0),
            metrics: Arc::clone(metrics),
        };
        let mut dispatcher = Dispatcher {
            source: Arc::clone(&self.source),
            order: Arc::clone(&self.order),
            positions: self.positions,
            first_step: step,
            keeps_all: self.forecast.keeps_all,
            budget: Arc::clone(&budget),
            slots: fill,
            input,
            jobs,
            counters: metrics.counters(FETCH, 0),
            metrics: Arc::clone(metrics),
        };
        // From here on the channels' ends are with the stages; what started before a failure is stopped by
        // the drop of `Running`.
        let running = self.running.insert(Running {
            ready,
            stages: StageSet::new(Cancel::default()),
            budget,
        });
        let stages = &mut running.stages;
        let started = stages
            .spawn(READ_THREAD.to_owned(), move |cancel| reader.run(cancel))
            .and_then(|()| self.parts.renderer.start(rows, &self.context, stages))
            .and_then(|()| {
                stages.spawn(FETCH_THREAD.to_owned(), move |cancel| dispatcher.run(cancel))
            });
        if let Err(error) = started {
            // What had begun finds its neighbours gone and says so; the reason is the first failure.
            let _ = self.stop();
            return Err(error);
        }
        Ok(())
    }

    /// Waits for the next batch. With as many batches held as there are slots, there is none to come before
    /// one of them is dropped.
    ///
    /// # Errors
    /// The first failure of any stage; again at every later call.
    pub fn next_batch(&mut self) -> Result<Next, PipelineError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let step = self.state.next_step;
        if self.positions.end() == Some(step) {
            self.stop().map_err(|error| self.failed(error))?;
            return Ok(Next::End);
        }
        let Some(running) = &self.running else {
            return Err(self.failed(PipelineError::NotRunning));
        };
        let span = tracing::debug_span!(TAKE, step).entered();
        let started = Instant::now();
        let position = StreamState { next_step: step + 1, ..self.state.clone() };
        let (epoch, _) = self.positions.split(step);
        let cancel = running.stages.cancel();
        match HostBatch::receive(&running.ready, step, epoch, position, cancel) {
            Ok(batch) => {
                let metrics = &self.context.metrics;
                metrics.batch_taken(batch.num_valid() as u64, started.elapsed());
                drop(span);
                tracing::trace!(
                    target: COUNTERS,
                    ready_batches = metrics.ready.depth(),
                    queued_rows = metrics.rows.depth(),
                );
                self.state.next_step = step + 1;
                Ok(Next::Batch(batch))
            }
            // Only a failed stage cancels behind the trainer's back. Its reason is complete when all have
            // ended, and `stop` gives it.
            Err(_) => {
                let error = self.stop().err().unwrap_or(PipelineError::NotRunning);
                Err(self.failed(error))
            }
        }
    }

    fn failed(&mut self, error: PipelineError) -> PipelineError {
        self.failure = Some(error.clone());
        error
    }

    /// Stops and joins the stages, if there are any.
    fn stop(&mut self) -> Result<(), PipelineError> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        let Running { ready, mut stages, budget } = running;
        let cancel = stages.cancel().clone();
        // Receivers go first, so that nobody waits for a place in a queue that is not emptied any more.
        drop(ready);
        cancel.cancel();
        let joined = stages.join(JOIN_DEADLINE);
        self.peak_resident_bytes = self.peak_resident_bytes.max(budget.peak());
        self.context.metrics.reset_queues();
        match cancel.failure() {
            Some(failure) => Err(PipelineError::Stage(failure)),
            None => joined,
        }
    }

    /// The position after the last batch that was handed out.
    pub fn position(&self) -> StreamState {
        self.state.clone()
    }

    /// Continues at another step. Batches that are still held stay valid.
    ///
    /// # Errors
    /// As [`BatchStream::open`], and if a stage had failed.
    pub fn seek(&mut self, next_step: u64) -> Result<(), PipelineError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.stop().and_then(|()| self.start(next_step)).map_err(|error| self.failed(error))
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.positions.steps_per_epoch()
    }

    /// Resolved figures.
    pub fn memory(&self) -> MemoryForecast {
        self.forecast.clone()
    }

    /// What the stages counted since the stream was opened.
    pub fn metrics(&self) -> StreamMetrics {
        let mut snapshot = self.context.metrics.snapshot();
        if let Some(decode) = snapshot.stages.iter_mut().find(|stage| stage.stage == DECODE) {
            decode.failures_total = self.context.bad_samples.by_kind();
        }
        snapshot.peak_resident_bytes = self.peak_resident_bytes;
        snapshot.remote = self.source.remote_metrics();
        if let Some(running) = &self.running {
            snapshot.resident_bytes = running.budget.held();
            snapshot.peak_resident_bytes = snapshot.peak_resident_bytes.max(running.budget.peak());
        }
        snapshot
    }

    /// Stops all stages and waits for them.
    ///
    /// # Errors
    /// A failure that was not reported yet, or the names of stages that did not end.
    pub fn close(mut self) -> Result<(), PipelineError> {
        self.stop()
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "a stream that was dropped had failed");
        }
    }
}
