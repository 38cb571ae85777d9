//! What the engine carries for a partition: records on their way to a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::stalled::Standing;
use crate::protocol::halt::{About, HaltRecord};
use crate::service::batch::Batch;
use crate::service::clock::Stopwatch;
use crate::service::restore::{Circumstances, OtherGroup};

/// A partition that is held.
pub struct Carried {
    /// Records that have been read and not handed on.
    pub batch: Batch,
    /// Since when it is halted, if an operator's answer may let it go on.
    pub waits_for_an_answer: Option<Stopwatch>,
    /// Halted with a state, which is of no more use once somebody has answered.
    pub is_held: bool,
    /// A group that has committed beside ours.
    pub other: Option<OtherGroup>,
    /// The offset of the `open` topic behind our last commit, or up to where it has been looked at since.
    pub open_end: Option<i64>,
    /// What the outcome of its restore depends on, where that has read records.
    pub circumstances: Option<Circumstances>,
    /// The position, if it stands still although there is more to read.
    pub stands: Option<Standing>,
    /// The position at which it waits for a transaction on the input to end.
    pub waits_at: Option<i64>,
    /// What is stored, as far as this instance knows.
    pub stored: About,
    /// The word of its halt that was left last.
    pub told: Option<HaltRecord>,
    /// Nothing of it is read, as it waits for somebody and others need not.
    pub is_paused: bool,
    cancelled: Arc<AtomicBool>,
}

impl Carried {
    /// A partition whose state is being restored; the flag stops that. `other`: a group that has committed
    /// beside ours.
    pub fn new(cancelled: Arc<AtomicBool>, other: Option<OtherGroup>) -> Self {
        Self {
            batch: Batch::default(),
            waits_for_an_answer: None,
            is_held: false,
            other,
            open_end: None,
            circumstances: None,
            stands: None,
            waits_at: None,
            stored: About::default(),
            told: None,
            is_paused: false,
            cancelled,
        }
    }

    /// Stops a restore that is under way.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}
