//! The model against examples worked out by hand from the contract, so that it does not merely
//! agree with itself.

use std::collections::BTreeMap;

use stallwatch::detector::exception::{ExceptionEvent, Severity};
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::policy::{Defaults, Match, Policy, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Outcome, Record, Scan};
use stallwatch::detector::time::{EventTime, LogTime};

use crate::generate::Rules;
use crate::model::Model;

/// Seconds are counted from here.
const START: i64 = 1_772_438_400;

fn step(after: i64, severity: Severity) -> Step {
    Step { after, severity, name: severity.as_str().into() }
}

/// Silence: warning after 100 s, critical after 200 s; labels: notice after 50 s.
fn rules() -> Rules {
    Rules {
        defaults: Defaults {
            forget_after: 1_000,
            settled_retention: 300,
            catch_up_grace: 10,
            feed_grace: 0,
        },
        feed_grace: BTreeMap::from([("dhl".to_owned(), 30)]),
        policies: vec![
            Policy {
                id: "held".into(),
                conditions: Some(Match {
                    milestone: Some(vec![Milestone::OnHold]),
                    ..Match::default()
                }),
                first_scan: vec![],
                no_movement: vec![step(150, Severity::Notice), step(400, Severity::Notice)],
            },
            Policy {
                id: "rest".into(),
                conditions: None,
                first_scan: vec![step(50, Severity::Notice)],
                no_movement: vec![step(100, Severity::Warning), step(200, Severity::Critical)],
            },
        ],
    }
}

struct Example<'r> {
    model: Model<'r>,
    offset: i64,
}

impl<'r> Example<'r> {
    fn new(rules: &'r Rules) -> Self {
        Self { model: Model::new(rules, "set".into()), offset: 0 }
    }

    /// A physical scan of `ups:1`.
    fn scan(&mut self, log: i64, event: i64, milestone: Milestone) -> (Outcome, Vec<String>) {
        self.scan_of("ups", "1", log, Some(event), milestone, Evidence::Physical)
    }

    fn scan_of(
        &mut self,
        carrier: &str,
        number: &str,
        log: i64,
        event: Option<i64>,
        milestone: Milestone,
        evidence: Evidence,
    ) -> (Outcome, Vec<String>) {
        self.offset += 1;
        let scan = Scan {
            key: PackageKey::new(carrier, number).expect("a key"),
            milestone,
            evidence,
            event_time: event.map(|event| EventTime::from_secs(START + event)),
            log_time: LogTime::from_secs(START + log),
            offset: self.offset,
            attributes: Attributes::default(),
        };
        let outcome = self.model.apply(&Record::Scan(scan)).expect("a scan has an outcome");
        (outcome, self.events())
    }

    fn clock(&mut self, log: i64) -> Vec<String> {
        let log_time = Some(LogTime::from_secs(START + log));
        assert_eq!(self.model.apply(&Record::Rejected { log_time }), None);
        self.events()
    }

    fn advance(&mut self, to: i64) -> Vec<String> {
        self.model.advance(START + to);
        self.events()
    }

    fn finish(&mut self, until: Option<i64>) -> Vec<String> {
        self.model.finish(until.map(|until| START + until));
        self.events()
    }

    fn events(&mut self) -> Vec<String> {
        self.model.take_events().iter().map(summary).collect()
    }
}

fn summary(event: &ExceptionEvent) -> String {
    format!(
        "{} {} {} step {} deadline {} silent {} last {} #{}",
        event.change.as_str(),
        event.key,
        event.severity.as_str(),
        event.step,
        event.deadline.secs() - START,
        event.silent_for_s,
        event.last_milestone.as_str(),
        event.sequence
    )
}

const NONE: [&str; 0] = [];

#[test]
fn a_package_that_goes_quiet_is_reported_escalated_and_resolved() {
    let rules = rules();
    let mut example = Example::new(&rules);
    assert_eq!(example.scan(0, 0, Milestone::Arrived), (Outcome::Applied, vec![]));
    assert_eq!(example.advance(99), NONE);
    assert_eq!(
        example.advance(100),
        ["opened ups:1 warning step 0 deadline 100 silent 100 last arrived #0"]
    );
    assert_eq!(
        example.scan(230, 220, Milestone::Departed),
        (
            Outcome::Applied,
            vec![
                "escalated ups:1 critical step 1 deadline 200 silent 200 last arrived #1".into(),
                "resolved ups:1 critical step 1 deadline 200 silent 220 last arrived #2".into(),
            ]
        )
    );
}

#[test]
fn a_scan_in_the_second_of_the_deadline_comes_too_late_and_is_retracted_if_it_moved_in_time() {
    let rules = rules();
    let mut example = Example::new(&rules);
    example.scan(0, 0, Milestone::Arrived);
    let (outcome, events) = example.scan(100, 99, Milestone::Departed);
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(
        events,
        [
            "opened ups:1 warning step 0 deadline 100 silent 100 last arrived #0",
            "retracted ups:1 warning step 0 deadline 100 silent 99 last arrived #1"
        ]
    );
}

#[test]
fn what_a_record_makes_overdue_waits_for_the_next_second_and_for_the_catch_up_grace() {
    let rules = rules();
    let mut example = Example::new(&rules);
    assert_eq!(example.scan(500, 290, Milestone::Arrived), (Outcome::Applied, vec![]));
    assert_eq!(example.clock(500), NONE);
    assert_eq!(example.clock(509), NONE);
    assert_eq!(
        example.clock(510),
        [
            "opened ups:1 warning step 0 deadline 390 silent 100 last arrived #0",
            "escalated ups:1 critical step 1 deadline 490 silent 200 last arrived #1"
        ]
    );
}

#[test]
fn finish_looks_once_more_and_forgets_nothing() {
    let rules = rules();
    let mut example = Example::new(&rules);
    example.scan(500, 500, Milestone::OnHold);
    assert_eq!(example.finish(None), NONE);
    assert_eq!(
        example.finish(Some(5_000)),
        [
            "opened ups:1 notice step 0 deadline 650 silent 150 last on_hold #0",
            "escalated ups:1 notice step 1 deadline 900 silent 400 last on_hold #1"
        ]
    );
}

#[test]
fn a_hold_keeps_anchor_and_exception_and_changes_the_ladder_in_force() {
    let rules = rules();
    let mut example = Example::new(&rules);
    example.scan(0, 0, Milestone::Arrived);
    assert_eq!(example.clock(100).len(), 1);
    let hold = example.scan(120, 110, Milestone::OnHold);
    assert_eq!(hold, (Outcome::Applied, vec![]));
    assert_eq!(
        example.clock(150),
        ["escalated ups:1 warning step 0 deadline 150 silent 150 last on_hold #1"]
    );
    assert_eq!(example.scan(160, 0, Milestone::Departed), (Outcome::Confirmed, vec![]));
    assert_eq!(
        example.clock(400),
        ["escalated ups:1 warning step 1 deadline 400 silent 400 last on_hold #2"]
    );
}

#[test]
fn labels_count_from_the_first_and_the_first_tendered_starts_the_watch_anew() {
    let rules = rules();
    let mut example = Example::new(&rules);
    assert_eq!(example.scan(0, 0, Milestone::LabelCreated).0, Outcome::Applied);
    assert_eq!(example.scan(5, 5, Milestone::LabelCreated).0, Outcome::Confirmed);
    assert_eq!(example.scan(6, -20, Milestone::LabelCreated).0, Outcome::Applied);
    assert_eq!(
        example.clock(30),
        ["opened ups:1 notice step 0 deadline 30 silent 50 last label_created #0"]
    );
    assert_eq!(example.scan(40, 40, Milestone::Tendered), (Outcome::Applied, vec![]));
    assert_eq!(example.scan(41, 41, Milestone::Tendered), (Outcome::Confirmed, vec![]));
    assert_eq!(
        example.scan(70, 70, Milestone::PickedUp).1,
        ["resolved ups:1 notice step 0 deadline 30 silent 90 last tendered #1"]
    );
}

#[test]
fn a_package_is_given_up_by_the_log_clock_after_its_steps() {
    let rules = rules();
    let mut example = Example::new(&rules);
    example.scan_of("dhl", "1", 0, None, Milestone::Arrived, Evidence::Physical);
    assert_eq!(example.advance(1_000).len(), 2);
    assert_eq!(example.clock(999), NONE);
    assert_eq!(
        example.clock(1_000),
        ["expired dhl:1 critical step 1 deadline 230 silent 1000 last arrived #2"]
    );
    let scan = |example: &mut Example<'_>, event| {
        let arrived = Milestone::Arrived;
        example.scan_of("dhl", "1", 1_000, Some(event), arrived, Evidence::Predicted).0
    };
    assert_eq!(scan(&mut example, 700), Outcome::TooOld);
    assert_eq!(scan(&mut example, 701), Outcome::Applied);
    assert_eq!(scan(&mut example, 701), Outcome::Informed);
}

#[test]
fn a_settled_package_wakes_only_by_a_new_life_or_a_return() {
    let rules = rules();
    let mut example = Example::new(&rules);
    example.scan(0, 0, Milestone::Arrived);
    assert_eq!(example.scan(10, -50, Milestone::Delivered).0, Outcome::Applied);
    assert_eq!(example.scan(11, 11, Milestone::Delivered).0, Outcome::Confirmed);
    assert_eq!(example.scan(12, 12, Milestone::Arrived).0, Outcome::AfterSettled);
    assert_eq!(example.scan(13, 0, Milestone::Returning).0, Outcome::AfterSettled);
    assert_eq!(example.scan(14, 1, Milestone::Returning).0, Outcome::Applied);
    assert_eq!(example.scan(15, 0, Milestone::Cancelled).0, Outcome::Stale);
    assert_eq!(example.scan(15, 1, Milestone::Cancelled).0, Outcome::Applied);
    assert_eq!(example.scan(16, 2, Milestone::Returned).0, Outcome::Applied);
    assert_eq!(example.scan(315, 3, Milestone::Cancelled).0, Outcome::Confirmed);
    assert_eq!(example.scan(316, 17, Milestone::Cancelled).0, Outcome::Applied);
    assert_eq!(example.scan(317, 18, Milestone::LabelCreated).0, Outcome::Applied);
    assert_eq!(example.scan(318, -282, Milestone::LabelCreated).0, Outcome::EarlierLife);
}

#[test]
fn packages_of_one_look_come_by_due_second_then_carrier_then_number() {
    let rules = rules();
    let mut example = Example::new(&rules);
    let arrived = Milestone::Arrived;
    for (carrier, number, log) in
        [("ups", "9", 0), ("ups", "10", 0), ("usps", "1", 1), ("a", "2", 1)]
    {
        example.scan_of(carrier, number, log, None, arrived, Evidence::Physical);
    }
    let order = |events: Vec<String>| -> Vec<String> {
        let package = |event: &String| event.split(' ').take(2).collect::<Vec<_>>().join(" ");
        events.iter().map(package).collect()
    };
    assert_eq!(
        order(example.clock(200)),
        [
            "opened ups:10",
            "opened ups:9",
            "opened a:2",
            "opened usps:1",
            "escalated ups:10",
            "escalated ups:9"
        ]
    );
}
