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
//! Rescheduling is lazy: a scan overwrites the record, and the wheel learns of the later deadline
//! when the package comes up. Only a deadline that moves earlier is hung up anew. An entry counts
//! if the record still names its second; any other is a leftover.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exception::{Change, ExceptionEvent, Kind, Severity};
use super::key::PackageKey;
use super::open::{Graces, NextStep, OpenException, OpenTable, kind_of, next_step};
use super::outbox::{Outbox, Subject};
use super::package::{Package, Phase, Taken, Transition, observe};
use super::policy::PolicySet;
use super::profile::Profiles;
use super::scan::{Attributes, Outcome, Record, Scan};
use super::table::{NEVER, Slot, Table};
use super::time::{Frontier, LogTime};
use super::wheel::TimerWheel;

/// Bytes of memory to reckon with for each package, everything included.
pub const BYTES_PER_PACKAGE: u64 = 60;

/// The detector of one partition.
pub struct Shard {
    policies: Arc<PolicySet>,
    table: Table,
    profiles: Profiles,
    open: OpenTable,
    steps: TimerWheel,
    endings: TimerWheel,
    outbox: Outbox,
    phases: [usize; Phase::ALL.len()],
    log_clock: Option<LogTime>,
    frontier: Option<Frontier>,
    /// While rebuilding, ladders sleep and nothing is published.
    live: bool,
    max_packages: usize,
    coming_up: Vec<Slot>,
    look: Vec<(Slot, Due)>,
}

/// What a package came up for. Steps come before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Steps,
    End,
}

/// What a shard holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packages by phase, in the order of [`Phase::ALL`].
    pub packages: [usize; 3],
    /// Open exceptions by carrier, kind and severity.
    pub open: BTreeMap<(Arc<str>, Kind, Severity), usize>,
    /// Distinct texts kept.
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

/// What is known of one package at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageView {
    /// Phase, milestone and anchor.
    pub package: Package,
    /// The last value of each attribute.
    pub attributes: Attributes<Arc<str>>,
    /// The policy that matches now.
    pub policy_id: Arc<str>,
    /// The exception that is open.
    pub open: Option<OpenException>,
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
        Self { live: true, ..Self::rebuilding(policies) }
    }

    /// A shard whose package state is rebuilt from the log: until [`Shard::go_live`] nothing opens,
    /// closes or is published.
    pub fn rebuilding(policies: Arc<PolicySet>) -> Self {
        Self {
            policies,
            table: Table::default(),
            profiles: Profiles::default(),
            open: OpenTable::default(),
            steps: TimerWheel::default(),
            endings: TimerWheel::default(),
            outbox: Outbox::default(),
            phases: [0; Phase::ALL.len()],
            log_clock: None,
            frontier: None,
            live: false,
            max_packages: usize::MAX,
            coming_up: Vec::new(),
            look: Vec::new(),
        }
    }

    /// Most packages that may be known at once; `None`: as many as there is memory for. A limit
    /// below the present number removes none.
    pub fn set_max_packages(&mut self, limit: Option<usize>) {
        self.max_packages = limit.unwrap_or(usize::MAX);
    }

    /// Applies records of the partition's log, in its order. `outcomes` gets one entry a record
    /// that was applied, `None` for a rejected one.
    pub fn apply(&mut self, batch: &[Record<'_>], outcomes: &mut Vec<Option<Outcome>>) -> Applied {
        for (records, record) in batch.iter().enumerate() {
            outcomes.push(match record {
                Record::Scan(scan) => {
                    self.clock(scan.log_time);
                    match self.scan(scan) {
                        Some(outcome) => Some(outcome),
                        None => return Applied { records, stop: Stop::Full },
                    }
                }
                Record::Rejected { log_time } => {
                    if let Some(log_time) = *log_time {
                        self.clock(log_time);
                    }
                    None
                }
            });
        }
        Applied { records: batch.len(), stop: Stop::End }
    }

    /// Moves the frontier by evidence that the log is complete up to a time; does nothing where it
    /// has been already. Returns true when all that is due has happened: call again until then.
    pub fn advance(&mut self, to: Frontier) -> bool {
        if self.live && self.frontier.is_none_or(|frontier| frontier < to) {
            self.frontier = Some(to);
            self.look(Some(to), None);
        }
        true
    }

    /// The end of a replay: the frontier goes to `until`, if that is later, and whatever is due by
    /// then happens, also by the last records; nothing is given up. Returns true when done.
    pub fn finish(&mut self, until: Option<Frontier>) -> bool {
        if let Some(frontier) = self.frontier.max(until) {
            self.frontier = Some(frontier);
            self.look(Some(frontier), None);
        }
        true
    }

    /// The exceptions since the last call, in the order of the semantics.
    pub fn take_outbox(&mut self) -> Vec<ExceptionEvent> {
        self.outbox.take()
    }

    /// The greatest log time of the records so far.
    pub fn log_clock(&self) -> Option<LogTime> {
        self.log_clock
    }

    /// The log is complete and applied up to here.
    pub fn frontier(&self) -> Option<Frontier> {
        self.frontier
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

    /// What is known of a package.
    pub fn package(&self, key: &PackageKey) -> Option<PackageView> {
        let slot = self.find(key)?;
        let record = self.table.get(slot);
        let package = record.package();
        let policy = self.profiles.policy(record.traits, package.milestone, &self.policies);
        Some(PackageView {
            package,
            attributes: self.profiles.attributes(record.traits),
            policy_id: self.policies.policies()[policy].id.clone(),
            open: self.open.get(slot).cloned(),
        })
    }

    fn clock(&mut self, log_time: LogTime) {
        if self.log_clock.is_some_and(|clock| log_time <= clock) {
            return;
        }
        self.log_clock = Some(log_time);
        let to = Frontier::at(log_time);
        let enters = self.live && self.frontier.is_none_or(|frontier| frontier < to);
        if enters {
            self.frontier = Some(to);
        }
        self.look(enters.then_some(to), Some(log_time));
    }

    /// Everything due by the frontier and over by the log clock, second by second.
    fn look(&mut self, frontier: Option<Frontier>, log_clock: Option<LogTime>) {
        let steps_by = frontier.map(|time| to_wheel(time.secs()));
        let ends_by = log_clock.map(|time| to_wheel(time.secs()));
        loop {
            let steps = steps_by.and_then(|limit| self.steps.next(limit));
            let ends = ends_by.and_then(|limit| self.endings.next(limit));
            let Some(second) = steps.into_iter().chain(ends).min() else {
                return;
            };
            if steps == Some(second) {
                self.steps.take(second, &mut self.coming_up);
                self.look.extend(self.coming_up.drain(..).map(|slot| (slot, Due::Steps)));
            }
            if ends == Some(second) {
                self.endings.take(second, &mut self.coming_up);
                self.look.extend(self.coming_up.drain(..).map(|slot| (slot, Due::End)));
            }
            self.look_at_second(second);
        }
    }

    fn look_at_second(&mut self, second: u32) {
        let mut look = std::mem::take(&mut self.look);
        look.retain(|(slot, due)| {
            let record = self.table.get(*slot);
            let named = match due {
                Due::Steps => record.steps_at,
                Due::End => record.ends_at,
            };
            record.is_live() && named == second
        });
        if look.len() > 1 {
            look.sort_unstable_by(|(a, a_due), (b, b_due)| {
                self.order_of(*a).cmp(&self.order_of(*b)).then(a_due.cmp(b_due))
            });
            look.dedup();
        }
        for (slot, due) in look.drain(..) {
            match due {
                Due::Steps => self.climb(slot, second),
                Due::End => self.end(slot, second),
            }
        }
        self.look = look;
    }

    fn order_of(&self, slot: Slot) -> (&str, &[u8]) {
        let record = self.table.get(slot);
        (self.profiles.text(record.carrier), record.number().as_bytes())
    }

    /// Every step of a package due by now; hangs it up again for the next.
    fn climb(&mut self, slot: Slot, second: u32) {
        self.table.get_mut(slot).steps_at = NEVER;
        while let Some((next, policy)) = self.next_step(slot) {
            if next.due > i64::from(second) {
                break;
            }
            self.step(slot, next, policy);
        }
        self.hang_up_steps(slot);
    }

    fn step(&mut self, slot: Slot, next: NextStep, policy: usize) {
        let record = self.table.get(slot);
        let package = record.package();
        let Some(kind) = kind_of(package.phase) else {
            return;
        };
        let policy = &self.policies.policies()[policy];
        let step = &policy.ladder(kind)[next.step];
        let before = self.open.get(slot);
        let open = OpenException {
            kind,
            anchor: before.map_or(package.anchor, |open| open.anchor),
            set_at: before.map_or(package.set_at, |open| open.set_at),
            opened_deadline: before.map_or(next.deadline, |open| open.opened_deadline),
            deadline: next.deadline,
            severity: before.map_or(step.severity, |open| open.severity.max(step.severity)),
            step: next.step as u32,
            step_name: step.name.clone(),
            sequence: before.map_or(0, |open| open.sequence + 1),
            policy_id: policy.id.clone(),
            policy_set: self.policies.hash().clone(),
        };
        let change = if before.is_none() { Change::Opened } else { Change::Escalated };
        self.outbox.step(self.subject(slot), &open, change);
        self.keep_open(slot, open);
    }

    /// The package's time is over, unless it has been given more since it was hung up.
    fn end(&mut self, slot: Slot, second: u32) {
        self.table.get_mut(slot).ends_at = NEVER;
        let package = self.table.get(slot).package();
        if self.end_of(&package) > i64::from(second) {
            self.hang_up_end(slot);
            return;
        }
        if self.table.get(slot).open {
            let subject = self.subject(slot);
            let carrier = self.carrier(slot);
            if let Some(open) = self.open.take(slot, &carrier) {
                self.outbox.expired(subject, &open, self.policies.defaults().forget_after);
            }
        }
        self.forget(slot);
    }

    fn end_of(&self, package: &Package) -> i64 {
        let defaults = self.policies.defaults();
        match package.phase {
            Phase::Settled => package.set_at.secs() + defaults.settled_retention,
            Phase::AwaitingFirstScan | Phase::Moving => {
                package.anchor.secs() + defaults.forget_after
            }
        }
    }

    /// `None` when there is no room for the package that the scan brings.
    fn scan(&mut self, scan: &Scan<'_>) -> Option<Outcome> {
        let log_clock = self.log_clock.unwrap_or(scan.log_time);
        let retention = self.policies.defaults().settled_retention;
        let slot = self.find(&scan.key);
        let before = slot.map(|slot| self.table.get(slot).package());
        let transition = observe(before.as_ref(), scan, log_clock, retention);
        let taken = transition.attributes_taken(before.as_ref(), scan);
        match (transition, slot) {
            (Transition::Unchanged(_), None) => {}
            (Transition::Unchanged(_), Some(slot)) => {
                if self.take_attributes(slot, scan, taken) {
                    self.hang_up_steps(slot);
                }
            }
            (Transition::Born(package), earlier_life) => {
                if let Some(slot) = earlier_life {
                    self.forget(slot);
                } else if self.table.len() >= self.max_packages {
                    return None;
                }
                let slot = self.keep(&scan.key, &package, &scan.attributes, taken);
                self.hang_up(slot);
            }
            (Transition::Changed { package, closes }, Some(slot)) => {
                if closes {
                    self.close(slot, scan);
                }
                self.overwrite(slot, &package);
                self.take_attributes(slot, scan, taken);
                self.hang_up(slot);
            }
            (Transition::Changed { .. }, None) => {
                unreachable!("a package that is not known cannot change")
            }
        }
        Some(transition.outcome())
    }

    fn close(&mut self, slot: Slot, scan: &Scan<'_>) {
        if !self.table.get(slot).open {
            return;
        }
        let subject = self.subject(slot);
        let carrier = self.carrier(slot);
        if let Some(open) = self.open.take(slot, &carrier) {
            self.outbox.closed_by(subject, &open, scan);
        }
        self.table.get_mut(slot).open = false;
    }

    fn find(&self, key: &PackageKey) -> Option<Slot> {
        let carrier = self.profiles.carrier(key.carrier())?;
        self.table.find(carrier, &key.number())
    }

    fn keep(
        &mut self,
        key: &PackageKey,
        package: &Package,
        attributes: &Attributes<&str>,
        taken: Taken,
    ) -> Slot {
        let traits = self.profiles.begin(key.carrier(), attributes, taken, &self.policies);
        let carrier = self.profiles.carrier_of(traits);
        self.phases[package.phase as usize] += 1;
        self.table.insert(carrier, &key.number(), traits, package)
    }

    fn forget(&mut self, slot: Slot) {
        let record = self.table.get(slot);
        self.phases[record.package().phase as usize] -= 1;
        let traits = record.traits;
        self.table.remove(slot);
        self.profiles.release(traits);
    }

    fn overwrite(&mut self, slot: Slot, package: &Package) {
        let record = self.table.get_mut(slot);
        self.phases[record.package().phase as usize] -= 1;
        self.phases[package.phase as usize] += 1;
        record.set_package(package);
    }

    /// Returns whether any attribute changed.
    fn take_attributes(&mut self, slot: Slot, scan: &Scan<'_>, taken: Taken) -> bool {
        let before = self.table.get(slot).traits;
        let after = self.profiles.update(before, &scan.attributes, taken, &self.policies);
        self.table.get_mut(slot).traits = after;
        before != after
    }

    fn keep_open(&mut self, slot: Slot, open: OpenException) {
        let carrier = self.carrier(slot);
        self.open.put(slot, &carrier, open);
        self.table.get_mut(slot).open = true;
    }

    fn carrier(&self, slot: Slot) -> Arc<str> {
        self.profiles.text(self.table.get(slot).carrier).clone()
    }

    fn key_of(&self, slot: Slot) -> PackageKey {
        let record = self.table.get(slot);
        PackageKey::from_normal(self.profiles.text(record.carrier), record.number())
    }

    fn subject(&self, slot: Slot) -> Subject {
        let record = self.table.get(slot);
        Subject {
            key: self.key_of(slot),
            milestone: record.package().milestone,
            attributes: self.profiles.attributes(record.traits),
        }
    }

    /// The next step of a package and the index of the policy in force.
    fn next_step(&self, slot: Slot) -> Option<(NextStep, usize)> {
        let record = self.table.get(slot);
        let package = record.package();
        let kind = kind_of(package.phase)?;
        let open = if record.open { self.open.get(slot) } else { None };
        let policy = self.profiles.policy(record.traits, package.milestone, &self.policies);
        let defaults = self.policies.defaults();
        let graces = Graces {
            feed: self.profiles.feed_grace(record.traits),
            catch_up: defaults.catch_up_grace,
            forget_after: defaults.forget_after,
        };
        let ladder = self.policies.policies()[policy].ladder(kind);
        Some((next_step(&package, open, ladder, &graces)?, policy))
    }

    fn hang_up(&mut self, slot: Slot) {
        self.hang_up_steps(slot);
        self.hang_up_end(slot);
    }

    fn hang_up_steps(&mut self, slot: Slot) {
        if !self.live {
            return;
        }
        let Some((next, _)) = self.next_step(slot) else {
            return;
        };
        let at = to_wheel(next.due);
        let record = self.table.get_mut(slot);
        if at < record.steps_at {
            record.steps_at = at;
            self.steps.schedule(at, slot);
        }
    }

    fn hang_up_end(&mut self, slot: Slot) {
        let end = self.end_of(&self.table.get(slot).package());
        let at = to_wheel(end);
        let record = self.table.get_mut(slot);
        if at < record.ends_at {
            record.ends_at = at;
            self.endings.schedule(at, slot);
        }
    }
}

mod restore;

/// A second of the wheel. No clock reaches past the year 2100, so what lies beyond the wheel's last
/// second is never due.
fn to_wheel(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(NEVER)
}
