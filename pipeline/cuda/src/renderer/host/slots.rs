//! Slots of the device that is memory of the processor.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use smog_pipeline::batch::{HeapMemory, SlotBlock, SlotMemory};

use super::{Log, STREAM, TRAINER};
use crate::CudaError;
use crate::ring::{Block, SlotEvents, SlotMaker};

#[derive(Debug)]
pub(super) struct Maker {
    pub(super) log: Arc<Log>,
    pub(super) lazy: bool,
}

impl SlotMaker for Maker {
    fn block(&self, bytes: usize) -> Result<Box<dyn Block>, CudaError> {
        Ok(Box::new(HostBlock(HeapMemory.allocate(bytes).unwrap())))
    }

    fn events(&self) -> Result<Box<dyn SlotEvents>, CudaError> {
        let log = Arc::clone(&self.log);
        Ok(Box::new(HostEvents {
            log,
            lazy: self.lazy,
            is_free: Mutex::new(true),
            was_used: AtomicBool::new(false),
        }))
    }
}

struct HostBlock(Box<dyn SlotBlock>);

impl std::fmt::Debug for HostBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostBlock({} bytes)", self.0.len())
    }
}

impl Block for HostBlock {
    fn address(&self) -> u64 {
        let start: NonNull<u8> = self.0.pointer();
        start.as_ptr() as u64
    }
}

/// Also checks the order of events: filled, ready, freed, and again.
#[derive(Debug)]
struct HostEvents {
    log: Arc<Log>,
    lazy: bool,
    is_free: Mutex<bool>,
    was_used: AtomicBool,
}

impl SlotEvents for HostEvents {
    fn hold_back(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, STREAM);
        assert!(*self.is_free.lock().unwrap(), "a round begins before the slot was freed");
        self.log.held_back.fetch_add(1, SeqCst);
        Ok(())
    }

    fn record_ready(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, STREAM);
        assert!(std::mem::replace(&mut *self.is_free.lock().unwrap(), false), "ready twice");
        self.log.ready.fetch_add(1, SeqCst);
        Ok(())
    }

    unsafe fn wait_ready(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, TRAINER);
        assert!(!*self.is_free.lock().unwrap(), "the trainer waits for what was not written");
        self.log.waited.fetch_add(1, SeqCst);
        Ok(())
    }

    unsafe fn record_free(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, TRAINER);
        assert!(!std::mem::replace(&mut *self.is_free.lock().unwrap(), true), "free twice");
        self.was_used.store(true, SeqCst);
        self.log.freed.fetch_add(1, SeqCst);
        Ok(())
    }

    fn is_ready(&self) -> Result<bool, CudaError> {
        Ok(!self.lazy)
    }

    fn is_free(&self) -> Result<bool, CudaError> {
        // What was never recorded counts as passed.
        Ok(!self.lazy || !self.was_used.load(SeqCst))
    }

    fn drain(&self) -> Result<(), CudaError> {
        *self.is_free.lock().unwrap() = true;
        self.log.drained.fetch_add(1, SeqCst);
        Ok(())
    }
}
