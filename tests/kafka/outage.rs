//! A broker that is not there, goes away, or lacks a topic.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::{Broker, free_port, shared};
use crate::client::{create_topic, produce};
use crate::equality::assert_equals_replay;
use crate::evidence::{SHORT_POLICIES, STEP_S};
use crate::scans::Scan;
use crate::service::Setup;
use crate::wait::{now_ms, now_secs, until_second};

#[test]
fn a_broker_that_cannot_be_reached_is_tried_for_the_configured_patience() {
    let address = format!("127.0.0.1:{}", free_port());
    let setup = Setup::on(address.clone(), "unreachable", 1, "json")
        .policies(SHORT_POLICIES)
        .with("kafka", "patience = \"4s\"");
    let begun = Instant::now();
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    assert!(begun.elapsed() >= Duration::from_secs(4), "it gave up early\n{log}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it gave up late\n{log}");
    assert!(log.contains(&address), "the log does not name {address}:\n{log}");
}

/// However long it lasts, a line a minute says that it is waited for, in whole seconds.
fn assert_told_once(log: &str) {
    let told: Vec<_> = log.lines().filter(|line| line.contains("; trying again for ")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let seconds = told[0].rsplit_once("for ").and_then(|(_, left)| left.strip_suffix(" s"));
    assert!(seconds.is_some_and(|left| left.parse::<u32>().is_ok()), "{}", told[0]);
}

#[test]
fn a_broker_that_gives_no_transactions_is_tried_for_the_configured_patience() {
    let broker = Broker::with("transaction.state.log.replication.factor=3\n");
    let setup = Setup::new(&broker, "no-transactions", 1, "json")
        .policies(SHORT_POLICIES)
        .with("kafka", "session_timeout = \"3s\"")
        .with("kafka", "transaction_timeout = \"2s\"")
        .with("kafka", "patience = \"8s\"");
    let begun = Instant::now();
    let (code, log) = setup.run_to_failure();
    assert_eq!(code, 1, "{log}");
    assert!(begun.elapsed() >= Duration::from_secs(8), "it gave up early\n{log}");
    assert!(log.contains("beginning transactions"), "{log}");
    assert!(log.contains("given up after kafka.patience (8 s)"), "{log}");
    assert_told_once(&log);
}

#[test]
fn a_broker_that_appears_within_the_patience_is_used() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut setup = Setup::new(shared(), "appears", 1, "json").policies(SHORT_POLICIES);
    let real = std::mem::replace(&mut setup.bootstrap, address.clone());
    let mut service = setup.spawn();
    service.wait("word that the broker cannot be reached", |service| {
        service.log().contains(&address).then_some(())
    });
    forward(&address, real);
    service.wait_ready();
    service.stop();
}

/// Takes connections on an address from now on and hands each to another one.
fn forward(from: &str, to: String) {
    let listener = TcpListener::bind(from).expect("the port is still free");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).expect("the broker listens");
            pipe(client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
            pipe(server, client);
        }
    });
}

fn pipe(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || io::copy(&mut from, &mut to));
}

fn misses(name: &str, missing: impl Fn(&Setup) -> String) {
    let broker = shared();
    let setup = Setup::on(broker.bootstrap(), name, 1, "json")
        .policies(SHORT_POLICIES)
        .with("kafka", "patience = \"5s\"");
    let missing = missing(&setup);
    for topic in [setup.scans(), setup.exceptions(), setup.open(), setup.dead_letters()] {
        if topic != missing {
            create_topic(&setup.bootstrap, &topic, 1, &[]);
        }
    }
    let (_, log) = setup.run_to_failure();
    assert!(log.contains(&missing), "the log does not name {missing}:\n{log}");
    assert!(log.contains("does not exist"), "the log does not say what is wrong:\n{log}");
    assert_told_once(&log);
}

#[test]
fn a_missing_topic_of_scans_is_named() {
    misses("no-scans", Setup::scans);
}

#[test]
fn a_missing_topic_of_exceptions_is_named() {
    misses("no-exceptions", Setup::exceptions);
}

#[test]
fn a_missing_open_table_is_named() {
    misses("no-open", Setup::open);
}

#[test]
fn a_missing_topic_of_dead_letters_is_named() {
    misses("no-dead-letters", Setup::dead_letters);
}

#[test]
fn a_broker_that_freezes_and_restarts_delays_exceptions_and_changes_none() {
    let mut broker = Broker::start();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let setup =
        Setup::with_scans(&broker, "freezes", 2, "json", &settings).policies(SHORT_POLICIES);
    let mut service = setup.start();
    let scan = |number: &str| Scan::new(number, "arrived", now_ms()).json();
    let begun = now_secs();
    produce(&setup.bootstrap, &setup.scans(), [scan("A1"), scan("B1"), scan("C1")]);
    service.wait_scans(3);
    broker.pause();
    until_second(begun + STEP_S + 2);
    let alive = service.get("/livez").map(|(status, _)| status);
    assert_eq!(alive, Some(200), "a broker that does not answer is no reason to be restarted");
    broker.resume();
    service.wait_frontier(2, begun + STEP_S + 2);

    broker.restart();
    let again = now_secs();
    produce(&setup.bootstrap, &setup.scans(), [scan("D1"), scan("A1")]);
    service.wait_frontier(2, again + STEP_S + 2);
    service.stop();
    let replayed = assert_equals_replay(&setup);
    assert_eq!(replayed.len(), 4, "four packages fell silent: {replayed:?}");
}
