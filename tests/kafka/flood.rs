//! Very many packages that fall due within one second.

use std::collections::BTreeMap;

use rdkafka::message::Message;

use crate::broker::Broker;
use crate::client::{end_offsets, produce, read};
use crate::scans::Scan;
use crate::service::{PATIENCE, Setup};
use crate::wait::{now_secs, until, until_second};

const PACKAGES: usize = 20_000;
const PARTITIONS: i32 = 2;
/// Long enough for all of them to be read before.
const AFTER_S: i64 = 10;
/// Longer than a transaction may take.
const AWAY_S: i64 = 4;
const POLICIES: &str = r#"
version = 1
[defaults]
catch_up_grace = "0s"
[[policy]]
id = "everything"
first_scan = [ { after = "10s", severity = "warning" } ]
no_movement = [ { after = "10s", severity = "warning" } ]
"#;

/// What the log says of contents that no transaction took.
const IN_PARTS: &str = "too much for one transaction and is said in parts";

/// Records that stand in the exceptions topic.
fn out(setup: &Setup) -> usize {
    let ends = end_offsets(&setup.bootstrap, &setup.exceptions());
    usize::try_from(ends.values().sum::<i64>()).unwrap_or_default()
}

/// Waits until so many records stand in the exceptions topic.
fn wait_out(setup: &Setup, least: usize) {
    until(
        "exceptions come out",
        PATIENCE,
        || (out(setup) >= least).then_some(()),
        || format!("{} are out", out(setup)),
    );
}

#[test]
fn a_flood_that_a_transaction_is_too_short_for_comes_out_in_parts_and_once_each() {
    let broker = Broker::start();
    let settings = [("message.timestamp.type", "CreateTime")];
    let setup = Setup::with_scans(&broker, "flood", PARTITIONS, "json", &settings)
        .policies(POLICIES)
        .with("kafka", "session_timeout = \"10s\"")
        .with("kafka", "transaction_timeout = \"2s\"");
    let service = setup.start();
    let second = now_secs();
    let scan = |at| Scan::new(&format!("F{at:05}"), "arrived", second * 1_000).json();
    produce(&setup.bootstrap, &setup.scans(), (0..PACKAGES).map(scan));
    wait_out(&setup, 1);
    // Until it was in the middle of a transaction: each time longer than one may take.
    while !service.log().contains(IN_PARTS) && out(&setup) < PACKAGES {
        broker.pause();
        until_second(now_secs() + AWAY_S);
        broker.resume();
        wait_out(&setup, out(&setup) + 1);
    }
    wait_out(&setup, PACKAGES / 2);
    let log = service.log();
    service.kill();
    let mut service = setup.start();
    service.wait_frontier(PARTITIONS, second + AFTER_S);
    service.stop();
    let mut counts = BTreeMap::<Vec<u8>, usize>::new();
    for record in read(&setup.bootstrap, &setup.exceptions()) {
        *counts.entry(record.key().expect("a key").to_vec()).or_default() += 1;
    }
    let more: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(3).collect();
    assert_eq!((counts.len(), more.len()), (PACKAGES, 0), "{more:?}\n{log}");
    assert!(log.contains(IN_PARTS), "{log}");
}
