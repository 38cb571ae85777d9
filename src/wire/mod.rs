//! Bytes to domain values and back. Knows no Kafka, and no files: it reads from given readers and
//! writes to given writers.
//!
//! - [`scan`]: one record's bytes, JSON or Avro, to a [`Scan`](crate::detector::scan::Scan), by the
//!   rules of normal form and rejection; [`reject`]: what is wrong with a record, and what to do.
//! - [`scan_file`]: the scans of an NDJSON file or an Avro container, one after the other.
//! - [`exception`]: what subscribers are told, to JSON and Avro and back.
//! - [`snapshot`]: the package state of a shard, to columns and back.
//! - [`policy_file`]: the policies that people write; [`toml_reader`]: TOML with every problem at
//!   its place; [`moment`]: points in time as people give them.

pub(crate) mod avro;
pub mod exception;
pub mod moment;
pub mod policy_file;
pub mod reject;
pub mod scan;
pub mod scan_file;
pub mod snapshot;
pub(crate) mod time_text;
pub mod toml_reader;
