//! Package state, copied from a shard and put back into one: phase, milestone, anchor, when it was
//! set, attributes, log clock. No open exception, no frontier, no wheel, no policy.
//!
//! ```text
//!  shard ──► Image ──► Contents + rows in order ──►  …  ──► Loader ──► shard, rebuilding
//!        copy       sort                      (a codec)
//!  pauses the shard   off the hot thread
//! ```
//!
//! An [`Image`] is a copy as the shard has it: the numbers of slots, texts and profiles tell of its
//! history. [`Image::sort`] brings it into the one form that a state has, whatever its history:
//! every dictionary in order, every package by carrier, then number. So equal states give equal
//! [`Contents`] and equal rows.

mod contents;
mod digest;
mod image;
mod load;
mod row;
mod sort;

pub use contents::{Contents, ProfileTexts};
pub(super) use digest::Digest;
pub use image::Image;
pub use load::{Loader, Unsound};
pub use row::{MOST_SHORT_CARRIERS, Row};
pub use sort::{BLOCK_ROWS, Sorter};
