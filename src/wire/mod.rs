//! Bytes to domain values and back. Knows no Kafka.
