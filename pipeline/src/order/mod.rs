//! The sampler: which sample stands at which position of an epoch.

mod settings;

pub use settings::OrderSettings;
