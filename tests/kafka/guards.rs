//! What is wrong around the service is noticed, named and counted.

use std::time::Duration;

use rdkafka::consumer::Consumer;

use crate::broker::shared;
use crate::client::{NewRecord, committing, create_topic, produce};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{PATIENCE, SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs, until};

fn in_partition(partition: i32, number: &str, time_ms: i64) -> NewRecord {
    NewRecord { partition: Some(partition), ..Scan::new(number, "arrived", time_ms).json() }
}

/// Waits until the metric is at least this, over all labels.
fn wait_metric(service: &mut Service, name: &str, least: f64) -> f64 {
    service.wait(name, |service| {
        let value = service.metrics()?.sum(name);
        (value >= least).then_some(value)
    })
}

#[test]
fn an_open_topic_that_is_not_compacted_ends_the_service_with_the_remedy() {
    for (name, policy) in [("deleted", "delete"), ("both", "compact,delete")] {
        let setup = Setup::on(shared().bootstrap(), name, 1, "json").policies(SHORT_POLICIES);
        let bootstrap = &setup.bootstrap;
        create_topic(bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
        create_topic(bootstrap, &setup.open(), 1, &[("cleanup.policy", policy)]);
        create_topic(bootstrap, &setup.exceptions(), 1, &[]);
        create_topic(bootstrap, &setup.dead_letters(), 1, &[]);
        let (code, log) = setup.run_to_failure();
        assert_eq!(code, 1, "{log}");
        for part in [&setup.open(), policy, "cleanup.policy=compact"] {
            assert!(log.contains(part), "the log says nothing of {part}:\n{log}");
        }
    }
}

#[test]
fn an_input_topic_that_forgets_too_soon_is_warned_of() {
    let setup = Setup::with_scans(shared(), "short", 1, "json", &[("retention.ms", "86400000")])
        .policies(SHORT_POLICIES);
    let service = setup.start();
    let log = service.log();
    service.stop();
    assert!(log.contains("keeps records for 1 days"), "{log}");
}

/// Starts on an input with these settings.
fn on_an_input(name: &str, settings: &[(&str, &str)]) -> Setup {
    let broker = shared();
    Setup::with_scans(broker, name, 1, "json", settings).policies(SHORT_POLICIES)
}

#[test]
fn a_compacted_input_is_refused_with_the_remedy_as_doctor_fails_it() {
    for (name, policy) in [("compacted", "compact"), ("compacted-too", "compact,delete")] {
        let setup = on_an_input(name, &[("cleanup.policy", policy)]);
        let (code, log) = setup.run_to_failure();
        assert_eq!(code, 1, "{log}");
        let remedy = format!("--entity-name {} --add-config cleanup.policy=delete", setup.scans());
        let says = format!("has cleanup.policy={policy}: scans are lost before their time");
        let doctor = setup.run_verb(&["doctor"]);
        assert_eq!(doctor.code, 3, "{doctor:?}");
        for part in [&says, &remedy] {
            assert!(log.contains(part), "the log says nothing of {part}:\n{log}");
            let failed = |line: &str| line.starts_with("FAIL") && line.contains(part);
            assert!(doctor.out.lines().any(failed), "{doctor:?}");
        }
    }
}

#[test]
fn an_input_that_is_cut_by_its_size_is_warned_of_as_doctor_fails_it() {
    let setup = on_an_input("cut", &[("retention.bytes", "1000000")]);
    let service = setup.start();
    let log = service.log();
    service.stop();
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    let says = "has retention.bytes=1000000: on a busy day records go before their time";
    let told = |line: &str| line.contains(" WARN ") && line.contains(says);
    assert!(log.lines().any(told), "{log}");
    let failed = |line: &str| line.starts_with("FAIL") && line.contains(says);
    assert!(doctor.out.lines().any(failed), "{doctor:?}");
}

#[test]
fn a_stranger_in_the_group_is_warned_of_as_doctor_fails_it() {
    let setup = on_an_input("stranger", &[]);
    let stranger = committing(&setup.bootstrap, &setup.group());
    stranger.subscribe(&[&setup.scans()]).expect("a subscription");
    let assigned = || {
        let _ = stranger.poll(Duration::from_millis(50));
        stranger.assignment().is_ok_and(|it| it.count() == 1).then_some(())
    };
    until("the stranger is in the group", PATIENCE, assigned, String::new);
    let doctor = setup.run_verb(&["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    let says = format!("group: {} has members that are none of ours", setup.group());
    assert!(
        doctor.out.lines().any(|it| it.starts_with("FAIL") && it.contains(&says)),
        "{doctor:?}"
    );
    let mut service = setup.spawn();
    service.wait("word of the stranger", |service| {
        let _ = stranger.poll(Duration::ZERO);
        let told = |line: &str| line.contains(" WARN ") && line.contains("none of ours");
        service.log().lines().any(told).then_some(())
    });
    service.kill();
}

#[test]
fn packages_whose_scans_come_in_two_partitions_are_counted_and_told_once() {
    const PACKAGES: usize = 3_000;
    let setup = Setup::new(shared(), "misrouted", 2, "json").policies(SHORT_POLICIES);
    let mut service = setup.start();
    let scans = |partition| {
        (0..PACKAGES).map(move |at| in_partition(partition, &format!("M{at:05}"), now_ms()))
    };
    produce(&setup.bootstrap, &setup.scans(), scans(0));
    service.wait_scans(PACKAGES as u64);
    produce(&setup.bootstrap, &setup.scans(), scans(1));
    service.wait_scans(2 * PACKAGES as u64);
    let counted = wait_metric(&mut service, "stallwatch_misrouted_packages_total", 1.0);
    assert!(counted < PACKAGES as f64 / 10.0, "{counted} of a sample");
    let told = service.log().matches("come in partitions").count();
    assert_eq!(told, 1, "{}", service.log());
    service.kill();
}

#[test]
fn a_record_behind_what_was_proven_complete_is_counted_by_how_late_it_is() {
    let setup = Setup::new(shared(), "late", 1, "json").policies(SHORT_POLICIES);
    let mut service = setup.start();
    let begun = now_secs();
    produce(&setup.bootstrap, &setup.scans(), [in_partition(0, "EARLY1", now_ms())]);
    service.wait_frontier(1, begun + 3);
    produce(&setup.bootstrap, &setup.scans(), [in_partition(0, "LATE1", (begun + 1) * 1_000)]);
    let name = "stallwatch_input_timestamp_lateness_seconds_count";
    assert!((wait_metric(&mut service, name, 1.0) - 1.0).abs() < 0.5);
    service.kill();
}
