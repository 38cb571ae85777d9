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
use super::super::table::Slot;
use super::super::wheel::Hung;
use super::Shard;
use super::look::Wheel;

impl Shard {
    /// Makes sure that a package is looked at in time.
    #[inline]
    pub(super) fn hang(&mut self, slot: Slot) {
        let package = self.table.package(slot);
        self.hang_package(slot, &package);
    }

    /// [`Self::hang`], where it is known already what the record says.
    #[inline]
    pub(super) fn hang_package(&mut self, slot: Slot, package: &Package) {
        let (wheel, at) = self.soonest(package);
        if self.table.get(slot).is_open() || at <= self.look.wheel(wheel).now() {
            self.hang_exactly(slot, package);
        } else {
            self.hang_in(wheel, at, slot);
        }
    }

    /// No second in which a package without an open exception has to be looked at is earlier,
    /// whatever its policy. Told from the record alone: only a package that has been silent for so
    /// long is worth a look at its profile and policy.
    #[inline]
    pub(super) fn soonest(&self, package: &Package) -> (Wheel, u32) {
        let end = self.end_of(package);
        match kind_of(package.phase) {
            Some(kind) if self.live => {
                let after = self.shortest[kind as usize];
                (Wheel::Steps, to_wheel(package.anchor.secs().saturating_add(after)).min(end))
            }
            _ => (Wheel::Ends, end),
        }
    }

    fn hang_exactly(&mut self, slot: Slot, package: &Package) {
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
