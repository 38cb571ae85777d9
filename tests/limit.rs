//! A shard with a limit of packages: it stops before the record that it has no room for, loses
//! nothing, and tells in the end what it would have told without a limit.

use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::policy::PolicySet;
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Outcome, Record, Scan};
use stallwatch::detector::shard::{Applied, Shard, Stop};
use stallwatch::detector::time::{Frontier, LogTime};
use stallwatch::wire::policy_file;

const START: i64 = 1_772_438_400;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Silence is told after two days; packages are forgotten after ten, settled ones after one.
const POLICIES: &str = r#"
version = 1
[defaults]
forget_after = "10d"
settled_retention = "1d"
[[policy]]
id = "everything"
first_scan = [ { after = "2d", severity = "warning" } ]
no_movement = [ { after = "2d", severity = "warning", name = "stalled" } ]
"#;

fn shard(limit: Option<usize>) -> Shard {
    let policies: PolicySet = policy_file::parse("policies.toml", POLICIES).expect("good policies");
    let mut shard = Shard::new(Arc::new(policies));
    shard.set_max_packages(limit);
    shard
}

fn scan(after_s: i64, number: &str, milestone: Milestone) -> Record<'static> {
    Record::Scan(Scan {
        key: PackageKey::new("ups", number).expect("a good key"),
        milestone,
        evidence: Evidence::Physical,
        event_time: None,
        log_time: LogTime::from_secs(START + after_s),
        offset: after_s,
        attributes: Attributes::default(),
    })
}

fn arrived(after_s: i64, number: &str) -> Record<'static> {
    scan(after_s, number, Milestone::Arrived)
}

/// Calls until the shard stops for good; how many records that took, and why it stopped.
fn apply(
    shard: &mut Shard,
    records: &[Record<'_>],
    outcomes: &mut Vec<Option<Outcome>>,
) -> (usize, Stop) {
    let mut done = 0;
    loop {
        let Applied { records: more, stop } = shard.apply(&records[done..], outcomes);
        done += more;
        if stop != Stop::Busy {
            return (done, stop);
        }
    }
}

#[test]
fn a_full_shard_stops_before_the_package_it_has_no_room_for_and_goes_on_with_those_it_knows() {
    let mut shard = shard(Some(2));
    let mut outcomes = Vec::new();
    let log = [arrived(0, "A"), arrived(1, "B"), arrived(2, "A"), arrived(3, "C"), arrived(4, "B")];
    assert_eq!(apply(&mut shard, &log, &mut outcomes), (3, Stop::Full));
    assert_eq!(outcomes, [Some(Outcome::Applied); 3]);
    assert_eq!(shard.len(), 2);
    assert_eq!(shard.log_clock(), Some(LogTime::from_secs(START + 3)), "the clocks were first");
    assert_eq!(apply(&mut shard, &log[4..], &mut outcomes), (1, Stop::End));
}

#[test]
fn a_record_whose_time_makes_room_is_applied() {
    for (milestone, after_s) in [(Milestone::Arrived, 10 * DAY), (Milestone::Delivered, DAY)] {
        let mut shard = shard(Some(1));
        let mut outcomes = Vec::new();
        let too_early = [scan(0, "OLD", milestone), arrived(after_s - 1, "NEW")];
        assert_eq!(apply(&mut shard, &too_early, &mut outcomes), (1, Stop::Full));
        let in_time = [arrived(after_s, "NEW")];
        assert_eq!(apply(&mut shard, &in_time, &mut outcomes), (1, Stop::End), "{milestone:?}");
        assert_eq!(shard.len(), 1);
        assert!(shard.package(&PackageKey::new("ups", "NEW").expect("a key")).is_some());
    }
}

#[test]
fn what_time_brings_before_a_record_without_room_is_told_once() {
    let mut shard = shard(Some(1));
    let mut outcomes = Vec::new();
    let log = [arrived(0, "A"), arrived(3 * DAY, "B")];
    assert_eq!(apply(&mut shard, &log, &mut outcomes), (1, Stop::Full));
    assert_eq!(shard.take_outbox().len(), 1, "the silence of A");
    assert_eq!(apply(&mut shard, &log[1..], &mut outcomes), (0, Stop::Full));
    assert_eq!(shard.take_outbox(), []);
}

/// Packages that come, move, stall, arrive and are forgotten.
fn journeys() -> Vec<Record<'static>> {
    let mut log = Vec::new();
    for turn in 0..200 {
        let at = turn * 7 * HOUR;
        log.push(arrived(at, &format!("P{turn}")));
        log.push(scan(at + 1, &format!("P{}", turn - turn % 5), Milestone::Departed));
        if turn % 3 == 0 {
            log.push(scan(at + 2, &format!("P{}", turn / 2), Milestone::Delivered));
        }
    }
    log
}

/// All that comes of a log; each time the shard is full it gets one place more.
fn told(mut shard: Shard, mut limit: usize) -> (Vec<Option<Outcome>>, Vec<ExceptionEvent>) {
    let log = journeys();
    let (mut outcomes, mut done) = (Vec::new(), 0);
    while done < log.len() {
        let (records, stop) = apply(&mut shard, &log[done..], &mut outcomes);
        done += records;
        if stop == Stop::Full {
            limit += 1;
            shard.set_max_packages(Some(limit));
        }
    }
    while !shard.finish(Some(Frontier::from_secs(START + 100 * DAY))) {}
    (outcomes, shard.take_outbox())
}

#[test]
fn a_limit_that_is_raised_whenever_it_is_reached_changes_nothing_of_what_is_told() {
    let unlimited = told(shard(None), usize::MAX);
    assert!(unlimited.1.len() > 100, "the log was to bring exceptions");
    assert_eq!(told(shard(Some(0)), 0), unlimited);
}
