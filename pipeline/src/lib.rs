//! The streaming data pipeline of `smog`: from encoded images in Parquet shards to batches of augmented
//! views, as a pure function of a position.
//!
//! ```text
//! manifest
//!    |
//!  source ──> sampler ──> fetch ──> [decode -> augment] ──> collate ──> trainer
//!  row        ordinal to   row       one worker, one         slot        next_batch
//!  groups     sample       groups    sample, N threads       complete
//! ```
//!
//! | stage | module | takes | gives | threads |
//! |---|---|---|---|---|
//! | source | [`source`] | manifest | row groups by index | |
//! | sampler | [`order`] | ordinal | [`sample::SampleKey`] | in fetch |
//! | fetch | [`fetch`] | row groups in schedule order | encoded samples | 1 reader, 1 dispatcher |
//! | decode, augment | [`codec`], [`augment`], [`render`] | bytes and a [`augment::SamplePlan`] | views in slot rows | N |
//! | collate | [`batch`] | filled rows | a complete batch | none: the last row publishes |
//!
//! Three rules hold everywhere. Randomness is drawn before any pixel is touched, keyed by (seed, epoch,
//! sample, view), so threads, queues and restarts never change a batch. Memory is a ring of preallocated
//! slots, so a slow trainer stops the pipeline instead of filling memory. The end of data is a value,
//! never a closed channel, so a worker that dies is an error and not a short epoch.
//!
//! This crate links neither libtorch nor CUDA.

mod archive;
mod atomic;
pub mod augment;
pub mod batch;
pub mod codec;
pub mod draw;
pub mod fetch;
pub mod manifest;
pub mod order;
pub mod remote;
pub mod render;
pub mod runtime;
pub mod sample;
pub mod shard;
pub mod sheet;
mod simd;
pub mod source;
mod stamp;
pub mod stream;
