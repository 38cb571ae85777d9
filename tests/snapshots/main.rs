//! Snapshots in a folder and in a bucket of a real S3 server: what is saved is found again, what is
//! of no use is set aside, and a store that fails or hangs holds nothing up.
//!
//! `./test` fetches the server; without it the tests of buckets fail and say so.
#![allow(clippy::disallowed_methods, reason = "tests wait for real time to pass")]

mod bucket;
mod folder;
mod server;
mod state;
mod writer;
