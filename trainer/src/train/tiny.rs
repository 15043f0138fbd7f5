//! A run that is small enough for the tests of its parts.

use std::path::Path;

use crate::data::DataSet;
use crate::session::{RunOptions, Session};
use crate::settings::RawConfig;

/// A run of the preset `demo` on 60 generated images, as small as it goes, with more settings.
pub(super) fn session(run: &Path, more: &[&str], resume: bool, stop_after: Option<u64>) -> Session {
    let sets = [
        "run.device=cpu",
        "run.batch_size=8",
        "run.threads=1",
        "model.groups.count=8",
        "model.encoder.width=8",
    ];
    let raw = RawConfig::preset("demo").unwrap();
    let raw = sets.iter().chain(more).fold(raw, |raw, set| raw.with_set(set).unwrap());
    let run_dir = run.to_owned();
    let options = RunOptions { run_dir, resume, stop_after, quiet: true, ..RunOptions::default() };
    let data = DataSet::Synthetic { count: 60, side: 32 };
    Session::open(raw.resolve().unwrap(), &data, None, options).unwrap()
}
