//! What the demo promises of its network and of its ledger, without a Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare::{Comparison, Detected, compare};
use super::ledger;
use super::network::{Network, Settings};
use super::story::{Deed, Fate};
use super::time::END;
use crate::detector::exception::{Change, ExceptionEvent, Kind};
use crate::detector::key::PackageKey;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Effect, Evidence, Outcome, Record, Scan};
use crate::detector::shard::Shard;
use crate::detector::time::{EventTime, Frontier, LogTime};

const PARTITIONS: i32 = 4;

fn network(seed: u64, packages: u32) -> Network {
    Network::simulate(Settings { seed, packages, partitions: PARTITIONS })
}

fn policies() -> Arc<PolicySet> {
    Arc::new(super::policies())
}

/// The same stream through the detector directly, one shard a partition.
fn detect(network: &Network, policies: &Arc<PolicySet>) -> Vec<ExceptionEvent> {
    detect_and_tell(network, policies, &mut Vec::new())
}

fn detect_and_tell(
    network: &Network,
    policies: &Arc<PolicySet>,
    outcomes: &mut Vec<Option<Outcome>>,
) -> Vec<ExceptionEvent> {
    let mut shards: Vec<Shard> = (0..PARTITIONS).map(|_| Shard::new(policies.clone())).collect();
    let mut events = Vec::new();
    for (offset, report) in network.stream.iter().enumerate() {
        let package = network.package(report);
        let (carrier, number) = report.spelling.write(package.carrier, &package.number);
        let record = Record::Scan(Scan {
            key: PackageKey::new(&carrier, &number).unwrap(),
            milestone: report.event.milestone,
            evidence: report.event.evidence,
            event_time: report.said_ms.map(EventTime::from_millis),
            log_time: LogTime::from_millis(report.logged_ms),
            offset: offset as i64,
            attributes: network.attributes(report),
        });
        let shard = &mut shards[package.partition as usize];
        while shard.apply(std::slice::from_ref(&record), outcomes).records == 0 {}
        events.append(&mut shard.take_outbox());
    }
    for shard in &mut shards {
        while !shard.finish(Some(Frontier::from_secs(END))) {}
        events.append(&mut shard.take_outbox());
    }
    events
}

fn told(events: &[ExceptionEvent]) -> Vec<Detected> {
    let told = |event: &ExceptionEvent| Detected {
        key: event.key.clone(),
        kind: event.kind,
        change: event.change,
        at: None,
    };
    events.iter().map(told).collect()
}

#[test]
fn the_detector_misses_and_invents_nothing() {
    let policies = policies();
    for seed in 1..=20 {
        let network = network(seed, 3_000);
        let ledger = ledger::write(&network, &policies);
        let comparison = compare(&network, &ledger, &told(&detect(&network, &policies)));
        let agreed = ledger.len() as u64;
        assert_eq!(comparison, Comparison { agreed, ..Comparison::default() }, "seed {seed}");
    }
}

#[test]
fn an_exception_that_was_lost_is_found_missing() {
    let policies = policies();
    let network = network(1, 500);
    let ledger = ledger::write(&network, &policies);
    let mut events = detect(&network, &policies);
    let lost = events.remove(events.len() / 2);
    let comparison = compare(&network, &ledger, &told(&events));
    assert_eq!((comparison.missed, comparison.invented), (1, 0));
    assert_eq!(comparison.differences[0].package, lost.key.to_string());
    assert_eq!(comparison.differences[0].change, lost.change);
}

#[test]
fn an_exception_that_nobody_asked_for_is_found_invented() {
    let policies = policies();
    let network = network(1, 500);
    let ledger = ledger::write(&network, &policies);
    let mut events = detect(&network, &policies);
    let stranger = PackageKey::new("ups", "1Z999AA10123456784").unwrap();
    events.push(ExceptionEvent { key: stranger.clone(), ..events[0].clone() });
    events.push(events[1].clone());
    let comparison = compare(&network, &ledger, &told(&events));
    assert_eq!((comparison.missed, comparison.invented), (0, 2));
    let named = |key: &PackageKey| {
        comparison.differences.iter().any(|difference| difference.package == key.to_string())
    };
    assert!(named(&stranger) && named(&events[1].key));
}

#[test]
fn every_kind_and_change_happens() {
    let policies = policies();
    for seed in 1..=5 {
        let ledger = ledger::write(&network(seed, 5_000), &policies);
        for &kind in Kind::ALL {
            for &change in Change::ALL {
                assert!(
                    ledger.iter().any(|entry| entry.kind == kind && entry.change == change),
                    "seed {seed}: no {} {}",
                    kind.as_str(),
                    change.as_str()
                );
            }
        }
    }
}

#[test]
fn the_network_brings_about_every_outcome_of_a_scan() {
    let mut outcomes = Vec::new();
    detect_and_tell(&network(1, 20_000), &policies(), &mut outcomes);
    for &outcome in Outcome::ALL {
        assert!(outcomes.contains(&Some(outcome)), "no scan was {}", outcome.as_str());
    }
}

#[test]
fn a_seed_tells_the_same_story_again() {
    let tell = |seed| format!("{:?}", network(seed, 300).stream);
    assert_eq!(tell(7), tell(7));
    assert_ne!(tell(7), tell(8));
}

#[test]
fn the_stream_is_in_order_of_log_time_and_ends_in_time() {
    let network = network(3, 2_000);
    assert!(network.stream.is_sorted_by_key(|report| report.logged_ms));
    assert!(network.stream.last().unwrap().logged_ms < END * 1000);
}

#[test]
fn every_fate_is_met() {
    let network = network(4, 5_000);
    for fate in Fate::ALL {
        assert!(network.lives.iter().any(|life| life.fate == fate), "{}", fate.as_str());
    }
    assert!(network.lives.iter().any(|life| life.held));
    assert!(network.lives.len() > network.packages.len(), "numbers are used again");
}

#[test]
fn the_feed_delays_doubles_and_forgets() {
    let network = network(5, 5_000);
    let of_package = {
        let mut reports: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for report in &network.stream {
            reports.entry(report.life).or_default().push(report);
        }
        reports
    };
    let count = |what: &dyn Fn(&super::story::Report) -> bool| {
        network.stream.iter().filter(|report| what(report)).count()
    };
    assert!(count(&|report| report.said_ms.is_none()) > 100);
    assert!(count(&|report| report.said_ms.is_some_and(|said| said > report.logged_ms)) > 100);
    assert!(count(&|report| report.logged_ms - report.event.at * 1000 > 86_400_000) > 100);
    assert!(count(&|report| report.event.evidence == Evidence::Predicted) > 100);
    assert!(count(&|report| report.event.evidence == Evidence::System) > 100);
    let out_of_order = of_package
        .values()
        .filter(|reports| !reports.is_sorted_by_key(|report| report.event.at))
        .count();
    assert!(out_of_order > 100);
    let doubled = of_package.values().filter(|reports| {
        reports.iter().enumerate().any(|(index, report)| {
            reports[..index].iter().any(|other| {
                other.event.at == report.event.at && other.event.milestone == report.event.milestone
            })
        })
    });
    assert!(doubled.count() > 100);
}

#[test]
fn words_of_scans_agree_with_what_truly_happened() {
    for report in &network(6, 3_000).stream {
        let event = report.event;
        let expected = match event.deed {
            Deed::Labelled | Deed::Tendered => Effect::Registers,
            Deed::Moved => Effect::Moves,
            Deed::Rested | Deed::Declared => Effect::Holds,
            Deed::Ended | Deed::Voided => Effect::Settles,
            Deed::Announced | Deed::Remarked => Effect::Informs,
        };
        assert_eq!(event.milestone.effect(event.evidence), expected, "{event:?}");
        let in_hand = matches!(event.deed, Deed::Moved | Deed::Rested);
        assert!(!in_hand || event.evidence == Evidence::Physical, "{event:?}");
    }
}
