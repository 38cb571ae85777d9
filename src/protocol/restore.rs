//! How a partition is rebuilt: what to read next, and where it goes on or why it must not.
//!
//! ```text
//!  Durable ─► again? ─► Probe ─► Snapshots ─► Probe ─► Load … ─► Records S..C ─► Rows ─► Done
//!     │                                                               ▲
//!     ├─► neither cut nor offset: Start ─► (silent) End ──────────────┘
//!     └─► they disagree, or C lies outside the log: Halt
//! ```
//!
//! The machine says what it needs, the driver fetches it. Package state is the records' and the
//! decisions' alone; open exceptions come from the table alone; nothing is published here.

use super::cut::{Backfill, CutRecord, LastRecord, Source};
use super::decisions::Decisions;
use super::halt::About;
use super::held::{Packages, Ready};
use super::open_sum::OpenSum;
use super::rejections::Rejections;
use super::repair::Row;
use super::rules::Rules;
use crate::detector::exception::ExceptionEvent;
use crate::detector::key::PackageKey;
use crate::detector::scan::Record;
use crate::detector::shard::{Inconsistent, Retention};
use crate::detector::time::{Frontier, LogTime, floor_to_seconds};

pub use snapshots::SnapshotMeta;

pub use super::agree::{Accept, Answer, Decision, Durable, HaltReason, decide};

/// What a first start does with the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// Publish all of it.
    Publish,
    /// Publish once what is open.
    Silent,
}

/// What becomes of a published exception that the log contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInconsistency {
    /// The partition halts.
    Halt,
    /// The log is right: the exception is closed.
    TrustLog,
}

/// What a restore is to know beforehand.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The topic of the records.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Our group, and what the topic is now.
    pub source: Source,
    /// The settings of today.
    pub today: Retention,
    /// See there.
    pub first_start: FirstStart,
    /// See there.
    pub on_inconsistency: OnInconsistency,
    /// How far a log time may lie ahead of the brokers' clock, in milliseconds.
    pub max_future_skew_ms: i64,
    /// What holds.
    pub rules: Rules,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Read what is durable; answer with [`Restore::durable`].
    Durable,
    /// Find the offset of a first start; answer with [`Restore::start`].
    Start,
    /// Note trusted time, ask for the end as a reader of uncommitted data, then have a record
    /// stamped; answer with [`Restore::end`].
    End,
    /// Read the record at this offset; answer with [`Restore::probed`].
    Probe(i64),
    /// Say which snapshots there are; answer with [`Restore::snapshots`].
    Snapshots,
    /// Load this one of them; answer with [`Restore::loaded`].
    Load(usize),
    /// Hand over the records from `from` up to, not including, `to`, to [`Restore::takes`] and
    /// [`Restore::apply`], then say [`Restore::records_end`].
    Records {
        /// The first.
        from: i64,
        /// Behind the last.
        to: i64,
    },
    /// Hand over the rows of the `open` table, in any order, to [`Restore::row`], then say
    /// [`Restore::rows_end`].
    Rows,
    /// Call [`Restore::finish`].
    Done,
    /// The partition halts.
    Halt(HaltReason),
}

/// What becomes of a record that a restore reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is applied.
    Applied,
    /// It was refused, or is now.
    LeftOut,
    /// Nobody can tell yet: the brokers' clocks disagree about it, or its schema is to come.
    Waits,
}

/// A restore that came to no good end.
#[derive(Debug)]
pub enum Failed<N> {
    /// There is no room for the package that the record at this offset brings.
    NoRoomForRecord(i64, N),
    /// There is no room for this package, which only its open exception tells of.
    NoRoomForOpen(PackageKey, N),
    /// A published exception contradicts the log.
    Inconsistent(Inconsistent),
    /// The `open` table does not hold what was published.
    OpenDiffers(Box<OpenDiffers>),
}

/// How the `open` table differs from what was published.
#[derive(Debug)]
pub struct OpenDiffers {
    /// Open exceptions at the cut.
    pub then: u64,
    /// Entries of the table.
    pub now: u64,
    /// Packages that are silent by the log and have no entry.
    pub missing: Vec<PackageKey>,
    /// Packages with an entry that nobody has published, as far as can be told.
    pub foreign: Vec<PackageKey>,
    /// It is known what the table must hold.
    pub proven: bool,
}

enum Phase {
    Durable {
        before: Option<About>,
    },
    Probe,
    Start,
    End {
        start: i64,
    },
    Snapshots,
    /// Is the log still the one that the newest candidate is of?
    ProbeSnapshot,
    Records,
    /// `from`: where the records begin, if they are still to come.
    Rows {
        from: Option<i64>,
    },
    Over,
}

/// What the records are applied for.
enum Purpose {
    /// A first start: the wall time at which the end was asked for, in milliseconds.
    First { asked_at_ms: i64, stamp_ms: i64 },
    /// To go on at a cut.
    GoOn(Box<CutRecord>),
}

/// One restore. `S` are the packages, `F` makes some: live ones, or such as are being rebuilt.
pub struct Restore<S, F> {
    setup: Setup,
    make: F,
    phase: Phase,
    cut: Option<CutRecord>,
    /// What the `open` table comes to.
    table: OpenSum,
    /// Its rows, where they are not what was published: only then they stand in memory.
    open: Vec<ExceptionEvent>,
    log_start: i64,
    gap_accepted: bool,
    /// The state begins with a snapshot, and the log right behind it is gone.
    has_gap: bool,
    trust_log: bool,
    read_anew: bool,
    open_accepted: bool,
    candidates: Vec<(usize, SnapshotMeta)>,
    set_aside: Vec<(usize, String)>,
    purpose: Option<Purpose>,
    packages: Option<S>,
    decisions: Decisions,
    /// What this reading has rejected.
    rejected: Rejections,
    /// What the snapshot says of the records before it.
    rejected_before: Option<Rejections>,
    to: i64,
    last: Option<LastRecord>,
    closings: Vec<ExceptionEvent>,
    rows: Vec<Row>,
}

impl<S: Packages, F: Fn(bool) -> S> Restore<S, F> {
    /// Begins. `make` gives packages: of an empty log and awake when `true`.
    pub fn begin(setup: Setup, make: F) -> (Self, Ask) {
        let restore = Self {
            setup,
            make,
            phase: Phase::Durable { before: None },
            cut: None,
            table: OpenSum::default(),
            open: Vec::new(),
            log_start: 0,
            gap_accepted: false,
            has_gap: false,
            trust_log: false,
            read_anew: false,
            open_accepted: false,
            candidates: Vec::new(),
            set_aside: Vec::new(),
            purpose: None,
            packages: None,
            decisions: Decisions::default(),
            rejected: Rejections::from(0),
            rejected_before: None,
            to: 0,
            last: None,
            closings: Vec::new(),
            rows: Vec::new(),
        };
        (restore, Ask::Durable)
    }

    /// What is durable: cut, group offset and log, and what the rows of the `open` table come to.
    pub fn durable(&mut self, durable: Durable, table: OpenSum) -> Ask {
        let before = match &self.phase {
            Phase::Durable { before } => before.as_ref(),
            _ => None,
        };
        let decision = decide(&durable, &self.setup.source, before, self.setup.rules);
        self.table = table;
        self.log_start = durable.log_start;
        self.gap_accepted = durable.accepts(Accept::Gap);
        self.read_anew = durable.accepts(Accept::Rejections);
        self.open_accepted = durable.accepts(Accept::OpenTable);
        self.trust_log = durable.accepts(Accept::TrustLog)
            || self.read_anew
            || self.open_accepted
            || self.setup.on_inconsistency == OnInconsistency::TrustLog;
        match decision {
            Decision::ReadAgain => {
                let before = Some(About::of(&durable));
                self.go(Phase::Durable { before }, Ask::Durable)
            }
            Decision::Halt(reason) => self.halt(reason),
            Decision::FirstStart => self.go(Phase::Start, Ask::Start),
            Decision::Continue(cut) => {
                let probe = cut.last.filter(|last| last.offset >= self.log_start);
                self.cut = Some(cut);
                match probe {
                    Some(last) => self.go(Phase::Probe, Ask::Probe(last.offset)),
                    None => self.same_log(None),
                }
            }
        }
    }

    /// The offset that a first start begins at.
    pub fn start(&mut self, start: i64) -> Ask {
        self.decisions = Decisions::beginning_at(start, self.setup.today);
        if self.setup.first_start == FirstStart::Silent {
            return self.go(Phase::End { start }, Ask::End);
        }
        self.packages = Some((self.make)(true));
        self.to = start;
        self.go(Phase::Over, Ask::Done)
    }

    /// The end of the log, asked for at this trusted time, and the brokers' clock at some moment since
    /// the answer. Milliseconds.
    pub fn end(&mut self, asked_at_ms: i64, end: i64, stamp_ms: i64) -> Ask {
        let Phase::End { start } = self.phase else { return Ask::Done };
        self.purpose = Some(Purpose::First { asked_at_ms, stamp_ms });
        self.packages = Some((self.make)(false));
        self.to = end.max(start);
        self.go(Phase::Records, Ask::Records { from: start, to: self.to })
    }

    /// What the log has at the offset of the last record of the cut, or of a snapshot; `None`: nothing
    /// any more.
    pub fn probed(&mut self, found: Option<LastRecord>) -> Ask {
        if matches!(self.phase, Phase::ProbeSnapshot) {
            return self.probed_for_snapshot(found);
        }
        let known = self.cut.as_ref().and_then(|cut| cut.last);
        match (found, known) {
            (Some(found), Some(known)) if found != known => {
                self.halt(HaltReason::Recreated { offset: known.offset })
            }
            _ => self.same_log(found),
        }
    }

    /// Goes on unless the topic is another one and no record has shown that it has the same log.
    fn same_log(&mut self, shown: Option<LastRecord>) -> Ask {
        let Setup { source, rules, .. } = &self.setup;
        // A cursor tells of the record behind the cut, too.
        let has_read = |cut: &&CutRecord| cut.offset > cut.decisions.start || cut.cursor.is_some();
        let then = self.cut.as_ref().filter(has_read);
        let then = then.and_then(|cut| cut.topic_id.clone());
        match then.zip(source.topic_id.clone()) {
            Some((then, now)) if then != now && shown.is_none() && rules.topic_in_cut => {
                self.halt(HaltReason::OtherTopic { then, now })
            }
            _ => self.go(Phase::Snapshots, Ask::Snapshots),
        }
    }

    /// What becomes of a record: at a first start its log time in effect is judged, in milliseconds;
    /// later what was decided holds. Told in the order of the log.
    pub fn takes(&mut self, offset: i64, log_ms: Option<i64>, by_broker: bool) -> Taken {
        if let Some(Purpose::First { stamp_ms, .. }) = self.purpose
            && log_ms.is_some_and(|it| it > stamp_ms.saturating_add(self.setup.max_future_skew_ms))
        {
            if by_broker || !self.decisions.may_refuse(offset, 0) {
                return Taken::Waits;
            }
            self.decisions.refuse(offset);
            return Taken::LeftOut;
        }
        if self.decisions.is_refused(offset) { Taken::LeftOut } else { Taken::Applied }
    }

    /// The record at this offset, which is not left out, cannot be read.
    pub fn rejected(&mut self, offset: i64) {
        self.rejected.note(offset);
    }

    /// Whether it may refuse a record, and the cut has room for one more.
    pub fn may_refuse(&self, offset: i64) -> bool {
        matches!(self.purpose, Some(Purpose::First { .. })) && self.decisions.may_refuse(offset, 0)
    }

    /// What becomes of a record whose schema nobody has; `given_up`: it is waited for no more. Only a
    /// first start refuses it: later what was decided holds, and what was not refused was read. Told in
    /// the order of the log.
    pub fn takes_without_schema(&mut self, offset: i64, given_up: bool) -> Taken {
        if self.decisions.is_refused(offset) {
            return Taken::LeftOut;
        }
        if !given_up || !self.may_refuse(offset) {
            return Taken::Waits;
        }
        self.decisions.refuse(offset);
        Taken::LeftOut
    }

    /// The next records that are not left out; `offset_of` gives the offset of each by its place,
    /// `last` tells the last of them.
    ///
    /// # Errors
    /// When there is no room for the package that one of them brings.
    pub fn apply(
        &mut self,
        records: &[Record<'_>],
        offset_of: impl Fn(usize) -> i64,
        last: LastRecord,
    ) -> Result<(), Failed<S::NoRoom>> {
        let Some(packages) = self.packages.as_mut() else { return Ok(()) };
        let mut start = 0;
        while start < records.len() {
            let first = offset_of(start);
            let mut end = records.len();
            if self.setup.rules.settings_by_offset
                && let Some(retention) = self.decisions.retention_at(first)
            {
                packages.set_retention(retention);
                if let Some(next) = self.decisions.next_line(first) {
                    end = (start..end).find(|at| offset_of(*at) >= next).unwrap_or(end);
                }
            }
            let mut outcomes = Vec::with_capacity(end - start);
            packages.apply_all(&records[start..end], usize::MAX, &mut outcomes).map_err(
                |no_room| Failed::NoRoomForRecord(offset_of(start + outcomes.len()), no_room),
            )?;
            start = end;
        }
        self.last = Some(last);
        Ok(())
    }

    /// All records have been handed over.
    pub fn records_end(&mut self) -> Ask {
        if let Some(packages) = &mut self.packages {
            packages.settle();
        }
        let known = self.decisions.rejected.as_ref().filter(|_| {
            matches!(self.purpose, Some(Purpose::GoOn(_)))
                && self.setup.rules.rejections_agree
                && !self.read_anew
        });
        if let Some(differ) = known.and_then(|it| it.differ_below(&self.rejected, i64::MAX)) {
            return self.halt(HaltReason::RejectionsDiffer(differ));
        }
        if known.is_none() {
            self.decisions.rejected = Some(self.rejected.clone());
        }
        if !matches!(self.purpose, Some(Purpose::GoOn(_))) {
            return self.go(Phase::Over, Ask::Done);
        }
        self.behind_records();
        match self.setup.rules.open_after_records {
            true => self.go(Phase::Rows { from: None }, Ask::Rows),
            false => self.go(Phase::Over, Ask::Done),
        }
    }

    /// Brings settings and log clock to where the cut has them.
    fn behind_records(&mut self) {
        let (Some(Purpose::GoOn(cut)), Some(packages)) = (&self.purpose, &mut self.packages) else {
            return;
        };
        let rules = self.setup.rules;
        // The last line may begin at C itself, behind every record that was applied.
        if rules.settings_by_offset
            && let Some(retention) = self.decisions.retention_at(cut.offset)
        {
            packages.set_retention(retention);
        }
        // Records that would tell it may have been deleted.
        let log_clock = cut.log_clock.map(LogTime::from_secs);
        if packages.log_clock() < log_clock && rules.ladders_sleep {
            packages.set_log_clock(log_clock);
        }
    }

    /// How many packages are known so far.
    pub fn known(&self) -> usize {
        self.packages.as_ref().map_or(0, |packages| packages.len())
    }

    /// Awake, at the frontier, with what is open. `margin_ms`: how long a record may still arrive
    /// with an earlier log time, now that the records have told their kind of timestamp.
    ///
    /// # Errors
    /// When there is no room for a package that only its open exception tells of, or one contradicts
    /// the log and that halts the partition.
    pub fn finish(mut self, margin_ms: i64) -> Result<Ready<S>, Failed<S::NoRoom>> {
        let differs = self.published_else();
        let mut packages = self.packages.take().unwrap_or_else(|| (self.make)(true));
        match self.purpose.take() {
            None => Ok(self.ready(packages, Backfill::Publish)),
            Some(Purpose::First { asked_at_ms, .. }) => {
                let proven = floor_to_seconds(asked_at_ms - margin_ms);
                packages.go_live(Some(Frontier::from_secs(proven)));
                packages.backfill();
                Ok(self.ready(packages, Backfill::Pending))
            }
            Some(Purpose::GoOn(cut)) => self.go_on(packages, *cut, differs),
        }
    }

    fn go_on(
        mut self,
        mut packages: S,
        cut: CutRecord,
        differs: Option<OpenSum>,
    ) -> Result<Ready<S>, Failed<S::NoRoom>> {
        let rules = self.setup.rules;
        let frontier = cut.frontier.filter(|_| rules.frontier_from_cut).map(Frontier::from_secs);
        let open = match differs {
            Some(published) => self.settle_table(&mut packages, frontier, published)?,
            None => self.table,
        };
        packages.go_live(frontier);
        // Behind a cursor the settings hold that its look was begun with, until its record is applied.
        if cut.cursor.is_none() || !rules.settings_behind_the_record {
            packages.set_retention(self.setup.today);
            self.decisions.settle(cut.offset, self.setup.today);
        }
        let resume = cut.cursor.clone().map(|cursor| {
            let cursor = if rules.ends_by_cursor { *cursor } else { cursor.of_nothing() };
            (cursor, self.setup.today)
        });
        if !rules.no_second_look {
            while !packages.finish(None) {}
        }
        if cut.backfill == Backfill::Pending && rules.backfill_again {
            packages.backfill();
        }
        self.decisions.drop_below(self.log_start);
        self.last = cut.last;
        let stamp = Some((cut.owner, cut.commit));
        Ok(Ready { stamp, resume, open, ..self.ready(packages, cut.backfill) })
    }

    /// From a snapshot on, or from the log's beginning.
    fn rebuild(&mut self, snapshot: Option<i64>) -> Ask {
        let Some(cut) = self.cut.take() else { return Ask::Done };
        let rules = self.setup.rules;
        self.decisions = cut.decisions.clone();
        let complete_from = if self.log_start > self.decisions.start { self.log_start } else { 0 };
        // A snapshot below the log's start is used only where the gap is accepted.
        let from = snapshot.unwrap_or(self.decisions.start).max(self.log_start);
        self.has_gap = snapshot.is_some_and(|snapshot| snapshot < self.log_start);
        self.rejected = match (self.rejected_before.take(), snapshot) {
            (Some(before), Some(_)) if !self.has_gap => before,
            (None, Some(_)) => Rejections::from(from),
            _ => Rejections::from(complete_from),
        };
        self.to = cut.offset;
        let make = &self.make;
        self.packages.get_or_insert_with(|| make(!rules.ladders_sleep));
        self.purpose = Some(Purpose::GoOn(Box::new(cut)));
        match rules.open_after_records {
            true => self.go(Phase::Records, Ask::Records { from, to: self.to }),
            false => self.go(Phase::Rows { from: Some(from) }, Ask::Rows),
        }
    }

    /// Where the log before the records that are read next is missing: the log clock of the state
    /// that it begins with.
    pub fn gap_since(&self) -> Option<LogTime> {
        let packages = self.packages.as_ref().filter(|_| self.has_gap)?;
        packages.log_clock()
    }

    fn ready(self, packages: S, backfill: Backfill) -> Ready<S> {
        Ready {
            packages,
            offset: self.to,
            decisions: self.decisions,
            backfill,
            last: self.last,
            closings: self.closings,
            rows: self.rows,
            stamp: None,
            resume: None,
            open: OpenSum::default(),
            topic_id: self.setup.source.topic_id,
            partitions: self.setup.source.partitions,
            read_anew: self.read_anew,
        }
    }

    fn halt(&mut self, reason: HaltReason) -> Ask {
        self.go(Phase::Over, Ask::Halt(reason))
    }

    fn go(&mut self, phase: Phase, ask: Ask) -> Ask {
        self.phase = phase;
        ask
    }
}

mod rows;
mod snapshots;
#[cfg(test)]
mod tests;
