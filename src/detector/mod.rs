//! Decides what is a stall.

pub mod exception;
pub mod key;
pub mod policy;
pub mod scan;
pub mod time;
