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
    /// The second from which it could be known.
    pub due: i64,
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
            heard_at: i64::MIN,
            said: Vec::new(),
        };
        walk.along(network, reports, last_of_partition.get(&about.partition).copied());
        let package = package as u32;
        entries.extend(walk.said.iter().map(|&(kind, change, due)| Entry {
            package,
            kind,
            change,
            due,
        }));
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
    /// Log second of the report heard last.
    heard_at: i64,
    said: Vec<(Kind, Change, i64)>,
}

impl Walk<'_> {
    fn along(&mut self, network: &Network, reports: &[&Report], log_ends: Option<i64>) {
        for report in reports {
            let logged = second(report.logged_ms);
            if logged > self.heard_at {
                self.time_passes(logged, logged);
                self.heard_at = logged;
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
                self.said.push((kind, Change::Expired, given_up));
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
        let due = match self.alarm {
            None => deadline.max(silence.known_at + self.policies.defaults().catch_up_grace),
            Some(_) => deadline,
        };
        if due > now {
            return false;
        }
        let change = if self.alarm.is_none() { Change::Opened } else { Change::Escalated };
        self.said.push((kind, change, due.max(self.heard_at)));
        let first_deadline = self.alarm.map_or(deadline, |alarm| alarm.first_deadline);
        let severity = self.alarm.map_or(severity, |alarm| alarm.severity.max(severity));
        let last_deadline = deadline;
        self.alarm = Some(Alarm { kind, since, first_deadline, last_deadline, severity });
        true
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
            let change = if in_time { Change::Retracted } else { Change::Resolved };
            self.said.push((alarm.kind, change, self.heard_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::carriers::CARRIERS;
    use super::super::dice::Dice;
    use super::super::incidents::Incidents;
    use super::super::numbers::Spelling;
    use super::super::story::{Event, Fate, Life, Package};
    use super::super::time::{HOUR, START};
    use super::*;
    use crate::detector::scan::Evidence;

    /// (deed, milestone, hours after the start that it happened, hours that it was logged)
    type Told = (Deed, Milestone, i64, i64);

    /// What must be said of one ground package of `ups`, with the hour from which it could be.
    fn said(told: &[Told]) -> Vec<(Kind, Change, i64)> {
        let traits = Traits {
            service: "ground",
            destination_country: "US",
            shipper: "fern",
            value_tier: "standard",
        };
        let package = Package { carrier: "ups", number: "1Z1".to_owned(), partition: 0 };
        let place = Some(&CARRIERS[0].hubs[0]);
        let report = |&(deed, milestone, happened, logged): &Told| {
            let evidence = Evidence::Physical;
            let at = START + happened * HOUR;
            Report {
                life: 0,
                event: Event { at, deed, milestone, evidence, place, back: false },
                said_ms: Some(at * 1000),
                logged_ms: (START + logged * HOUR) * 1000,
                spelling: Spelling::Plain,
                tells_traits: true,
            }
        };
        // Another package of the partition, by which its log goes on to the end.
        let (last, other) = (END * 1000 - 1, (Deed::Remarked, Milestone::Info, 0, 0));
        let bystander = Report { life: 1, logged_ms: last, said_ms: None, ..report(&other) };
        let network = Network {
            packages: vec![package.clone(), Package { number: "1Z2".to_owned(), ..package }],
            lives: [0, 1]
                .map(|package| Life { package, traits, fate: Fate::Lost, held: false })
                .to_vec(),
            stream: told.iter().map(report).chain([bystander]).collect(),
            incidents: Incidents::plan(&mut Dice::new(1)),
        };
        let entries = write(&network, &crate::demo::policies());
        assert!(entries.iter().all(|entry| entry.package == 0));
        let hour = |due: i64| (due - START) / HOUR;
        entries.iter().map(|entry| (entry.kind, entry.change, hour(entry.due))).collect()
    }

    const NO_MOVEMENT: Kind = Kind::NoMovement;
    const FIRST_SCAN: Kind = Kind::MissingFirstScan;

    #[test]
    fn a_parcel_that_is_lost_at_a_hub_stalls_is_presumed_lost_and_given_up() {
        let told = [(Deed::Moved, Milestone::Arrived, 10, 10)];
        let expected = [
            (NO_MOVEMENT, Change::Opened, 10 + 84),
            (NO_MOVEMENT, Change::Escalated, 10 + 7 * 24),
            (NO_MOVEMENT, Change::Expired, 10 + 9 * 24),
        ];
        assert_eq!(said(&told), expected);
    }

    #[test]
    fn a_late_delivery_scan_retracts_and_a_late_delivery_resolves() {
        let out = (Deed::Moved, Milestone::OutForDelivery, 10, 10);
        let late_scan = [out, (Deed::Ended, Milestone::Delivered, 12, 50)];
        let opened = (NO_MOVEMENT, Change::Opened, 10 + 26);
        assert_eq!(said(&late_scan), [opened, (NO_MOVEMENT, Change::Retracted, 50)]);
        let late_delivery = [out, (Deed::Ended, Milestone::Delivered, 49, 50)];
        assert_eq!(said(&late_delivery), [opened, (NO_MOVEMENT, Change::Resolved, 50)]);
    }

    #[test]
    fn a_label_that_is_sent_again_buys_no_time_and_words_end_no_silence() {
        let told = [
            (Deed::Labelled, Milestone::LabelCreated, 0, 0),
            (Deed::Labelled, Milestone::LabelCreated, 48, 48),
            (Deed::Announced, Milestone::OutForDelivery, 50, 50),
            (Deed::Moved, Milestone::PickedUp, 100, 100),
            (Deed::Ended, Milestone::Delivered, 120, 120),
        ];
        let expected = [(FIRST_SCAN, Change::Opened, 3 * 24), (FIRST_SCAN, Change::Resolved, 100)];
        assert_eq!(said(&told), expected);
    }

    #[test]
    fn what_moved_in_time_and_was_heard_of_late_in_one_piece_raises_nothing() {
        let told = [
            (Deed::Moved, Milestone::Arrived, 0, 100),
            (Deed::Moved, Milestone::Departed, 99, 100),
            (Deed::Ended, Milestone::Delivered, 101, 101),
        ];
        assert_eq!(said(&told), []);
    }

    #[test]
    fn a_number_that_is_used_again_is_watched_again() {
        let told = [
            (Deed::Ended, Milestone::Delivered, 0, 0),
            (Deed::Labelled, Milestone::LabelCreated, 24, 24),
            (Deed::Moved, Milestone::PickedUp, 24 + 73, 24 + 73),
            (Deed::Ended, Milestone::Delivered, 120, 120),
        ];
        let expected =
            [(FIRST_SCAN, Change::Opened, 24 + 72), (FIRST_SCAN, Change::Resolved, 24 + 73)];
        assert_eq!(said(&told), expected);
    }
}
