//! Very many packages that fall due within one second.

use std::collections::BTreeMap;

use rdkafka::message::Message;

use crate::broker::{Broker, shared};
use crate::client::{end_offsets, produce, read};
use crate::scans::{Scan, one_step};
use crate::service::Setup;
use crate::wait::now_secs;

const PACKAGES: usize = 20_000;
const PARTITIONS: i32 = 2;
/// Long enough for all of them to be read before.
const AFTER_S: i64 = 10;
/// A pace at which a whole budget takes several times as long as a transaction may.
const BYTES_A_SECOND: u32 = 100_000;

/// What the log says of contents that no transaction took.
const IN_PARTS: &str = "too much for one transaction and is said in parts";

/// Records that stand in the exceptions topic.
pub fn out(setup: &Setup) -> usize {
    let ends = end_offsets(&setup.bootstrap, &setup.exceptions());
    usize::try_from(ends.values().sum::<i64>()).unwrap_or_default()
}

/// Has the broker take what the service writes at a pace of ours, or at any.
fn set_pace(broker: &Broker, setup: &Setup, change: &str) {
    broker.shell(&format!(
        "kafka-configs.sh --bootstrap-server {} --alter {change} --entity-type clients \
         --entity-name stallwatch-{}",
        broker.bootstrap(),
        setup.instance()
    ));
}

#[test]
fn a_flood_that_a_transaction_is_too_short_for_comes_out_in_parts_and_once_each() {
    let settings = [("message.timestamp.type", "CreateTime")];
    let setup = Setup::with_scans(shared(), "flood", PARTITIONS, "json", &settings)
        .policies(one_step("10s"))
        .with("kafka", "session_timeout = \"10s\"")
        .with("kafka", "transaction_timeout = \"2s\"");
    set_pace(shared(), &setup, &format!("--add-config producer_byte_rate={BYTES_A_SECOND}"));
    let mut service = setup.start();
    let second = now_secs();
    let scan = |at| Scan::new(&format!("F{at:05}"), "arrived", second * 1_000).json();
    produce(&setup.bootstrap, &setup.scans(), (0..PACKAGES).map(scan));
    service.wait("word of what was too large", |service| {
        service.log().contains(IN_PARTS).then_some(())
    });
    service.wait("some parts are out", |_| (out(&setup) >= PACKAGES / 2).then_some(()));
    service.kill();
    set_pace(shared(), &setup, "--delete-config producer_byte_rate");
    let mut service = setup.start();
    service.wait_frontier(PARTITIONS, second + AFTER_S);
    service.stop();
    assert_each_once(&setup, PACKAGES);
}

/// A subscriber sees one event of each of so many packages.
pub fn assert_each_once(setup: &Setup, packages: usize) {
    let mut counts = BTreeMap::<Vec<u8>, usize>::new();
    for record in read(&setup.bootstrap, &setup.exceptions()) {
        *counts.entry(record.key().expect("a key").to_vec()).or_default() += 1;
    }
    let more: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(3).collect();
    assert_eq!((counts.len(), more.len()), (packages, 0), "{more:?}");
}
