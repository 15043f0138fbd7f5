//! The memory of slots.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// Alignment of every block: a cache line, and what a copy to a device likes.
const ALIGNMENT: usize = 64;

/// Shape of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchShape {
    /// Rows.
    pub rows: u32,
    /// Side of each view in pixels.
    pub view_sizes: Vec<u32>,
}

impl BatchShape {
    /// Bytes of one row of view `view`.
    pub fn row_bytes(&self, view: usize) -> usize {
        let side = self.view_sizes[view] as usize;
        3 * side * side
    }

    /// Bytes of all views of all rows.
    pub fn bytes(&self) -> u64 {
        let row: u64 = (0..self.view_sizes.len()).map(|view| self.row_bytes(view) as u64).sum();
        row * u64::from(self.rows)
    }
}

/// One block of memory, freed when dropped.
///
/// # Safety
/// The pointer is valid for reads and writes of `len` initialised bytes for as long as the block lives,
/// does not change, and nobody else touches the memory meanwhile. It may be used from any thread.
pub unsafe trait SlotBlock: Send + Sync {
    /// Its first byte.
    fn pointer(&self) -> NonNull<u8>;
    /// Its length in bytes.
    fn len(&self) -> usize;
    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A slot whose pixels lie where the processor cannot reach them. What it is, only the memory that made it, its
/// renderer and the trainer know; here it is kept as long as the slot and handed to both.
pub type DeviceSlot = Arc<dyn Any + Send + Sync>;

/// Allocates the blocks of the ring. The pipeline does not ask what kind of memory it is: heap, pinned memory that
/// the trainer supplies, or memory of a device.
pub trait SlotMemory: Send + Sync + fmt::Debug {
    /// A block of `bytes` bytes, all zero, that the processor can write.
    ///
    /// # Errors
    /// What the allocator says, in words.
    fn allocate(&self, bytes: usize) -> Result<Box<dyn SlotBlock>, String>;

    /// A slot on a device, where this is memory of one. The slot then has no pixels here: nothing is asked of
    /// [`SlotMemory::allocate`], views of its rows and batches are empty, and only a renderer that knows the device can
    /// fill it.
    ///
    /// # Errors
    /// What the device says, in words.
    fn device_slot(&self, shape: &BatchShape) -> Result<Option<DeviceSlot>, String> {
        let _ = shape;
        Ok(None)
    }

    /// Bytes that a slot takes of the processor's memory.
    fn host_bytes(&self, shape: &BatchShape) -> u64 {
        shape.bytes()
    }
}

/// Plain heap memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapMemory;

impl SlotMemory for HeapMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn SlotBlock>, String> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGNMENT)
            .map_err(|_| "no address space is that large".to_owned())?;
        // SAFETY: the layout has a size of at least 1.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or_else(|| "out of memory".to_owned())?;
        Ok(Box::new(HeapBlock { start, len: bytes, layout }))
    }
}

#[derive(Debug)]
struct HeapBlock {
    start: NonNull<u8>,
    len: usize,
    layout: Layout,
}

// SAFETY: the block owns its memory, and the heap may be used and freed from any thread.
unsafe impl Send for HeapBlock {}
// SAFETY: a shared reference gives nothing but the address and the length.
unsafe impl Sync for HeapBlock {}

// SAFETY: the memory was allocated with `layout`, zeroed, is owned by this value alone and freed by its
// drop; the fields never change.
unsafe impl SlotBlock for HeapBlock {
    fn pointer(&self) -> NonNull<u8> {
        self.start
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
