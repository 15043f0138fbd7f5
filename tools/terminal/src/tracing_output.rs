//! Where spans and warnings go: warnings to standard error, and with `--trace` all spans to a file.

use std::io::IsTerminal as _;
use std::path::Path;

use smog_pipeline::runtime::trace::{MAX_EVENTS, Trace, TraceError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::environment::may_colour;
use crate::note;

/// Shows warnings from now on, and begins a trace in the file if one is asked for. For once in a program.
///
/// # Errors
/// If the file cannot be created.
pub fn start(trace: Option<&Path>) -> Result<Option<Trace>, TraceError> {
    let (trace, layer) = trace.map(|path| Trace::create(path, MAX_EVENTS)).transpose()?.unzip();
    let warnings = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(may_colour() && std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(layer).with(warnings).init();
    Ok(trace)
}

/// Closes the trace and says what is in it.
///
/// # Errors
/// If something could not be written.
pub fn finish(trace: Option<Trace>) -> Result<(), TraceError> {
    let Some(trace) = trace else { return Ok(()) };
    let summary = trace.finish()?;
    let cut =
        if summary.was_cut { ", which is all that it may hold: the rest is missing" } else { "" };
    let events = summary.num_events;
    note(&format!("trace: {events} events{cut}; open the file in https://ui.perfetto.dev"));
    Ok(())
}
