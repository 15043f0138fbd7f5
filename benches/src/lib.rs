//! Criterion benchmarks; see the files in `benches/`.
