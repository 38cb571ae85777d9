//! How one transaction comes to its end, whatever the broker answers.
//!
//! ```text
//!          Send ──committed──────────────────────────► Finish
//!           ▲ │
//!           │ └─failed, in whatever way──► ReplaceProducer ──► ReadCuts
//!           └── the stored cut is the one before ours ◄───────────┤
//!                       Finish ◄── it is ours: the commit took ───┤
//!                       give the partition up ◄── it is another's ┘
//! ```
//!
//! An error after which the producer could abort and go on ends it as well. A record of the aborted
//! transaction that the broker gets only after the abort would be part of the next one, and so would
//! all of it where a broker that has just restarted forgets to write the abort: a new producer has a
//! new epoch, and reading the stored cut waits for whatever is left open. ([`Action::Abort`] is what
//! a simulation does that leaves this rule out.)
//!
//! Contents belong to (partition, assignment epoch). A partition lost on the way drops out, and a
//! retry is built from the partitions still held.

use std::collections::BTreeMap;

use super::ownership::Epoch;
use super::rules::Rules;

/// Offset, owner and number of a stored cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Instance and start of the process that committed.
    pub owner: String,
    /// Number of the commit in its partition.
    pub commit: u64,
    /// The cut's offset. It says nothing about whether a commit took: an idle partition is
    /// committed at the same offset again and again.
    pub offset: i64,
}

/// By which a commit of a partition is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The assignment under which the cut was taken.
    pub epoch: Epoch,
    /// Instance and start of this process.
    pub owner: String,
    /// Number of the commit in its partition.
    pub commit: u64,
    /// The cut's offset.
    pub offset: i64,
    /// Owner and number of the commit before, `None` before the first.
    pub before: Option<(String, u64)>,
}

/// How an attempt to send and commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The broker says it took.
    Committed,
    /// It did not take, and the client would let the producer go on after an abort. The cycle ends the
    /// producer all the same.
    Abortable,
    /// Nobody knows whether it took, or the producer is of no more use.
    Indefinite,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin a transaction with the contents of these partitions, send and commit it.
    Send(Vec<i32>),
    /// Abort the transaction.
    Abort,
    /// Throw the producer away and make a new one with the same transactional id.
    ReplaceProducer,
    /// Read the stored cut records of these partitions.
    ReadCuts(Vec<i32>),
    /// The cycle is over.
    Finish {
        /// Partitions whose contents are committed.
        committed: Vec<i32>,
        /// Partitions that somebody else owns.
        given_up: Vec<i32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sending,
    Aborting,
    Replacing,
    Reading,
    Finished,
}

/// One cycle, from its contents to its end.
#[derive(Debug)]
pub struct CommitCycle {
    contents: BTreeMap<i32, Stamp>,
    committed: Vec<i32>,
    given_up: Vec<i32>,
    state: State,
    rules: Rules,
}

impl CommitCycle {
    /// Begins with the cuts of these partitions.
    pub fn begin(contents: BTreeMap<i32, Stamp>, rules: Rules) -> (Self, Action) {
        let mut cycle = Self {
            contents,
            committed: Vec::new(),
            given_up: Vec::new(),
            state: State::Sending,
            rules,
        };
        let action = cycle.send();
        (cycle, action)
    }

    /// The attempt ended.
    pub fn sent(&mut self, sent: Sent) -> Action {
        match sent {
            Sent::Committed => {
                self.committed.extend(std::mem::take(&mut self.contents).into_keys());
                self.finish()
            }
            Sent::Abortable => self.end_transaction(),
            Sent::Indefinite => self.go(State::Replacing, Action::ReplaceProducer),
        }
    }

    fn end_transaction(&mut self) -> Action {
        match self.rules.failed_ends_producer {
            true => self.go(State::Replacing, Action::ReplaceProducer),
            false => self.go(State::Aborting, Action::Abort),
        }
    }

    /// The abort succeeded or not.
    pub fn aborted(&mut self, done: bool) -> Action {
        if done { self.send() } else { self.go(State::Replacing, Action::ReplaceProducer) }
    }

    /// A new producer has settled whatever transaction the old one had.
    pub fn replaced(&mut self) -> Action {
        let partitions = self.contents.keys().copied().collect();
        self.go(State::Reading, Action::ReadCuts(partitions))
    }

    /// The stored cut of each partition: owner and commit number.
    pub fn cuts_read(&mut self, stored: &BTreeMap<i32, Option<Stored>>) -> Action {
        let contents = std::mem::take(&mut self.contents);
        for (partition, stamp) in contents {
            let stored = stored.get(&partition).cloned().flatten();
            let named = stored.as_ref().map(|stored| (stored.owner.clone(), stored.commit));
            let took = if self.rules.outcome_by_number {
                named == Some((stamp.owner.clone(), stamp.commit))
            } else {
                stored.is_some_and(|stored| stored.offset >= stamp.offset)
            };
            if took {
                self.committed.push(partition);
            } else if named == stamp.before {
                self.contents.insert(partition, stamp);
            } else {
                self.given_up.push(partition);
            }
        }
        self.send()
    }

    /// The partition has been lost: its contents are dropped for good. A transaction that is open
    /// holds them still, so it must end; `None` when nothing is to be done.
    pub fn lost(&mut self, partition: i32) -> Option<Action> {
        if !self.rules.lost_is_dropped {
            return None;
        }
        self.contents.remove(&partition)?;
        (self.state == State::Sending).then(|| self.end_transaction())
    }

    fn send(&mut self) -> Action {
        if self.contents.is_empty() {
            return self.finish();
        }
        let partitions = self.contents.keys().copied().collect();
        self.go(State::Sending, Action::Send(partitions))
    }

    fn finish(&mut self) -> Action {
        let action = Action::Finish {
            committed: std::mem::take(&mut self.committed),
            given_up: std::mem::take(&mut self.given_up),
        };
        self.go(State::Finished, action)
    }

    fn go(&mut self, state: State, action: Action) -> Action {
        self.state = state;
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(commit: u64) -> Stamp {
        let before = (commit > 1).then(|| ("me".to_owned(), commit - 1));
        Stamp { epoch: 1, owner: "me".to_owned(), commit, offset: 9, before }
    }

    /// A cut at the very offset of the commit whose outcome is in doubt.
    fn stored(owner: &str, commit: u64) -> Option<Stored> {
        Some(Stored { owner: owner.to_owned(), commit, offset: 9 })
    }

    fn begin() -> CommitCycle {
        let (cycle, action) =
            CommitCycle::begin(BTreeMap::from([(0, stamp(4)), (1, stamp(1))]), Rules::ALL);
        assert_eq!(action, Action::Send(vec![0, 1]));
        cycle
    }

    fn finish(committed: Vec<i32>, given_up: Vec<i32>) -> Action {
        Action::Finish { committed, given_up }
    }

    #[test]
    fn an_error_that_an_abort_would_mend_ends_the_producer_too() {
        let mut cycle = begin();
        assert_eq!(cycle.sent(Sent::Abortable), Action::ReplaceProducer);
        assert_eq!(cycle.replaced(), Action::ReadCuts(vec![0, 1]));
        let did_not = BTreeMap::from([(0, stored("me", 3)), (1, None)]);
        assert_eq!(cycle.cuts_read(&did_not), Action::Send(vec![0, 1]));
        assert_eq!(cycle.sent(Sent::Committed), finish(vec![0, 1], vec![]));
    }

    #[test]
    fn after_an_indefinite_outcome_the_stored_cut_decides() {
        let mut cycle = begin();
        assert_eq!(cycle.sent(Sent::Indefinite), Action::ReplaceProducer);
        assert_eq!(cycle.replaced(), Action::ReadCuts(vec![0, 1]));
        let took = BTreeMap::from([(0, stored("me", 4)), (1, stored("me", 1))]);
        assert_eq!(cycle.cuts_read(&took), finish(vec![0, 1], vec![]));
    }

    #[test]
    fn a_partition_with_anothers_cut_is_given_up() {
        let mut cycle = begin();
        cycle.sent(Sent::Indefinite);
        cycle.replaced();
        let other = BTreeMap::from([(0, stored("you", 4)), (1, None)]);
        assert_eq!(cycle.cuts_read(&other), Action::Send(vec![1]));
        assert_eq!(cycle.sent(Sent::Committed), finish(vec![1], vec![0]));
    }

    #[test]
    fn a_retry_holds_only_the_partitions_still_held() {
        let mut cycle = begin();
        assert_eq!(cycle.lost(0), Some(Action::ReplaceProducer));
        assert_eq!(cycle.lost(0), None);
        assert_eq!(cycle.replaced(), Action::ReadCuts(vec![1]));
        assert_eq!(cycle.cuts_read(&BTreeMap::from([(1, None)])), Action::Send(vec![1]));
        assert_eq!(cycle.sent(Sent::Committed), finish(vec![1], vec![]));
    }
}
