//! A partition as its worker holds it: packages, how far they have come, and what has come out.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::sync::Arc;

use super::agree::Accept;
use super::cut::{Backfill, Cursor, LastRecord};
use super::decisions::Decisions;
use super::halt::{Halt, Other};
use super::open_sum::OpenSum;
use super::ownership::Epoch;
use super::repair::Row;
use super::restore::SnapshotMeta;
use super::rules::Rules;
use crate::detector::exception::ExceptionEvent;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::{Inconsistent, LookPosition, Retention, Shard, Stats};
use crate::detector::time::{Frontier, LogTime};

/// Records that an event is in a transaction: itself, and its entry of the `open` table.
pub const RECORDS_PER_EVENT: usize = 2;
/// Seconds that the frontier moves at a time where it has far to go.
const STEP: i64 = 10;

/// A shard, and whatever limits it.
pub trait Packages: DerefMut<Target = Shard> {
    /// Why a package finds no place.
    type NoRoom;

    /// Applies these records, or no further than until so many events wait; see [`Shard::apply`].
    /// Those that are applied have an outcome.
    ///
    /// # Errors
    /// When the record behind those that have an outcome brings a package and there is no room.
    fn apply_all(
        &mut self,
        records: &[Record<'_>],
        most: usize,
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
    /// What brings the `open` table back to what was published.
    pub rows: Vec<Row>,
    /// Owner and number of the last commit.
    pub stamp: Option<(String, u64)>,
    /// The look of the next record, as far as it is out, and the settings that hold behind it.
    pub resume: Option<(Cursor, Retention)>,
    /// What the `open` table holds.
    pub open: OpenSum,
    /// The broker's identity of the topic that the state is of; `None`: not known.
    pub topic_id: Option<String>,
    /// How many partitions that topic had.
    pub partitions: i32,
    /// The records count as they are read now, whatever the look of the next one says.
    pub read_anew: bool,
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
    /// Rows of the `open` table that are written again or deleted.
    pub rows: Vec<Row>,
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
    /// The look of the record at `offset`, where it is out in part.
    pub cursor: Option<Cursor>,
    /// What the `open` table holds with it.
    pub open: OpenSum,
    /// There is more to say than one transaction takes: another cut is wanted at once.
    pub is_full: bool,
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
    rows: Vec<Row>,
    dead_letters: Vec<L>,
    traces: BTreeMap<i64, Box<str>>,
    halt: Option<Halt>,
    /// Policies that are in force from the last cut on.
    policies_to_come: Option<Arc<PolicySet>>,
    /// The look of the next record, which another process has begun.
    resume: Option<(Cursor, Retention)>,
    read_anew: bool,
    /// What the `open` table holds with the last cut.
    open: OpenSum,
    /// The broker's identity of the topic that it was restored from; `None`: not known.
    topic_id: Option<String>,
    /// Records that it may put into one transaction.
    budget: usize,
    rules: Rules,
}

impl<S: Packages, L> Held<S, L> {
    /// A partition that has been restored. `budget`: records that it may put into one transaction.
    pub fn new(partition: i32, epoch: Epoch, ready: Ready<S>, budget: usize) -> Self {
        let Ready {
            mut packages, offset, decisions, backfill, last, resume, open, topic_id, ..
        } = ready;
        if let Some(position) = resume.as_ref().and_then(|(cursor, _)| cursor.position()) {
            packages.resume_look(position);
        }
        Self {
            partition,
            epoch,
            packages,
            offset,
            decisions,
            backfill,
            last,
            backlog: ready.closings,
            rows: ready.rows,
            dead_letters: Vec::new(),
            traces: BTreeMap::new(),
            halt: None,
            policies_to_come: None,
            resume,
            read_anew: ready.read_anew,
            open,
            topic_id,
            budget,
            rules: Rules::ALL,
        }
    }

    /// The same under these rules.
    pub fn under(self, rules: Rules) -> Self {
        Self { rules, ..self }
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
    /// all, or those in front of the one that finds no room, or that has to wait because more is due
    /// than one transaction takes.
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
        if let Some(first) = records.first()
            && let Some((cursor, settings)) = self.resume.clone()
        {
            let is_another = first.log_time() != Some(cursor.log_time());
            if is_another && !self.read_anew && self.rules.look_time_checked {
                self.stop(another_record(offset_of(0), &cursor, first.log_time()));
                return (0, Ok(()));
            }
            // Its look is brought to its end without it where it is another.
            let look = Record::Rejected { log_time: Some(cursor.log_time()) };
            let without = is_another && self.read_anew;
            let first = if without { &[look] } else { &records[..1] };
            let applied = self.packages.apply_all(first, self.most(), outcomes);
            if !self.rules.steps_by_table {
                self.silence_steps_up_to(&cursor);
            }
            if outcomes.is_empty() || applied.is_err() {
                return (0, applied);
            }
            self.resume = None;
            match without {
                true => outcomes.clear(),
                false => self.offset = offset_of(0) + 1,
            }
            self.settle_settings(settings);
        }
        let rest = &records[outcomes.len()..];
        let applied = self.packages.apply_all(rest, self.most(), outcomes);
        let reached = outcomes.len();
        if let Some(last) = reached.checked_sub(1) {
            self.offset = offset_of(last) + 1;
        }
        (reached, applied)
    }

    /// What a look must not do that is carried on: take steps for told because they lie before its
    /// cursor.
    fn silence_steps_up_to(&mut self, cursor: &Cursor) {
        let stood = cursor.position();
        let is_told = |event: &ExceptionEvent| {
            let at = LookPosition { second: event.deadline.secs(), key: event.key.clone() };
            !event.change.closes() && stood.as_ref().is_some_and(|stood| at <= *stood)
        };
        let events = self.packages.take_outbox();
        self.backlog.extend(events.into_iter().filter(|event| !is_told(event)));
    }

    /// So many events may wait; at least one, so that it goes on.
    fn most(&self) -> usize {
        if !self.rules.budget_bounds_cut {
            return usize::MAX;
        }
        let room = self.budget.saturating_sub(self.dead_letters.len()) / RECORDS_PER_EVENT;
        room.saturating_sub(self.backlog.len()).max(1)
    }

    /// Whether as much is to be said as one transaction takes: nothing is applied until the next cut.
    pub fn is_full(&self) -> bool {
        let events = self.backlog.len() + self.packages.waiting();
        events > 0 && self.packages.waiting() >= self.most()
            || self.dead_letters.len() >= self.budget
    }

    /// Whether the next record's look has been begun: it is judged no more.
    pub fn is_amid_record(&self) -> bool {
        let is_amid = self.resume.is_some() || self.packages.is_amid_record();
        is_amid && self.rules.amid_record_not_judged
    }

    /// From the next record on these settings hold.
    fn settle_settings(&mut self, settings: Retention) {
        self.decisions.settle(self.offset, settings);
        self.packages.set_retention(settings);
    }

    /// The last record that was applied is this one.
    pub fn applied_last(&mut self, last: LastRecord) {
        self.last = Some(last);
    }

    /// Whether the cut has room for one more refused record, beside so many that are not noted yet.
    pub fn may_refuse(&self, offset: i64, others: usize) -> bool {
        self.decisions.may_refuse(offset, others)
    }

    /// The record at this offset was refused, because of its log time or for want of its schema: a
    /// rebuild leaves it out, whatever is known by then.
    pub fn refused(&mut self, offset: i64) {
        self.decisions.refuse(offset);
    }

    /// The record at this offset could not be read.
    pub fn rejected(&mut self, offset: i64) {
        self.decisions.reject(offset);
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

    /// The log is complete up to here, by evidence. Where very much has become due the frontier goes
    /// only a part of the way; false: the rest is for after the next cut.
    pub fn advance(&mut self, to: Frontier) -> bool {
        self.change_policies();
        while self.halt.is_none() {
            if self.is_full() {
                return false;
            }
            let step = match self.packages.frontier() {
                Some(from) if to.secs() - from.secs() > STEP => {
                    Frontier::from_secs(from.secs() + STEP)
                }
                Some(_) | None => to,
            };
            while !self.packages.advance(step) {
                if self.is_full() {
                    return false;
                }
            }
            if step == to {
                break;
            }
        }
        true
    }

    /// Before anything happens behind a cut, the policies that are in force from there on are.
    fn change_policies(&mut self) {
        if let Some(policies) = self.policies_to_come.take() {
            self.decisions.settle(self.offset, Retention::of(&policies));
            self.packages.set_policies(policies);
        }
    }

    /// How far the look of the next record is out; `None`: nothing of it.
    fn cursor(&self) -> Option<Cursor> {
        let resumed = self.resume.as_ref().map(|(cursor, _)| cursor.log_time());
        let position = self.packages.look_position()?;
        let begun = self.packages.log_clock().filter(|_| self.packages.is_amid_record());
        Some(Cursor::new(resumed.or(begun)?, &position))
    }

    /// What a snapshot of the packages as they are now must say of itself; `None` in the midst of a
    /// look, whose state is none that the log has.
    pub fn snapshot(&self, topic: &str, partitions: i32) -> Option<SnapshotMeta> {
        let amid_a_look = self.packages.is_looking() || self.resume.is_some();
        (!amid_a_look || !self.rules.snapshot_outside_looks).then(|| SnapshotMeta {
            topic: topic.to_owned(),
            topic_id: self.topic_id.clone(),
            partition: self.partition,
            partitions,
            offset: self.offset,
            decisions: self.decisions.below(self.offset),
            last: self.last,
        })
    }

    /// Takes a cut. What it holds is the taker's to keep until it is committed.
    ///
    /// Where `today` are other policies than those in force, they are in force from this cut on, which
    /// is committed: as after a crash and a start under them. A first start is published to its end
    /// before.
    /// None come into force in the midst of a look. `budget`: records that the next cut may hold.
    pub fn cut(&mut self, today: &Arc<PolicySet>, budget: usize) -> Cut<L> {
        self.change_policies();
        let mut is_full = self.is_full() || self.packages.is_looking();
        self.budget = budget;
        let mut events = std::mem::take(&mut self.backlog);
        events.extend(self.packages.take_outbox());
        if self.backfill == Backfill::Pending {
            let share = (self.budget / RECORDS_PER_EVENT).max(1);
            let next = match self.rules.sums_of_the_cut {
                true => share.saturating_sub(events.len()),
                // Memory is ahead of the cut, as the rule forbids.
                false => usize::MAX,
            };
            self.packages.backfill_next(next);
            events.extend(self.packages.take_outbox());
            self.backlog = events.split_off(events.len().min(share));
            let is_more = !self.backlog.is_empty() || self.packages.is_backfilling();
            is_full |= is_more;
            if !is_more {
                self.backfill = Backfill::Done;
            }
        }
        if !self.rules.events_with_their_cut {
            self.backlog.extend(events.split_off(events.len().div_ceil(2)));
        }
        let cursor = self.cursor();
        let cursor = cursor.filter(|_| self.rules.cursor_kept || !events.is_empty());
        let in_force = self.packages.policies().hash().clone();
        let amid_a_look = self.packages.is_looking() || self.resume.is_some();
        if in_force != *today.hash() && self.backfill != Backfill::Pending && !amid_a_look {
            self.policies_to_come = Some(today.clone());
        }
        let (frontier, log_clock) = match self.rules.frontier_of_before {
            true => self.packages.settled_clocks(),
            false => (self.packages.frontier(), self.packages.log_clock()),
        };
        let open = self.published(&events);
        Cut {
            partition: self.partition,
            epoch: self.epoch,
            policies: in_force,
            policies_change: self.policies_to_come.is_some(),
            offset: self.offset,
            frontier,
            log_clock,
            cursor: cursor.filter(|_| self.rules.cursor_in_cut),
            open,
            is_full,
            events,
            rows: std::mem::take(&mut self.rows),
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

impl<S: Packages, L> Held<S, L> {
    /// What the `open` table holds with these events.
    fn published(&mut self, events: &[ExceptionEvent]) -> OpenSum {
        let before = self.open;
        events.iter().for_each(|event| self.open.publish(event));
        let mut open = if self.rules.sums_with_the_events { self.open } else { before };
        if !self.rules.sums_of_the_cut {
            self.backlog.iter().for_each(|event| open.publish(event));
        }
        open
    }
}

/// Another record stands where the one was whose look is out in part.
fn another_record(offset: i64, cursor: &Cursor, found: Option<LogTime>) -> Halt {
    let found = found.map_or("none".to_owned(), |found| found.secs().to_string());
    let message = format!(
        "rejections-differ: what the record behind the cut makes due is out in part, and it had the log time {}, but the record at offset {offset} has {found} (in seconds since 1970): was a schema or a setting of the input changed? Put it back, or go on with the records as they are read now: {}",
        cursor.to,
        Accept::Rejections.command()
    );
    Halt::new(Other::AnotherRecord, message)
}

#[cfg(test)]
mod tests;
