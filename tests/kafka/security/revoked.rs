//! Rights that are taken away while the service runs.

use super::{Listed, exceptions_end, grant, listed, logged_in};
use crate::broker::{Broker, shared};
use crate::client::{end_offsets, produce};
use crate::equality::assert_equals_replay;
use crate::python;
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, until};

/// Produces a scan that fell silent a day ago.
fn produce_silent(broker: &Broker, setup: &Setup, number: &str) {
    let scan = Scan::new(number, "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
}

/// Takes a right away under a running service, which names it; gives it back, and everything is
/// published once.
fn revoked(name: &str, resource: &str, operation: &str, of: impl Fn(&Setup) -> String) {
    let broker = shared();
    let setup = logged_in(broker, name);
    let rights = listed(&setup);
    grant(broker, &rights);
    produce_silent(broker, &setup, "BEFORE1");
    let mut service = setup.start();
    service.wait("an exception", |_| (exceptions_end(broker, &setup) > 0).then_some(()));

    let wanted = |right: &&Listed| {
        right.resource == resource
            && right.operation == operation
            && of(&setup).starts_with(&right.name)
    };
    let right = rights.iter().find(wanted).expect("a right of the list").clone();
    let taken = [right.to_grant()];
    python::revoke(&broker.bootstrap(), &right.principal, &taken);
    produce_silent(broker, &setup, "MEANWHILE1");
    let lacks = format!("the right {operation}");
    let ended = until(
        "word of the right",
        PATIENCE,
        || {
            let ended = service.ended();
            let log = service.log();
            let told = |line: &str| line.contains(&lacks) && line.contains(&of(&setup));
            let named = log.lines().any(told);
            assert!(named || ended.is_none(), "it ended and did not name {lacks}:\n{log}");
            named.then_some(ended)
        },
        String::new,
    );
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(1), "{}", service.log());
    }
    assert!(!service.log().contains("panicked"), "{}", service.log());
    let offset = end_offsets(&broker.bootstrap(), &setup.scans());
    assert_eq!(offset[&0], 2, "both scans are on the topic");

    grant(broker, &[right]);
    produce_silent(broker, &setup, "AFTER1");
    published_once(setup, service);
}

/// Starts the service anew where it has ended, waits for all, and compares with a replay.
fn published_once(mut setup: Setup, mut service: Service) {
    let broker = shared();
    let numbers = |setup: &Setup| {
        let topic = setup.exceptions();
        let records = crate::client::read(&broker.bootstrap(), &topic);
        let keys = records.iter().filter_map(rdkafka::Message::key);
        let mut keys: Vec<_> = keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        keys.sort();
        keys
    };
    let all = ["ups:AFTER1", "ups:BEFORE1", "ups:MEANWHILE1"];
    until(
        "all three exceptions",
        PATIENCE,
        || {
            if service.ended().is_some() {
                service = setup.start();
            }
            let numbers = numbers(&setup);
            (numbers.len() >= all.len()).then_some(())
        },
        String::new,
    );
    if service.ended().is_none() {
        service.stop();
    }
    assert_eq!(numbers(&setup), all, "each once");
    setup.bootstrap = broker.bootstrap();
    setup.lines.retain(|(section, _)| *section != "kafka.security");
    assert_eq!(assert_equals_replay(&setup).len(), all.len());
}

#[test]
fn the_right_to_write_exceptions_taken_away_and_given_back_loses_and_doubles_nothing() {
    revoked("revoke-write", "topic", "Write", Setup::exceptions);
}

#[test]
fn the_right_to_read_scans_taken_away_and_given_back_loses_and_doubles_nothing() {
    revoked("revoke-read", "topic", "Read", Setup::scans);
}

#[test]
fn the_right_to_the_group_taken_away_and_given_back_loses_and_doubles_nothing() {
    revoked("revoke-group", "group", "Read", Setup::group);
}

#[test]
fn the_right_to_transactions_taken_away_and_given_back_loses_and_doubles_nothing() {
    let id = |setup: &Setup| format!("{}/{}", setup.group(), setup.instance());
    revoked("revoke-transactions", "transactional-id", "Write", id);
}
