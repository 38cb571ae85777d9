//! One partition as the engine sees it: what has been read, how far, and whether it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::protocol::evidence::Evidence;
use crate::protocol::ownership::Epoch;
use crate::service::batch::Batch;
use crate::service::native::RecordView;

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Restoring,
    Backfilling,
    Live,
    Halted,
}

/// What a halted lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// So many places for packages must be free.
    pub places: usize,
    /// Its state is there; else it must be rebuilt from nothing.
    pub restored: bool,
}

/// A partition that is held.
pub struct Lane {
    /// The assignment.
    pub epoch: Epoch,
    /// Records that have been read and not handed on.
    pub batch: Batch,
    /// Position and proof of emptiness.
    pub evidence: Evidence,
    /// Whether the broker sets timestamps; `None` until a record has told.
    pub log_append_time: Option<bool>,
    /// Owner and number of the last commit.
    pub last: Option<(String, u64)>,
    /// Offset of the last commit.
    pub committed: Option<i64>,
    /// Halted, but not for good.
    pub wait: Option<Wait>,
    passed: Option<i64>,
    state: State,
    cancelled: Arc<AtomicBool>,
}

impl Lane {
    /// A lane whose state is being restored; the flag stops that.
    pub fn restoring(epoch: Epoch, cancelled: Arc<AtomicBool>) -> Self {
        Self {
            epoch,
            batch: Batch::default(),
            evidence: Evidence::default(),
            log_append_time: None,
            last: None,
            committed: None,
            wait: None,
            passed: None,
            state: State::Restoring,
            cancelled,
        }
    }

    /// The state is there, and what was open at a first start is being published.
    pub fn begin_backfill(&mut self) {
        self.state = State::Backfilling;
    }

    /// Records count from now on.
    pub fn go_live(&mut self) {
        self.wait = None;
        self.state = State::Live;
    }

    /// Nothing counts any more, for good or until so many places for packages are free.
    pub fn halt(&mut self, places: Option<usize>) {
        let restored = !self.is_restoring();
        self.wait = places.map(|places| Wait { places, restored });
        self.state = State::Halted;
        self.batch = Batch::default();
        self.passed = None;
    }

    /// Whether its state is being rebuilt.
    pub fn is_restoring(&self) -> bool {
        self.state == State::Restoring
    }

    /// Whether records are applied.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether a first start has more to publish.
    pub fn is_backfilling(&self) -> bool {
        self.state == State::Backfilling
    }

    /// Stops a restore that is under way.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Takes a record, unless it lies before the position.
    pub fn push(&mut self, record: &RecordView<'_>) {
        if self.is_live() && record.offset >= self.evidence.position() {
            self.log_append_time = Some(record.log_append_time);
            self.batch.push(record);
            self.evidence.reached(record.offset + 1);
        }
    }

    /// Everything before this offset has been read: control records up to there are passed.
    pub fn passed(&mut self, offset: i64) {
        if self.is_live() && offset > self.evidence.position() {
            self.evidence.reached(offset);
            self.passed = Some(offset);
        }
    }

    /// Control records passed since the last call.
    pub fn take_passed(&mut self) -> Option<i64> {
        self.passed.take()
    }
}
