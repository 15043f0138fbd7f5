//! The commands as a person runs them: the built program on folders of images.

mod shard;
mod support;
mod verify_inspect;
