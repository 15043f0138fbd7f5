//! Settings of a run: TOML in layers (preset, file, `--set`), typed and checked in one step.
//!
//! ```text
//! preset ─> file ─> --set        RawConfig: tables, not yet understood
//!              │ resolve()
//!              v
//!          RunConfig             typed, in range; printed, stored in the run folder and each checkpoint
//!              │ Timetable::new() with the size of the data set
//!              v
//!          Timetable             everything in steps
//! ```

mod difference;
mod error;
mod explain;
mod layers;
mod places;
pub mod presets;
mod sections;
mod span;
mod validate;

#[cfg(test)]
mod preset_tests;
#[cfg(test)]
mod tests;

pub use difference::Difference;
pub use error::SettingsError;
pub use layers::RawConfig;
pub use sections::{
    DataMode, DataSection, EvalSection, RendererKind, ResetSection, RunConfig, RunSection,
    ScheduleSection, StreamSection,
};
pub use span::{Scale, Span};
