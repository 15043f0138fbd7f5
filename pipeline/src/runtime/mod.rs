//! What every stage runs on: named threads under a panic guard, cancellation, metrics, errors.
//!
//! A stream ends in one of four ways. *Drain*: a finite stream handed out its last batch. *Stop*: the
//! trainer has enough. *Fail*: the first failure of a stage cancels all others and is what the trainer
//! gets. *Drop*: the stream goes out of scope, as stop. In all four the ends of channels that the
//! coordinator holds are dropped first, then every thread is joined.

mod cancel;
mod error;
pub mod metrics;
pub mod names;
mod stage;
pub mod trace;

pub use cancel::{Cancel, StageExit};
pub use error::{FailureCause, PipelineError, StageFailure};
pub use names::{AUGMENT, COLLATE, DECODE, FETCH, READ, TRAINER};
pub use names::{COUNTERS, TAKE, WAIT_INPUT, WAIT_OUTPUT};
pub use names::{ENGINES, KERNELS, PASSED, SURFACES, TRANSFER};
pub use names::{FETCH_THREAD, READ_THREAD, RENDER_THREAD, THREAD_PREFIX};
pub use stage::StageSet;
