//! Ctrl-C in a bench that writes a trace: the file is closed, so that it can be looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use smog_terminal::exit_code::aborted;

/// Whether somebody pressed Ctrl-C. Where it is not watched for, Ctrl-C ends the program by itself.
#[derive(Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for it from now on; a second one aborts.
    pub(super) fn watched() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM] {
            let flag = &interrupt.0;
            flag::register_conditional_shutdown(signal, aborted(signal), Arc::clone(flag))
                .and_then(|_| flag::register(signal, Arc::clone(flag)))
                .context("cannot handle signals")?;
        }
        Ok(interrupt)
    }

    /// Whether the bench is to end.
    pub(super) fn is_asked_for(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A bench that was cut short is no measurement.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_asked_for(), "interrupted");
        Ok(())
    }
}
