//! A counting allocator: how often the heap is asked, and how much of it is in use at most.
//!
//! Counts what Rust code allocates. What a C library takes by `malloc` (libjpeg-turbo does) is not seen.
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: CountingHeap = CountingHeap::new();
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The system's allocator with counters. They are exact only where nobody allocates while they are read.
#[derive(Debug)]
pub struct CountingHeap {
    calls: AtomicU64,
    live: AtomicU64,
    peak: AtomicU64,
}

/// What was counted while something ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUse {
    /// Calls for new or larger memory.
    pub calls: u64,
    /// Most bytes in use at once, beyond those at the start.
    pub peak_bytes: u64,
}

impl CountingHeap {
    /// For a `static`.
    #[expect(clippy::new_without_default, reason = "a const fn, for statics only")]
    pub const fn new() -> Self {
        Self { calls: AtomicU64::new(0), live: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// Calls for memory so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// What `run` asks for, together with whatever other threads ask for meanwhile.
    pub fn used_by(&self, run: impl FnOnce()) -> HeapUse {
        let (calls, live) = (self.calls(), self.live.load(Relaxed));
        self.peak.store(live, Relaxed);
        run();
        HeapUse {
            calls: self.calls() - calls,
            peak_bytes: self.peak.load(Relaxed).saturating_sub(live),
        }
    }

    fn grew(&self, bytes: usize) {
        self.calls.fetch_add(1, Relaxed);
        let live = self.live.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        self.peak.fetch_max(live, Relaxed);
    }

    fn shrank(&self, bytes: usize) {
        self.live.fetch_sub(bytes as u64, Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grew(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grew(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.shrank(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.shrank(layout.size());
        self.grew(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
