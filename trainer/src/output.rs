//! Where lines of the commands go: results to standard output, what is for the person who waits to standard error.
//!
//! `println!` and `eprintln!` panic where nobody reads on, as behind `| head`. SIGPIPE, which ends other programs there,
//! is no way out: it would also end a run whose log has lost its reader, or whose server closes a connection.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};
use std::process::exit;

/// Exit code where the reader of the output left: what shells say of a program that SIGPIPE ended.
const READER_LEFT: i32 = 141;

/// `println!` for a command's result: see [`text`].
macro_rules! outln {
    ($($format:tt)*) => {
        $crate::output::text(format_args!("{}\n", format_args!($($format)*)))
    };
}

/// Writes a command's result. Nothing is left to do where nobody reads it.
pub(crate) fn text(text: Arguments<'_>) {
    let Err(error) = io::stdout().write_fmt(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        exit(READER_LEFT);
    }
    note(&format!("error: cannot write to standard output: {error}"));
    exit(i32::from(crate::FAILED));
}

/// A line beside the result. Where it cannot be written the work goes on: it is worth more than the line.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
