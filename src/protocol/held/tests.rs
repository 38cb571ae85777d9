use std::sync::Arc;

use super::*;
use crate::detector::exception::Severity;
use crate::detector::key::PackageKey;
use crate::detector::policy::{Defaults, Policy, PolicySet, Step};
use crate::detector::scan::{Attributes, Evidence, Milestone, Scan};
use crate::protocol::ownership::Ownership;
use crate::protocol::plain::Plain;

const START: i64 = 1_772_438_400;
const DAY: i64 = 86_400;

/// One policy that opens after so many days.
fn policies(days: i64) -> Arc<PolicySet> {
    let step = Step { after: days * DAY, severity: Severity::Warning, name: "stalled".into() };
    let policy = Policy {
        id: "all".into(),
        conditions: None,
        first_scan: Vec::new(),
        no_movement: vec![step],
    };
    let defaults = Defaults { forget_after: 30 * days * DAY, ..Defaults::default() };
    Arc::new(PolicySet::new(defaults, BTreeMap::new(), vec![policy]).unwrap())
}

/// A partition with a hundred packages a second, of which nothing has come out.
fn held(packages: usize) -> Held<Plain, ()> {
    let policies = policies(2);
    let ready = Ready {
        decisions: Decisions::beginning_at(0, Retention::of(&policies)),
        packages: Plain(Shard::new(policies)),
        offset: 0,
        backfill: Backfill::Publish,
        last: None,
        closings: Vec::new(),
        rows: Vec::new(),
        stamp: None,
        resume: None,
        open: OpenSum::default(),
        topic_id: None,
        partitions: 1,
        read_anew: false,
    };
    let epoch = Ownership::default().assigned(0);
    let mut held = Held::new(0, epoch, ready, 10_000);
    let record = |number: usize| {
        Record::Scan(Scan {
            key: PackageKey::new("ups", &format!("P{number}")).unwrap(),
            milestone: Milestone::Arrived,
            evidence: Evidence::Physical,
            event_time: None,
            log_time: LogTime::from_secs(START + number as i64 / 100),
            offset: number as i64,
            attributes: Attributes::default(),
        })
    };
    let records: Vec<_> = (0..packages).map(record).collect();
    held.apply(&records, |at| at as i64, &mut Vec::new()).1.unwrap();
    held
}

#[test]
fn a_frontier_with_very_much_to_say_goes_on_from_cut_to_cut_and_says_all_of_it() {
    let (packages, budget) = (10_000, 1_000);
    let mut held = held(packages);
    let today = policies(2);
    held.cut(&today, budget);
    let to = Frontier::from_secs(START + 10 * DAY);
    let mut said = Vec::new();
    let mut cuts = 0;
    while said.len() < packages {
        held.advance(to);
        held.advance(to);
        let cut = held.cut(&today, budget);
        assert!(cut.events.len() <= budget / RECORDS_PER_EVENT + 8, "{}", cut.events.len());
        assert!(!cut.events.is_empty());
        said.extend(cut.events.into_iter().map(|event| event.deadline.secs()));
        cuts += 1;
    }
    assert!(held.advance(to));
    let cut = held.cut(&today, budget);
    assert_eq!((cut.events.len(), cut.frontier), (0, Some(to)));
    assert!((19..=20).contains(&cuts), "{cuts}");
    assert!(said.is_sorted());
}

#[test]
fn other_policies_are_in_force_from_the_cut_that_was_taken_under_those_before() {
    let mut held = held(100);
    let (before, after) = (policies(2), policies(1));
    held.advance(Frontier::from_secs(START + DAY + 10));
    let cut = held.cut(&after, 10_000);
    assert_eq!((cut.events.len(), cut.policies_change), (0, true));
    assert_eq!(cut.policies, *before.hash());
    assert_eq!(cut.decisions.settings.len(), 1, "the decisions are those before it");
    held.advance(Frontier::from_secs(START + DAY + 11));
    let cut = held.cut(&after, 10_000);
    assert_eq!((cut.events.len(), cut.policies_change), (100, false));
    assert_eq!(cut.policies, *after.hash());
    let line = cut.decisions.settings.last().unwrap();
    assert_eq!((line.from, line.retention()), (100, Retention::of(&after)));
}

#[test]
fn a_first_start_opens_what_a_transaction_takes_and_no_more_of_it_stands_in_memory() {
    let mut held = Held { backfill: Backfill::Pending, ..held(1_000) };
    held.packages.set_log_clock(Some(LogTime::from_secs(START + 3 * DAY)));
    held.packages.go_live(None);
    held.packages.backfill();
    let today = policies(2);
    let mut said = Vec::new();
    for cuts in 1..=10 {
        assert_eq!(held.packages.waiting(), 0);
        let cut = held.cut(&today, 100 * RECORDS_PER_EVENT);
        assert_eq!(cut.events.len(), 100);
        assert_eq!(cut.is_full, cuts < 10, "the next cut is wanted at once");
        assert_eq!(cut.backfill == Backfill::Done, cuts == 10);
        said.extend(cut.events);
    }
    assert!(said.iter().all(|event| event.backfilled));
    assert!(said.is_sorted_by_key(|event| (event.deadline.secs(), event.key.clone())));
    assert!(held.cut(&today, 10_000).events.is_empty());
}

#[test]
fn a_first_start_is_published_to_its_end_before_other_policies_are_in_force() {
    let mut held = Held { backfill: Backfill::Pending, ..held(3) };
    let (before, after) = (policies(2), policies(1));
    held.advance(Frontier::from_secs(START + 2 * DAY));
    for left in [2, 1] {
        let cut = held.cut(&after, RECORDS_PER_EVENT);
        assert_eq!((cut.events.len(), cut.backfill), (1, Backfill::Pending), "{left} are left");
        held.pass(5);
        assert_eq!(held.packages().policies().hash(), before.hash());
    }
    let cut = held.cut(&after, RECORDS_PER_EVENT);
    assert_eq!((cut.backfill, &cut.policies), (Backfill::Done, before.hash()));
    held.pass(7);
    assert_eq!(held.packages().policies().hash(), after.hash());
}
