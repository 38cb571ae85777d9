//! stallwatch notices parcels that went silent: carrier scans in, exceptions out.
//!
//! Three rooms and a door between them; imports point inward:
//! `cli → service → {protocol, wire} → detector`.
//!
//! - [`detector`] decides what is a stall. Pure: no clock, thread, socket, file or randomness.
//! - [`protocol`] decides what is published, committed and restored. Pure as well.
//! - [`wire`] turns bytes into domain values and back.
//! - [`prefault`] has memory ready before the detector needs it.
//! - `service` carries records between Kafka and the detector and decides nothing.

pub mod config;
pub mod demo;
pub mod detector;
pub mod prefault;
pub mod protocol;
pub mod replay;
#[cfg(feature = "kafka")]
pub mod service;
pub mod wire;
