//! Where lines go: results to standard output, what is for the person who waits to standard error.
//!
//! `println!` panics where nobody reads on, as behind `| head`. SIGPIPE, which ends other programs there, is no way out:
//! it would also end this one where a server closes a connection.

use std::io::{self, ErrorKind, Write as _};
use std::process::exit;

/// Exit code where the reader of the output left: what shells say of a program that SIGPIPE ended.
const READER_LEFT: i32 = 141;

/// A line of the command's result. Nothing is left to do where nobody reads it.
pub(crate) fn line(text: &str) {
    let Err(error) = writeln!(io::stdout(), "{text}") else { return };
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
