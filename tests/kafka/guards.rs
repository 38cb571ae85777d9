//! What is wrong around the service is noticed, named and counted.

use crate::broker::shared;
use crate::client::{NewRecord, create_topic, produce};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs};

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
