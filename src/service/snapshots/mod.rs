//! Snapshots of package state in a folder or a bucket: written off the hot threads, found again at a
//! restore.
//!
//! ```text
//!  worker: ready ─► Shard::image ─► submit        restore: newest that fits ─► shard, rebuilding
//!             ▲                       │                          ▲
//!   images, prefaulted ◄── writer: sort, encode ──► store ───────┘
//! ```
//!
//! What is lost or late here costs time at the next restore and nothing else. So a store that fails
//! or hangs never holds anything up: it is said once, counted, and tried again later and later.

mod names;
mod store;
mod writer;

pub use store::{Limits, Refusal, Restoration, Saved, SnapshotStore, StoreError, Wanted};
pub use writer::{Outcome, SnapshotWriter};
