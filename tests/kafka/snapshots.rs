//! With snapshots a restart reads only the records behind the last one; what is published stays what
//! `replay` of the whole log gives, whatever becomes of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::broker::shared;
use crate::client::{committed, create_topic, delete_records, end_offsets, produce};
use crate::equality::{assert_equals_replay, assert_equals_replay_of, run_to_the_end};
use crate::scans::{JOURNEY_POLICIES, Scan, journeys};
use crate::service::{SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs};

const PARTITIONS: i32 = 4;
/// So long that no test sees an image taken on time.
const NEVER: &str = "1d";

/// A service without scans, and journeys to come in two halves.
struct Journeys {
    setup: Setup,
    halves: [Vec<Scan>; 2],
}

impl Journeys {
    fn new(name: &str, interval: &str) -> Self {
        let setup = Setup::new(shared(), name, PARTITIONS, "json").policies(JOURNEY_POLICIES);
        let mut first = journeys(2_000, now_ms(), 0x0dd_ba11);
        let second = first.split_off(first.len() / 2);
        Self { setup, halves: [first, second] }.every(interval)
    }

    /// With another pause between two snapshots.
    fn every(self, interval: &str) -> Self {
        let url = format!("url = \"file://{}\"", self.setup.file("snapshots").display());
        let setup = self.setup.with("state", url);
        let setup = setup.with("state", format!("snapshot_interval = \"{interval}\""));
        Self { setup, ..self }
    }

    fn produce(&self, half: usize, topic: &str) {
        produce(&self.setup.bootstrap, topic, self.halves[half].iter().map(Scan::json));
    }

    fn come(&self, half: usize) -> BTreeMap<i32, i64> {
        self.produce(half, &self.setup.scans());
        self.ends()
    }

    fn ends(&self) -> BTreeMap<i32, i64> {
        end_offsets(&self.setup.bootstrap, &self.setup.scans())
    }

    /// Runs the service to the end of the log and stops it in order, which leaves a snapshot there.
    fn run_and_hand_over(&self) {
        run_to_the_end(&self.setup);
        assert_eq!(self.newest(), self.ends(), "every partition has left a snapshot at its end");
    }

    /// The snapshots of a partition, oldest first.
    fn files(&self, partition: i32) -> Vec<PathBuf> {
        let setup = &self.setup;
        let folder = setup.file("snapshots").join(setup.group()).join(setup.scans());
        let Ok(entries) = fs::read_dir(folder.join(partition.to_string())) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.expect("a file").path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|it| it == "snapshot")).collect();
        paths.sort();
        paths
    }

    /// The offset of the newest snapshot of each partition that has one.
    fn newest(&self) -> BTreeMap<i32, i64> {
        let offset = |path: &PathBuf| {
            let name = path.file_name()?.to_str()?;
            name.split('-').next()?.parse().ok()
        };
        (0..PARTITIONS)
            .filter_map(|partition| {
                Some((partition, self.files(partition).last().and_then(offset)?))
            })
            .collect()
    }

    fn wait_committed(&self, service: &mut Service) {
        let ends = self.ends();
        service.wait("a commit at the end", |_| {
            let setup = &self.setup;
            let offsets = committed(&setup.bootstrap, &setup.group(), &setup.scans());
            (offsets == ends).then_some(())
        });
    }
}

fn sum(service: &Service, metric: &str) -> i64 {
    service.metrics().expect("metrics").sum(metric) as i64
}

fn replayed(service: &Service) -> i64 {
    sum(service, "stallwatch_records_replayed_total")
}

/// Changes one byte in the middle of a file.
fn damage(path: &PathBuf) {
    let mut bytes = fs::read(path).expect("a snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[test]
fn after_a_kill_only_the_records_behind_the_last_snapshot_are_read_again() {
    let journeys = Journeys::new("snapshots-kill", "1s");
    let first = journeys.come(0);
    let mut service = journeys.setup.start();
    service.wait("a snapshot at the end of every partition", |_| {
        (journeys.newest() == first).then_some(())
    });
    journeys.wait_committed(&mut service);
    service.kill();

    let journeys = journeys.every(NEVER);
    let mut service = journeys.setup.start();
    assert_eq!(replayed(&service), 0, "the snapshots were at the end");
    let second = journeys.come(1);
    journeys.wait_committed(&mut service);
    service.kill();
    assert_eq!(journeys.newest(), first);

    let service = journeys.setup.start();
    let behind: i64 = second.values().sum::<i64>() - first.values().sum::<i64>();
    assert_eq!(replayed(&service), behind);
    assert_eq!(sum(&service, "stallwatch_snapshots_unusable_total"), 0);
    service.kill();
    run_to_the_end(&journeys.setup);
    assert_equals_replay(&journeys.setup);
}

#[test]
fn a_log_that_is_deleted_below_the_snapshot_is_not_needed() {
    let journeys = Journeys::new("snapshots-deleted", NEVER);
    let setup = &journeys.setup;
    let witness = format!("{}.witness", setup.name);
    create_topic(&setup.bootstrap, &witness, PARTITIONS, SCANS_SETTINGS);
    for half in 0..2 {
        journeys.produce(half, &witness);
    }
    let first = journeys.come(0);
    journeys.run_and_hand_over();
    delete_records(&setup.bootstrap, &setup.scans(), &first);

    journeys.come(1);
    journeys.run_and_hand_over();
    let events = assert_equals_replay_of(setup, &witness);
    let spanning = journeys.halves[1].iter().map(|scan| &scan.number);
    let spanning: std::collections::BTreeSet<_> = spanning.collect();
    let told = events.keys().filter(|(_, number)| spanning.contains(number)).count();
    assert!(told > 100, "only {told} packages went on in the second half");
}

#[test]
fn a_damaged_snapshot_is_set_aside_and_counted_and_the_one_before_or_the_log_is_taken() {
    let journeys = Journeys::new("snapshots-damaged", NEVER);
    let first = journeys.come(0);
    journeys.run_and_hand_over();
    let second = journeys.come(1);
    journeys.run_and_hand_over();
    let newest = journeys.files(0).pop().expect("a snapshot");
    damage(&newest);
    journeys.files(1).iter().for_each(damage);

    let service = journeys.setup.start();
    assert_eq!(replayed(&service), second[&0] - first[&0] + second[&1]);
    assert_eq!(sum(&service, "stallwatch_snapshots_unusable_total"), 3);
    let aside = newest.with_file_name("set-aside").join(newest.file_name().expect("a name"));
    assert!(aside.is_file() && !newest.exists(), "{}", aside.display());
    let log = service.log();
    assert_eq!(log.matches("a snapshot cannot be used").count(), 3, "{log}");
    service.stop();
    assert_equals_replay(&journeys.setup);
}

#[test]
fn whoever_takes_over_after_a_stop_reads_nothing_again() {
    let journeys = Journeys::new("snapshots-stop", NEVER);
    journeys.come(0);
    journeys.run_and_hand_over();
    let service = journeys.setup.start();
    assert_eq!(replayed(&service), 0);
    let known = sum(&service, "stallwatch_packages_tracked");
    assert!(known > 500, "{known} packages are known at once");
    service.stop();
    journeys.come(1);
    journeys.run_and_hand_over();
    assert_equals_replay(&journeys.setup);
}

#[test]
fn partitions_that_move_to_another_instance_leave_a_snapshot_at_the_commit() {
    let journeys = Journeys::new("snapshots-move", NEVER);
    let ends = journeys.come(0);
    let started = now_secs();
    let mut one = journeys.setup.start();
    one.wait_frontier(PARTITIONS, started - 2);
    journeys.wait_committed(&mut one);
    assert!(journeys.newest().is_empty(), "no image was due yet");

    let setup = &journeys.setup;
    let mut second = Setup::on(setup.bootstrap.clone(), "snapshots-move-to", PARTITIONS, "json")
        .policies(JOURNEY_POLICIES)
        .with("kafka", "instance_id = \"the-other\"");
    second.name = setup.name.clone();
    second.lines.extend(setup.lines.clone());
    let mut other = second.start();
    let half = i64::from(PARTITIONS / 2);
    other.wait("half of the partitions", |service| {
        (sum(service, "stallwatch_partitions_assigned") == half).then_some(())
    });
    let moved = other.wait("snapshots of what was given away", |_| {
        let newest = journeys.newest();
        (newest.len() as i64 == half).then_some(newest)
    });
    assert!(moved.iter().all(|(partition, offset)| ends[partition] == *offset), "{moved:?}");
    journeys.come(1);
    journeys.wait_committed(&mut other);
    other.stop();
    one.stop();
    assert_equals_replay(setup);
}

#[test]
fn a_store_that_cannot_be_stops_nothing_and_a_restart_reads_the_log() {
    let journeys = Journeys::new("snapshots-lost", "1s");
    fs::write(journeys.setup.file("snapshots"), "no folder").expect("written");
    let first = journeys.come(0);
    let mut service = journeys.setup.start();
    journeys.wait_committed(&mut service);
    service.wait("a snapshot that fails", |service| {
        (sum(service, "stallwatch_snapshot_failures_total") > 0).then_some(())
    });
    journeys.come(1);
    journeys.wait_committed(&mut service);
    let log = service.log();
    assert_eq!(log.matches("detection goes on").count(), 1, "it is said once: {log}");
    service.stop();

    let mut service = journeys.setup.start();
    let all: i64 = journeys.ends().values().sum();
    assert!(all > first.values().sum());
    assert_eq!(replayed(&service), all);
    assert!(sum(&service, "stallwatch_snapshot_failures_total") >= i64::from(PARTITIONS));
    assert!(service.log().contains("package state is rebuilt from the log instead"));
    service.wait_frontier(PARTITIONS, now_secs() - 2);
    service.stop();
    assert_equals_replay(&journeys.setup);
}
