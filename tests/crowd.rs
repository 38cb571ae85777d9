//! Many packages at once: order, bounded calls, room that is used again.

use std::collections::BTreeMap;
use std::sync::Arc;

use stallwatch::detector::exception::{Change, Severity};
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::policy::{Defaults, Policy, PolicySet, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::shard::{Shard, Stop};
use stallwatch::detector::time::{Frontier, LogTime};

const START: i64 = 1_772_409_600;
const DAY: i64 = 86_400;

fn policies() -> Arc<PolicySet> {
    let step = |after, severity| Step { after, severity, name: "stalled".into() };
    let policy = Policy {
        id: "all".into(),
        conditions: None,
        first_scan: vec![step(2 * DAY, Severity::Warning)],
        no_movement: vec![step(2 * DAY, Severity::Warning), step(7 * DAY, Severity::Critical)],
    };
    Arc::new(PolicySet::new(Defaults::default(), BTreeMap::new(), vec![policy]).unwrap())
}

/// Numbers of all kinds: packed as letters, packed as digits, too long and too odd for either.
fn key(number: u64) -> PackageKey {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let (carrier, text) = match number % 5 {
        0 => ("ups", format!("1Z{mixed:016}")),
        1 => ("usps", format!("94001{mixed:017}")),
        2 => ("dhl", format!("0034043{mixed:024}")),
        3 => ("local-courier", format!("#{mixed}/A")),
        _ => ("fedex", format!("{mixed:012}")),
    };
    PackageKey::new(carrier, &text).unwrap()
}

fn scan<'a>(key: PackageKey, milestone: Milestone, at: i64, facility: &'a str) -> Record<'a> {
    let attributes = Attributes { facility: Some(facility), ..Attributes::default() };
    Record::Scan(Scan {
        key,
        milestone,
        evidence: Evidence::Physical,
        event_time: None,
        log_time: LogTime::from_secs(at),
        offset: 0,
        attributes,
    })
}

fn apply(shard: &mut Shard, records: &[Record<'_>]) {
    let (mut applied, mut outcomes) = (0, Vec::new());
    while applied < records.len() {
        let call = shard.apply(&records[applied..], &mut outcomes);
        assert_ne!(call.stop, Stop::Full);
        applied += call.records;
    }
}

#[test]
fn thirty_thousand_packages_due_in_one_second_open_in_order_over_many_calls() {
    const PACKAGES: u64 = 30_000;
    let mut shard = Shard::new(policies());
    let records: Vec<_> =
        (0..PACKAGES).map(|number| scan(key(number), Milestone::Arrived, START, "MEM")).collect();
    apply(&mut shard, &records);
    let due = Frontier::from_secs(START + 2 * DAY);
    let mut calls = 0;
    let mut events = Vec::new();
    let mut most = 0;
    loop {
        calls += 1;
        let done = shard.advance(due);
        let brought = shard.take_outbox();
        most = most.max(brought.len());
        events.extend(brought);
        if done {
            break;
        }
    }
    assert!(calls > 100, "{calls} calls");
    assert!(most < 100, "{most} events of one call");
    assert_eq!(events.len(), PACKAGES as usize);
    assert!(events.iter().all(|event| event.change == Change::Opened));
    assert!(events.is_sorted_by(|a, b| a.key < b.key), "carrier, then number");
}

#[test]
fn nothing_is_applied_before_its_second_is_drained() {
    let mut shard = Shard::new(policies());
    let records: Vec<_> =
        (0..20_000).map(|number| scan(key(number), Milestone::Arrived, START, "MEM")).collect();
    apply(&mut shard, &records);
    let late = scan(key(19_999), Milestone::Departed, START + 2 * DAY, "MEM");
    let mut outcomes = Vec::new();
    let mut events = Vec::new();
    while shard.apply(std::slice::from_ref(&late), &mut outcomes).records == 0 {
        assert!(outcomes.is_empty());
        events.extend(shard.take_outbox());
    }
    events.extend(shard.take_outbox());
    let opened = events.iter().filter(|event| event.change == Change::Opened).count();
    assert_eq!((opened, events.len()), (20_000, 20_001));
    assert_eq!(events.last().unwrap().change, Change::Resolved);
    assert_eq!(events.last().unwrap().key, key(19_999));
}

#[test]
fn a_million_facility_names_leave_nothing_behind() {
    let mut shard = Shard::new(policies());
    let names: Vec<String> = (0..1_000_000).map(|number| format!("FACILITY-{number}")).collect();
    for (at, names) in names.chunks(1_000).enumerate() {
        let records: Vec<_> = (0..)
            .zip(names)
            .map(|(number, name)| scan(key(number), Milestone::Arrived, START + at as i64, name))
            .collect();
        apply(&mut shard, &records);
        // Those in use, those of the call before, and the few that are kept for nobody.
        assert!(shard.stats().texts <= 2_600, "{} texts", shard.stats().texts);
    }
    let view = shard.package(&key(7)).unwrap();
    assert_eq!(view.attributes.facility.as_deref(), Some("FACILITY-999007"));
}

#[test]
fn a_table_that_grows_and_churns_finds_every_package_and_no_other() {
    const PACKAGES: u64 = 120_000;
    let mut shard = Shard::new(policies());
    for round in 0..3 {
        let at = START + round as i64 * 80 * DAY;
        let numbers = round * PACKAGES / 2..round * PACKAGES / 2 + PACKAGES;
        let records: Vec<_> = numbers
            .clone()
            .map(|number| scan(key(number), Milestone::Arrived, at, "MEM"))
            .collect();
        apply(&mut shard, &records);
        shard.take_outbox();
        assert_eq!(shard.len(), PACKAGES as usize, "those of the round before are forgotten");
        for number in 0..3 * PACKAGES {
            let known = shard.package(&key(number)).is_some();
            assert_eq!(known, numbers.contains(&number), "package {number} in round {round}");
        }
    }
}
