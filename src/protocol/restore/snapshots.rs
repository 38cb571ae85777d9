//! Which snapshot a restore begins from: the newest that is of this log, up to the cut, under the same
//! decisions.

use super::{Ask, Phase, Restore};
use crate::protocol::agree::HaltReason;
use crate::protocol::cut::LastRecord;
use crate::protocol::decisions::Decisions;
use crate::protocol::held::Packages;

/// What is known of a snapshot before it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The topic of the records.
    pub topic: String,
    /// The broker's identity of the topic; `None`: not known.
    pub topic_id: Option<String>,
    /// Its partition.
    pub partition: i32,
    /// How many partitions the topic had.
    pub partitions: i32,
    /// Every record before this offset is in it, and none behind.
    pub offset: i64,
    /// What was decided about these records.
    pub decisions: Decisions,
    /// The last record in it.
    pub last: Option<LastRecord>,
}

impl<S: Packages, F: Fn(bool) -> S> Restore<S, F> {
    /// The snapshots that there are of this partition, in any order.
    pub fn snapshots(&mut self, found: Vec<SnapshotMeta>) -> Ask {
        let Some(cut) = &self.cut else { return Ask::Done };
        let rules = self.setup.rules;
        for (index, meta) in found.into_iter().enumerate() {
            let ours = meta.topic == self.setup.topic
                && meta.partition == self.setup.partition
                && meta.partitions == self.setup.source.partitions;
            let mut ids = meta.topic_id.iter().zip(&cut.topic_id);
            let why = if !ours {
                "it is another partition's"
            } else if ids.any(|(theirs, of_cut)| theirs != of_cut) {
                // Whatever its last record is: an instance that has not noticed yet goes on in the new
                // topic with the packages of the old one.
                "it is of another topic of this name"
            } else if meta.offset > cut.offset && rules.snapshot_not_beyond_cut {
                "it is newer than the cut"
            } else if !cut.decisions.agree_below(&meta.decisions, meta.offset)
                && rules.snapshot_decisions_agree
            {
                "it was made under other decisions"
            } else {
                self.candidates.push((index, meta));
                continue;
            };
            self.set_aside.push((index, why.to_owned()));
        }
        self.candidates.sort_by_key(|(_, meta)| meta.offset);
        self.next_snapshot()
    }

    /// The snapshot asked for, or what is wrong with it.
    pub fn loaded(&mut self, loaded: Result<S, String>) -> Ask {
        let Some((index, meta)) = self.candidates.pop() else { return self.rebuild(None) };
        match loaded {
            Ok(packages) => {
                self.packages = Some(packages);
                self.last = meta.last;
                self.rejected_before = meta.decisions.rejected;
                self.rebuild(Some(meta.offset))
            }
            Err(why) => {
                self.set_aside.push((index, why));
                self.next_snapshot()
            }
        }
    }

    /// Packages into which a snapshot is loaded.
    pub fn blank(&self) -> S {
        (self.make)(false)
    }

    /// The snapshots that were of no use so far, and why.
    pub fn set_aside(&self) -> &[(usize, String)] {
        &self.set_aside
    }

    pub(super) fn probed_for_snapshot(&mut self, found: Option<LastRecord>) -> Ask {
        let Some((index, meta)) = self.candidates.last() else { return self.rebuild(None) };
        let index = *index;
        if found.is_some() && found != meta.last {
            let why = "the log has another record where its last one was".to_owned();
            self.candidates.pop();
            self.set_aside.push((index, why));
            return self.next_snapshot();
        }
        self.go(Phase::Snapshots, Ask::Load(index))
    }

    fn next_snapshot(&mut self) -> Ask {
        match self.candidates.last() {
            Some((_, meta)) if meta.offset < self.log_start && !self.gap_accepted => {
                let snapshot = meta.offset;
                self.halt(HaltReason::SnapshotBelowLog { snapshot, log_start: self.log_start })
            }
            Some((index, meta)) => {
                let index = *index;
                match meta.last.filter(|last| last.offset >= self.log_start) {
                    Some(last) => self.go(Phase::ProbeSnapshot, Ask::Probe(last.offset)),
                    None => self.go(Phase::Snapshots, Ask::Load(index)),
                }
            }
            None => self.rebuild(None),
        }
    }
}
