//! A partition whose package state comes first and whose ladders wake up later, and rules that
//! change on the way.

use std::sync::Arc;

use stallwatch::detector::exception::{Change, ExceptionEvent};
use stallwatch::detector::time::Deadline;

use stallwatch::detector::key::PackageKey;

use super::{Coming, Id, Model, id_of};
use crate::generate::Rules;

impl<'r> Model<'r> {
    /// Nothing opens before [`Model::wake`]: package state alone is built.
    pub fn asleep(rules: &'r Rules, policy_set: Arc<str>) -> Self {
        Self { asleep: true, ..Self::new(rules, policy_set) }
    }

    /// Ladders are awake from now on, at this frontier or the log clock, whichever is later.
    pub fn wake(&mut self, frontier: Option<i64>) {
        self.asleep = false;
        self.frontier = frontier.max(self.log_clock);
    }

    /// Other rules from now on.
    pub fn switch(&mut self, rules: &'r Rules, policy_set: Arc<str>) {
        self.rules = rules;
        self.policy_set = policy_set;
    }

    /// What is open by package state alone and not open yet: each at its current step.
    pub fn backfill(&self) -> Vec<ExceptionEvent> {
        let Some(frontier) = self.frontier else { return Vec::new() };
        let mut events = Vec::new();
        for package in self.packages.values().filter(|package| package.open.is_none()) {
            let Some(first) = self.next_step(package) else { continue };
            let end = self.end_of(package);
            if first.due > frontier.min(end) {
                continue;
            }
            let ladder = match package.phase {
                super::Phase::AwaitingFirstScan => &first.policy.first_scan,
                _ => &first.policy.no_movement,
            };
            let grace = self.feed_grace(package.key.carrier());
            let reached: Vec<i64> = ladder
                .iter()
                .map(|step| package.anchor + step.after + grace)
                .take_while(|deadline| *deadline <= frontier.min(end))
                .collect();
            let (Some(number), Some(severity)) = (
                reached.len().checked_sub(1),
                ladder[..reached.len()].iter().map(|step| step.severity).max(),
            ) else {
                continue;
            };
            let current = Coming {
                due: reached[number],
                deadline: reached[number],
                number,
                step: &ladder[number],
                policy: first.policy,
            };
            events.push(ExceptionEvent {
                sequence: number as u32,
                change: Change::Opened,
                severity,
                opened_deadline: Deadline::from_secs(first.deadline),
                backfilled: true,
                ..self.opening(package, &current)
            });
        }
        events
    }

    /// This has been published and is open.
    ///
    /// # Panics
    /// When its package is not known.
    pub fn take_open(&mut self, event: &ExceptionEvent) {
        let package = self.packages.get_mut(&id_of(&event.key)).expect("its package is known");
        package.open = Some(ExceptionEvent { backfilled: false, ..event.clone() });
    }

    /// An event of a look that is not at its end has been published.
    pub fn take_published(&mut self, event: &ExceptionEvent) {
        match event.change.closes() {
            true => drop(self.packages.remove(&id_of(&event.key))),
            false => self.take_open(event),
        }
    }

    /// Whatever ends up to this package in this second has ended.
    pub fn end_up_to(&mut self, second: i64, key: &PackageKey) {
        let up_to = (second, id_of(key));
        let ended: Vec<Id> = self
            .packages
            .iter()
            .filter(|(id, package)| (self.end_of(package), (*id).clone()) <= up_to)
            .map(|(id, _)| id.clone())
            .collect();
        ended.iter().for_each(|id| drop(self.packages.remove(id)));
    }
}
