//! Criterion benchmarks; see the files in `benches/`. Beside the time of each, what it takes of memory is
//! printed: Criterion itself has no word for that.

use smog_tests::heap::CountingHeap;

/// Counts in every benchmark.
#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

/// Prints the heap use of the first call of `run` and of one after it. Memory of C libraries is not counted.
#[expect(clippy::print_stdout, reason = "benchmarks report to a person")]
pub fn heap(name: &str, mut run: impl FnMut()) {
    let first = HEAP.used_by(&mut run);
    let later = HEAP.used_by(&mut run);
    println!(
        "{name:<40} heap: first call {} allocations, peak {} bytes; then {} allocations, peak {} bytes",
        first.calls, first.peak_bytes, later.calls, later.peak_bytes
    );
}
