//! Training of SMoG: settings, the step loop, checkpoints and evaluation.
//!
//! ```text
//! settings ──> Timetable ──> Session::open ──> Session::train
//! preset,      in steps,     everything is     the loop: batch, forward, backward, optimiser, groups,
//! file, flags  checked       opened, resumed   momentum or reset, log, checkpoint, signals
//! ```
//!
//! | module | duty |
//! |---|---|
//! | [`settings`], [`timetable`], [`misfits`] | what was asked for, what that means in steps for this data set, and what does not fit it |
//! | [`data`] | shard folders, image folders (sharded once into a cache), generated images |
//! | [`session`], [`resume`], [`train`] | a run made ready, what it goes on from, and the loop |
//! | [`collapse`], `size_advice` | notices that a run collapses; images too small for the views |
//! | [`checkpoint`], [`folder`] | what is on disk |
//! | [`eval`] | k-NN, linear and fine-tuned classifiers, groups against labels, features as a file |
//! | [`export`], [`embed`], [`trained`] | an encoder and its features as files, and what is evaluated: a run's encoder or such a file |
//! | `gpu_load` | what the driver says of the GPU |
//! | [`metrics`], [`progress`] | what is written down and what is shown |
//! | [`device`] | which device a run computes on, and why |
//! | `renderer`, `transfer`, `marks`, `data_wait`, `launches` | who makes the views, how they get to the device, how long it waited for them, what queueing a step costs |
//! | [`signals`], [`threads`], [`environment`], [`outfile`] | the process, and the files that it may write |

pub mod checkpoint;
pub mod collapse;
pub mod data;
mod data_wait;
pub mod device;
pub mod embed;
pub mod environment;
pub mod error;
pub mod eval;
pub mod export;
pub mod folder;
mod gpu_load;
pub mod images;
mod initial;
mod launches;
mod marks;
pub mod metrics;
pub mod misfits;
pub mod outfile;
mod pace;
mod precision;
pub mod progress;
mod renderer;
pub mod resume;
pub mod session;
pub mod settings;
pub mod signals;
mod size_advice;
pub mod threads;
pub mod timetable;
pub mod train;
pub mod trained;
mod transfer;
