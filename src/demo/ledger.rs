//! The independent ledger: what must have come out, from what the network knows that it did.
//!
//! It shares no code with the detector beyond words and policies: no table, wheel or batch, just
//! one package after another, its reports in the order of the log, and a walk along them. What a
//! report truly was (a movement, a rest, mere words) is the network's own account, not a
//! conclusion from the words of the scan. It relies on a stream in the order of log time, so that
//! a partition's log clock is the log time of the record at hand.

use super::network::Network;
use super::story::{Deed, Report, Traits};
use super::time::END;
use crate::detector::exception::{Change, Kind, Severity};
use crate::detector::policy::{Match, PolicySet, Step};
use crate::detector::scan::Milestone;

/// One event that must have come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index of the package.
    pub package: u32,
    /// Which silence.
    pub kind: Kind,
    /// What must have been said of it.
    pub change: Change,
}

/// Everything that must have come out until the end of the demo, package by package.
pub fn write(network: &Network, policies: &PolicySet) -> Vec<Entry> {
    let mut reports: Vec<Vec<&Report>> = vec![Vec::new(); network.packages.len()];
    let mut last_of_partition = std::collections::HashMap::new();
    for report in &network.stream {
        let package = network.lives[report.life as usize].package as usize;
        reports[package].push(report);
        last_of_partition.insert(network.packages[package].partition, second(report.logged_ms));
    }
    let mut entries = Vec::new();
    for (package, reports) in reports.iter().enumerate() {
        let about = &network.packages[package];
        let mut walk = Walk {
            policies,
            carrier: about.carrier,
            state: State::Unknown,
            told: None,
            alarm: None,
            said: Vec::new(),
        };
        walk.along(network, reports, last_of_partition.get(&about.partition).copied());
        let package = package as u32;
        entries.extend(walk.said.iter().map(|&(kind, change)| Entry { package, kind, change }));
    }
    entries
}

fn second(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

#[derive(Clone, Copy)]
enum State {
    Unknown,
    /// A label, and nobody has had the piece in hand.
    Awaited {
        silence: Silence,
        tendered: bool,
    },
    Travelling(Silence),
    Over {
        at: i64,
        known_at: i64,
        how: Milestone,
    },
}

/// Since when nothing was heard, since when that is known, and what was heard last.
#[derive(Clone, Copy)]
struct Silence {
    since: i64,
    known_at: i64,
    milestone: Milestone,
}

#[derive(Clone, Copy)]
struct Alarm {
    kind: Kind,
    since: i64,
    first_deadline: i64,
    last_deadline: i64,
    severity: Severity,
}

struct Walk<'a> {
    policies: &'a PolicySet,
    carrier: &'static str,
    state: State,
    told: Option<Traits>,
    alarm: Option<Alarm>,
    said: Vec<(Kind, Change)>,
}

impl Walk<'_> {
    fn along(&mut self, network: &Network, reports: &[&Report], log_ends: Option<i64>) {
        let mut now = i64::MIN;
        for report in reports {
            let logged = second(report.logged_ms);
            if logged > now {
                now = logged;
                self.time_passes(now, now);
            }
            let traits = network.lives[report.life as usize].traits;
            self.hear(report, logged, traits);
        }
        if let Some(log_ends) = log_ends {
            self.time_passes(END, log_ends);
        }
    }

    /// Nothing is heard until `now`; what is given up is given up by `log_clock`.
    fn time_passes(&mut self, now: i64, log_clock: i64) {
        let defaults = self.policies.defaults();
        let (kind, silence) = match self.state {
            State::Unknown => return,
            State::Over { known_at, .. } => {
                if known_at + defaults.settled_retention <= log_clock {
                    self.forget();
                }
                return;
            }
            State::Awaited { silence, .. } => (Kind::MissingFirstScan, silence),
            State::Travelling(silence) => (Kind::NoMovement, silence),
        };
        let given_up = silence.since + defaults.forget_after;
        while self.raise_next(kind, silence, now.min(given_up)) {}
        if given_up <= log_clock {
            if self.alarm.is_some() {
                self.said.push((kind, Change::Expired));
            }
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.state = State::Unknown;
        self.alarm = None;
        self.told = None;
    }

    /// Opens or escalates if the next step is due by `now`.
    fn raise_next(&mut self, kind: Kind, silence: Silence, now: i64) -> bool {
        let ladder = self.ladder(kind, silence.milestone);
        let grace = self.policies.feed_grace(self.carrier);
        let since = self.alarm.map_or(silence.since, |alarm| alarm.since);
        let deadline = |step: &Step| since + step.after + grace;
        let next = match self.alarm {
            None => ladder.first(),
            Some(alarm) => ladder.iter().find(|step| {
                step.severity > alarm.severity || deadline(step) > alarm.last_deadline
            }),
        };
        let Some(step) = next else { return false };
        let (deadline, severity) = (deadline(step), step.severity);
        let known_long = silence.known_at + self.policies.defaults().catch_up_grace;
        match &mut self.alarm {
            None if deadline.max(known_long) <= now => {
                let (first_deadline, last_deadline) = (deadline, deadline);
                self.alarm = Some(Alarm { kind, since, first_deadline, last_deadline, severity });
                self.said.push((kind, Change::Opened));
                true
            }
            Some(alarm) if deadline <= now => {
                alarm.last_deadline = deadline;
                alarm.severity = alarm.severity.max(severity);
                self.said.push((kind, Change::Escalated));
                true
            }
            _ => false,
        }
    }

    fn ladder(&self, kind: Kind, milestone: Milestone) -> &[Step] {
        let policies = self.policies.policies();
        let first = policies.iter().find(|policy| match &policy.conditions {
            None => true,
            Some(conditions) => self.fits(conditions, milestone),
        });
        first.map_or(&[], |policy| policy.ladder(kind))
    }

    fn fits(&self, conditions: &Match, milestone: Milestone) -> bool {
        assert!(conditions.direction.is_none(), "the ledger does not follow directions");
        let one_of = |list: &Option<Vec<String>>, value: Option<&str>| match list {
            None => true,
            Some(list) => value.is_some_and(|value| list.iter().any(|item| item == value)),
        };
        let told = self.told;
        let on_the_list = match &conditions.milestone {
            None => true,
            Some(list) => list.contains(&milestone),
        };
        on_the_list
            && one_of(&conditions.carrier, Some(self.carrier))
            && one_of(&conditions.service, told.map(|traits| traits.service))
            && one_of(
                &conditions.destination_country,
                told.map(|traits| traits.destination_country),
            )
            && one_of(&conditions.shipper, told.map(|traits| traits.shipper))
            && one_of(&conditions.value_tier, told.map(|traits| traits.value_tier))
    }

    /// One report, taken at its word about times and at the network's word about what it was.
    fn hear(&mut self, report: &Report, logged: i64, traits: Traits) {
        let at = report.said_ms.map_or(logged, |said| second(said).min(logged));
        let heard = match self.state {
            State::Unknown => self.hear_of_unknown(report, at, logged),
            State::Awaited { silence, tendered } => {
                self.hear_of_awaited(report, at, logged, silence, tendered)
            }
            State::Travelling(silence) => self.hear_of_travelling(report, at, logged, silence),
            State::Over { at: end, how, .. } => self.hear_of_over(report, at, logged, end, how),
        };
        if heard && report.tells_traits {
            self.told = Some(traits);
        }
    }

    /// These tell whether the report was about this journey at all.
    fn hear_of_unknown(&mut self, report: &Report, at: i64, logged: i64) -> bool {
        if at + self.policies.defaults().settled_retention <= logged {
            return false;
        }
        let milestone = report.event.milestone;
        let silence = |milestone| Silence { since: at, known_at: logged, milestone };
        self.state = match report.event.deed {
            Deed::Labelled => State::Awaited { silence: silence(milestone), tendered: false },
            Deed::Tendered => State::Awaited { silence: silence(milestone), tendered: true },
            Deed::Declared => State::Awaited { silence: silence(milestone), tendered: false },
            Deed::Announced => {
                State::Awaited { silence: silence(Milestone::LabelCreated), tendered: false }
            }
            Deed::Moved | Deed::Rested => State::Travelling(silence(milestone)),
            Deed::Ended | Deed::Voided => State::Over { at, known_at: logged, how: milestone },
            Deed::Remarked => return false,
        };
        true
    }

    fn hear_of_awaited(
        &mut self,
        report: &Report,
        at: i64,
        logged: i64,
        mut silence: Silence,
        tendered: bool,
    ) -> bool {
        let (deed, milestone) = (report.event.deed, report.event.milestone);
        if self.is_of_an_earlier_life(deed, at, silence) {
            return false;
        }
        let heard_now = Silence { since: at, known_at: logged, milestone };
        match deed {
            Deed::Labelled if !tendered => {
                silence.since = silence.since.min(at);
                self.state = State::Awaited { silence, tendered };
            }
            Deed::Tendered if tendered => {
                silence.since = silence.since.min(at);
                self.state = State::Awaited { silence, tendered };
            }
            Deed::Tendered => self.state = State::Awaited { silence: heard_now, tendered: true },
            Deed::Declared => {
                silence.milestone = milestone;
                self.state = State::Awaited { silence, tendered };
            }
            Deed::Moved | Deed::Rested => {
                self.close(at);
                self.state = State::Travelling(heard_now);
            }
            Deed::Ended | Deed::Voided => {
                self.close(at);
                self.end(silence.since.max(at), logged, milestone);
            }
            Deed::Labelled | Deed::Announced | Deed::Remarked => {}
        }
        true
    }

    fn hear_of_travelling(
        &mut self,
        report: &Report,
        at: i64,
        logged: i64,
        mut silence: Silence,
    ) -> bool {
        let (deed, milestone) = (report.event.deed, report.event.milestone);
        if self.is_of_an_earlier_life(deed, at, silence) {
            return false;
        }
        match deed {
            Deed::Moved if at > silence.since => {
                self.close(at);
                self.state = State::Travelling(Silence { since: at, known_at: logged, milestone });
            }
            Deed::Moved if at == silence.since => {
                silence.milestone = silence.milestone.max(milestone);
                self.state = State::Travelling(silence);
            }
            Deed::Rested | Deed::Declared | Deed::Voided if at >= silence.since => {
                silence.milestone = milestone;
                self.state = State::Travelling(silence);
            }
            Deed::Ended => {
                self.close(at);
                self.end(silence.since.max(at), logged, milestone);
            }
            _ => {}
        }
        true
    }

    fn hear_of_over(
        &mut self,
        report: &Report,
        at: i64,
        logged: i64,
        end: i64,
        how: Milestone,
    ) -> bool {
        let (deed, milestone) = (report.event.deed, report.event.milestone);
        let goes_on = match how {
            Milestone::Cancelled => deed == Deed::Moved,
            Milestone::Delivered => deed == Deed::Moved && milestone == Milestone::Returning,
            _ => false,
        };
        match deed {
            Deed::Labelled | Deed::Tendered if at > end => {
                self.forget();
                self.hear_of_unknown(report, at, logged)
            }
            Deed::Moved if goes_on && at > end => {
                self.state = State::Travelling(Silence { since: at, known_at: logged, milestone });
                true
            }
            Deed::Ended if how == Milestone::Cancelled => {
                self.end(end.max(at), logged, milestone);
                true
            }
            _ => false,
        }
    }

    fn is_of_an_earlier_life(&self, deed: Deed, at: i64, silence: Silence) -> bool {
        let mere_words = matches!(deed, Deed::Announced | Deed::Remarked);
        !mere_words && at + self.policies.defaults().settled_retention <= silence.since
    }

    fn end(&mut self, at: i64, known_at: i64, how: Milestone) {
        self.state = State::Over { at, known_at, how };
    }

    /// It moved or came home: in time, and only the report was late, or after all.
    fn close(&mut self, at: i64) {
        if let Some(alarm) = self.alarm.take() {
            let in_time = at < alarm.first_deadline;
            self.said
                .push((alarm.kind, if in_time { Change::Retracted } else { Change::Resolved }));
        }
    }
}
