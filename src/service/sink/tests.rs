//! The producer against a broker that misbehaves on command.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCoordinator;
use rdkafka::producer::{BaseProducer, Producer};

use super::{CommittedOffset, Outgoing, Sink};
use crate::config::{Kafka, Protocol, Security};
use crate::protocol::commit_cycle::Sent;
use crate::service::clock::{Clock, SystemClock};
use crate::service::kafka::{self, Client, REQUEST};
use crate::service::native;
use crate::service::time::Time;

/// Longer than it takes to give a commit up and to make another producer.
const PATIENCE: Duration = Duration::from_secs(60);
const SCANS: &str = "scans";
const EXCEPTIONS: &str = "exceptions";

fn settings(bootstrap_servers: String) -> Kafka {
    Kafka {
        bootstrap_servers,
        group_id: "watch".to_owned(),
        instance_id: "one".to_owned(),
        rack: None,
        session_timeout: Duration::from_secs(45),
        transaction_timeout: Duration::from_secs(30),
        patience: Duration::from_secs(30),
        security: Security {
            protocol: Protocol::Plaintext,
            sasl: None,
            ca_file: None,
            client: None,
        },
        properties: BTreeMap::new(),
    }
}

/// An exception and an offset in one transaction.
fn commit(sink: &Sink, member: &Client) -> Sent {
    let offset = CommittedOffset { partition: 0, offset: 7, metadata: "cut".to_owned() };
    sink.send([exception()].into_iter(), SystemClock.now_ms(), &[offset], member, None)
        .expect("nothing is hopeless")
}

fn exception() -> Outgoing {
    Outgoing {
        topic: EXCEPTIONS.into(),
        partition: None,
        key: None,
        value: Some(b"silent".to_vec()),
        headers: Vec::new(),
        of: 0,
        name: "an exception".to_owned(),
    }
}

/// A broker that is not in the metadata any more is given up by the client, which then waits for it
/// without a limit where it was the group's coordinator.
#[test]
fn a_commit_that_the_client_does_not_end_is_given_up_and_another_producer_commits() {
    let owner: BaseProducer = ClientConfig::new()
        .set("test.mock.num.brokers", "3")
        .create()
        .expect("a client with brokers of its own");
    let cluster = owner.client().mock_cluster().expect("they are there");
    for topic in [SCANS, EXCEPTIONS] {
        cluster.create_topic(topic, 1, 1).expect("a topic");
        cluster.partition_leader(topic, 0, Some(1)).expect("a leader");
    }
    let kafka = settings(cluster.bootstrap_servers());
    let transaction = MockCoordinator::Transaction(kafka::transactional_id(&kafka));
    let coordinated_by = |broker| {
        let group = MockCoordinator::Group(kafka.group_id.clone());
        cluster.coordinator(group, broker).expect("a coordinator");
    };
    cluster.coordinator(transaction, 1).expect("a coordinator");
    coordinated_by(2);
    let time = Time::new(Arc::new(SystemClock), 2_000);
    let mut sink = Sink::new(&kafka, SCANS, "open".into(), time).expect("a producer");
    sink.begin(kafka.transaction_timeout).expect("transactions");
    let member = kafka::reader(&kafka).expect("a consumer");
    assert_eq!(commit(&sink, &member), Sent::Committed, "all connections are there");

    native::mock::take_away(owner.client(), 2);
    coordinated_by(3);
    let metadata = sink.producer.client().fetch_metadata(None, REQUEST).expect("an answer");
    assert_eq!(metadata.brokers().len(), 2, "one has left");
    let (told, outcomes) = mpsc::channel();
    thread::spawn(move || {
        let _ = told.send(commit(&sink, &member));
        sink.replace().expect("another producer");
        let _ = told.send(commit(&sink, &member));
    });
    let outcome = || outcomes.recv_timeout(PATIENCE).expect("the commit comes to an end");
    assert_eq!(outcome(), Sent::Indefinite, "whether it has been committed is not known");
    assert_eq!(outcome(), Sent::Committed);
}
