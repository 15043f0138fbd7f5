//! Rendering: encoded bytes and a plan in, views out.

pub mod sample;
