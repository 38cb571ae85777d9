//! What was decided about the log: package state is a function of the records under these.

use serde::{Deserialize, Serialize};

use super::cut::fnv_1a;
use super::refusals::Refusals;
use super::rejections::Rejections;
use crate::detector::shard::Retention;

/// The settings that package state depends on, from an offset on. Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSettings {
    /// First offset they hold for.
    pub from: i64,
    /// A package is given up this long after its anchor.
    pub forget_after: i64,
    /// A settled package is remembered this long.
    pub settled_retention: i64,
}

impl StateSettings {
    /// These settings, from an offset on.
    pub fn new(from: i64, retention: Retention) -> Self {
        let Retention { forget_after, settled_retention } = retention;
        Self { from, forget_after, settled_retention }
    }

    /// What the detector is to be told.
    pub fn retention(&self) -> Retention {
        let Self { forget_after, settled_retention, .. } = *self;
        Retention { forget_after, settled_retention }
    }
}

/// Every decision about the records of a partition, part of its cut record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// The offset that package state was first built from.
    pub start: i64,
    /// Offsets refused because their log time lay too far in the future, or because nobody had their
    /// schema.
    pub refused: Refusals,
    /// The records that were rejected; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejections>,
    /// Settings by the offset from which they hold, in order.
    pub settings: Vec<StateSettings>,
    /// What concerned earlier offsets only has been dropped; 0: nothing has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_below: i64,
    /// A sum over what has been dropped, by which decisions that were dropped are still told from
    /// others; 0: nothing has.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// What a decision adds to the sum of those that have been dropped.
fn share(words: &[i64]) -> u64 {
    fnv_1a(words.iter().flat_map(|word| word.to_le_bytes()))
}

impl Decisions {
    /// Those of a first start.
    pub fn beginning_at(start: i64, retention: Retention) -> Self {
        let settings = vec![StateSettings::new(start, retention)];
        let rejected = Some(Rejections::from(0));
        Self { start, settings, rejected, ..Self::default() }
    }

    /// Whether the record at this offset was refused.
    pub fn is_refused(&self, offset: i64) -> bool {
        self.refused.contains(offset)
    }

    /// Whether the cut has room for one more refused record, beside so many that are not noted yet.
    pub fn may_refuse(&self, offset: i64, others: usize) -> bool {
        self.refused.has_room_for(offset, others)
    }

    /// The record at this offset is refused.
    pub fn refuse(&mut self, offset: i64) {
        self.refused.insert(offset);
    }

    /// The record at this offset cannot be read.
    pub fn reject(&mut self, offset: i64) {
        if let Some(rejected) = &mut self.rejected {
            rejected.note(offset);
        }
    }

    /// The settings for the record at this offset: the last line at or before it.
    pub fn retention_at(&self, offset: i64) -> Option<Retention> {
        let lines = &self.settings[..self.settings.partition_point(|line| line.from <= offset)];
        lines.last().or(self.settings.first()).map(StateSettings::retention)
    }

    /// The first offset behind this one from which other settings hold.
    pub fn next_line(&self, offset: i64) -> Option<i64> {
        self.settings.iter().map(|line| line.from).find(|from| *from > offset)
    }

    /// From this offset on these settings hold; a line is written only where they differ.
    pub fn settle(&mut self, from: i64, retention: Retention) {
        if self.settings.last().is_some_and(|line| line.retention() == retention) {
            return;
        }
        self.settings.retain(|line| line.from < from);
        self.settings.push(StateSettings::new(from, retention));
    }

    /// Drops what only concerns records that the log no longer has.
    pub fn drop_below(&mut self, log_start: i64) {
        if log_start <= self.dropped_below.max(self.start) {
            return;
        }
        let refused = self.refused.within(i64::MIN..log_start);
        let refused = refused.iter().map(|offset| share(&[offset]));
        let in_force = self.settings.partition_point(|line| line.from < log_start);
        let settings = self.settings.drain(..in_force.saturating_sub(1));
        let settings =
            settings.map(|line| share(&[line.from, line.forget_after, line.settled_retention]));
        self.dropped = refused.chain(settings).fold(self.dropped, u64::wrapping_add);
        self.dropped_below = log_start;
        self.refused = self.refused.within(log_start..i64::MAX);
        if let Some(rejected) = &mut self.rejected {
            rejected.drop_below(log_start);
        }
    }

    /// Those about the records before an offset.
    pub fn below(&self, offset: i64) -> Self {
        let mut below = self.clone();
        below.refused = self.refused.within(i64::MIN..offset);
        below.settings.retain(|line| line.from < offset || line.from == self.start);
        below
    }

    /// Whether both say the same of every record before an offset; of what both have dropped, as far
    /// as that lies before it.
    pub fn agree_below(&self, other: &Self, offset: i64) -> bool {
        let from = self.dropped_below.max(other.dropped_below);
        let dropped = |of: &Self| {
            let mut of = of.clone();
            of.drop_below(from);
            of.dropped
        };
        let refused = |of: &Self| of.refused.within(from..offset);
        let rejected = self.rejected.iter().zip(&other.rejected).next();
        let mut bounds: Vec<i64> =
            self.settings.iter().chain(&other.settings).map(|it| it.from).collect();
        bounds.push(from.max(self.start));
        bounds.retain(|at| (from..offset).contains(at));
        self.start == other.start
            && (from > offset || dropped(self) == dropped(other))
            && refused(self) == refused(other)
            && rejected.is_none_or(|(ours, theirs)| ours.differ_below(theirs, offset).is_none())
            && bounds.iter().all(|&at| self.retention_at(at) == other.retention_at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Retention = Retention { forget_after: 60, settled_retention: 7 };
    const WEEKS: Retention = Retention { forget_after: 90, settled_retention: 7 };

    #[test]
    fn each_setting_holds_from_its_offset_on() {
        let mut decisions = Decisions::beginning_at(3, DAYS);
        decisions.settle(10, DAYS);
        decisions.settle(10, WEEKS);
        assert_eq!(decisions.settings.len(), 2);
        assert_eq!(decisions.retention_at(9), Some(DAYS));
        assert_eq!(decisions.retention_at(10), Some(WEEKS));
        decisions.settle(10, DAYS);
        assert_eq!(decisions.retention_at(10), Some(DAYS));
    }

    #[test]
    fn decisions_are_dropped_only_below_the_start_of_the_log() {
        let mut decisions = Decisions::beginning_at(0, DAYS);
        decisions.refuse(5);
        decisions.settle(10, WEEKS);
        decisions.refuse(25);
        decisions.settle(30, DAYS);
        let whole = decisions.clone();
        decisions.drop_below(20);
        assert_eq!(decisions.refused.ranges().collect::<Vec<_>>(), [(25, 25)]);
        assert_eq!(decisions.retention_at(20), Some(WEEKS), "the line in force stays");
        assert_eq!(decisions.retention_at(30), Some(DAYS));
        assert!(whole.agree_below(&decisions, 40));
        decisions.refuse(35);
        assert!(whole.agree_below(&decisions, 35));
        assert!(!whole.agree_below(&decisions, 36));
    }

    #[test]
    fn decisions_that_were_dropped_are_still_told_from_others() {
        let mut ours = Decisions::beginning_at(0, DAYS);
        ours.refuse(5);
        let (mut refused_more, mut other_settings) = (ours.clone(), ours.clone());
        refused_more.refuse(7);
        other_settings.settle(8, WEEKS);
        let whole = ours.clone();
        ours.drop_below(6);
        ours.drop_below(20);
        assert!(ours.agree_below(&whole, 20) && whole.agree_below(&ours, 30));
        for others in [refused_more, other_settings] {
            assert!(!ours.agree_below(&others, 20) && !others.agree_below(&ours, 30));
            let mut dropped = others.clone();
            dropped.drop_below(20);
            assert!(!ours.agree_below(&dropped, 30));
        }
    }

    #[test]
    fn a_line_that_begins_where_the_log_does_is_none_of_what_was_dropped() {
        let before = Decisions::beginning_at(0, DAYS);
        let mut after = before.clone();
        after.settle(20, WEEKS);
        after.drop_below(20);
        assert!(after.agree_below(&before, 20));
        assert!(!after.agree_below(&before, 21));
    }

    #[test]
    fn decisions_about_earlier_records_agree_whatever_was_decided_later() {
        let early = Decisions::beginning_at(0, DAYS);
        let mut late = early.clone();
        late.settle(10, WEEKS);
        late.refuse(12);
        assert!(early.agree_below(&late, 10));
        assert!(!early.agree_below(&late, 11));
        assert_eq!(late.below(10), early);
    }
}
