//! The commands as a person runs them: the built program on folders of images.

mod archives;
mod parts;
mod pipes;
mod shard;
mod support;
mod trace;
mod verify_inspect;
