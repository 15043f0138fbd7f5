//! Which order is wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How samples are ordered within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OrderSettings {
    /// Row groups in random order, each row spread over a window of so many row groups: at most
    /// `row_groups + 1` of them are in memory at any time. Below ten the shuffle is poor. Where the data
    /// set has no more row groups than the window, this is [`OrderSettings::Full`].
    Window {
        /// Width of the window.
        row_groups: u32,
    },
    /// A uniform permutation of all rows; the whole set has to fit in memory.
    Full,
    /// As stored; for evaluation.
    Sequential,
}

impl OrderSettings {
    /// Window in row groups where nothing else is said.
    pub const DEFAULT_WINDOW_ROW_GROUPS: u32 = 64;
}

impl Default for OrderSettings {
    fn default() -> Self {
        Self::Window { row_groups: Self::DEFAULT_WINDOW_ROW_GROUPS }
    }
}

impl fmt::Display for OrderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window { row_groups } => write!(f, "window of {row_groups} row groups"),
            Self::Full => f.write_str("full shuffle"),
            Self::Sequential => f.write_str("sequential"),
        }
    }
}
