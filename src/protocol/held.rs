//! A partition as its worker holds it: packages, how far they have come, and what has come out.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::sync::Arc;

use super::cut::{Backfill, LastRecord};
use super::decisions::Decisions;
use super::halt::Halt;
use super::ownership::Epoch;
use super::restore::SnapshotMeta;
use crate::detector::exception::ExceptionEvent;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::{Inconsistent, Retention, Shard, Stats};
use crate::detector::time::{Frontier, LogTime};

/// Events that wait for a commit, from which on the frontier moves no further without a record.
const MOST_EVENTS: usize = 100_000;
/// Seconds that the frontier moves at a time where it has far to go.
const STEP: i64 = 10;

/// A shard, and whatever limits it.
pub trait Packages: DerefMut<Target = Shard> {
    /// Why a package finds no place.
    type NoRoom;

    /// Applies all of these records; see [`Shard::apply`].
    ///
    /// # Errors
    /// When the record behind those that have an outcome brings a package and there is no room.
    fn apply_all(
        &mut self,
        records: &[Record<'_>],
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> Result<(), Self::NoRoom>;

    /// [`Shard::restore_open`], which may bring a package.
    ///
    /// # Errors
    /// The outer one when there was no room for that package: the shard is of no more use.
    fn take_open(
        &mut self,
        event: &ExceptionEvent,
    ) -> Result<Result<(), Inconsistent>, Self::NoRoom>;

    /// A piece of work is done.
    fn settle(&mut self) {}
}

/// A partition whose state is there.
#[derive(Debug)]
pub struct Ready<S> {
    /// Its packages, ladders awake.
    pub packages: S,
    /// The next offset to apply.
    pub offset: i64,
    /// What was decided about the records, the settings of today included.
    pub decisions: Decisions,
    /// State of a first start.
    pub backfill: Backfill,
    /// The last record that was applied.
    pub last: Option<LastRecord>,
    /// Exceptions that the log contradicts, closed: they are published with the first commit.
    pub closings: Vec<ExceptionEvent>,
    /// Owner and number of the last commit.
    pub stamp: Option<(String, u64)>,
}

/// A partition between two applies, with all that has come out of it up to there.
#[derive(Clone, Debug)]
pub struct Cut<L> {
    /// The partition.
    pub partition: i32,
    /// The assignment it was taken under.
    pub epoch: Epoch,
    /// Last applied offset + 1, control records passed.
    pub offset: i64,
    /// The last finished second of the frontier.
    pub frontier: Option<Frontier>,
    /// The greatest log time so far.
    pub log_clock: Option<LogTime>,
    /// Exceptions since the last cut.
    pub events: Vec<ExceptionEvent>,
    /// Rejected records since the last cut.
    pub dead_letters: Vec<L>,
    /// Trace contexts of scans that closed an exception, by offset.
    pub traces: BTreeMap<i64, Box<str>>,
    /// What was decided about the records.
    pub decisions: Decisions,
    /// Hash of the policies that it was reached under.
    pub policies: Arc<str>,
    /// Behind it others are in force: it is to be committed, whatever else it says.
    pub policies_change: bool,
    /// Pending as long as a first start has more to publish.
    pub backfill: Backfill,
    /// The last record that was applied.
    pub last: Option<LastRecord>,
    /// What the shard holds.
    pub stats: Stats,
    /// Why it went no further: the record at `offset` stops the partition.
    pub halt: Option<Halt>,
}

/// See the module's head. `L` is a rejected record on its way.
pub struct Held<S, L> {
    partition: i32,
    epoch: Epoch,
    packages: S,
    offset: i64,
    decisions: Decisions,
    backfill: Backfill,
    last: Option<LastRecord>,
    /// What waits for the next transactions.
    backlog: Vec<ExceptionEvent>,
    dead_letters: Vec<L>,
    traces: BTreeMap<i64, Box<str>>,
    halt: Option<Halt>,
    /// Policies that are in force from the last cut on.
    policies_to_come: Option<Arc<PolicySet>>,
    /// Events of a backfill in one transaction.
    chunk: usize,
}

impl<S: Packages, L> Held<S, L> {
    /// A partition that has been restored. `chunk`: events of a backfill in one transaction.
    pub fn new(partition: i32, epoch: Epoch, ready: Ready<S>, chunk: usize) -> Self {
        let Ready { packages, offset, decisions, backfill, last, closings, stamp: _ } = ready;
        Self {
            partition,
            epoch,
            packages,
            offset,
            decisions,
            backfill,
            last,
            backlog: closings,
            dead_letters: Vec::new(),
            traces: BTreeMap::new(),
            halt: None,
            policies_to_come: None,
            chunk: chunk.max(1),
        }
    }

    /// Whether it is this partition under this assignment.
    pub fn is(&self, partition: i32, epoch: Epoch) -> bool {
        self.partition == partition && self.epoch == epoch
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// Its packages.
    pub fn packages(&self) -> &S {
        &self.packages
    }

    /// Its packages alone: it is given away.
    pub fn into_packages(self) -> S {
        self.packages
    }

    /// The next offset to apply.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Whether it goes no further.
    pub fn is_halted(&self) -> bool {
        self.halt.is_some()
    }

    /// It goes no further.
    pub fn stop(&mut self, halt: Halt) {
        self.halt = Some(halt);
    }

    /// There is room for packages again.
    pub fn resume(&mut self) {
        self.halt = None;
    }

    /// Applies records; their offsets are `offset_of` their places. Returns how many were applied:
    /// all, or those in front of the one that finds no room.
    ///
    /// # Errors
    /// The second part, when a record brings a package and there is no room.
    pub fn apply(
        &mut self,
        records: &[Record<'_>],
        offset_of: impl Fn(usize) -> i64,
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> (usize, Result<(), S::NoRoom>) {
        self.change_policies();
        let applied = self.packages.apply_all(records, outcomes);
        let reached = outcomes.len();
        if let Some(last) = reached.checked_sub(1) {
            self.offset = offset_of(last) + 1;
        }
        (reached, applied)
    }

    /// The last record that was applied is this one.
    pub fn applied_last(&mut self, last: LastRecord) {
        self.last = Some(last);
    }

    /// The record at this offset was refused because of its log time.
    pub fn refused(&mut self, offset: i64) {
        self.decisions.refuse(offset);
    }

    /// A rejected record goes to the dead letters.
    pub fn dead_letter(&mut self, letter: L) {
        self.dead_letters.push(letter);
    }

    /// The scan at this offset, which closed an exception, came with a trace context.
    pub fn traced(&mut self, offset: i64, context: &str) {
        self.traces.insert(offset, context.into());
    }

    /// A batch is done.
    pub fn settle(&mut self) {
        self.packages.settle();
    }

    /// Control records up to this offset have been passed.
    pub fn pass(&mut self, offset: i64) {
        self.change_policies();
        if self.halt.is_none() {
            self.offset = self.offset.max(offset);
        }
    }

    /// The log is complete up to here, by evidence. With very much that has become due the frontier
    /// goes only a part of the way, to the end of a second, so that a transaction does not take
    /// longer than the broker lets it; the next evidence takes it on.
    pub fn advance(&mut self, to: Frontier) {
        self.change_policies();
        while self.halt.is_none() && self.packages.waiting() < MOST_EVENTS {
            let step = match self.packages.frontier() {
                Some(from) if to.secs() - from.secs() > STEP => {
                    Frontier::from_secs(from.secs() + STEP)
                }
                Some(_) | None => to,
            };
            while !self.packages.advance(step) {}
            if step == to {
                break;
            }
        }
    }

    /// Before anything happens behind a cut, the policies that are in force from there on are.
    fn change_policies(&mut self) {
        if let Some(policies) = self.policies_to_come.take() {
            self.decisions.settle(self.offset, Retention::of(&policies));
            self.packages.set_policies(policies);
        }
    }

    /// What a snapshot of the packages as they are now must say of itself.
    pub fn snapshot(&self, topic: &str, partitions: i32) -> SnapshotMeta {
        SnapshotMeta {
            topic: topic.to_owned(),
            partition: self.partition,
            partitions,
            offset: self.offset,
            decisions: self.decisions.below(self.offset),
            last: self.last,
        }
    }

    /// Takes a cut. What it holds is the taker's to keep until it is committed.
    ///
    /// Where `today` are other policies than those in force, they are in force from this cut on, which
    /// is committed: as after a crash and a start under them. A first start is published to its end
    /// before.
    pub fn cut(&mut self, today: &Arc<PolicySet>) -> Cut<L> {
        self.change_policies();
        let mut events = std::mem::take(&mut self.backlog);
        events.extend(self.packages.take_outbox());
        if self.backfill == Backfill::Pending {
            self.backlog = events.split_off(events.len().min(self.chunk));
            if self.backlog.is_empty() {
                self.backfill = Backfill::Done;
            }
        }
        let in_force = self.packages.policies().hash().clone();
        if in_force != *today.hash() && self.backfill != Backfill::Pending {
            self.policies_to_come = Some(today.clone());
        }
        Cut {
            partition: self.partition,
            epoch: self.epoch,
            policies: in_force,
            policies_change: self.policies_to_come.is_some(),
            offset: self.offset,
            frontier: self.packages.frontier(),
            log_clock: self.packages.log_clock(),
            events,
            dead_letters: std::mem::take(&mut self.dead_letters),
            traces: std::mem::take(&mut self.traces),
            decisions: self.decisions.clone(),
            backfill: self.backfill,
            last: self.last,
            stats: self.packages.stats(),
            halt: self.halt.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::detector::exception::Severity;
    use crate::detector::key::PackageKey;
    use crate::detector::policy::{Defaults, Policy, PolicySet, Step};
    use crate::detector::scan::{Attributes, Evidence, Milestone, Scan};
    use crate::protocol::ownership::Ownership;
    use crate::protocol::plain::Plain;

    const START: i64 = 1_772_438_400;
    const DAY: i64 = 86_400;

    /// One policy that opens after so many days.
    fn policies(days: i64) -> Arc<PolicySet> {
        let step = Step { after: days * DAY, severity: Severity::Warning, name: "stalled".into() };
        let policy = Policy {
            id: "all".into(),
            conditions: None,
            first_scan: Vec::new(),
            no_movement: vec![step],
        };
        let defaults = Defaults { forget_after: 30 * days * DAY, ..Defaults::default() };
        Arc::new(PolicySet::new(defaults, BTreeMap::new(), vec![policy]).unwrap())
    }

    /// A partition with a hundred packages a second, of which nothing has come out.
    fn held(packages: usize) -> Held<Plain, ()> {
        let policies = policies(2);
        let ready = Ready {
            decisions: Decisions::beginning_at(0, Retention::of(&policies)),
            packages: Plain(Shard::new(policies)),
            offset: 0,
            backfill: Backfill::Publish,
            last: None,
            closings: Vec::new(),
            stamp: None,
        };
        let epoch = Ownership::default().assigned(0);
        let mut held = Held::new(0, epoch, ready, 1);
        let record = |number: usize| {
            Record::Scan(Scan {
                key: PackageKey::new("ups", &format!("P{number}")).unwrap(),
                milestone: Milestone::Arrived,
                evidence: Evidence::Physical,
                event_time: None,
                log_time: LogTime::from_secs(START + number as i64 / 100),
                offset: number as i64,
                attributes: Attributes::default(),
            })
        };
        let records: Vec<_> = (0..packages).map(record).collect();
        held.apply(&records, |at| at as i64, &mut Vec::new()).1.unwrap();
        held
    }

    #[test]
    fn a_frontier_with_very_much_to_say_goes_on_from_cut_to_cut_and_says_all_of_it() {
        let packages = 2 * MOST_EVENTS + MOST_EVENTS / 2;
        let mut held = held(packages);
        let today = policies(2);
        let to = Frontier::from_secs(START + 10 * DAY);
        let mut said = Vec::new();
        let mut cuts = 0;
        while said.len() < packages {
            held.advance(to);
            held.advance(to);
            let cut = held.cut(&today);
            assert!(cut.events.len() < MOST_EVENTS + 100 * (STEP as usize + 1), "{cuts}");
            assert!(!cut.events.is_empty());
            let frontier = cut.frontier.unwrap().secs();
            assert!(cut.events.iter().all(|event| event.deadline.secs() <= frontier));
            said.extend(cut.events.into_iter().map(|event| event.deadline.secs()));
            cuts += 1;
        }
        held.advance(to);
        let cut = held.cut(&today);
        assert_eq!((cut.events.len(), cut.frontier), (0, Some(to)));
        assert_eq!(cuts, 3);
        assert!(said.is_sorted());
    }

    #[test]
    fn other_policies_are_in_force_from_the_cut_that_was_taken_under_those_before() {
        let mut held = held(100);
        let (before, after) = (policies(2), policies(1));
        held.advance(Frontier::from_secs(START + DAY + 10));
        let cut = held.cut(&after);
        assert_eq!((cut.events.len(), cut.policies_change), (0, true));
        assert_eq!(cut.policies, *before.hash());
        assert_eq!(cut.decisions.settings.len(), 1, "the decisions are those before it");
        held.advance(Frontier::from_secs(START + DAY + 11));
        let cut = held.cut(&after);
        assert_eq!((cut.events.len(), cut.policies_change), (100, false));
        assert_eq!(cut.policies, *after.hash());
        let line = cut.decisions.settings.last().unwrap();
        assert_eq!((line.from, line.retention()), (100, Retention::of(&after)));
    }

    #[test]
    fn a_first_start_is_published_to_its_end_before_other_policies_are_in_force() {
        let mut held = Held { backfill: Backfill::Pending, ..held(3) };
        let (before, after) = (policies(2), policies(1));
        held.advance(Frontier::from_secs(START + 2 * DAY));
        for left in [2, 1] {
            let cut = held.cut(&after);
            assert_eq!((cut.events.len(), cut.backfill), (1, Backfill::Pending), "{left} are left");
            held.pass(5);
            assert_eq!(held.packages().policies().hash(), before.hash());
        }
        let cut = held.cut(&after);
        assert_eq!((cut.backfill, &cut.policies), (Backfill::Done, before.hash()));
        held.pass(7);
        assert_eq!(held.packages().policies().hash(), after.hash());
    }
}
