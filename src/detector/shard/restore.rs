//! A shard that takes up where another left off: state from the log, open exceptions from what has
//! been published, and at a first start what is open by the state alone.

use std::sync::Arc;

use super::super::exception::{Change, ExceptionEvent};
use super::super::open::{OpenException, kind_of};
use super::super::outbox::Outbox;
use super::super::package::{Package, Phase, Taken};
use super::super::profile::Sighted;
use super::super::scan::Attributes;
use super::super::time::{Deadline, Frontier};
use super::super::wheel::Hung;
use super::{Inconsistent, Shard};
use crate::detector::scan::Milestone;
use crate::detector::table::Slot;

impl Shard {
    /// Takes over an exception that has been published and not closed.
    ///
    /// A package that the log no longer reaches back to is given back from the event. An exception
    /// that the records contradict is an error and is not taken over.
    pub fn restore_open(&mut self, event: &ExceptionEvent) -> Result<(), Inconsistent> {
        let slot = match self.find(&event.key) {
            Some(slot) => slot,
            None => self.give_back(event),
        };
        let package = self.table.package(slot);
        let why = match (kind_of(package.phase), package.phase) {
            (None, _) => Some("the package is settled".to_owned()),
            (Some(kind), phase) if kind != event.kind => {
                Some(format!("the package is {}", phase.as_str()))
            }
            (_, Phase::Moving) if package.anchor != event.anchor => Some(format!(
                "it is measured from second {}, but the package last moved at second {}",
                event.anchor.secs(),
                package.anchor.secs()
            )),
            _ => None,
        };
        if let Some(why) = why {
            return Err(Inconsistent { key: event.key.clone(), kind: event.kind, why });
        }
        self.keep_open(slot, OpenException::from(event));
        Ok(())
    }

    /// Ends the rebuilding: ladders are awake, and what is overdue is looked at when the frontier
    /// next enters a second. Without a frontier it is that of the log clock.
    pub fn go_live(&mut self, frontier: Option<Frontier>) {
        let log = self.log_clock.map(Frontier::at);
        self.frontier = frontier.max(log);
        self.live = true;
        self.see_horizons();
        self.hang_up_anew();
    }

    /// Notes what is past its first step by the state of the packages at the frontier and has not been
    /// published, for [`Shard::backfill_next`]. Until all of it is open nothing else may happen.
    pub fn backfill(&mut self) {
        let Some(frontier) = self.frontier else { return };
        let deadline = |slot| Some((slot, self.current_step(slot, frontier)?.deadline));
        let mut found: Vec<_> = self.table.slots().filter_map(deadline).collect();
        self.by_deadline(&mut found, |deadline| *deadline);
        self.backfill = found.into_iter().map(|(slot, _)| slot).rev().collect();
    }

    /// Opens the next of them, so many at most, once: each at its current step, in order of deadline, then
    /// key.
    ///
    /// The sequence begins with the step's number, so that it goes on without a gap.
    pub fn backfill_next(&mut self, most: usize) {
        let Some(frontier) = self.frontier else { return };
        let rest = self.backfill.len().saturating_sub(most);
        for slot in self.backfill.split_off(rest).into_iter().rev() {
            let Some(open) = self.current_step(slot, frontier) else { continue };
            self.outbox.step(self.subject(slot), &open, Change::Opened);
            if let Some(event) = self.outbox.events_mut().last_mut() {
                event.backfilled = true;
            }
            self.keep_open(slot, open);
            self.table.get_mut(slot).set_hung(Hung::NOWHERE);
            self.hang(slot);
        }
        if rest == 0 {
            self.backfill = Vec::new();
        }
    }

    /// Whether there is more for [`Shard::backfill_next`].
    pub fn is_backfilling(&self) -> bool {
        !self.backfill.is_empty()
    }

    /// The last event of each exception that is open by the state of the packages at this frontier and has
    /// not been taken over, as it was published if the policies were these. Nothing is changed.
    pub fn open_by_state(&self, frontier: Frontier) -> Vec<ExceptionEvent> {
        let mut outbox = Outbox::default();
        for (slot, open) in self.overdue(frontier) {
            let change = if open.sequence == 0 { Change::Opened } else { Change::Escalated };
            outbox.step(self.subject(slot), &open, change);
        }
        outbox.take()
    }

    /// Packages without an open exception that are past their first step at this frontier, each with its
    /// current step, in order of deadline, then key.
    fn overdue(&self, frontier: Frontier) -> Vec<(Slot, OpenException)> {
        let due = |slot| Some((slot, self.current_step(slot, frontier)?));
        let mut found: Vec<_> = self.table.slots().filter_map(due).collect();
        self.by_deadline(&mut found, |open: &OpenException| open.deadline);
        found
    }

    /// Sorts by deadline, then key.
    fn by_deadline<T>(&self, found: &mut [(Slot, T)], deadline: impl Fn(&T) -> Deadline) {
        let key = |slot: Slot| self.table.get(slot).key();
        found.sort_unstable_by(|(a, one), (b, other)| {
            let by_deadline = deadline(one).secs().cmp(&deadline(other).secs());
            by_deadline.then_with(|| self.keyring.compare(key(*a), key(*b)))
        });
    }

    /// The step that a package without an open exception stands on at this frontier.
    fn current_step(&self, slot: Slot, frontier: Frontier) -> Option<OpenException> {
        let record = self.table.get(slot);
        if record.is_open() || !record.is_live() {
            return None;
        }
        let package = self.table.package(slot);
        let (first, policy) = self.next_step(slot, &package)?;
        if first.due > frontier.secs() {
            return None;
        }
        let kind = kind_of(package.phase)?;
        let policy = &self.policies.policies()[policy];
        let reached = |after: i64| {
            let deadline =
                package.anchor.secs() + after + self.profiles.feed_grace(record.traits());
            let given_up = package.anchor.secs() + self.retention.forget_after;
            (deadline <= frontier.secs().min(given_up)).then_some(Deadline::from_secs(deadline))
        };
        let ladder = policy.ladder(kind);
        let (step, deadline) =
            ladder.iter().map_while(|step| reached(step.after)).enumerate().last()?;
        let severity = ladder[..=step].iter().map(|step| step.severity).max()?;
        Some(OpenException {
            kind,
            anchor: package.anchor,
            set_at: package.set_at,
            opened_deadline: first.deadline,
            deadline,
            severity,
            step: step as u32,
            step_name: ladder[step].name.clone(),
            sequence: step as u32,
            policy_id: policy.id.clone(),
            policy_set: self.policies.hash().clone(),
        })
    }

    fn give_back(&mut self, event: &ExceptionEvent) -> Slot {
        let package = Package {
            phase: match event.kind {
                crate::detector::exception::Kind::MissingFirstScan => Phase::AwaitingFirstScan,
                crate::detector::exception::Kind::NoMovement => Phase::Moving,
            },
            milestone: event.last_milestone,
            tendered: event.last_milestone == Milestone::Tendered,
            anchor: event.anchor,
            set_at: event.anchor_set_at,
        };
        let attributes = borrowed(&event.attributes);
        let slot =
            self.keep(&event.key, &package, (&attributes, Taken::TextsAndPlace), &Sighted::UNKNOWN);
        self.hang(slot);
        slot
    }
}

pub(super) fn borrowed(attributes: &Attributes<Arc<str>>) -> Attributes<&str> {
    Attributes {
        service: attributes.service.as_deref(),
        direction: attributes.direction.as_deref(),
        destination_country: attributes.destination_country.as_deref(),
        shipper: attributes.shipper.as_deref(),
        value_tier: attributes.value_tier.as_deref(),
        facility: attributes.facility.as_deref(),
        country: attributes.country.as_deref(),
    }
}
