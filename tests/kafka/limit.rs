//! A limit of packages halts a partition by name and loses nothing.

use std::collections::BTreeSet;

use stallwatch::demo::partition::partition_of;

use crate::broker::shared;
use crate::client::{NewRecord, committed, produce};
use crate::equality::{assert_equals_replay, run_to_the_end};
use crate::evidence::STEP_S;
use crate::scans::Scan;
use crate::service::{Service, Setup};
use crate::wait::{now_ms, now_secs};

const DAY_MS: i64 = 86_400_000;
/// One step after eight seconds; packages are forgotten after twelve days.
const POLICIES: &str = r#"
version = 1
[defaults]
catch_up_grace = "0s"
forget_after = "12d"
[[policy]]
id = "everything"
no_movement = [ { after = "8s", severity = "warning", name = "stalled" } ]
"#;

fn setup(name: &str, partitions: i32, limit: usize) -> Setup {
    limited(Setup::new(shared(), name, partitions, "json").policies(POLICIES), limit)
}

fn limited(setup: Setup, limit: usize) -> Setup {
    setup.with("engine", format!("max_packages = {limit}"))
}

/// A scan of the package that is so many-th, from 0, among those whose key belongs to a partition.
fn scan(setup: &Setup, partition: i32, number: usize, days_ago: i64) -> NewRecord {
    let numbers = (0..).map(|number| format!("P{number}"));
    let mut here =
        numbers.filter(|number| partition_of("ups", number, setup.partitions) == partition);
    let number = here.nth(number).expect("numbers without end");
    Scan::new(&number, "departed", now_ms() - days_ago * DAY_MS).json()
}

/// So many packages of a partition.
fn packages(setup: &Setup, partition: i32, count: usize, days_ago: i64) {
    let log = (0..count).map(|number| scan(setup, partition, number, days_ago));
    produce(&setup.bootstrap, &setup.scans(), log);
}

fn wait_committed(setup: &Setup, service: &mut Service, partition: i32, offset: i64) {
    service.wait("a commit", |_| {
        let offsets = committed(&setup.bootstrap, &setup.group(), &setup.scans());
        (offsets.get(&partition) == Some(&offset)).then_some(())
    });
}

fn wait_held(service: &mut Service, partitions: usize) {
    service.wait("partitions held for want of room", |service| {
        let reason = [("reason", "max_packages".to_owned())];
        let held = service.metrics()?.value("stallwatch_frontier_held", &reason);
        (held.unwrap_or(0.0) == partitions as f64).then_some(())
    });
}

fn wait_not_ready(service: &mut Service, because: &str) {
    service.wait("word of the halt", |service| {
        let (status, why) = service.get("/readyz")?;
        (status == 503 && why.contains(because)).then_some(())
    });
}

fn wait_tracked(service: &mut Service, packages: usize) {
    service.wait("packages known", |service| {
        let tracked = service.metrics()?.sum("stallwatch_packages_tracked");
        (tracked == packages as f64).then_some(())
    });
}

/// Until all that has been scanned by now is overdue.
fn run_until_silent(setup: &Setup, mut service: Service) {
    service.wait_frontier(setup.partitions, now_secs() + STEP_S + 1);
    service.stop();
}

#[test]
fn a_partition_without_room_halts_by_name_and_goes_on_with_more_room_as_if_nothing_had_been() {
    let setup = setup("limit", 3, 100);
    packages(&setup, 0, 10, 40);
    packages(&setup, 2, 1, 1);
    let mut service = setup.start();
    service.wait_scans(11);
    packages(&setup, 1, 139, 0);

    wait_not_ready(&mut service, "max_packages: no room for the package");
    wait_held(&mut service, 1);
    wait_tracked(&mut service, 100);
    wait_committed(&setup, &mut service, 1, 89);
    assert_eq!(service.metrics().expect("metrics").sum("stallwatch_packages_limit"), 100.0);
    produce(&setup.bootstrap, &setup.scans(), [scan(&setup, 2, 0, 0)]);
    service.wait_scans(101);
    let log = service.log();
    let halts: Vec<_> = log.lines().filter(|line| line.contains("is halted")).collect();
    assert_eq!(halts.len(), 1, "{halts:?}");
    for part in ["offset 89", "all 100 packages", "89 of them", "raise engine.max_packages"] {
        assert!(halts[0].contains(part), "{part}: {halts:?}");
    }

    produce(&setup.bootstrap, &setup.scans(), [scan(&setup, 0, 0, 0)]);
    wait_committed(&setup, &mut service, 1, 98);
    wait_held(&mut service, 1);
    wait_tracked(&mut service, 100);
    service.stop();

    let setup = limited(setup, 1_000);
    run_until_silent(&setup, setup.start());
    let events = assert_equals_replay(&setup);
    assert_eq!(events.len(), 150, "every package was told of");
}

#[test]
fn a_restore_without_room_halts_by_name_publishes_nothing_and_begins_again_once_there_is_room() {
    let setup = setup("limit-restore", 2, 1_000);
    packages(&setup, 0, 10, 40);
    packages(&setup, 1, 95, 40);
    run_to_the_end(&setup);
    let published = setup.published().len();
    assert_eq!(published, 105, "one for each package");

    let setup = limited(setup, 100);
    let mut service = setup.spawn();
    wait_not_ready(&mut service, "max_packages: while its state was rebuilt");
    wait_held(&mut service, 1);
    assert_eq!(setup.published().len(), published);

    // Whichever partition found room forgets its packages now, and then the other one does.
    let forgetting = (0..2).map(|partition| scan(&setup, partition, 0, 0));
    produce(&setup.bootstrap, &setup.scans(), forgetting);
    service.wait_ready();
    run_until_silent(&setup, service);
    assert_equals_replay(&setup);
}

#[test]
fn a_snapshot_of_more_packages_than_are_allowed_halts_by_name_and_is_taken_once_the_limit_is_raised()
 {
    let setup = setup("limit-snapshot", 2, 1_000);
    let url = format!("url = \"file://{}\"", setup.file("snapshots").display());
    let setup = setup.with("state", url);
    packages(&setup, 0, 10, 1);
    packages(&setup, 1, 95, 1);
    run_to_the_end(&setup);
    let told_before = setup.published();
    assert_eq!(told_before.len(), 105, "one for each package");

    let setup = limited(setup, 60);
    let mut service = setup.spawn();
    wait_not_ready(&mut service, "snapshot that its state is rebuilt from has 95 packages");
    wait_held(&mut service, 1);
    wait_tracked(&mut service, 10);
    produce(&setup.bootstrap, &setup.scans(), [scan(&setup, 0, 0, 0), scan(&setup, 1, 0, 0)]);
    wait_committed(&setup, &mut service, 0, 11);
    let log = service.log();
    let halts: Vec<_> = log.lines().filter(|line| line.contains("is halted")).collect();
    assert_eq!(halts.len(), 1, "{halts:?}");
    assert!(halts[0].contains("raise engine.max_packages"), "{halts:?}");
    service.stop();
    let new = setup.published().into_iter().filter(|event| !told_before.contains(event));
    let new: BTreeSet<String> = new.map(|event| event["tracking_number"].to_string()).collect();
    assert_eq!(new.len(), 1, "the other partition went on alone: {new:?}");

    let setup = limited(setup, 1_000);
    let service = setup.start();
    let metrics = service.metrics().expect("metrics");
    assert_eq!(metrics.sum("stallwatch_records_replayed_total"), 0.0, "the snapshot is taken");
    assert_eq!(metrics.sum("stallwatch_snapshots_unusable_total"), 0.0);
    run_until_silent(&setup, service);
    assert_equals_replay(&setup);
}
