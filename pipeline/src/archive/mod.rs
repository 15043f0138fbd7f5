//! Tars: what is in them and where, without unpacking anything.

mod contents;
mod members;

pub(crate) use contents::{Contents, TarImage, first_names, scan_all};
pub use members::ArchiveError;
