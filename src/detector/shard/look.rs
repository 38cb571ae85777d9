//! Everything due by the frontier and over by the log clock, second by second, a bounded piece of
//! work at a time.
//!
//! ```text
//! seek ──► take ──► give ──► seek …
//!  │        │        └ packages of the second, in order: steps, then the end
//!  │        └ what hangs at a position: leftovers drop, what is later hangs up again
//!  └ the earliest second of both wheels and of what is overdue
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::exception::Change;
use super::super::key::PackageKey;
use super::super::keyring::PackedKey;
use super::super::memory::BlockSource;
use super::super::open::{NextStep, OpenException, kind_of};
use super::super::order::Order;
use super::super::package::Package;
use super::super::record::Record;
use super::super::table::Slot;
use super::super::time::{Frontier, LogTime};
use super::super::wheel::{Hung, Position, TimerWheel};
use super::Shard;
use super::hang::to_wheel;

/// Work that one call may do in looks. A package that comes up costs one, an event [`EVENT`].
pub(super) const WORK: u32 = 512;
/// What an event costs: some fifty times a package that only hangs up again.
const EVENT: u32 = 64;
/// Packages that are fetched together while others are given out.
const AHEAD: usize = 16;

/// Which of the two wheels: they differ in the clock that turns them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wheel {
    /// Steps of ladders, by the frontier.
    Steps = 0,
    /// Ends of packages, by the log clock.
    Ends = 1,
}

const WHEELS: [Wheel; 2] = [Wheel::Steps, Wheel::Ends];

/// The wheels, what is overdue beside them, and the look that is under way.
pub(super) struct Look {
    wheels: [TimerWheel; 2],
    /// What was past when it was hung up: seconds and slots, by wheel.
    overdue: [BTreeSet<(u32, Slot)>; 2],
    /// Where the clocks went: how far to look, by wheel.
    limits: [Option<u32>; 2],
    second: u32,
    /// The package that came up last, and the second in which it did.
    last: Option<(u32, PackedKey)>,
    /// As it stood when a call ended in the midst of it.
    stands: Option<LookPosition>,
    /// Where one stood that is carried on in another process; what ended up to there ends silently.
    resumed: Option<LookPosition>,
    /// Positions whose items are being taken down.
    taking: [Option<Position>; 2],
    order: Order,
    /// What is being taken down, and where that hangs up again.
    items: Vec<Slot>,
    later: Vec<Option<Later>>,
}

impl Look {
    pub(super) fn new(source: Arc<dyn BlockSource>) -> Self {
        Self {
            wheels: [TimerWheel::new(source.clone()), TimerWheel::new(source.clone())],
            overdue: [BTreeSet::new(), BTreeSet::new()],
            limits: [None; 2],
            second: 0,
            last: None,
            stands: None,
            resumed: None,
            taking: [None; 2],
            order: Order::new(source),
            items: Vec::new(),
            later: Vec::new(),
        }
    }

    pub(super) fn wheel(&mut self, wheel: Wheel) -> &mut TimerWheel {
        &mut self.wheels[wheel as usize]
    }

    /// The second a wheel stands at.
    #[inline]
    pub(super) fn now(&self, wheel: Wheel) -> u32 {
        self.wheels[wheel as usize].now()
    }

    /// Whether a second of a wheel comes up by itself no more: the present one only does while a
    /// look is under way.
    #[inline]
    pub(super) fn is_past(&self, wheel: Wheel, at: u32) -> bool {
        let now = self.now(wheel);
        at < now || at == now && self.limits[wheel as usize].is_none()
    }

    /// Whether what hangs there comes up in time for `at`. What waits for a step is in time for the
    /// end as well, since the frontier is never behind the log clock.
    #[inline(always)]
    pub(super) fn covers(&self, hung: Hung, (wheel, at): (Wheel, u32)) -> bool {
        let Some(in_ends) = hung.wheel() else {
            return false;
        };
        let hangs_in = if in_ends { Wheel::Ends } else { Wheel::Steps };
        (hangs_in == wheel || hangs_in == Wheel::Steps)
            && self.wheels[hangs_in as usize].start(hung.position()) <= at
    }

    pub(super) fn put_overdue(&mut self, wheel: Wheel, at: u32, slot: Slot) {
        self.overdue[wheel as usize].insert((at, slot));
    }

    /// Takes everything down; the wheels begin anew at these seconds.
    pub(super) fn restart(&mut self, steps: u32, ends: u32) {
        for (wheel, now) in WHEELS.into_iter().zip([steps, ends]) {
            self.wheels[wheel as usize].restart(now);
            self.overdue[wheel as usize].clear();
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.limits != [None; 2]
    }

    /// Goes to the earliest second within the limits. What hangs at a span of seconds comes first.
    fn seek(&mut self) -> Sought {
        let mut earliest: Option<u32> = None;
        let mut found = [None; 2];
        for wheel in WHEELS {
            let index = wheel as usize;
            let Some(limit) = self.limits[index] else { continue };
            let overdue = self.overdue[index].first().map(|(at, _)| *at);
            let limit = limit.min(overdue.unwrap_or(u32::MAX));
            let position = self.wheels[index].seek(limit);
            if let Some(span) = position.filter(|position| !position.is_second()) {
                self.taking[index] = Some(span);
                return Sought::Span;
            }
            let second = position.map(|_| self.wheels[index].now());
            found[index] = position.zip(second);
            earliest = earliest.into_iter().chain(second).chain(overdue).min();
        }
        let Some(second) = earliest else {
            return Sought::Nothing;
        };
        self.second = second;
        for (taking, found) in self.taking.iter_mut().zip(found) {
            *taking = found.filter(|(_, at)| *at == second).map(|(position, _)| position);
        }
        Sought::Second
    }
}

/// How far a look has come: everything up to this package in this second has happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookPosition {
    /// Seconds since 1970 UTC.
    pub second: i64,
    /// The package.
    pub key: PackageKey,
}

/// Where a package hangs up again.
#[derive(Clone, Copy)]
struct Later {
    wheel: Wheel,
    at: u32,
    position: Position,
}

/// Where a look goes next.
enum Sought {
    /// A second in which packages come up.
    Second,
    /// A span of seconds whose items are to be hung up more finely.
    Span,
    /// The look is at its end.
    Nothing,
}

impl Shard {
    /// Begins a look; [`Shard::look_on`] carries it out.
    #[inline]
    pub(super) fn look_up_to(&mut self, frontier: Option<Frontier>, log_clock: Option<LogTime>) {
        self.look.last = None;
        self.look.stands = None;
        self.look.limits = [
            frontier.map(|time| to_wheel(time.secs())),
            log_clock.map(|time| to_wheel(time.secs())),
        ];
    }

    /// Whether a look is under way that has not come to its end.
    pub fn is_looking(&self) -> bool {
        self.look.is_under_way()
    }

    /// Whether a look is under way that a record has begun, which is applied behind it.
    pub fn is_amid_record(&self) -> bool {
        self.look.limits[Wheel::Ends as usize].is_some()
    }

    /// How far the look of a record has come that is under way, or that is yet to be carried on;
    /// `None` where nothing has come of one.
    pub fn look_position(&self) -> Option<LookPosition> {
        let stands = self.look.stands.clone().filter(|_| self.is_amid_record());
        stands.max(self.look.resumed.clone())
    }

    /// The next record's look was begun in another process and had come so far: what ended up to there
    /// ends silently, for it has been told.
    pub fn resume_look(&mut self, position: LookPosition) {
        self.look.resumed = Some(position);
    }

    /// Carries on the look that is under way; false when the budget is used up before its end.
    #[inline]
    pub(super) fn look_on(&mut self, budget: &mut u32) -> bool {
        while self.look.is_under_way() {
            if !self.take_down(budget) || !self.give_out(budget) {
                let last = self.look.last;
                self.look.stands = last.map(|(at, key)| LookPosition {
                    second: i64::from(at),
                    key: self.keyring.key(key),
                });
                return false;
            }
            match self.look.seek() {
                Sought::Second => {
                    self.take_overdue();
                    self.see_ahead();
                    self.fetch_first();
                }
                Sought::Span => self.fetch_first(),
                Sought::Nothing => {
                    if self.is_amid_record() {
                        self.look.resumed = None;
                    }
                    self.look.limits = [None; 2];
                }
            }
        }
        true
    }

    /// Fetches what the next seconds bring: of the third their items, of the second the records, and
    /// of the first what it takes to give packages up.
    fn see_ahead(&self) {
        for which in WHEELS {
            let wheel = &self.look.wheels[which as usize];
            let [first, second, third] = [1, 2, 3].map(|by| wheel.now().saturating_add(by));
            wheel.prefetch_second(third);
            wheel.newest(second).iter().for_each(|&slot| self.table.prefetch(slot));
            if which == Wheel::Ends {
                wheel.newest(first).iter().for_each(|&slot| self.fetch_end(self.table.get(slot)));
            }
        }
    }

    /// Fetches what is needed to give a package up.
    #[inline]
    fn fetch_end(&self, record: &Record) {
        self.table.prefetch_index(record.key().hash());
        self.profiles.prefetch_release(record.traits());
    }

    /// Fetches what is taken down first at the positions that were found.
    fn fetch_first(&self) {
        for (wheel, taking) in self.look.wheels.iter().zip(self.look.taking) {
            if let Some(position) = taking {
                wheel.coming(position).iter().for_each(|&slot| self.table.prefetch(slot));
            }
        }
    }

    /// Takes down what hangs at the positions that were found.
    fn take_down(&mut self, budget: &mut u32) -> bool {
        for wheel in WHEELS {
            while let Some(position) = self.look.taking[wheel as usize] {
                if *budget == 0 {
                    return false;
                }
                self.take_chunk(wheel, position, budget);
            }
        }
        true
    }

    fn take_chunk(&mut self, wheel: Wheel, position: Position, budget: &mut u32) {
        let mut items = std::mem::take(&mut self.look.items);
        self.look.wheel(wheel).take(position, &mut items);
        // The records of these were fetched when the chunk before was taken, but for the first.
        for &slot in self.look.wheels[wheel as usize].coming(position) {
            self.table.prefetch(slot);
        }
        *budget = budget.saturating_sub(items.len() as u32);
        self.keyring.rank();
        let here = Hung::at(wheel == Wheel::Ends, position);
        let mut later = std::mem::take(&mut self.look.later);
        later.extend(items.iter().map(|&slot| self.later(slot, wheel, position.is_second())));
        for (slot, later) in items.drain(..).zip(later.drain(..)) {
            let record = self.table.get_mut(slot);
            if !record.is_live() || record.hung() != here {
                continue;
            }
            if let Some(Later { wheel, at, position }) = later {
                record.set_hung(Hung::at(wheel == Wheel::Ends, position));
                self.look.wheels[wheel as usize].hang_there(at, position, slot);
            } else {
                record.set_hung(Hung::NOWHERE);
                self.sort_out(slot, position.is_second());
            }
        }
        (self.look.items, self.look.later) = (items, later);
        if self.look.wheels[wheel as usize].is_bare(position) {
            self.look.taking[wheel as usize] = None;
        }
    }

    /// Where a package that is taken down hangs up again, if it can be told from its record alone
    /// that it is not due. What is going to be needed of it is fetched.
    #[inline]
    fn later(&self, slot: Slot, hung: Wheel, is_second: bool) -> Option<Later> {
        let (wheel, at) = self.soonest(slot);
        let turned = &self.look.wheels[wheel as usize];
        let record = self.table.get(slot);
        let none_before = if is_second { self.look.second } else { 0 };
        if record.is_open() || at <= turned.now().max(none_before) {
            if is_second && hung == Wheel::Ends {
                self.fetch_end(record);
            }
            return None;
        }
        let position = turned.position(at);
        turned.prefetch_hang(position);
        Some(Later { wheel, at, position })
    }

    /// What is due at this second is put in order, all else hangs up again.
    #[inline]
    fn sort_out(&mut self, slot: Slot, is_second: bool) {
        if is_second && self.is_due(slot) {
            let key = self.table.get(slot).key();
            self.look.order.push(slot, key, &self.keyring);
        } else {
            self.hang(slot);
        }
    }

    fn take_overdue(&mut self) {
        let second = self.look.second;
        self.keyring.rank();
        for wheel in WHEELS {
            if self.look.limits[wheel as usize].is_none() {
                continue;
            }
            while let Some(&(at, slot)) = self.look.overdue[wheel as usize].first() {
                if at > second {
                    break;
                }
                self.look.overdue[wheel as usize].pop_first();
                if self.table.get(slot).is_live() {
                    self.sort_out(slot, true);
                }
            }
        }
    }

    #[inline]
    fn is_due(&self, slot: Slot) -> bool {
        let second = self.look.second;
        let is_open = self.table.get(slot).is_open();
        if !is_open && self.soonest(slot).1 > second {
            return false;
        }
        let package = &self.table.package(slot);
        let [steps, ends] = self.look.limits;
        let step_by_now = |(next, _): (NextStep, usize)| to_wheel(next.due) <= second;
        steps.is_some() && self.next_step(slot, package).is_some_and(step_by_now)
            || ends.is_some() && self.end_of(package) <= second
    }

    /// Gives the packages of the second what is due to them, in order.
    fn give_out(&mut self, budget: &mut u32) -> bool {
        while !self.look.order.is_empty() {
            if *budget == 0 {
                return false;
            }
            let table = &self.table;
            let key_of = |slot| table.get(slot).key();
            let Some(slot) = self.look.order.next(&self.keyring, &key_of, budget) else {
                return false;
            };
            for ahead in self.look.order.ahead(AHEAD) {
                self.table.prefetch(ahead);
                self.open.prefetch(ahead);
            }
            let events = self.outbox.len();
            self.come_up(slot);
            let events = self.outbox.len() - events;
            *budget = budget.saturating_sub(1 + events as u32 * EVENT);
        }
        true
    }

    /// A package's steps by this second, then its end; it hangs up again if it is still there.
    fn come_up(&mut self, slot: Slot) {
        if !self.table.get(slot).is_live() {
            return;
        }
        let [steps, ends] = self.look.limits;
        let package = self.table.package(slot);
        self.look.last = Some((self.look.second, self.table.get(slot).key()));
        if self.look.resumed.is_some() && self.has_ended(slot, &package) {
            return self.forget(slot);
        }
        if steps.is_some() {
            while let Some((next, policy)) = self.next_step(slot, &package) {
                if to_wheel(next.due) > self.look.second {
                    break;
                }
                self.step(slot, &package, next, policy);
            }
        }
        if ends.is_some() && self.end_of(&package) <= self.look.second {
            self.end(slot);
        } else {
            self.hang(slot);
        }
    }

    /// Whether it had ended, silently or not, when the look stood that is carried on.
    fn has_ended(&self, slot: Slot, package: &Package) -> bool {
        let second = i64::from(self.end_of(package));
        let record = self.table.get(slot);
        let end = LookPosition { second, key: self.keyring.key(record.key()) };
        !record.is_open() && self.look.resumed.as_ref().is_some_and(|stood| end <= *stood)
    }

    fn step(&mut self, slot: Slot, package: &Package, next: NextStep, policy: usize) {
        let Some(kind) = kind_of(package.phase) else {
            return;
        };
        let policy = &self.policies.policies()[policy];
        let step = &policy.ladder(kind)[next.step];
        let is_open = self.table.get(slot).is_open();
        let before = if is_open { self.open.get(slot) } else { None };
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

    /// The package's time is over.
    fn end(&mut self, slot: Slot) {
        if self.table.get(slot).is_open() {
            let subject = self.subject(slot);
            if let Some(open) = self.take_open(slot) {
                self.outbox.expired(subject, &open, self.retention.forget_after);
            }
        }
        self.forget(slot);
    }
}
