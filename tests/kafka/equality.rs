//! What subscribers read is what `replay` of the same log gives.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::broker::shared;
use crate::client::{NewRecord, end_offsets, produce, read};
use crate::judge::assert_equals_reference;
use crate::python;
use crate::scans::{AvroScans, JOURNEY_POLICIES, Scan, journeys};
use crate::service::Setup;
use crate::wait::{now_ms, now_secs};

/// Events of each package, in order.
pub type ByPackage = BTreeMap<(String, String), Vec<Value>>;

/// What is comparable of events: without `detected_time` and the record's place, by package.
pub fn by_package(events: impl IntoIterator<Item = Value>) -> ByPackage {
    let mut packages = ByPackage::new();
    for mut event in events {
        strip(&mut event);
        packages.entry(package(&event)).or_default().push(event);
    }
    packages
}

/// The lines of `replay`'s output.
pub fn lines(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Panics at the first package whose events differ.
pub fn assert_same(published: &ByPackage, replayed: &ByPackage) {
    for key in published.keys().chain(replayed.keys()) {
        let (left, right) = (published.get(key), replayed.get(key));
        assert!(
            left == right,
            "{key:?} differs\npublished: {}\nreplayed:  {}",
            shown(left),
            shown(right)
        );
    }
}

fn shown(events: Option<&Vec<Value>>) -> String {
    let events = events.map(Vec::as_slice).unwrap_or_default();
    events.iter().map(|event| format!("\n  {event}")).collect()
}

fn package(event: &Value) -> (String, String) {
    let text = |name: &str| event[name].as_str().expect("every event names its package").to_owned();
    (text("carrier"), text("tracking_number"))
}

fn strip(event: &mut Value) {
    let fields = event.as_object_mut().expect("an event is an object");
    fields.remove("detected_time");
    fields.remove("_kafka");
    fields.retain(|_, value| !value.is_null());
    if let Some(closed_by) = fields.get_mut("closed_by").and_then(Value::as_object_mut) {
        closed_by.retain(|_, value| !value.is_null());
    }
}

/// The last event of every exception that these events leave open.
pub fn left_open(events: &ByPackage) -> Vec<Value> {
    let mut open = BTreeMap::new();
    for event in events.values().flatten() {
        let key = (package(event), event["kind"].as_str().map(str::to_owned));
        let closes =
            ["resolved", "retracted", "expired"].map(Value::from).contains(&event["change"]);
        if closes {
            open.remove(&key);
        } else {
            open.insert(key, event.clone());
        }
    }
    open.into_values().collect()
}

/// Compares topic and `open` table of a service that has stopped with a replay of its log.
pub fn assert_equals_replay(setup: &Setup) -> ByPackage {
    assert_equals_replay_of(setup, &setup.scans())
}

/// The same, of the log on another topic: all that the topic of scans ever had.
pub fn assert_equals_replay_of(setup: &Setup, topic: &str) -> ByPackage {
    let published = by_package(setup.published());
    let until = now_secs();
    let log = setup.file("log");
    let broken = python::export(&setup.bootstrap, topic, setup.format, &log);
    assert_eq!(broken, count(&setup.bootstrap, &setup.dead_letters()), "a dead letter for each");
    let replayed = by_package(lines(&setup.replay(&log, until)));
    assert_same(&published, &replayed);

    let table = by_package(setup.open_table());
    let table: Vec<_> = table.into_values().flatten().collect();
    assert_eq!(sorted(table), sorted(left_open(&replayed)), "the `open` table");
    replayed
}

/// How many committed records a topic has.
fn count(bootstrap: &str, topic: &str) -> u64 {
    read(bootstrap, topic).len() as u64
}

fn sorted(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| (package(event), event["kind"].to_string()));
    events
}

/// A service over so many packages' journeys, with some poison between, all logged in the past.
pub fn journeys_on_a_topic(
    name: &str,
    packages: usize,
    partitions: i32,
    format: &'static str,
) -> Setup {
    let setup = Setup::new(shared(), name, partitions, format).policies(JOURNEY_POLICIES);
    let log = journeys(packages, now_ms(), 0x5ca1_ab1e);
    produce(&setup.bootstrap, &setup.scans(), records(&log, format));
    let ends = end_offsets(&setup.bootstrap, &setup.scans());
    assert_eq!(ends.len(), usize::try_from(partitions).expect("a small number"));
    assert!(ends.values().all(|&end| end > 0), "every partition has scans: {ends:?}");
    setup
}

fn records(log: &[Scan], format: &'static str) -> impl Iterator<Item = NewRecord> {
    let mut avro = (format == "avro").then(AvroScans::new);
    log.iter().enumerate().map(move |(number, scan)| {
        let mut record = match &mut avro {
            Some(avro) => avro.record(scan),
            None => scan.json(),
        };
        if number % 4_999 == 17 {
            record.value = Some(b"\xffpoison".to_vec());
        }
        record
    })
}

/// Runs the service to the end of the log and stops it.
pub fn run_to_the_end(setup: &Setup) {
    let started = now_secs();
    let mut service = setup.start();
    service.wait_frontier(setup.partitions, started - 2);
    service.stop();
}

fn assert_every_change_occurs(events: &ByPackage) {
    for change in ["opened", "escalated", "resolved", "retracted", "expired"] {
        let occurs = events.values().flatten().any(|event| event["change"] == change);
        assert!(occurs, "the log was to bring some that are {change}");
    }
}

#[test]
fn two_hundred_thousand_avro_scans_give_what_replay_and_reference_give_and_the_open_table_agrees() {
    let setup = journeys_on_a_topic("avro", 20_000, 8, "avro");
    run_to_the_end(&setup);
    assert_every_change_occurs(&assert_equals_replay(&setup));
    assert_equals_reference(&setup);
}

#[test]
fn two_hundred_thousand_json_scans_give_what_replay_and_reference_give_and_the_open_table_agrees() {
    let setup = journeys_on_a_topic("json", 20_000, 8, "json");
    run_to_the_end(&setup);
    assert_every_change_occurs(&assert_equals_replay(&setup));
    assert_equals_reference(&setup);
}

#[test]
fn kcat_reads_the_exceptions() {
    let setup = Setup::new(shared(), "kcat", 1, "json").policies(JOURNEY_POLICIES);
    let scan = Scan::new("1Z999AA10123456784", "arrived", now_ms() - 30 * 86_400_000);
    produce(&setup.bootstrap, &setup.scans(), [scan.json()]);
    run_to_the_end(&setup);
    let topic = setup.exceptions();
    let read = ["-b", &setup.bootstrap, "-t", &topic, "-C", "-e", "-q", "-f", "%k %h %s\n"];
    let printed = python::kcat(&read);
    let printed: Vec<_> = printed.lines().collect();
    assert_eq!(printed.len(), 2, "opened and escalated: {printed:?}");
    for (line, change) in printed.iter().zip(["opened", "escalated"]) {
        assert!(line.starts_with("ups:1Z999AA10123456784 "), "{line}");
        assert!(line.contains(&format!("ce_type=io.stallwatch.exception.{change}.v1")), "{line}");
        assert!(line.contains(&format!("\"change\":\"{change}\"")), "{line}");
    }
}
