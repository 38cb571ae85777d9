//! The frontier moves on evidence: an idle partition reports, a backlog accuses nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::Value;

use crate::broker::shared;
use crate::client::{NewRecord, produce, send};
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, now_secs, until_second};

/// Seconds until the only step of [`SHORT_POLICIES`].
pub const STEP_S: i64 = 8;
/// One step after eight seconds, no grace.
pub const SHORT_POLICIES: &str = r#"
version = 1
[defaults]
catch_up_grace = "0s"
[[policy]]
id = "everything"
first_scan = [ { after = "8s", severity = "warning" } ]
no_movement = [ { after = "8s", severity = "warning", name = "stalled" } ]
"#;

/// A service on a topic where the broker stamps the records.
pub fn stamped_by_the_broker(name: &str, partitions: i32) -> Setup {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    Setup::with_scans(shared(), name, partitions, "json", &settings).policies(SHORT_POLICIES)
}

fn in_partition(partition: i32, number: &str) -> NewRecord {
    let scan = Scan::new(number, "arrived", now_ms());
    NewRecord { partition: Some(partition), ..scan.json() }
}

/// Tracking number and change of every event.
pub fn told(events: &[Value]) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
    let mut told: Vec<_> =
        events.iter().map(|one| (text(one, "tracking_number"), text(one, "change"))).collect();
    told.sort();
    told
}

pub fn wait_for_exceptions(setup: &Setup, service: &mut Service, count: i64) {
    service.wait("exceptions on the topic", |_| {
        let ends = crate::client::end_offsets(&setup.bootstrap, &setup.exceptions());
        (ends.values().sum::<i64>() >= count).then_some(())
    });
}

#[test]
fn the_last_package_of_a_feed_that_died_is_reported() {
    let setup = stamped_by_the_broker("silence", 4);
    let mut service = setup.start();
    produce(&setup.bootstrap, &setup.scans(), [in_partition(2, "LAST1")]);
    wait_for_exceptions(&setup, &mut service, 1);
    service.stop();
    assert_eq!(told(&setup.published()), [("LAST1".to_owned(), "opened".to_owned())]);
}

#[test]
fn a_partition_that_goes_idle_while_others_flow_still_reports_its_last_package() {
    let setup = stamped_by_the_broker("idle", 4);
    let mut service = setup.start();
    produce(&setup.bootstrap, &setup.scans(), [in_partition(3, "IDLE1")]);
    let flowing = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while flowing.load(Ordering::Relaxed) {
                let batch =
                    (0..3).map(|partition| in_partition(partition, &format!("F{partition}")));
                produce(&setup.bootstrap, &setup.scans(), batch);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for_exceptions(&setup, &mut service, 1);
        }));
        flowing.store(false, Ordering::Relaxed);
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    service.kill();
    assert_eq!(told(&setup.published()), [("IDLE1".to_owned(), "opened".to_owned())]);
}

/// Fifty packages are seen; while `held` holds the service back, forty are delivered in time by the
/// log and the deadlines pass by the wall clock; then it goes on.
fn backlog_accuses_nobody(name: &str, held: impl FnOnce(&Setup, Service, &dyn Fn()) -> Service) {
    let setup = stamped_by_the_broker(name, 2);
    let mut service = setup.start();
    let number = |package: usize| format!("HELD{package:02}");
    let scans = |range: std::ops::Range<usize>, milestone| {
        range.map(move |package| Scan::new(&number(package), milestone, now_ms()).json())
    };
    let begun = now_secs();
    produce(&setup.bootstrap, &setup.scans(), scans(0..50, "arrived"));
    service.wait_scans(50);
    let mut service = held(&setup, service, &|| {
        produce(&setup.bootstrap, &setup.scans(), scans(0..40, "delivered"));
        assert!(now_secs() < begun + STEP_S, "this machine is too slow to deliver in time");
        until_second(begun + STEP_S + 4);
    });
    service.wait_frontier(2, begun + STEP_S + 2);
    service.stop();
    let expected: Vec<_> = (40..50).map(|one| (number(one), "opened".to_owned())).collect();
    assert_eq!(told(&setup.published()), expected);
}

#[test]
fn a_frozen_service_whose_backlog_holds_clearing_scans_raises_nothing_for_them() {
    backlog_accuses_nobody("frozen", |_, service, meanwhile| {
        service.send("STOP");
        meanwhile();
        service.send("CONT");
        service
    });
}

#[test]
fn a_stopped_service_whose_backlog_holds_clearing_scans_raises_nothing_for_them() {
    backlog_accuses_nobody("stopped", |setup, service, meanwhile| {
        service.stop();
        meanwhile();
        setup.start()
    });
}

#[test]
fn a_record_from_the_future_is_put_aside_and_moves_no_clock() {
    let setup = Setup::new(shared(), "future", 1, "json").policies(SHORT_POLICIES);
    let mut service = setup.start();
    let (now, ahead) = (now_ms(), now_ms() + 30 * 60_000);
    let scans = [Scan::new("NOW1", "arrived", now), Scan::new("AHEAD1", "arrived", ahead)];
    produce(&setup.bootstrap, &setup.scans(), scans.map(|scan| scan.json()));
    service.wait_scans(1);
    wait_for_exceptions(&setup, &mut service, 1);
    service.stop();
    let dead = crate::client::read(&setup.bootstrap, &setup.dead_letters());
    let reasons: Vec<_> =
        dead.iter().map(|one| crate::client::header(one, "__stallwatch.errors.reason")).collect();
    assert_eq!(reasons, [Some("future_log_time".to_owned())]);
    assert_eq!(told(&setup.published()), [("NOW1".to_owned(), "opened".to_owned())]);
}

/// A producer whose transaction holds one scan of a package in the first partition.
fn begin_transaction(setup: &Setup, number: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("transactional.id", format!("{}-feed", setup.name))
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("transactions");
    producer.begin_transaction().expect("a transaction");
    send(&producer, &setup.scans(), &in_partition(0, number));
    producer.flush(PATIENCE).expect("the broker takes the record");
    producer
}

#[test]
fn an_open_transaction_on_the_input_is_named_as_the_reason_and_nothing_is_sought() {
    let setup = stamped_by_the_broker("transaction", 2);
    let mut service = setup.start();
    let producer = begin_transaction(&setup, "OPEN1");
    produce(&setup.bootstrap, &setup.scans(), [in_partition(0, "BEHIND1")]);
    let held = |service: &Service| {
        let reason = [("reason", "open_transaction".to_owned())];
        service.metrics()?.value("stallwatch_frontier_held", &reason)
    };
    service.wait("the reason", |service| (held(service)? == 1.0).then_some(()));
    // Longer than a client may stand still for itself.
    until_second(now_secs() + 22);
    assert_eq!(held(&service), Some(1.0));
    let log = service.log();
    let named = "partition 0: ";
    assert_eq!(log.matches("a transaction on the input topic").count(), 1, "{log}");
    assert!(
        log.lines().any(|line| line.contains("is open from offset 0 on") && line.contains(named)),
        "{log}"
    );
    assert!(!log.contains("sent to the position anew"), "{log}");
    producer.commit_transaction(PATIENCE).expect("a commit");
    service.wait_scans(2);
    service.wait("the end of it", |service| held(service).is_none_or(|it| it == 0.0).then_some(()));
    service.wait_frontier(2, now_secs());
    assert!(service.log().contains("the transaction on the input has ended"), "{}", service.log());
    service.kill();
}
