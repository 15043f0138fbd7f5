//! Data behind URLs, against a server that speaks the S3 protocol on this machine, with a proxy in front of it
//! that is slow, cuts connections, answers errors and changes bytes on command.

mod cache;
mod double;
mod faults;
mod kill;
mod proxy;
mod server;
mod stores;
mod stream;
mod tls;
mod upload;
