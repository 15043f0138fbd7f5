//! Exit codes of both programs. The README has them in a table, each help text those of its command.

/// The command could not do its work, or found problems.
pub const FAILED: u8 = 1;
/// It was asked for something that cannot be: wrong arguments or settings. clap gives the same.
pub const USAGE: u8 = 2;
/// The data set is complete, but more files were refused than allowed.
pub const FINISHED_WITH_REFUSED: u8 = 3;
/// Interrupted with all that was done saved: the same work can go on.
pub const INTERRUPTED: u8 = 75;
/// The reader of the output left: what shells say of a program that SIGPIPE ended.
pub const READER_LEFT: u8 = 141;

/// A second signal ended the program at once: what shells say of one that the signal itself ended.
pub fn aborted(signal: i32) -> i32 {
    128 + signal
}
