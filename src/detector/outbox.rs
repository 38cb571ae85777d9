//! Exceptions on their way out, in the order of the semantics, and how each event is made.

use super::exception::{Change, ClosedBy, ExceptionEvent, exception_id};
use super::key::PackageKey;
use super::open::OpenException;
use super::scan::{Attributes, Milestone, Scan};
use std::sync::Arc;

/// What an event says of its package, as it was before the scan that closes it.
pub struct Subject {
    /// Carrier and number.
    pub key: PackageKey,
    /// The package's milestone.
    pub milestone: Milestone,
    /// The package's attributes.
    pub attributes: Attributes<Arc<str>>,
}

/// The events of a shard since they were last taken.
#[derive(Default)]
pub struct Outbox {
    events: Vec<ExceptionEvent>,
    /// For each event, which record of the call brought it.
    brought_by: Vec<u32>,
    record: u32,
}

impl Outbox {
    /// A step was reached.
    pub fn step(&mut self, subject: Subject, open: &OpenException, change: Change) {
        let silent = open.deadline.secs() - open.anchor.secs();
        self.push(subject, open, change, open.sequence, silent, None);
    }

    /// A scan ends the silence.
    pub fn closed_by(&mut self, subject: Subject, open: &OpenException, scan: &Scan<'_>) {
        let e = scan.effective_time();
        let in_time = e.secs() < open.opened_deadline.secs();
        let change = if in_time { Change::Retracted } else { Change::Resolved };
        let silent = (e.secs() - open.anchor.secs()).max(0);
        let closed_by = ClosedBy {
            milestone: scan.milestone,
            event_time: scan.event_time,
            effective_time: e,
            log_time: scan.log_time,
            offset: scan.offset,
        };
        self.push(subject, open, change, open.sequence + 1, silent, Some(closed_by));
    }

    /// The package is given up. `forget_after` in seconds.
    pub fn expired(&mut self, subject: Subject, open: &OpenException, forget_after: i64) {
        self.push(subject, open, Change::Expired, open.sequence + 1, forget_after, None);
    }

    /// What is pushed from now on is brought by this record of the call.
    #[inline]
    pub fn begin(&mut self, record: u32) {
        self.record = record;
    }

    /// All events so far; the outbox is empty afterwards.
    pub fn take(&mut self) -> Vec<ExceptionEvent> {
        self.brought_by.clear();
        std::mem::take(&mut self.events)
    }

    /// All events so far, each with the record that brought it; the outbox is empty afterwards.
    pub fn drain(&mut self) -> impl Iterator<Item = (u32, ExceptionEvent)> {
        self.brought_by.drain(..).zip(self.events.drain(..))
    }

    /// How many events have not been taken.
    #[inline]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// The events that have not been taken.
    pub fn events(&self) -> &[ExceptionEvent] {
        &self.events
    }

    /// The events that have not been taken, to be changed.
    pub fn events_mut(&mut self) -> &mut [ExceptionEvent] {
        &mut self.events
    }

    fn push(
        &mut self,
        subject: Subject,
        open: &OpenException,
        change: Change,
        sequence: u32,
        silent_for_s: i64,
        closed_by: Option<ClosedBy>,
    ) {
        self.brought_by.push(self.record);
        self.events.push(ExceptionEvent {
            exception_id: exception_id(&subject.key, open.kind, open.anchor, open.set_at),
            sequence,
            change,
            kind: open.kind,
            severity: open.severity,
            step: open.step,
            step_name: open.step_name.clone(),
            key: subject.key,
            anchor: open.anchor,
            anchor_set_at: open.set_at,
            opened_deadline: open.opened_deadline,
            deadline: open.deadline,
            silent_for_s,
            last_milestone: subject.milestone,
            attributes: subject.attributes,
            policy_id: open.policy_id.clone(),
            policy_set: open.policy_set.clone(),
            closed_by,
            backfilled: false,
        });
    }
}
