//! What the command lines of `smog-tools` and `smog-trainer` share, so that both speak, fail and wait alike.
//!
//! ```text
//! a command ──> result          line, outln!       standard output
//!          ├──> what goes on     note, Progress     standard error
//!          ├──> warnings, spans  tracing_output     standard error, a file
//!          └──> exit code        exit_code
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`output`] | lines that survive a reader who left and a full disk |
//! | [`progress`] | a bar on a terminal, a line every few seconds elsewhere |
//! | [`text`] | numbers as people write and read them |
//! | [`quote`] | names within a command that is to be pasted |
//! | [`exit_code`], [`failure`] | how a program ends, and what it says then |
//! | [`tracing_output`] | where warnings and `--trace` go |
//! | [`environment`] | the user's cache folder, whether colours are wanted |
//!
//! What only one program has is not here: a run's own progress, what a signal costs it, and what it reads of the
//! environment for libtorch's sake are `smog-trainer`'s.

pub mod environment;
pub mod exit_code;
pub mod failure;
pub mod output;
pub mod progress;
pub mod quote;
pub mod text;
pub mod tracing_output;

pub use output::{line, note};
pub use progress::Progress;
pub use quote::quoted;
