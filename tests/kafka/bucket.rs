//! Snapshots in a bucket of a real S3 server, through the whole service; and a way to that server on
//! which nothing comes back any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stallwatch::config::{SnapshotUrl, State};
use stallwatch::service::snapshots::{Limits, SnapshotStore};

use crate::bucket_server::{Gate, Server};
use crate::service::Service;
use crate::snapshots::{Journeys, NEVER, PARTITIONS, replayed, sum};

const URL: &str = "s3://parcels/state/eu";

/// A service whose snapshots go to a bucket, by a way that can be blocked.
struct InBucket {
    journeys: Journeys,
    server: Server,
    gate: Gate,
}

impl InBucket {
    fn new(name: &str, interval: &str) -> Self {
        let server = Server::start();
        let gate = Gate::before(&server);
        let mut journeys = Journeys::new(name, interval);
        journeys.setup = journeys.setup.with("state", format!("url = \"{URL}\""));
        journeys.setup.environment = variables(&gate.endpoint);
        Self { journeys, server, gate }
    }

    fn every(mut self, interval: &str) -> Self {
        let line = format!("snapshot_interval = \"{interval}\"");
        self.journeys.setup = self.journeys.setup.with("state", line);
        self
    }

    /// The offset of the newest snapshot of each partition that has one, whatever the gate lets
    /// through.
    fn newest(&self) -> BTreeMap<i32, i64> {
        let setup = &self.journeys.setup;
        let url = Some(SnapshotUrl::parse(URL).expect("a URL"));
        let snapshot_interval = Duration::from_secs(1);
        let state = State { url, snapshot_interval, keep: 3, trust_log: false };
        let variables = variables(&self.server.endpoint);
        let store = SnapshotStore::open(&state, &setup.group(), Limits::default(), variables);
        let store = store.expect("it can be reached").expect("it is configured");
        (0..PARTITIONS)
            .filter_map(|partition| {
                let listing = store.listing(&setup.scans(), partition).expect("it answers");
                Some((partition, listing.found.first()?.header.offset))
            })
            .collect()
    }

    /// Runs over the first half until every partition has a snapshot at its end, and is killed.
    fn killed_with_snapshots_at_the_end(&self) -> BTreeMap<i32, i64> {
        let first = self.journeys.come(0);
        let mut service = self.journeys.setup.start();
        self.journeys.wait_committed(&mut service);
        service.wait("a snapshot at the end of every partition", |_| {
            (self.newest() == first).then_some(())
        });
        service.kill();
        first
    }
}

fn variables(endpoint: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn failures(service: &Service) -> i64 {
    sum(service, "stallwatch_snapshot_failures_total")
}

#[test]
fn after_a_kill_a_restart_goes_on_from_the_snapshots_in_a_bucket() {
    let bucket = InBucket::new("bucket-kill", "1s");
    let first = bucket.killed_with_snapshots_at_the_end();
    let bucket = bucket.every(NEVER);
    let journeys = &bucket.journeys;
    let mut service = journeys.setup.start();
    assert_eq!(replayed(&service), 0, "the snapshots were at the end");
    let second = journeys.come(1);
    journeys.wait_committed(&mut service);
    service.kill();

    let service = journeys.setup.start();
    assert_eq!(replayed(&service), second.values().sum::<i64>() - first.values().sum::<i64>());
    assert_eq!(sum(&service, "stallwatch_snapshots_unusable_total"), 0);
    assert_eq!(failures(&service), 0);
    service.stop();
    assert_eq!(bucket.newest(), second, "a stop leaves a snapshot at the end");
    journeys.assert_equals_replay();
}

#[test]
fn a_restart_whose_store_hangs_reads_the_log_once_the_store_has_had_its_time() {
    let bucket = InBucket::new("bucket-hangs", "1s");
    let first = bucket.killed_with_snapshots_at_the_end();
    let bucket = bucket.every(NEVER);
    let journeys = &bucket.journeys;
    journeys.come(1);
    bucket.gate.block();
    let started = Instant::now();
    let service = journeys.setup.start();
    let (took, limit) = (started.elapsed(), Limits::default().listing);
    assert!(took >= limit, "the store is waited for: {took:?}");
    assert!(took < limit * 2, "ready only after {took:?}\n{}", service.log());
    assert_eq!(replayed(&service), first.values().sum::<i64>(), "the log is read instead");
    assert_eq!(failures(&service), i64::from(PARTITIONS), "one for each partition");
    let log = service.log();
    let said = log.lines().filter(|line| line.contains("rebuilt from the log instead"));
    let said: Vec<&str> = said.collect();
    assert_eq!(said.len(), PARTITIONS as usize, "once for each partition: {said:?}");
    for part in ["listing snapshots took longer than 30 s", URL, "stallwatch doctor"] {
        assert!(said.iter().all(|line| line.contains(part)), "{part}: {said:?}");
    }
    bucket.gate.open();
    service.stop();
    journeys.assert_equals_replay();
}

#[test]
fn a_stop_whose_store_hangs_ends_well_at_its_deadline_and_loses_nothing() {
    let mut bucket = InBucket::new("bucket-stop", NEVER);
    let deadline = Duration::from_secs(4);
    bucket.journeys.setup = bucket.journeys.setup.with("shutdown", "deadline = \"4s\"");
    bucket.gate.block();
    let journeys = &bucket.journeys;
    journeys.come(0);
    let mut service = journeys.setup.start();
    journeys.wait_committed(&mut service);
    let ends = journeys.come(1);
    journeys.wait_committed(&mut service);
    let asked = Instant::now();
    service.send("TERM");
    let status = service.wait_exit();
    let took = asked.elapsed();
    let log = service.log();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(took >= deadline, "the store was not waited for: {took:?}\n{log}");
    assert!(took < deadline * 3, "{took:?}\n{log}");
    let said: Vec<_> = log.lines().filter(|it| it.contains("snapshots are left out")).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(said[0].contains("shutdown.deadline") && said[0].contains(URL), "{said:?}");
    drop(service);
    // One was sent, and its answer did not come back.
    let sent = bucket.newest();
    assert!(sent.len() <= 1, "{sent:?}");
    bucket.gate.open();

    let service = journeys.setup.start();
    let behind = ends.values().sum::<i64>() - sent.values().sum::<i64>();
    assert_eq!(replayed(&service), behind, "the log is read instead");
    service.stop();
    journeys.assert_equals_replay();
}
