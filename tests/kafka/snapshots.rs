//! With snapshots a restart reads only the records behind the last one; what is published stays what
//! `replay` of the whole log gives, whatever becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::broker::shared;
use crate::client::{NewRecord, committed, create_topic, delete_records, end_offsets, produce};
use crate::equality::{assert_equals_replay_of, run_to_the_end};
use crate::scans::{JOURNEY_POLICIES, Scan, journeys};
use crate::service::{SCANS_SETTINGS, Service, Setup};
use crate::wait::now_ms;

pub const PARTITIONS: i32 = 4;
/// So long that no test sees an image taken on time.
pub const NEVER: &str = "1d";
/// Longer than a half takes to be produced: nothing comes later than the clock allows.
const MARGIN: &str = "clock_margin = \"5s\"";

/// A service without scans, and journeys to come in two halves.
pub struct Journeys {
    pub setup: Setup,
    halves: [Vec<Scan>; 2],
}

impl Journeys {
    pub fn new(name: &str, interval: &str) -> Self {
        // What was scanned weeks ago is still known when the second half comes.
        let policies = JOURNEY_POLICIES.replace("forget_after = \"12d\"", "forget_after = \"90d\"");
        let setup = Setup::new(shared(), name, PARTITIONS, "json").policies(policies);
        let mut first = journeys(2_000, now_ms(), 0x0dd_ba11);
        let second = first.split_off(first.len() / 2);
        let setup = setup.with("input", MARGIN);
        let journeys = Self { setup, halves: [first, second] }.every(interval);
        let bootstrap = &journeys.setup.bootstrap;
        create_topic(bootstrap, &journeys.witness(), PARTITIONS, SCANS_SETTINGS);
        journeys
    }

    /// With another pause between two snapshots.
    fn every(self, interval: &str) -> Self {
        let url = format!("url = \"file://{}\"", self.setup.file("snapshots").display());
        let setup = self.setup.with("state", url);
        let setup = setup.with("state", format!("snapshot_interval = \"{interval}\""));
        Self { setup, ..self }
    }

    /// The half is logged: the first weeks ago, the second now. The topics of scans and what bears
    /// witness get the same.
    pub fn come(&self, half: usize) -> BTreeMap<i32, i64> {
        let now_ms = now_ms();
        let stamped = |scan: &Scan| match half {
            0 => scan.json(),
            _ => Scan { log_ms: now_ms, event_ms: None, ..scan.clone() }.json(),
        };
        let records: Vec<NewRecord> = self.halves[half].iter().map(stamped).collect();
        produce(&self.setup.bootstrap, &self.setup.scans(), records.iter().cloned());
        produce(&self.setup.bootstrap, &self.witness(), records);
        self.ends()
    }

    /// The topic that keeps all that the topic of scans ever had.
    fn witness(&self) -> String {
        format!("{}.witness", self.setup.name)
    }

    pub fn ends(&self) -> BTreeMap<i32, i64> {
        end_offsets(&self.setup.bootstrap, &self.setup.scans())
    }

    /// Runs the service to the end of the log and stops it in order, which leaves a snapshot there.
    fn run_and_hand_over(&self) {
        let mut service = self.setup.start();
        self.wait_committed(&mut service);
        service.stop();
        assert_eq!(self.newest(), self.ends(), "every partition has left a snapshot at its end");
    }

    /// Runs to the end of the log and compares with a replay of all that ever was in it.
    pub fn assert_equals_replay(&self) {
        run_to_the_end(&self.setup);
        let events = assert_equals_replay_of(&self.setup, &self.witness());
        let later: BTreeSet<&str> =
            self.halves[1].iter().map(|scan| scan.number.as_str()).collect();
        let went_on = events.keys().filter(|(_, number)| later.contains(number.as_str())).count();
        assert!(went_on > 100, "only {went_on} packages went on in the second half");
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

    pub fn wait_committed(&self, service: &mut Service) {
        let ends = self.ends();
        service.wait("a commit at the end", |_| {
            let setup = &self.setup;
            let offsets = committed(&setup.bootstrap, &setup.group(), &setup.scans());
            (offsets == ends).then_some(())
        });
    }
}

pub fn sum(service: &Service, metric: &str) -> i64 {
    service.metrics().expect("metrics").sum(metric) as i64
}

pub fn replayed(service: &Service) -> i64 {
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
    journeys.assert_equals_replay();
}

#[test]
fn a_log_that_is_deleted_below_the_snapshot_is_not_needed() {
    let journeys = Journeys::new("snapshots-deleted", NEVER);
    let setup = &journeys.setup;
    let first = journeys.come(0);
    journeys.run_and_hand_over();
    delete_records(&setup.bootstrap, &setup.scans(), &first);

    journeys.come(1);
    journeys.run_and_hand_over();
    journeys.assert_equals_replay();
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
    journeys.assert_equals_replay();
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
    journeys.assert_equals_replay();
}

#[test]
fn partitions_that_move_to_another_instance_leave_a_snapshot_at_the_commit() {
    let mut journeys = Journeys::new("snapshots-move", NEVER);
    // A static member is gone only once its session has timed out.
    for line in ["session_timeout = \"6s\"", "transaction_timeout = \"5s\""] {
        journeys.setup = journeys.setup.with("kafka", line);
    }
    let ends = journeys.come(0);
    let mut one = journeys.setup.start();
    journeys.wait_committed(&mut one);
    assert!(journeys.newest().is_empty(), "no image was due yet");

    let setup = &journeys.setup;
    let mut second = Setup::on(setup.bootstrap.clone(), "snapshots-move-to", PARTITIONS, "json")
        .policies(setup.policies.clone())
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
    journeys.assert_equals_replay();
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

    let service = journeys.setup.start();
    let all: i64 = journeys.ends().values().sum();
    assert!(all > first.values().sum());
    assert_eq!(replayed(&service), all);
    assert!(sum(&service, "stallwatch_snapshot_failures_total") >= i64::from(PARTITIONS));
    assert!(service.log().contains("package state is rebuilt from the log instead"));
    service.stop();
    journeys.assert_equals_replay();
}
