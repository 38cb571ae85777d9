//! Settings that package state depends on, changed between two records.

use std::sync::Arc;

use super::super::policy::PolicySet;
use super::super::wheel::Hung;
use super::Shard;
use super::hang::{Horizon, to_wheel};
use crate::detector::table::Slot;
use crate::detector::time::{Frontier, LogTime};

/// How long packages are known. Both in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A package is given up this long after its anchor.
    pub forget_after: i64,
    /// A settled package is remembered this long.
    pub settled_retention: i64,
}

impl Retention {
    /// As a policy set says.
    pub fn of(policies: &PolicySet) -> Self {
        let defaults = policies.defaults();
        Self { forget_after: defaults.forget_after, settled_retention: defaults.settled_retention }
    }
}

impl Shard {
    /// How long packages are known at present.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// From the next record on packages are known this long, whatever the policy set says.
    ///
    /// A package whose time is over by that is given up when the log clock next enters a second.
    /// Every package is hung up anew: not for use between any two records.
    pub fn set_retention(&mut self, retention: Retention) {
        if retention == self.retention {
            return;
        }
        self.look_to_the_end();
        self.retention = retention;
        self.see_horizons();
        self.hang_up_anew();
    }

    /// The policies in force.
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    /// From the next record on these policies are in force, and how long they say that packages are
    /// known.
    ///
    /// What is open goes on under their ladders. What is overdue by them waits until the frontier
    /// next enters a second. Every package is hung up anew: not for use between any two records.
    pub fn set_policies(&mut self, policies: Arc<PolicySet>) {
        self.look_to_the_end();
        self.retention = Retention::of(&policies);
        let ring = &self.keyring;
        self.profiles.resolve_anew(|carrier| policies.feed_grace(ring.carrier(carrier)));
        self.policies = policies;
        self.see_horizons();
        self.hang_up_anew();
    }

    /// Policies, retention or whether the shard is live have changed.
    pub(super) fn see_horizons(&mut self) {
        self.horizons = Horizon::of_each(&self.policies, self.retention, self.live);
    }

    fn look_to_the_end(&mut self) {
        while !self.look_on(&mut u32::MAX.clone()) {}
    }

    /// Every package hangs where it has to by what is known now.
    pub(super) fn hang_up_anew(&mut self) {
        let second = |seconds: Option<i64>| to_wheel(seconds.unwrap_or(0));
        let steps = second(self.frontier.map(Frontier::secs));
        self.look.restart(steps, second(self.log_clock.map(LogTime::secs)));
        let slots: Vec<Slot> = self.table.slots().collect();
        for &slot in &slots {
            self.table.get_mut(slot).set_hung(Hung::NOWHERE);
            self.hang(slot);
        }
    }
}
