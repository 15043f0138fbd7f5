//! `--trace`: the spans of the stream's threads in a file for ui.perfetto.dev.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use smog_pipeline::runtime::trace::{MAX_EVENTS, Trace};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output::note;

/// A trace, if one was asked for.
#[derive(Debug, Default)]
pub(super) struct Recording {
    trace: Option<(Trace, PathBuf)>,
    stop: Arc<AtomicBool>,
}

impl Recording {
    /// Begins a trace in `path`. Ctrl-C then ends the bench and closes the file; a second one aborts.
    pub(super) fn start(path: Option<&Path>) -> anyhow::Result<Self> {
        let mut recording = Self::default();
        if let Some(path) = path {
            for signal in [SIGINT, SIGTERM] {
                let stop = &recording.stop;
                flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))
                    .and_then(|_| flag::register(signal, Arc::clone(stop)))
                    .context("cannot handle signals")?;
            }
            let (trace, layer) = Trace::create(path, MAX_EVENTS)?;
            tracing_subscriber::registry().with(layer).init();
            recording.trace = Some((trace, path.to_owned()));
        }
        Ok(recording)
    }

    /// Whether somebody pressed Ctrl-C.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Closes the file and says what is in it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if let Some((trace, path)) = self.trace {
            let summary = trace.finish()?;
            note(&format!(
                "trace: {} events in {}{}; open it in https://ui.perfetto.dev",
                summary.num_events,
                path.display(),
                if summary.was_cut {
                    ", which is all that it may hold: the rest is missing"
                } else {
                    ""
                },
            ));
        }
        anyhow::ensure!(!self.stop.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}
