//! One partition: its packages, their wheel and what comes out. The only place that knows table,
//! wheel and outbox, and the only one with effects.
//!
//! ```text
//!  records ──► clocks ──► look: what is due, what ends ──► observe ──► outbox
//!              log clock        (wheels of steps, endings)    │
//!              frontier ◄── evidence                          └─► table, side table of open ones
//! ```
//!
//! The contract:
//! - [`Shard::apply`] takes the log's records in order; [`Shard::advance`] takes evidence that the
//!   log is complete up to a time. Time never goes back.
//! - Before a record is applied, log clock and frontier go to its log time. When the frontier
//!   enters a new second, every step due by then happens; when the log clock does, every package
//!   whose time is over by then is given up. Both in order of (due second, carrier, number), a
//!   package's steps before its end.
//! - What a record makes overdue waits until the frontier next enters a second.
//! - Package state is a function of the records alone; open exceptions live in the side table.
//! - One log, one outcome: batch sizes and extra advances change nothing.
//!
//! - The work of one call is bounded: what is left of a look is carried on by the next call, before
//!   anything else happens, so that no second brings everything to a stop.
//!
//! A batch goes through stages, group by group, so that memory is fetched ahead and not waited for
//! record by record: keys are packed and their lines of the index fetched; the index names records,
//! which are fetched; then the records are applied one by one, while the next groups are on their
//! way. What a stage has seen is looked at again when a record is applied, for those in front of it
//! may have changed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exception::{ExceptionEvent, Kind, Severity};
use super::key::PackageKey;
use super::keyring::Keyring;
use super::memory::{BlockSource, SystemBlocks};
use super::open::{OpenException, OpenTable};
use super::outbox::{Outbox, Subject};
use super::package::Phase;
use super::policy::PolicySet;
use super::profile::Profiles;
use super::scan::{Outcome, Record};
use super::table::{Slot, Table};
use super::time::{Frontier, LogTime};
use hang::Horizon;
use look::Look;
pub use look::LookPosition;
pub use settings::Retention;
use stages::{GROUP, STAGES, Sighted, Sighting};

mod copy;
mod hang;
mod look;
mod restore;
mod scans;
mod settings;
mod snapshot;
mod stages;
mod view;

pub use snapshot::Busy;
pub use view::{OpenView, Outlook, OutlookStep, PackageView};

/// Bytes of memory to reckon with for each package, everything included.
pub const BYTES_PER_PACKAGE: u64 = 60;

/// The detector of one partition.
pub struct Shard {
    policies: Arc<PolicySet>,
    /// By phase.
    horizons: [Horizon; Phase::ALL.len()],
    retention: Retention,
    keyring: Keyring,
    table: Table,
    profiles: Profiles,
    open: OpenTable,
    look: Look,
    outbox: Outbox,
    phases: [usize; Phase::ALL.len()],
    log_clock: Option<LogTime>,
    frontier: Option<Frontier>,
    /// Both as they were before the look that is under way.
    before_look: (Option<Frontier>, Option<LogTime>),
    /// While rebuilding, ladders sleep and nothing is published.
    live: bool,
    /// What a first start is to open yet, the next one last.
    backfill: Vec<Slot>,
    max_packages: usize,
    work_per_call: u32,
}

/// What a shard holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packages by phase, in the order of [`Phase::ALL`].
    pub packages: [usize; 3],
    /// Open exceptions by carrier, kind and severity.
    pub open: BTreeMap<(Arc<str>, Kind, Severity), usize>,
    /// Distinct texts kept: those of packages, and a few that packages had lately.
    pub texts: usize,
}

/// How far a call of [`Shard::apply`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Applied {
    /// How many records of the batch were applied.
    pub records: usize,
    /// Why it went no further.
    pub stop: Stop,
}

/// Why a call of [`Shard::apply`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The whole batch is applied.
    End,
    /// The work of one call is bounded: call again with the rest.
    Busy,
    /// The next record brings a package, and there is no room for it: the clocks have advanced to
    /// the record, nothing else has happened. Raise the limit and call again with the rest.
    Full,
}

/// A published exception that contradicts what the records say of its package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an open {kind} exception contradicts the log: {why}", kind = .kind.as_str())]
pub struct Inconsistent {
    /// The package.
    pub key: PackageKey,
    /// The silence that is said to be open.
    pub kind: Kind,
    /// What the records say instead.
    pub why: String,
}

impl Shard {
    /// A shard that begins with an empty log.
    pub fn new(policies: Arc<PolicySet>) -> Self {
        Self::with_memory(policies, Arc::new(SystemBlocks))
    }

    /// A shard that begins with an empty log, with memory from this source.
    pub fn with_memory(policies: Arc<PolicySet>, source: Arc<dyn BlockSource>) -> Self {
        let mut shard = Self::rebuilding_with_memory(policies, source);
        shard.live = true;
        shard.see_horizons();
        shard
    }

    /// A shard whose package state is rebuilt from the log: until [`Shard::go_live`] nothing opens,
    /// closes or is published.
    pub fn rebuilding(policies: Arc<PolicySet>) -> Self {
        Self::rebuilding_with_memory(policies, Arc::new(SystemBlocks))
    }

    /// [`Shard::rebuilding`] with memory from this source.
    pub fn rebuilding_with_memory(policies: Arc<PolicySet>, source: Arc<dyn BlockSource>) -> Self {
        Self {
            horizons: Horizon::of_each(&policies, Retention::of(&policies), false),
            retention: Retention::of(&policies),
            policies,
            keyring: Keyring::default(),
            table: Table::new(source.clone()),
            profiles: Profiles::new(&source),
            open: OpenTable::new(source.clone()),
            look: Look::new(source),
            outbox: Outbox::default(),
            phases: [0; Phase::ALL.len()],
            log_clock: None,
            frontier: None,
            before_look: (None, None),
            live: false,
            backfill: Vec::new(),
            max_packages: usize::MAX,
            work_per_call: look::WORK,
        }
    }

    /// Most packages that may be known at once; `None`: as many as there is memory for. A limit
    /// below the present number removes none.
    pub fn set_max_packages(&mut self, limit: Option<usize>) {
        self.max_packages = limit.unwrap_or(usize::MAX);
    }

    /// How many packages one call may at most look at, an event counting as many; at least one.
    pub fn set_work_per_call(&mut self, work: u32) {
        self.work_per_call = work.max(1);
    }

    /// Applies records of the partition's log, in its order. `outcomes` gets one entry a record
    /// that was applied, `None` for a rejected one.
    pub fn apply(&mut self, batch: &[Record<'_>], outcomes: &mut Vec<Option<Outcome>>) -> Applied {
        self.apply_each(batch.len(), |at| &batch[at], outcomes)
    }

    /// [`Shard::apply`] of those records of a batch that belong to this partition: `picks` are
    /// their places in it, in the order of the log.
    pub fn apply_picked(
        &mut self,
        batch: &[Record<'_>],
        picks: &[u32],
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> Applied {
        self.apply_each(picks.len(), |at| &batch[picks[at] as usize], outcomes)
    }

    /// Moves the frontier by evidence that the log is complete up to a time; does nothing where it
    /// has been already. Returns true when all that is due has happened: call again until then.
    pub fn advance(&mut self, to: Frontier) -> bool {
        let mut budget = self.work_per_call;
        self.sweep();
        if !self.look_on(&mut budget) {
            return false;
        }
        if self.live && self.frontier.is_none_or(|frontier| frontier < to) {
            self.before_look = (self.frontier, self.log_clock);
            self.frontier = Some(to);
            self.look_up_to(Some(to), None);
        }
        self.look_on(&mut budget)
    }

    /// The end of a replay: the frontier goes to `until`, if that is later, and whatever is due by
    /// then happens, also by the last records; nothing is given up. Returns true when done: call
    /// again until then.
    pub fn finish(&mut self, until: Option<Frontier>) -> bool {
        let mut budget = self.work_per_call;
        self.sweep();
        if !self.look_on(&mut budget) {
            return false;
        }
        if let Some(frontier) = self.frontier.max(until) {
            self.before_look = (self.frontier, self.log_clock);
            self.frontier = Some(frontier);
            self.look_up_to(Some(frontier), None);
        }
        self.look_on(&mut budget)
    }

    /// The exceptions since the last call, in the order of the semantics.
    pub fn take_outbox(&mut self) -> Vec<ExceptionEvent> {
        self.outbox.take()
    }

    /// [`Shard::take_outbox`], each event with the number of the record that brought it among those
    /// that its call of [`Shard::apply`] was given.
    pub fn drain_outbox(&mut self) -> impl Iterator<Item = (u32, ExceptionEvent)> {
        self.outbox.drain()
    }

    /// The greatest log time of the records so far.
    pub fn log_clock(&self) -> Option<LogTime> {
        self.log_clock
    }

    /// The log is complete and applied up to here.
    pub fn frontier(&self) -> Option<Frontier> {
        self.frontier
    }

    /// Frontier and log clock as of the last look that came to its end.
    pub fn settled_clocks(&self) -> (Option<Frontier>, Option<LogTime>) {
        match self.is_looking() {
            true => self.before_look,
            false => (self.frontier, self.log_clock),
        }
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> Stats {
        Stats {
            packages: self.phases,
            open: self.open.counts().clone(),
            texts: self.profiles.distinct_texts(),
        }
    }

    /// How many packages are known.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no package is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn apply_each<'r, 't: 'r>(
        &mut self,
        count: usize,
        record: impl Fn(usize) -> &'r Record<'t>,
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> Applied {
        let mut budget = self.work_per_call;
        self.sweep();
        self.outbox.begin(0);
        if !self.look_on(&mut budget) {
            return Applied { records: 0, stop: Stop::Busy };
        }
        let bound = |group: usize| count.min(group * GROUP);
        let mut coming = [const { Sighting::NOTHING }; STAGES];
        self.sight(&mut coming[0], 0..bound(1), &record);
        self.sight(&mut coming[1], bound(1)..bound(2), &record);
        self.find_slots(&mut coming[0], &record);
        self.sight(&mut coming[2], bound(2)..bound(3), &record);
        self.fetch_profiles(&mut coming[0]);
        for group in 0..count.div_ceil(GROUP) {
            self.compare(&mut coming[group % STAGES], &record);
            self.find_slots(&mut coming[(group + 1) % STAGES], &record);
            let sighted = &coming[group % STAGES].sighted;
            for (at, sighted) in (bound(group)..bound(group + 1)).zip(sighted) {
                self.outbox.begin(at as u32);
                match self.apply_one(record(at), sighted, &mut budget) {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(stop) => return Applied { records: at, stop },
                }
            }
            self.fetch_profiles(&mut coming[(group + 1) % STAGES]);
            // Apart from the fetching of records, so that neither has to wait for the other.
            let last = bound(group + 3)..bound(group + 4);
            self.sight(&mut coming[(group + 3) % STAGES], last, &record);
        }
        Applied { records: count, stop: Stop::End }
    }

    /// Applies a record, unless it has to wait.
    #[inline]
    fn apply_one(
        &mut self,
        record: &Record<'_>,
        sighted: &Sighted,
        budget: &mut u32,
    ) -> Result<Option<Outcome>, Stop> {
        if record.log_time().is_some_and(|log_time| !self.clock(log_time, budget)) {
            return Err(Stop::Busy);
        }
        let Record::Scan(scan) = record else {
            return Ok(None);
        };
        if self.moves_on(scan, sighted) {
            return Ok(Some(Outcome::Applied));
        }
        let found = match sighted.key {
            Some(key) => self.found(key, sighted),
            None => self.find(&scan.key),
        };
        self.scan(scan, found, &sighted.traits).map(Some).ok_or(Stop::Full)
    }

    /// Gives up texts, profiles, carriers and what else nobody has referred to for a while. Only
    /// between two calls, so that what a call has looked up ahead stays right until its end.
    fn sweep(&mut self) {
        self.profiles.sweep();
        self.keyring.sweep();
    }

    /// Log clock and frontier go to a record's log time; false when the look has to be carried on.
    #[inline]
    fn clock(&mut self, log_time: LogTime, budget: &mut u32) -> bool {
        self.log_clock.is_some_and(|clock| log_time <= clock) || self.turn(log_time, budget)
    }

    #[inline(never)]
    fn turn(&mut self, log_time: LogTime, budget: &mut u32) -> bool {
        self.before_look = (self.frontier, self.log_clock);
        self.log_clock = Some(log_time);
        let to = Frontier::at(log_time);
        let enters = self.live && self.frontier.is_none_or(|frontier| frontier < to);
        if enters {
            self.frontier = Some(to);
        }
        self.look_up_to(enters.then_some(to), Some(log_time));
        self.look_on(budget)
    }

    fn find(&self, key: &PackageKey) -> Option<Slot> {
        let key = self.keyring.find(key)?;
        self.table.find(key, key.hash())
    }

    fn carrier(&self, slot: Slot) -> &Arc<str> {
        self.keyring.carrier(self.keyring.carrier_of(self.table.get(slot).key()))
    }

    fn subject(&self, slot: Slot) -> Subject {
        let record = self.table.get(slot);
        Subject {
            key: self.keyring.key(record.key()),
            milestone: self.table.package(slot).milestone,
            attributes: self.profiles.attributes(record.traits()),
        }
    }

    fn keep_open(&mut self, slot: Slot, open: OpenException) {
        let carrier = self.carrier(slot).clone();
        self.open.put(slot, &carrier, open);
        self.table.get_mut(slot).set_open(true);
    }

    fn take_open(&mut self, slot: Slot) -> Option<OpenException> {
        if !self.table.get(slot).is_open() {
            return None;
        }
        let carrier = self.carrier(slot).clone();
        self.table.get_mut(slot).set_open(false);
        self.open.take(slot, &carrier)
    }

    fn forget(&mut self, slot: Slot) {
        let record = *self.table.get(slot);
        self.phases[self.table.package(slot).phase as usize] -= 1;
        self.table.remove(slot);
        self.profiles.release(record.traits());
        self.keyring.release(record.key());
    }
}
