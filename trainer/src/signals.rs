//! Ctrl-C: the first one asks the run to finish its step, save and leave; the second aborts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A request to stop after the step under way. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct StopRequest(Arc<AtomicBool>);

impl StopRequest {
    /// A request that SIGINT and SIGTERM make. A second signal ends the process at once, with 128 plus the
    /// number of the signal as exit code, as the shell would report it.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let request = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the abort is checked before the flag is set by the same signal.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&request.0))?;
            flag::register(signal, Arc::clone(&request.0))?;
        }
        Ok(request)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
