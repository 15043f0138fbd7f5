//! How a long command shows that it is alive: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use smog_pipeline::shard::{Refused, ShardProgress};

use crate::{note, text};

/// Time between two lines where there is no terminal.
const LINE_SECONDS: f64 = 5.0;
/// Refused files that are named while running; the report has all.
const NAMED_REFUSED: u64 = 10;

/// Shows files and bytes done, their rates and the time left.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    what: String,
    /// What is counted: `images`, `shards`.
    unit: &'static str,
    files: u64,
    bytes: u64,
    done_files: u64,
    done_bytes: u64,
    refused: u64,
    start: Instant,
    last_line: Instant,
    /// Only on a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing has begun.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(state) = state.as_mut() {
            change(state);
        }
    }

    /// Begins a stretch of work.
    pub fn start(&self, what: &str, unit: &'static str, files: u64, bytes: u64) {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(bytes.max(1));
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        let state = State {
            what: what.to_owned(),
            unit,
            files,
            bytes,
            done_files: 0,
            done_bytes: 0,
            refused: 0,
            start: now,
            last_line: now,
            bar,
        };
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(state);
    }

    /// Some files more.
    pub fn add(&self, files: u64, bytes: u64) {
        self.with(|state| {
            state.done_files += files;
            state.done_bytes += bytes;
            if let Some(bar) = &state.bar {
                bar.set_position(state.done_bytes);
                bar.set_message(state.line());
            } else if state.last_line.elapsed().as_secs_f64() >= LINE_SECONDS {
                state.last_line = Instant::now();
                note(&format!("{}: {}", state.what, state.line()));
            }
        });
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match state.as_ref().and_then(|state| state.bar.as_ref()) {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(bar) = state.and_then(|state| state.bar) {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn line(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(1e-3);
        let share = self.done_bytes as f64 / self.bytes.max(1) as f64;
        let left = match share {
            share if share > 0.0 && seconds > 1.0 => {
                let left = seconds * (1.0 - share).max(0.0) / share;
                format!(", {} left", HumanDuration(Duration::from_secs_f64(left)))
            }
            _ => String::new(),
        };
        let refused = match self.refused {
            0 => String::new(),
            refused => format!(", {} refused", text::count(refused)),
        };
        format!(
            "{}/{} {unit}, {:.*} {unit}/s, {:.1} MB/s{refused}{left}",
            text::count(self.done_files),
            text::count(self.files),
            usize::from(self.unit != "images"),
            self.done_files as f64 / seconds,
            self.done_bytes as f64 / seconds / 1e6,
            unit = self.unit,
        )
    }
}

impl ShardProgress for Progress {
    fn begin(&self, split: &str, files: u64, bytes: u64, shards: u32, _finished: u32) {
        note(&format!(
            "{split}: {} images, {}, {shards} shards",
            text::count(files),
            text::bytes(bytes)
        ));
        self.start(split, "images", files, bytes);
    }

    fn begin_copy(&self, split: &str, shards: u64, bytes: u64) {
        note(&format!("{split}: bringing {shards} shards, {}", text::bytes(bytes)));
        self.start(split, "shards", shards, bytes);
    }

    fn advance(&self, bytes: u64, refused: Option<&Refused>) {
        if let Some(file) = refused {
            let mut number = 0;
            self.with(|state| {
                state.refused += 1;
                number = state.refused;
            });
            if number <= NAMED_REFUSED {
                self.line(&format!("refused {}: {}", file.path, file.reason));
            } else if number == NAMED_REFUSED + 1 {
                self.line("refused more files; refused.jsonl will list them all");
            }
        }
        self.add(1, bytes);
    }

    fn note(&self, text: &str) {
        self.line(text);
    }

    fn end(&self) {
        self.finish();
    }
}
