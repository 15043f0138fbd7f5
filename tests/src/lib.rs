//! Fixtures of the tests that cross module borders: small data sets, parts that fail on purpose, a
//! watchdog, and a counting allocator.

pub mod faults;
pub mod heap;
pub mod streams;
pub mod watch;
