//! Where lines go: results to standard output, what is for the person who waits to standard error.
//!
//! `println!` and `eprintln!` panic where nobody reads on, as behind `| head`. SIGPIPE, which ends other programs there,
//! is no way out: it would also end a run whose log has lost its reader, or whose server closes a connection.

use std::io::{self, ErrorKind, Write as _};
use std::process::exit;

use crate::exit_code::{FAILED, READER_LEFT};

/// `println!` for a command's result: see [`line()`].
#[macro_export]
macro_rules! outln {
    ($($format:tt)*) => {
        $crate::line(&format!($($format)*))
    };
}

/// A line of a command's result. Nothing is left to do where nobody reads it: the program ends.
pub fn line(text: &str) {
    let Err(error) = writeln!(io::stdout(), "{text}") else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        exit(READER_LEFT.into());
    }
    note(&format!("error: cannot write to standard output: {error}"));
    exit(FAILED.into());
}

/// A line beside the result. Where it cannot be written, as on a full disk or a terminal that went away, the work goes on:
/// it is worth more than the line.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
