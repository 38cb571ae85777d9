//! Snapshots of package state in a folder or a bucket: written off the hot threads, found again at a
//! restore.
//!
//! ```text
//!  worker: ready ─► Shard::image ─► submit        restore: listing ─► load ─► shard, rebuilding
//!             ▲                       │                          ▲
//!   images, prefaulted ◄── writer: sort, encode ──► store ───────┘
//! ```
//!
//! What is lost or late here costs time at the next restore and nothing else. So a store that fails
//! or hangs never holds anything up: it is said once, counted, and tried again later and later.

mod keeping;
mod names;
mod store;
mod writer;

pub use keeping::{Keeping, Timer, header_of, meta_of};
pub use store::{Found, Limits, Listing, Refusal, Saved, SnapshotStore, StoreError};
pub use writer::{Outcome, SnapshotWriter};
