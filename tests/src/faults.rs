//! Sources and renderers that are slow, damaged or broken on purpose.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use arrow::array::{Array, BinaryViewArray};
use crossbeam::channel::{Receiver, bounded};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::render::{RenderContext, Renderer, RowJob};
use smog_pipeline::runtime::{FETCH_THREAD, FailureCause, PipelineError, StageSet};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{RowGroup, RowGroupInfo, Source, SourceError};

/// What happens, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The call with this number fails.
    Error(u64),
    /// The call with this number panics.
    Panic(u64),
    /// Each call takes a random time of up to so many microseconds.
    Sleep(u32),
}

/// Sleeps for a time that depends on the number of the call.
fn sleep(call: u64, most_micros: u32) {
    let micros = Draw::new(1, Domain::Selection, [call as u32, 0, 0, 0, 0]).below(most_micros);
    thread::sleep(Duration::from_micros(micros.into()));
}

/// A source with faults.
pub struct FaultySource {
    /// The source behind it.
    pub inner: Arc<dyn Source>,
    /// What happens in `read`.
    pub read: Fault,
    /// The call of `row_groups` from the dispatcher's thread that panics.
    pub panic_in_fetch: Option<u64>,
    /// Samples whose bytes are replaced by something that no decoder takes.
    pub corrupt: BTreeSet<u32>,
    /// One row is missing from each row group.
    pub short: bool,
    /// Calls of `read` so far.
    pub num_reads: AtomicU64,
    /// Calls of `row_groups` from the dispatcher's thread so far.
    pub num_calls_in_fetch: AtomicU64,
}

impl FaultySource {
    /// A source that is as good as `inner`; faults are set in its fields.
    pub fn new(inner: Arc<dyn Source>) -> Self {
        Self {
            inner,
            read: Fault::None,
            panic_in_fetch: None,
            corrupt: BTreeSet::new(),
            short: false,
            num_reads: AtomicU64::new(0),
            num_calls_in_fetch: AtomicU64::new(0),
        }
    }

    /// Calls of `read`.
    pub fn reads(&self) -> u64 {
        self.num_reads.load(Ordering::Relaxed)
    }
}

impl Source for FaultySource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        if let Some(limit) = self.panic_in_fetch
            && thread::current().name() == Some(FETCH_THREAD)
        {
            let call = self.num_calls_in_fetch.fetch_add(1, Ordering::Relaxed);
            assert!(call < limit, "the dispatcher breaks");
        }
        self.inner.row_groups()
    }

    fn digest(&self) -> &str {
        self.inner.digest()
    }

    fn classes(&self) -> &[String] {
        self.inner.classes()
    }

    fn max_pixels(&self) -> u64 {
        self.inner.max_pixels()
    }

    fn read(&self, id: RowGroupId) -> Result<RowGroup, SourceError> {
        let call = self.num_reads.fetch_add(1, Ordering::Relaxed);
        match self.read {
            Fault::Error(at) if call >= at => {
                return Err(SourceError::Damaged {
                    shard: "train-00003.parquet".into(),
                    row_group: id.0,
                    problem: "injected".into(),
                });
            }
            Fault::Panic(at) => assert!(call < at, "the source breaks"),
            Fault::Sleep(most) => sleep(call, most),
            _ => {}
        }
        let mut group = self.inner.read(id)?;
        let samples = group.first_sample.0..group.first_sample.0 + group.rows();
        if self.corrupt.range(samples).next().is_some() {
            let bytes = (0..group.rows()).map(|row| {
                let corrupt = self.corrupt.contains(&(group.first_sample.0 + row));
                if corrupt { b"no image".as_slice() } else { group.encoded(row) }
            });
            group.images = BinaryViewArray::from_iter_values(bytes);
        }
        if self.short {
            group.images = group.images.slice(0, group.images.len() - 1);
        }
        Ok(group)
    }
}

/// A renderer that hands jobs to another one, with a fault in between.
#[derive(Debug)]
pub struct FaultyRenderer {
    /// Who does the work.
    pub inner: Arc<dyn Renderer>,
    /// What happens to a job on the way.
    pub fault: Fault,
}

impl Renderer for FaultyRenderer {
    fn workers(&self) -> u32 {
        self.inner.workers()
    }

    fn scratch_bytes(&self, max_pixels: u64) -> u64 {
        self.inner.scratch_bytes(max_pixels)
    }

    fn start(
        &self,
        jobs: Receiver<RowJob>,
        context: &RenderContext,
        stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        let (sender, receiver) = bounded(1);
        let fault = self.fault;
        // Two of them that sleep put jobs out of order.
        for number in 0..2 {
            let (jobs, sender) = (jobs.clone(), sender.clone());
            stages.spawn(format!("smog-faulty-{number}"), move |cancel| {
                for call in 0.. {
                    let job = cancel.recv(&jobs)?;
                    match fault {
                        Fault::Error(at) if call >= at => {
                            return Err(FailureCause::Other("the device is lost".into()).into());
                        }
                        Fault::Panic(at) => assert!(call < at, "the renderer breaks"),
                        Fault::Sleep(most) => sleep(2 * call + number, most),
                        _ => {}
                    }
                    cancel.send(&sender, job)?;
                }
                Ok(())
            })?;
        }
        self.inner.start(receiver, context, stages)
    }
}

/// A renderer that never takes a job.
#[derive(Debug, Default)]
pub struct StoppedRenderer {
    /// The queue of jobs, to be looked at from outside. Taken out before the stream is closed.
    pub jobs: std::sync::Mutex<Option<Receiver<RowJob>>>,
}

impl Renderer for StoppedRenderer {
    fn workers(&self) -> u32 {
        3
    }

    fn scratch_bytes(&self, _max_pixels: u64) -> u64 {
        0
    }

    fn start(
        &self,
        jobs: Receiver<RowJob>,
        _context: &RenderContext,
        _stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        *self.jobs.lock().expect("nobody panics") = Some(jobs);
        Ok(())
    }
}
