//! One partition as the instance that holds it sees it: how far it is read, and whether it counts.

use super::evidence::{Evidence, Hold};
use super::ownership::Epoch;

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
#[derive(Debug)]
pub struct Lane {
    /// The assignment.
    pub epoch: Epoch,
    /// Position and proof of emptiness.
    pub evidence: Evidence,
    /// Whether the broker sets timestamps; `None` until a record has told.
    pub log_append_time: Option<bool>,
    /// Halted, but not for good.
    pub wait: Option<Wait>,
    /// Owner, number and offset of the last commit.
    pub(super) last: Option<(String, u64)>,
    pub(super) committed: Option<i64>,
    /// The broker's identity of the topic that its state is of; `None`: not known.
    pub(super) topic_id: Option<String>,
    /// How many partitions that topic had when the state was restored.
    pub(super) partitions: Option<i32>,
    passed: Option<i64>,
    state: State,
}

impl Lane {
    /// A lane whose state is being restored.
    pub fn restoring(epoch: Epoch) -> Self {
        Self {
            epoch,
            evidence: Evidence::default(),
            log_append_time: None,
            wait: None,
            last: None,
            committed: None,
            topic_id: None,
            partitions: None,
            passed: None,
            state: State::Restoring,
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
        self.passed = None;
    }

    /// Owner and number of the last commit that is known to have taken.
    pub fn last(&self) -> Option<&(String, u64)> {
        self.last.as_ref()
    }

    /// The offset of the last commit under this assignment.
    pub fn committed(&self) -> Option<i64> {
        self.committed
    }

    /// Whether its state is being rebuilt.
    pub fn is_restoring(&self) -> bool {
        self.state == State::Restoring
    }

    /// Whether records are applied.
    pub fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether nothing counts any more.
    pub fn is_halted(&self) -> bool {
        self.state == State::Halted
    }

    /// Whether a first start has more to publish.
    pub fn is_backfilling(&self) -> bool {
        self.state == State::Backfilling
    }

    /// Whether a record counts: it does not where it lies before the position.
    pub fn takes(&mut self, offset: i64, log_append_time: bool) -> bool {
        let takes = self.is_live() && offset >= self.evidence.position();
        if takes {
            self.log_append_time = Some(log_append_time);
            self.evidence.reached(offset + 1);
        }
        takes
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

    /// Why its frontier does not follow trusted time.
    pub fn hold(&self) -> Option<Hold> {
        match (self.state, self.wait) {
            (State::Restoring, _) => Some(Hold::Restoring),
            (State::Backfilling, _) => Some(Hold::Backfilling),
            (State::Halted, None) => Some(Hold::Halted),
            (State::Halted, Some(_)) => Some(Hold::MaxPackages),
            (State::Live, _) => self.evidence.hold(),
        }
    }
}
