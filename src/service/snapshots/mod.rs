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

mod bucket;
mod errors;
mod keeping;
mod limits;
mod names;
mod store;
mod transfer;
mod writer;

pub use errors::{Refusal, StoreError};
pub use keeping::{Keeping, Timer, header_of, meta_of};
pub use limits::Limits;
pub use store::{Found, Listing, Saved, SnapshotStore};
pub use writer::{Outcome, SnapshotWriter};
