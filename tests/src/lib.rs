//! Fixtures of the tests that cross module borders: small data sets, parts that fail on purpose, and a
//! watchdog.

pub mod faults;
pub mod streams;
pub mod watch;
