//! Decides what is a stall.
//!
//! Start with [`shard`], which joins the rest: [`package`] says what a scan makes of a package,
//! `wheel` when to look at it again, [`policy`] which ladder its silence climbs, [`open`] which
//! step comes next. Nothing here reads a clock, a thread, a file or a random number: one log gives
//! one outcome.

mod chunks;
pub mod exception;
mod index;
mod interner;
pub mod key;
pub mod keyring;
mod memo;
pub mod memory;
pub mod open;
pub mod order;
mod outbox;
pub mod package;
pub mod policy;
mod profile;
mod record;
pub mod scan;
pub mod shard;
pub mod snapshot;
mod splitters;
mod table;
mod texts;
pub mod time;
mod wheel;
