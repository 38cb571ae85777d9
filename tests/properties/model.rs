//! A naive model of one partition, written from the contract alone.
//!
//! No wheel, no slots, nothing kept up to date: a map of packages, and for every happening a search
//! through all of them for the earliest one. The model shares with the detector only the words
//! (scans, milestones, exceptions, policies as data); what they mean is said here once more.

#[path = "model/restart.rs"]
mod restart;
#[path = "model/scans.rs"]
mod scans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stallwatch::detector::exception::{Change, ExceptionEvent, Kind, Severity};
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::policy::{Policy, Step};
use stallwatch::detector::scan::{Attributes, Milestone, Outcome, Record};
use stallwatch::detector::time::{Deadline, EffectiveTime, LogTime};
use uuid::Uuid;

use crate::generate::Rules;

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    AwaitingFirstScan,
    Moving,
    Settled,
}

#[derive(Clone)]
struct Package {
    key: PackageKey,
    phase: Phase,
    milestone: Milestone,
    /// Whether a tendered has been seen while the first scan is awaited.
    tendered: bool,
    /// registered_at, last_movement_at or settled_at.
    anchor: i64,
    /// The log clock when the anchor was set, or when the package settled.
    set_at: i64,
    attributes: Attributes<Arc<str>>,
    /// The last event of the open exception.
    open: Option<ExceptionEvent>,
}

impl Package {
    fn kind(&self) -> Kind {
        match self.phase {
            Phase::AwaitingFirstScan => Kind::MissingFirstScan,
            Phase::Moving | Phase::Settled => Kind::NoMovement,
        }
    }
}

/// A step of the ladder in force that is still to come.
struct Coming<'r> {
    due: i64,
    deadline: i64,
    number: usize,
    step: &'r Step,
    policy: &'r Policy,
}

/// Carrier as text, number as bytes.
type Id = (String, Vec<u8>);

fn id_of(key: &PackageKey) -> Id {
    (key.carrier().to_owned(), key.number().as_bytes().to_vec())
}

/// Sorts happenings of one second and package: its steps before its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Step,
    End,
}

/// What a partition holds at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Packages that await their first scan, that move, that are settled.
    pub packages: [usize; 3],
    /// Open exceptions.
    pub open: BTreeMap<(Arc<str>, Kind, Severity), usize>,
}

/// What is known of a package at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub phase: &'static str,
    pub milestone: Milestone,
    /// registered_at, last_movement_at or settled_at, and the log clock when it was set.
    pub anchor: (i64, i64),
    pub attributes: Attributes<Arc<str>>,
    pub policy: Arc<str>,
    /// Sequence and deadline of the last event of the open exception.
    pub open: Option<(u32, i64)>,
}

/// One partition.
pub struct Model<'r> {
    rules: &'r Rules,
    policy_set: Arc<str>,
    log_clock: Option<i64>,
    frontier: Option<i64>,
    packages: BTreeMap<Id, Package>,
    events: Vec<ExceptionEvent>,
    situations: BTreeSet<&'static str>,
    /// Package state alone is built: ladders sleep.
    asleep: bool,
}

impl<'r> Model<'r> {
    /// `policy_set` is the name of the set in force.
    pub fn new(rules: &'r Rules, policy_set: Arc<str>) -> Self {
        Self {
            rules,
            policy_set,
            log_clock: None,
            frontier: None,
            packages: BTreeMap::new(),
            events: Vec::new(),
            situations: BTreeSet::new(),
            asleep: false,
        }
    }

    /// Applies one record; a rejected one has no outcome.
    pub fn apply(&mut self, record: &Record<'_>) -> Option<Outcome> {
        let log_time = match record {
            Record::Scan(scan) => Some(scan.log_time),
            Record::Rejected { log_time } => *log_time,
        };
        if let Some(log_time) = log_time {
            self.clocks_to(log_time.secs());
        }
        match record {
            Record::Scan(scan) => Some(self.observe(scan)),
            Record::Rejected { .. } => None,
        }
    }

    /// The frontier moves ahead by evidence.
    pub fn advance(&mut self, to: i64) {
        if self.frontier.is_none_or(|frontier| frontier < to) {
            self.frontier = Some(to);
            self.look(Some(to), None);
        }
    }

    /// The end of a replay: a last look at everything due, nothing is forgotten.
    pub fn finish(&mut self, until: Option<i64>) {
        if until.is_none_or(|until| Some(until) <= self.frontier) {
            let before = self.events.len();
            self.look(self.frontier, None);
            self.note(self.events.len() > before, "finish opens what the last second made overdue");
        } else {
            self.frontier = until;
            self.look(until, None);
        }
    }

    /// The events since the last call.
    pub fn take_events(&mut self) -> Vec<ExceptionEvent> {
        std::mem::take(&mut self.events)
    }

    /// Seconds of log clock and frontier.
    pub fn clocks(&self) -> (Option<i64>, Option<i64>) {
        (self.log_clock, self.frontier)
    }

    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for package in self.packages.values() {
            census.packages[package.phase as usize] += 1;
            if let Some(open) = &package.open {
                let carrier = Arc::from(package.key.carrier());
                *census.open.entry((carrier, open.kind, open.severity)).or_default() += 1;
            }
        }
        census
    }

    pub fn known(&self, key: &PackageKey) -> Option<Known> {
        let package = self.packages.get(&id_of(key))?;
        Some(Known {
            phase: match package.phase {
                Phase::AwaitingFirstScan => "awaiting_first_scan",
                Phase::Moving => "moving",
                Phase::Settled => "settled",
            },
            milestone: package.milestone,
            anchor: (package.anchor, package.set_at),
            attributes: package.attributes.clone(),
            policy: self.policy_of(package).id.clone(),
            open: package.open.as_ref().map(|last| (last.sequence, last.deadline.secs())),
        })
    }

    /// The situations of [`SITUATIONS`] that came up.
    pub fn situations(&self) -> &BTreeSet<&'static str> {
        &self.situations
    }

    fn note(&mut self, happened: bool, situation: &'static str) {
        if happened {
            self.situations.insert(situation);
        }
    }

    // ---- clocks

    fn now(&self) -> i64 {
        self.log_clock.expect("a scan moves the log clock before it is applied")
    }

    fn clocks_to(&mut self, log_time: i64) {
        let new_second = self.log_clock.is_none_or(|clock| clock < log_time);
        let new_frontier = !self.asleep && self.frontier.is_none_or(|frontier| frontier < log_time);
        if new_second {
            self.log_clock = Some(log_time);
        }
        if new_frontier {
            self.frontier = Some(log_time);
        }
        let before = self.packages.len();
        self.look(new_frontier.then_some(log_time), new_second.then_some(log_time));
        let ended = before > self.packages.len();
        self.note(ended && !new_frontier, "a package ends while the frontier is ahead");
    }

    /// Everything due, earliest first: steps up to the one second, endings up to the other.
    fn look(&mut self, steps_until: Option<i64>, ends_until: Option<i64>) {
        let mut last: Option<(i64, Id, Happening)> = None;
        while let Some((due, id, what)) = self.earliest(steps_until, ends_until) {
            let limit = if what == Happening::Step { steps_until } else { ends_until };
            match what {
                Happening::Step => self.take_step(&id),
                Happening::End => self.end(&id),
            }
            self.note(limit == Some(due) && what == Happening::Step, "a step in its very second");
            self.note(limit == Some(due) && what == Happening::End, "an end in its very second");
            if let Some((last_due, last_id, last_what)) = last {
                self.note(last_id == id && due < last_due, "a chained step due before its parent");
                let interleaved = last_what == Happening::End && what == Happening::Step;
                self.note(interleaved, "a step after the end of another package");
                self.note(last_due == due && last_id != id, "two packages due in one second");
            }
            last = Some((due, id, what));
        }
    }

    fn earliest(
        &self,
        steps_until: Option<i64>,
        ends_until: Option<i64>,
    ) -> Option<(i64, Id, Happening)> {
        let mut all = Vec::new();
        for (id, package) in &self.packages {
            let end = self.end_of(package);
            if ends_until.is_some_and(|until| end <= until) {
                all.push((end, id, Happening::End));
            }
            if let Some(step) = self.next_step(package)
                && step.due <= end
                && steps_until.is_some_and(|until| step.due <= until)
            {
                all.push((step.due, id, Happening::Step));
            }
        }
        all.into_iter().min().map(|(due, id, what)| (due, id.clone(), what))
    }

    // ---- ladders

    fn feed_grace(&self, carrier: &str) -> i64 {
        match self.rules.feed_grace.get(carrier) {
            Some(grace) => *grace,
            None => self.rules.defaults.feed_grace,
        }
    }

    fn policy_of(&self, package: &Package) -> &'r Policy {
        let known = &package.attributes;
        let fits = |policy: &&Policy| {
            let Some(conditions) = &policy.conditions else { return true };
            let carrier = Some(Arc::from(package.key.carrier()));
            let texts = [
                (&conditions.carrier, &carrier),
                (&conditions.service, &known.service),
                (&conditions.direction, &known.direction),
                (&conditions.destination_country, &known.destination_country),
                (&conditions.shipper, &known.shipper),
                (&conditions.value_tier, &known.value_tier),
            ];
            let milestone = match &conditions.milestone {
                Some(listed) => listed.contains(&package.milestone),
                None => true,
            };
            milestone
                && texts.into_iter().all(|(listed, value)| match (listed, value) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(listed), Some(value)) => listed.iter().any(|text| **text == **value),
                })
        };
        self.rules.policies.iter().find(fits).expect("the last policy is the catch-all")
    }

    fn next_step(&self, package: &Package) -> Option<Coming<'r>> {
        let policy = self.policy_of(package);
        let ladder = match package.phase {
            Phase::AwaitingFirstScan => &policy.first_scan,
            Phase::Moving => &policy.no_movement,
            Phase::Settled => return None,
        };
        let anchor = package.open.as_ref().map_or(package.anchor, |open| open.anchor.secs());
        let grace = self.feed_grace(package.key.carrier());
        ladder.iter().enumerate().find_map(|(number, step)| {
            let deadline = anchor + step.after + grace;
            let due = match &package.open {
                None => deadline.max(package.set_at + self.rules.defaults.catch_up_grace),
                Some(last) if step.severity > last.severity => deadline,
                Some(last) if deadline > last.deadline.secs() => deadline,
                Some(_) => return None,
            };
            Some(Coming { due, deadline, number, step, policy })
        })
    }

    fn take_step(&mut self, id: &Id) {
        let package = self.packages[id].clone();
        let coming = self.next_step(&package).expect("a step is due");
        let Coming { due, deadline, number, step, policy } = coming;
        let event = match &package.open {
            None => self.opening(&package, &coming),
            Some(last) => ExceptionEvent {
                sequence: last.sequence + 1,
                change: Change::Escalated,
                severity: last.severity.max(step.severity),
                step: number as u32,
                step_name: step.name.clone(),
                deadline: Deadline::from_secs(deadline),
                silent_for_s: deadline - last.anchor.secs(),
                last_milestone: package.milestone,
                attributes: package.attributes.clone(),
                policy_id: policy.id.clone(),
                policy_set: self.policy_set.clone(),
                ..last.clone()
            },
        };
        match &package.open {
            None => self.note(due > deadline, "catch_up_grace holds a step back"),
            Some(last) => {
                self.note(step.severity < last.severity, "a milder step keeps the severity");
                self.note(deadline <= last.deadline.secs(), "an escalation to an earlier deadline");
                self.note(policy.id != last.policy_id, "an escalation by another policy");
                self.note(number != last.step as usize + 1, "an escalation leaves the order");
            }
        }
        self.packages.get_mut(id).expect("known").open = Some(event.clone());
        self.events.push(event);
    }

    fn opening(&self, package: &Package, coming: &Coming<'_>) -> ExceptionEvent {
        let Coming { deadline, number, step, policy, .. } = *coming;
        ExceptionEvent {
            exception_id: identity(&package.key, package.kind(), package.anchor, package.set_at),
            sequence: 0,
            change: Change::Opened,
            kind: package.kind(),
            severity: step.severity,
            step: number as u32,
            step_name: step.name.clone(),
            key: package.key.clone(),
            anchor: EffectiveTime::from_secs(package.anchor),
            anchor_set_at: LogTime::from_secs(package.set_at),
            opened_deadline: Deadline::from_secs(deadline),
            deadline: Deadline::from_secs(deadline),
            silent_for_s: deadline - package.anchor,
            last_milestone: package.milestone,
            attributes: package.attributes.clone(),
            policy_id: policy.id.clone(),
            policy_set: self.policy_set.clone(),
            closed_by: None,
            backfilled: false,
        }
    }

    // ---- endings

    fn end_of(&self, package: &Package) -> i64 {
        match package.phase {
            Phase::Settled => package.set_at + self.rules.defaults.settled_retention,
            _ => package.anchor + self.rules.defaults.forget_after,
        }
    }

    fn end(&mut self, id: &Id) {
        let package = self.packages[id].clone();
        let never = self.next_step(&package).is_some_and(|step| step.due > self.end_of(&package));
        self.note(never, "a step that would come after the end");
        self.packages.remove(id);
        self.note(package.phase == Phase::Settled, "settled retention ends");
        let Some(last) = package.open else {
            self.note(package.phase != Phase::Settled, "forgotten with nothing open");
            return;
        };
        self.note(last.anchor.secs() < package.anchor, "expires by an anchor set later");
        self.note(last.anchor.secs() > package.anchor, "expires by an anchor that moved back");
        self.events.push(ExceptionEvent {
            sequence: last.sequence + 1,
            change: Change::Expired,
            silent_for_s: self.rules.defaults.forget_after,
            last_milestone: package.milestone,
            attributes: package.attributes,
            ..last
        });
    }
}

fn identity(key: &PackageKey, kind: Kind, anchor: i64, set_at: i64) -> Uuid {
    let namespace = Uuid::parse_str("6f0c7d52-6f3a-5c1e-9b51-6d0f3d8f7a10").expect("a UUID");
    let kind = match kind {
        Kind::MissingFirstScan => "missing_first_scan",
        Kind::NoMovement => "no_movement",
    };
    let name = format!("{}|{}|{kind}|{anchor}|{set_at}", key.carrier(), key.number());
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// What random logs must bring up, beside every outcome, change, kind and severity.
pub const SITUATIONS: &[&str] = &[
    "a chained step due before its parent",
    "a critical exception is closed by a scan",
    "a milder step keeps the severity",
    "a move in the second of the anchor of a held package",
    "a new life",
    "a new life that is too old",
    "a package ends while the frontier is ahead",
    "a return from cancelled",
    "a return from delivered",
    "a step after the end of another package",
    "a step in its very second",
    "a step that would come after the end",
    "an earlier label under an open exception",
    "an end in its very second",
    "an escalation by another policy",
    "an escalation leaves the order",
    "an escalation to an earlier deadline",
    "catch_up_grace holds a step back",
    "closed by a scan before the silence began",
    "expires by an anchor that moved back",
    "expires by an anchor set later",
    "finish opens what the last second made overdue",
    "forgotten with nothing open",
    "settled anew",
    "settled by a scan before the anchor",
    "settled retention ends",
    "the first tendered under an open exception",
    "to be forgotten as soon as it is known",
    "two packages due in one second",
];
