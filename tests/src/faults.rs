//! Sources, renderers, decoders and memory that are slow, damaged or broken on purpose.

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{Array, BinaryViewArray};
use crossbeam::channel::{Receiver, bounded};
use smog_pipeline::batch::{HeapMemory, SlotBlock, SlotMemory};
use smog_pipeline::codec::{
    CodecError, DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Pixels, decoder,
};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::render::{RenderContext, Renderer, RowJob};
use smog_pipeline::runtime::{FETCH_THREAD, FailureCause, PipelineError, RENDER_THREAD, StageSet};
use smog_pipeline::sample::{ImageMeta, RowGroupId};
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
    /// When the stream ends, an error comes that is only a consequence.
    Late,
    /// Each call takes a random time of up to so many microseconds.
    Sleep(u32),
}

/// When the last fault happened. Tests of the pipeline run one at a time.
static STRUCK: Mutex<Option<Instant>> = Mutex::new(None);

/// Notes that a fault happens now.
fn strike() {
    STRUCK.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
}

/// Time since the first fault since this was called last; `None` where none has happened.
pub fn since_fault() -> Option<Duration> {
    STRUCK.lock().unwrap_or_else(PoisonError::into_inner).take().map(|struck| struck.elapsed())
}

/// A panic that [`since_fault`] knows of.
fn fault_unless(works: bool, message: &str) {
    if !works {
        strike();
        panic!("{message}");
    }
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
    /// A call of `row_groups` from the dispatcher's thread panics. It makes one, at its start.
    pub panic_in_fetch: bool,
    /// Samples whose bytes are replaced by something that no decoder takes.
    pub corrupt: BTreeSet<u32>,
    /// One row is missing from each row group.
    pub short: bool,
    /// Calls of `read` so far.
    pub num_reads: AtomicU64,
}

impl FaultySource {
    /// A source that is as good as `inner`; faults are set in its fields.
    pub fn new(inner: Arc<dyn Source>) -> Self {
        Self {
            inner,
            read: Fault::None,
            panic_in_fetch: false,
            corrupt: BTreeSet::new(),
            short: false,
            num_reads: AtomicU64::new(0),
        }
    }

    /// Calls of `read`.
    pub fn reads(&self) -> u64 {
        self.num_reads.load(Ordering::Relaxed)
    }
}

impl Source for FaultySource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        let breaks = self.panic_in_fetch && thread::current().name() == Some(FETCH_THREAD);
        fault_unless(!breaks, "the dispatcher breaks");
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

    fn max_coefficient_bytes(&self) -> u64 {
        self.inner.max_coefficient_bytes()
    }

    fn held_bytes(&self) -> u64 {
        self.inner.held_bytes()
    }

    fn read(&self, id: RowGroupId) -> Result<RowGroup, SourceError> {
        let call = self.num_reads.fetch_add(1, Ordering::Relaxed);
        match self.read {
            Fault::Error(at) if call >= at => {
                strike();
                return Err(SourceError::Damaged {
                    shard: "train-00003.parquet".into(),
                    row_group: id.0,
                    problem: "injected".into(),
                });
            }
            Fault::Panic(at) => fault_unless(call < at, "the source breaks"),
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
            strike();
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

    fn scratch_bytes(&self, max_pixels: u64, max_coefficient_bytes: u64) -> u64 {
        self.inner.scratch_bytes(max_pixels, max_coefficient_bytes)
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
                    let job = match cancel.recv(&jobs) {
                        Err(_) if fault == Fault::Late => {
                            return Err(FailureCause::Other("a consequence".into()).into());
                        }
                        job => job?,
                    };
                    match fault {
                        Fault::Error(at) if call >= at => {
                            strike();
                            return Err(FailureCause::Other("the device is lost".into()).into());
                        }
                        Fault::Panic(at) => fault_unless(call < at, "the renderer breaks"),
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

/// A renderer that cannot start: its device is not there.
#[derive(Debug)]
pub struct RefusingRenderer;

impl Renderer for RefusingRenderer {
    fn workers(&self) -> u32 {
        1
    }

    fn scratch_bytes(&self, _max_pixels: u64, _max_coefficient_bytes: u64) -> u64 {
        0
    }

    fn start(
        &self,
        _jobs: Receiver<RowJob>,
        _context: &RenderContext,
        _stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        Err(PipelineError::SlotMemory { bytes: 0, problem: "there is no device".to_owned() })
    }
}

/// Memory that takes its time to be freed, as that of a device does.
#[derive(Debug)]
pub struct SlowMemory;

impl SlotMemory for SlowMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn SlotBlock>, String> {
        Ok(Box::new(SlowBlock(HeapMemory.allocate(bytes)?)))
    }
}

struct SlowBlock(Box<dyn SlotBlock>);

impl Drop for SlowBlock {
    fn drop(&mut self) {
        thread::sleep(Duration::from_millis(50));
    }
}

// SAFETY: the block behind it keeps the contract.
unsafe impl SlotBlock for SlowBlock {
    fn pointer(&self) -> NonNull<u8> {
        self.0.pointer()
    }

    fn len(&self) -> usize {
        self.0.len()
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

    fn scratch_bytes(&self, _max_pixels: u64, _max_coefficient_bytes: u64) -> u64 {
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

/// Images that [`breaking_decoder`] still decodes.
static DECODES_LEFT: AtomicU64 = AtomicU64::new(0);

/// Lets decoders of [`breaking_decoder`] decode `count` images before one panics.
pub fn let_decode(count: u64) {
    DECODES_LEFT.store(count, Ordering::Relaxed);
}

/// A decoder that works until the images of [`let_decode`] are used up.
pub fn breaking_decoder(kind: DecoderKind, limits: DecodeLimits) -> Box<dyn ImageDecoder> {
    Box::new(BreakingDecoder(decoder(kind, limits)))
}

struct BreakingDecoder(Box<dyn ImageDecoder>);

impl ImageDecoder for BreakingDecoder {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        request: &DecodeRequest,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        let left =
            DECODES_LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        fault_unless(left.is_ok(), "the decoder breaks");
        self.0.decode(encoded, meta, request, out)
    }
}

/// Memory that cannot be had, or that cannot be written.
#[derive(Debug)]
pub struct FaultyMemory {
    /// Allocations that succeed.
    pub good_blocks: u64,
    /// Whether the worker that writes to a block panics.
    pub breaks_when_written: bool,
    /// Allocations so far.
    pub num_blocks: AtomicU64,
}

impl FaultyMemory {
    /// Memory that gives `good_blocks` blocks and no more.
    pub fn with_room_for(good_blocks: u64) -> Self {
        Self { good_blocks, breaks_when_written: false, num_blocks: AtomicU64::new(0) }
    }
}

impl SlotMemory for FaultyMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn SlotBlock>, String> {
        if self.num_blocks.fetch_add(1, Ordering::Relaxed) >= self.good_blocks {
            strike();
            return Err("the device has no memory left".to_owned());
        }
        let block = HeapMemory.allocate(bytes)?;
        Ok(if self.breaks_when_written { Box::new(BreakingBlock(block)) } else { block })
    }
}

struct BreakingBlock(Box<dyn SlotBlock>);

// SAFETY: the block behind it keeps the contract; this one gives out its address or panics.
unsafe impl SlotBlock for BreakingBlock {
    fn pointer(&self) -> NonNull<u8> {
        let is_worker =
            thread::current().name().is_some_and(|name| name.starts_with(RENDER_THREAD));
        fault_unless(!is_worker, "the memory is gone");
        self.0.pointer()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
