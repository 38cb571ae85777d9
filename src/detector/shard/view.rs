//! What a shard tells of its packages when it is asked. Nothing here changes anything, and each call
//! does a bounded piece of work.

use std::sync::Arc;

use super::super::exception::{Kind, Severity};
use super::super::key::PackageKey;
use super::super::open::{Graces, OpenException, kind_of, next_step};
use super::super::package::Package;
use super::super::scan::{Attributes, Milestone};
use super::super::table::Slot;
use super::super::time::Deadline;
use super::Shard;

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

/// A package and everything that is still to come to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What is known of it.
    pub view: PackageView,
    /// The silence that it is watched for; `None` once it is settled.
    pub kind: Option<Kind>,
    /// The steps of the ladder in force, in its order.
    pub steps: Vec<OutlookStep>,
    /// Index in `steps` of the one that comes next, if any does.
    pub next: Option<usize>,
    /// When it is forgotten, in seconds since 1970 UTC.
    pub forgotten_at: i64,
}

/// One step of the ladder in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlookStep {
    /// Its name.
    pub name: Arc<str>,
    /// What it reports.
    pub severity: Severity,
    /// Seconds of silence.
    pub after: i64,
    /// Anchor + after + feed grace.
    pub deadline: Deadline,
    /// The second in which it happens if nothing comes before, in seconds since 1970 UTC: the
    /// deadline, or later while the catch-up grace of a fresh anchor lasts.
    pub due: i64,
}

/// One open exception, looked at where it stands.
pub struct OpenView<'s> {
    shard: &'s Shard,
    slot: Slot,
    /// The exception as its last event left it.
    pub open: &'s OpenException,
}

impl OpenView<'_> {
    /// Its package.
    pub fn key(&self) -> PackageKey {
        self.shard.keyring.key(self.shard.table.get(self.slot).key())
    }

    /// The carrier of its package.
    pub fn carrier(&self) -> &Arc<str> {
        self.shard.carrier(self.slot)
    }

    /// The last milestone of its package.
    pub fn milestone(&self) -> Milestone {
        self.shard.table.package(self.slot).milestone
    }

    /// The last facility of its package.
    pub fn facility(&self) -> Option<Arc<str>> {
        self.shard.profiles.facility(self.shard.table.get(self.slot).traits())
    }

    /// The last value of each attribute of its package.
    pub fn attributes(&self) -> Attributes<Arc<str>> {
        self.shard.profiles.attributes(self.shard.table.get(self.slot).traits())
    }
}

impl Shard {
    /// What is known of a package.
    pub fn package(&self, key: &PackageKey) -> Option<PackageView> {
        self.find(key).map(|slot| self.view(slot))
    }

    /// What is known of a package, and all its deadlines.
    pub fn outlook(&self, key: &PackageKey) -> Option<Outlook> {
        let slot = self.find(key)?;
        let view = self.view(slot);
        let kind = kind_of(view.package.phase);
        let next = self.next_step(slot, &view.package).map(|(next, _)| next.step);
        let steps = kind.map(|kind| self.outlook_steps(slot, &view, kind)).unwrap_or_default();
        let forgotten_at = i64::from(self.end_of(&view.package));
        Some(Outlook { view, kind, steps, next, forgotten_at })
    }

    /// Shows open exceptions, beginning at a place of the side table (0: its start), until at least
    /// `enough` were looked at, or as many as have closed since others opened. Returns the place to
    /// go on at; `None` at the end. What opens or closes between two calls may be missed or shown,
    /// what stays open is shown once.
    pub fn show_open(
        &self,
        from: u32,
        enough: usize,
        mut show: impl FnMut(OpenView<'_>),
    ) -> Option<u32> {
        let mut looked_at = 0;
        for place in from..self.open.places() {
            if looked_at >= enough {
                return Some(place);
            }
            for entry in self.open.at_place(place) {
                looked_at += 1;
                if let Some((slot, open)) = entry {
                    show(OpenView { shard: self, slot, open });
                }
            }
        }
        None
    }

    /// How many events wait in the outbox.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Offsets of the scans that closed an exception, of the events in the outbox behind the first
    /// `known`.
    pub fn closed_since(&self, known: usize) -> impl Iterator<Item = i64> {
        let events = self.outbox.events().get(known..).unwrap_or_default();
        events.iter().filter_map(|event| event.closed_by.as_ref()).map(|by| by.offset)
    }

    fn view(&self, slot: Slot) -> PackageView {
        let package = self.table.package(slot);
        let traits = self.table.get(slot).traits();
        let policy = self.profiles.policy(traits, package.milestone, &self.policies, &self.keyring);
        PackageView {
            package,
            attributes: self.profiles.attributes(traits),
            policy_id: self.policies.policies()[policy].id.clone(),
            open: self.open.get(slot).cloned(),
        }
    }

    fn outlook_steps(&self, slot: Slot, view: &PackageView, kind: Kind) -> Vec<OutlookStep> {
        let traits = self.table.get(slot).traits();
        let milestone = view.package.milestone;
        let policy = self.profiles.policy(traits, milestone, &self.policies, &self.keyring);
        let graces = Graces {
            feed: self.profiles.feed_grace(traits),
            catch_up: self.policies.defaults().catch_up_grace,
            forget_after: i64::MAX / 2,
        };
        let ladder = self.policies.policies()[policy].ladder(kind);
        let anchor = view.open.as_ref().map_or(view.package.anchor, |open| open.anchor).secs();
        let deadline = |after: i64| anchor + after + graces.feed;
        let of = |step: &super::super::policy::Step| {
            let deadline = deadline(step.after);
            // Alone in its ladder and unopened, a step says itself when it would happen.
            let alone = next_step(&view.package, None, std::slice::from_ref(step), &graces);
            let due = match &view.open {
                Some(_) => deadline,
                None => alone.map_or(deadline, |next| next.due),
            };
            OutlookStep {
                name: step.name.clone(),
                severity: step.severity,
                after: step.after,
                deadline: Deadline::from_secs(deadline),
                due,
            }
        };
        ladder.iter().map(of).collect()
    }
}
