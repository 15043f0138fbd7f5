//! Writes the spans of all threads as a Chrome trace, which <https://ui.perfetto.dev> shows as one track per
//! thread: who works, who waits, and for whom.
//!
//! The file is a JSON array of events, written as they come and not renamed into place at the end: the trace
//! of a run that was killed is the one that is wanted, and both viewers read an array without its closing
//! bracket. At most a second of events is lost then. Its size is bounded by a number of events. Waits of less
//! than ten microseconds are left out, since there is one per row and they tell nothing.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::names::{
    COUNTERS, FETCH_THREAD, READ_THREAD, RENDER_THREAD, TRAINER, WAIT_INPUT, WAIT_OUTPUT,
};

/// Most events in a file where nothing else is said: about 130 MB, and half an hour of a stream that renders
/// 250 images a second.
pub const MAX_EVENTS: u64 = 1_000_000;
/// Shorter waits are left out.
const SHORTEST_WAIT: Duration = Duration::from_micros(10);
/// How often what was written goes to the disk.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A trace that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the trace {}", path.display())]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: std::io::Error,
}

/// What came of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// Events in the file.
    pub num_events: u64,
    /// Whether more happened than the file may hold.
    pub was_cut: bool,
}

/// An open trace. Closes the file when dropped.
#[derive(Debug)]
pub struct Trace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    origin: Instant,
    max_events: u64,
    is_recording: AtomicBool,
    file: Mutex<Option<TraceFile>>,
}

#[derive(Debug)]
struct TraceFile {
    writer: BufWriter<File>,
    num_events: u64,
    was_cut: bool,
    /// Whether the thread of this number has a name in the file.
    is_named: Vec<bool>,
    flushed: Instant,
    failure: Option<std::io::Error>,
}

impl Trace {
    /// Begins a trace in `path`, which is overwritten, and gives the layer that fills it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create<S>(
        path: &Path,
        max_events: u64,
    ) -> Result<(Self, impl Layer<S> + Send + Sync + use<S>), TraceError>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let file =
            File::create(path).map_err(|source| TraceError { path: path.to_owned(), source })?;
        let file = TraceFile {
            writer: BufWriter::new(file),
            num_events: 0,
            was_cut: false,
            is_named: Vec::new(),
            flushed: Instant::now(),
            failure: None,
        };
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            origin: Instant::now(),
            max_events,
            is_recording: AtomicBool::new(true),
            file: Mutex::new(Some(file)),
        });
        let is_ours = |metadata: &Metadata<'_>| metadata.target().starts_with("smog");
        let layer = TraceLayer(Arc::clone(&shared)).with_filter(filter_fn(is_ours));
        Ok((Self(shared), layer))
    }

    /// Closes the file.
    ///
    /// # Errors
    /// If something could not be written.
    pub fn finish(self) -> Result<TraceSummary, TraceError> {
        self.0.close()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            tracing::warn!(%error, reason = %error.source, "the trace is not whole");
        }
    }
}

impl Shared {
    fn close(&self) -> Result<TraceSummary, TraceError> {
        self.is_recording.store(false, Relaxed);
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut file) = file else {
            return Ok(TraceSummary { num_events: 0, was_cut: false });
        };
        let closing = if file.num_events == 0 { "[]\n" } else { "\n]\n" };
        let written = match file.failure.take() {
            Some(failure) => Err(failure),
            None => file.writer.write_all(closing.as_bytes()).and_then(|()| file.writer.flush()),
        };
        let summary = TraceSummary { num_events: file.num_events, was_cut: file.was_cut };
        written.map(|()| summary).map_err(|source| TraceError { path: self.path.clone(), source })
    }

    /// Microseconds since the trace began.
    fn micros(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.origin).as_nanos() as f64 * 1e-3
    }

    /// Appends an event; `fields` are all its fields but process and thread.
    fn write(&self, fields: &str) {
        let (thread, mut line) = (thread_number(), String::with_capacity(160));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &mut *file else { return };
        if file.num_events >= self.max_events {
            file.was_cut = true;
            self.is_recording.store(false, Relaxed);
            return;
        }
        if !file.is_named.get(thread as usize).is_some_and(|&named| named) {
            file.is_named.resize(file.is_named.len().max(thread as usize + 1), false);
            file.is_named[thread as usize] = true;
            name_thread(thread, &mut line);
        }
        let _ = write!(line, "{{\"pid\":1,\"tid\":{thread},{fields}}}");
        let separator = if file.num_events == 0 { "[\n" } else { ",\n" };
        file.num_events += 1;
        let mut written = file.writer.write_all(separator.as_bytes());
        written = written.and_then(|()| file.writer.write_all(line.as_bytes()));
        if written.is_ok() && file.flushed.elapsed() >= FLUSH_EVERY {
            file.flushed = Instant::now();
            written = file.writer.flush();
        }
        if let Err(failure) = written {
            // Told when the trace is closed: a run does not end for want of a trace.
            file.failure = Some(failure);
            self.is_recording.store(false, Relaxed);
        }
    }
}

/// The number of this thread in every trace of the process.
fn thread_number() -> u32 {
    static THREADS: AtomicU32 = AtomicU32::new(1);
    thread_local! {
        static NUMBER: u32 = THREADS.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// Events that name a thread and say where its track lies: tracks follow the flow, from reading to training.
fn name_thread(thread: u32, line: &mut String) {
    let current = std::thread::current();
    let name =
        current.name().map_or("a thread", |name| if name == "main" { TRAINER } else { name });
    let place = match name {
        READ_THREAD => 0,
        FETCH_THREAD => 1,
        TRAINER => 1 << 20,
        _ => match name.strip_prefix(RENDER_THREAD).and_then(|number| number.parse::<u32>().ok()) {
            Some(number) => 2 + number,
            None => 1 << 19,
        },
    };
    let name = json(name);
    let _ = write!(
        line,
        "{{\"pid\":1,\"tid\":{thread},\"ph\":\"M\",\"name\":\"thread_name\",\"args\":{{\"name\":{name}}}}},\n\
         {{\"pid\":1,\"tid\":{thread},\"ph\":\"M\",\"name\":\"thread_sort_index\",\"args\":{{\"sort_index\":{place}}}}},\n"
    );
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Fields of a span or an event as JSON members, and the message apart.
#[derive(Debug, Default)]
struct Fields {
    members: String,
    message: Option<String>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str) {
        let comma = if self.members.is_empty() { "" } else { "," };
        let _ = write!(self.members, "{comma}\"{}\":{value}", field.name());
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &serde_json::Value::from(value).to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, &json(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            self.put(field, &json(&text));
        }
    }
}

struct TraceLayer(Arc<Shared>);

/// When a span was entered; spans of a stage stay on their thread.
struct Entered(Instant);

impl<S> Layer<S> for TraceLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !self.0.is_recording.load(Relaxed) {
            return;
        }
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Entered(Instant::now()));
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let left = Instant::now();
        if !self.0.is_recording.load(Relaxed) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let extensions = span.extensions();
        let (Some(Entered(entered)), Some(fields)) =
            (extensions.get::<Entered>(), extensions.get::<Fields>())
        else {
            return;
        };
        let took = left - *entered;
        if took < SHORTEST_WAIT && [WAIT_INPUT, WAIT_OUTPUT].contains(&span.name()) {
            return;
        }
        self.0.write(&format!(
            "\"ph\":\"X\",\"name\":{},\"ts\":{:.3},\"dur\":{:.3},\"args\":{{{}}}",
            json(span.name()),
            self.0.micros(*entered),
            took.as_nanos() as f64 * 1e-3,
            fields.members,
        ));
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if !self.0.is_recording.load(Relaxed) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (phase, name) = if event.metadata().target() == COUNTERS {
            // One curve per field; they share a track if they share a name.
            let first = event.fields().next().map_or("counter", |field| field.name());
            ("\"ph\":\"C\"", first.to_owned())
        } else {
            let name = fields.message.take();
            ("\"ph\":\"i\",\"s\":\"t\"", name.unwrap_or_else(|| event.metadata().name().to_owned()))
        };
        self.0.write(&format!(
            "{phase},\"name\":{},\"ts\":{:.3},\"args\":{{{}}}",
            json(&name),
            self.0.micros(Instant::now()),
            fields.members,
        ));
    }
}

#[cfg(test)]
mod tests;
