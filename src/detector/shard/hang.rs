//! When a package is to be looked at again, and where that hangs.
//!
//! A package hangs in one wheel: in that of the frontier while a step of its ladder is to come, else
//! in that of the log clock until its end. It may hang earlier than it must, never later: a scan
//! that moves its deadline on leaves it where it is, one that brings the deadline forward hangs it up
//! once more, and what comes up where its record does not say it hangs is a leftover.
//!
//! What is due already when a scan makes it so waits beside the wheels until the clock in question
//! next enters a second.

use super::super::open::{Graces, NextStep, kind_of, next_step};
use super::super::package::{Package, Phase};
use super::super::policy::PolicySet;
use super::super::record::LONG_LAG;
use super::super::table::Slot;
use super::super::wheel::Hung;
use super::Shard;
use super::look::Wheel;
use super::settings::Retention;

/// How long a package of a phase need not be looked at, whatever its policy.
#[derive(Clone, Copy)]
pub(super) struct Horizon {
    wheel: Wheel,
    /// From the anchor, or from when it was set.
    seconds: u64,
    /// All ones where it counts from when the anchor was set, else 0.
    of_lag: u64,
}

impl Horizon {
    /// Of each phase. While a shard is not live, its ladders sleep.
    pub(super) fn of_each(
        policies: &PolicySet,
        retention: Retention,
        live: bool,
    ) -> [Self; Phase::ALL.len()] {
        let shortest = policies.shortest_of_each();
        std::array::from_fn(|at| {
            let phase = Phase::ALL[at];
            let (wheel, seconds) = match kind_of(phase) {
                Some(kind) if live => {
                    (Wheel::Steps, shortest[kind as usize].min(retention.forget_after))
                }
                Some(_) => (Wheel::Ends, retention.forget_after),
                None => (Wheel::Ends, retention.settled_retention),
            };
            let of_lag = if phase == Phase::Settled { u64::MAX } else { 0 };
            Self { wheel, seconds: u64::try_from(seconds).unwrap_or(0), of_lag }
        })
    }
}

impl Shard {
    /// Makes sure that a package is looked at in time.
    #[inline]
    pub(super) fn hang(&mut self, slot: Slot) {
        let (wheel, at) = self.soonest(slot);
        if self.table.get(slot).is_open() || at <= self.look.now(wheel) {
            self.hang_exactly(slot);
        } else {
            self.hang_in(wheel, at, slot);
        }
    }

    /// No second in which a package without an open exception has to be looked at is earlier,
    /// whatever its policy. Told from the record alone: only a package that has been silent for so
    /// long is worth a look at its profile and policy.
    #[inline]
    pub(super) fn soonest(&self, slot: Slot) -> (Wheel, u32) {
        let record = self.table.get(slot);
        let Horizon { wheel, seconds, of_lag } = self.horizons[record.phase() as usize];
        let lag = record.lag() & of_lag;
        if lag == LONG_LAG {
            return (wheel, self.end_of(&self.table.package(slot)));
        }
        let at = u64::from(record.anchor()) + lag + seconds;
        (wheel, u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Whether a package on its way without an open exception, whose anchor is this second, hangs
    /// where it will be looked at in time.
    #[inline(always)]
    pub(super) fn is_in_time(&self, anchor: u32, hung: Hung) -> bool {
        let Horizon { wheel, seconds, .. } = self.horizons[Phase::Moving as usize];
        let at = u32::try_from(u64::from(anchor) + seconds).unwrap_or(u32::MAX);
        at > self.look.now(wheel) && self.look.covers(hung, (wheel, at))
    }

    fn hang_exactly(&mut self, slot: Slot) {
        let package = &self.table.package(slot);
        let step = if self.live { self.next_step(slot, package) } else { None };
        match step.map(|(next, _)| to_wheel(next.due)) {
            Some(due) if self.look.is_past(Wheel::Steps, due) => {
                self.look.put_overdue(Wheel::Steps, due, slot);
                // Should only the log clock move on, the package still has an end.
                self.hang_in(Wheel::Ends, self.end_of(package), slot);
            }
            Some(due) => self.hang_in(Wheel::Steps, due, slot),
            None => self.hang_in(Wheel::Ends, self.end_of(package), slot),
        }
    }

    /// The next step of a package and the index of the policy in force.
    #[inline]
    pub(super) fn next_step(&self, slot: Slot, package: &Package) -> Option<(NextStep, usize)> {
        let record = self.table.get(slot);
        let kind = kind_of(package.phase)?;
        let open = if record.is_open() { self.open.get(slot) } else { None };
        let traits = record.traits();
        let policy = self.profiles.policy(traits, package.milestone, &self.policies, &self.keyring);
        let defaults = self.policies.defaults();
        let graces = Graces {
            feed: self.profiles.feed_grace(traits),
            catch_up: defaults.catch_up_grace,
            forget_after: self.retention.forget_after,
        };
        let ladder = self.policies.policies()[policy].ladder(kind);
        Some((next_step(package, open, ladder, &graces)?, policy))
    }

    /// The second in which a package is given up.
    #[inline]
    pub(super) fn end_of(&self, package: &Package) -> u32 {
        to_wheel(match package.phase {
            Phase::Settled => package.set_at.secs() + self.retention.settled_retention,
            Phase::AwaitingFirstScan | Phase::Moving => {
                package.anchor.secs() + self.retention.forget_after
            }
        })
    }

    #[inline]
    fn hang_in(&mut self, wheel: Wheel, at: u32, slot: Slot) {
        let hung = self.table.get(slot).hung();
        if self.look.covers(hung, (wheel, at)) {
            return;
        }
        if self.look.is_past(wheel, at) {
            self.look.put_overdue(wheel, at, slot);
            return;
        }
        let position = self.look.wheel(wheel).hang(at, slot);
        self.table.get_mut(slot).set_hung(Hung::at(wheel == Wheel::Ends, position));
    }
}

/// A second of the wheel. No clock reaches past the year 2100, so what lies beyond the wheel's last
/// second is never due.
pub(super) fn to_wheel(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
