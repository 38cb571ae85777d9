//! Errors that the client calls fatal are not the end of an instance: it joins again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::broker::{Broker, shared};
use crate::client::{NewRecord, committing, end_offset, produce, read};
use crate::equality::assert_equals_replay;
use crate::evidence::{SHORT_POLICIES, STEP_S};
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, now_secs, until, until_second};

const PARTITIONS: i32 = 4;
/// Longer than the session of a member, each time by more.
const AWAY_S: [i64; 3] = [7, 11, 16];
/// By then the broker has looked for transactions that are out of time.
const ENDED_S: i64 = 12;

fn setup(broker: &Broker, name: &str) -> Setup {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    Setup::with_scans(broker, name, PARTITIONS, "json", &settings)
        .policies(SHORT_POLICIES)
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"")
}

/// Two instances and a broker that is not there for a while, again and again; scans before, between
/// and after.
fn survives(name: &str, mut without_broker: impl FnMut(&mut Broker, i64)) {
    let mut broker = Broker::start();
    let setup = setup(&broker, name);
    let begun = Instant::now();
    let mut services = [setup.spawn_as("one"), setup.spawn_as("two")];
    services.iter_mut().for_each(Service::wait_ready);
    let scan = |round: usize, at| Scan::new(&format!("R{round}P{at}"), "arrived", now_ms()).json();
    let log_scans = |round| {
        produce(&setup.bootstrap, &setup.scans(), (0..12).map(|at| scan(round, at)));
        now_secs() + STEP_S + 2
    };
    for (round, away) in AWAY_S.into_iter().enumerate() {
        log_scans(round);
        without_broker(&mut broker, away);
        let quiet = log_scans(round + AWAY_S.len());
        wait_frontiers(&mut services, quiet);
    }
    services.iter().for_each(|service| assert_few_repeats(&service.log(), begun.elapsed()));
    services.into_iter().for_each(Service::stop);
    let replayed = assert_equals_replay(&setup);
    assert_eq!(replayed.len(), 12 * 2 * AWAY_S.len(), "every package fell silent");
}

/// Warnings that differ in numbers alone, for a partition each, are written once a minute.
fn assert_few_repeats(log: &str, length: Duration) {
    let most = PARTITIONS as usize * (length.as_secs() as usize / 60 + 1);
    let mut counts = BTreeMap::<String, usize>::new();
    for line in log.lines().filter(|line| line.contains(" WARN ")) {
        *counts.entry(line.replace(|it: char| it.is_ascii_digit(), "")).or_default() += 1;
    }
    let often: Vec<_> = counts.into_iter().filter(|(_, count)| *count > most).collect();
    assert!(often.is_empty(), "{often:#?}\n{log}");
}

/// Waits until every partition has reached a second with whoever holds it.
fn wait_frontiers(services: &mut [Service; 2], second: i64) {
    let [one, two] = services;
    one.wait("the frontier of every partition", |one| {
        assert!(two.ended().is_none(), "the other has ended\n{}", two.log());
        let metrics = [one.metrics()?, two.metrics()?];
        let reached = |partition: i32| {
            let label = [("partition", partition.to_string())];
            let name = "stallwatch_frontier_timestamp_seconds";
            metrics.iter().filter_map(|it| it.value(name, &label)).any(|it| it >= second as f64)
        };
        (0..PARTITIONS).all(reached).then_some(())
    });
}

#[test]
fn a_broker_that_is_gone_for_longer_than_the_session_ends_no_instance_and_loses_nothing() {
    survives("gone", |broker, away| {
        broker.stop();
        until_second(now_secs() + away);
        broker.run();
    });
}

#[test]
fn a_broker_that_stands_still_for_longer_than_the_session_ends_no_instance_and_loses_nothing() {
    survives("still", |broker, away| {
        broker.pause();
        until_second(now_secs() + away);
        broker.resume();
    });
}

#[test]
fn of_two_processes_with_one_instance_id_one_ends_and_names_the_other_and_the_other_works() {
    let setup = setup(shared(), "twins");
    let mut first = setup.spawn_as("twin");
    first.wait_ready();
    let mut twins = [first, setup.spawn_as("twin")];
    let log = setup.file("twin.log");
    let (ended, status) = until(
        "one of the twins ends",
        PATIENCE,
        || {
            let ended = |at: usize| Some((at, twins[at].ended()?));
            (0..2).find_map(ended)
        },
        || std::fs::read_to_string(&log).unwrap_or_default(),
    );
    let log = twins[0].log();
    assert_eq!(status.code(), Some(1), "{log}");
    let said = log.lines().find(|line| line.starts_with("error: ")).expect("the last words");
    for part in ["kafka.instance_id = \"twin\"", "client stallwatch-twin at /127.0.0.1"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let [one, two] = twins;
    let mut other = if ended == 0 { two } else { one };
    let begun = now_secs();
    produce(&setup.bootstrap, &setup.scans(), [Scan::new("T1", "arrived", now_ms()).json()]);
    other.wait_frontier(PARTITIONS, begun + STEP_S + 2);
    other.stop();
    assert_eq!(assert_equals_replay(&setup).len(), 1);
}

/// A transaction of an instance's name that nobody ends: records of a topic, a key and a value each,
/// in its first partition, and an offset of the group, if one.
fn leave_open(
    setup: &Setup,
    instance: &str,
    records: &[(String, &str, &str)],
    offset: Option<i64>,
) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("transactional.id", format!("{}/{instance}", setup.group()))
        .set("transaction.timeout.ms", "1000")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    for (topic, key, value) in records {
        let record = BaseRecord::<str, str>::to(topic).partition(0).key(key).payload(value);
        producer.send(record).expect("room");
    }
    producer.flush(PATIENCE).expect("the broker takes every record");
    if let Some(offset) = offset {
        let mut offsets = TopicPartitionList::new();
        let offset = Offset::Offset(offset);
        offsets.add_partition_offset(&setup.scans(), 0, offset).expect("an offset");
        let group = committing(&setup.bootstrap, &setup.group()).group_metadata();
        let group = group.expect("a group");
        // A broker that has just started takes its time until it coordinates a group.
        until(
            "the offset is in the transaction",
            PATIENCE,
            || match producer.send_offsets_to_transaction(&offsets, &group, PATIENCE) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() => None,
                sent => sent.map(Some).expect("an offset"),
            },
            String::new,
        );
    }
    // Its destructor would end the transaction.
    std::mem::forget(producer);
}

/// The broker goes while a transaction is open, and comes back once that has timed out.
fn start_again(broker: &mut Broker) {
    broker.stop();
    until_second(now_secs() + 2);
    broker.run();
}

/// Those of these topics that hang for good: the broker has ended all that it knows to be open.
fn left_hanging(setup: &Setup, topics: &[String]) -> Vec<String> {
    until_second(now_secs() + ENDED_S);
    topics.iter().filter(|topic| hangs(setup, topic)).cloned().collect()
}

/// Whether readers of committed data stand before the end of a partition.
fn hangs(setup: &Setup, topic: &str) -> bool {
    let end = |isolation| end_offset(&setup.bootstrap, topic, isolation);
    end("read_committed") < end("read_uncommitted")
}

#[test]
fn a_transaction_that_a_restart_of_the_broker_leaves_without_an_end_is_ended_by_the_next_start() {
    let mut broker = Broker::start();
    let setup = setup(&broker, "left").with("kafka", "patience = \"60s\"");
    let topics = [setup.open(), setup.exceptions(), setup.dead_letters()];
    leave_open(
        &setup,
        &setup.instance(),
        &topics.clone().map(|topic| (topic, "ups:X", "left")),
        Some(0),
    );
    start_again(&mut broker);
    let hang = left_hanging(&setup, &topics);
    let mut service = setup.start();
    produce(&setup.bootstrap, &setup.scans(), [Scan::new("L1", "arrived", now_ms()).json()]);
    service.wait_frontier(PARTITIONS, now_secs() + STEP_S + 2);
    let log = service.log();
    service.stop();
    assert_eq!(log.contains("has no end there"), !hang.is_empty(), "{hang:?}\n{log}");
    assert!(topics.iter().all(|topic| !hangs(&setup, topic)), "{hang:?}\n{log}");
    assert_eq!(assert_equals_replay(&setup).len(), 1);
}

#[test]
fn what_several_instances_left_in_one_partition_is_ended_and_never_comes_to_light() {
    let mut broker = Broker::start();
    let setup = setup(&broker, "both").with("kafka", "patience = \"60s\"");
    for (instance, offset) in [("one", Some(0)), ("two", None)] {
        leave_open(&setup, instance, &[(setup.exceptions(), "ups:X", "left")], offset);
    }
    start_again(&mut broker);
    let mut services = [setup.spawn_as("one"), setup.spawn_as("two")];
    services.iter_mut().for_each(Service::wait_ready);
    let scans = (0..20).map(|at| Scan::new(&format!("B{at}"), "arrived", now_ms()).json());
    produce(&setup.bootstrap, &setup.scans(), scans);
    wait_frontiers(&mut services, now_secs() + STEP_S + 2);
    services.into_iter().for_each(Service::stop);
    assert!(!hangs(&setup, &setup.exceptions()));
    assert_eq!(assert_equals_replay(&setup).len(), 20);
}

/// The last cut record of the first partition.
fn last_cut(setup: &Setup) -> Value {
    let records = read(&setup.bootstrap, &setup.open());
    let mut cuts = records.iter().filter(|one| one.partition() == 0 && one.key() == Some(b":cut"));
    let last = cuts.next_back().and_then(Message::payload).expect("a cut record");
    serde_json::from_slice(last).expect("JSON")
}

/// The group's offset that belongs to a cut, and its metadata.
fn of_group(cut: &Value) -> (i64, String) {
    let owner = cut["owner"].as_str().expect("an owner");
    let metadata = format!("{} {owner} {}", cut["commit"], cut["frontier"]);
    (cut["offset"].as_i64().expect("an offset"), metadata)
}

#[test]
fn what_hangs_and_was_committed_by_the_groups_offset_is_committed_and_nothing_halts() {
    let mut broker = Broker::start();
    let setup = setup(&broker, "half").with("kafka", "patience = \"60s\"");
    let scan = NewRecord { partition: Some(0), ..Scan::new("H1", "arrived", now_ms()).json() };
    produce(&setup.bootstrap, &setup.scans(), [scan]);
    let mut service = setup.start();
    service.wait_frontier(PARTITIONS, now_secs() + STEP_S + 2);
    service.stop();
    let mut cut = last_cut(&setup);
    let before = of_group(&cut);
    cut["commit"] = json!(cut["commit"].as_u64().expect("a number") + 1);
    let (offset, metadata) = of_group(&cut);
    commit_offset(&setup, offset, &metadata);
    let hanging = [(setup.open(), ":cut", &*cut.to_string())];
    leave_open(&setup, &setup.instance(), &hanging, None);
    start_again(&mut broker);
    let hung = !left_hanging(&setup, &[setup.open()]).is_empty();
    if !hung {
        // The broker has ended it, by an abort: then the offset is none that it could have left.
        commit_offset(&setup, before.0, &before.1);
    }
    let mut service = setup.start();
    service.wait_frontier(PARTITIONS, now_secs());
    let log = service.log();
    service.stop();
    let place = format!("committed=[\"{}-0\"]", setup.open());
    assert_eq!(log.contains(&place), hung, "{log}");
    assert!(!log.contains("halted"), "{log}");
    assert_eq!(assert_equals_replay(&setup).len(), 1);
}

/// Commits an offset of the first partition, as soon as the group has no member left.
fn commit_offset(setup: &Setup, offset: i64, metadata: &str) {
    let consumer = committing(&setup.bootstrap, &setup.group());
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&setup.scans(), 0);
    element.set_offset(Offset::Offset(offset)).expect("an offset");
    element.set_metadata(metadata);
    until(
        "the group takes an offset",
        PATIENCE,
        || consumer.commit(&list, CommitMode::Sync).ok(),
        String::new,
    );
}
