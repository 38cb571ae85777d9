//! Bytes to domain values and back. Knows no Kafka.

pub mod moment;
pub mod policy_file;
pub mod toml_reader;
