//! The thread that makes snapshots.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use stallwatch::detector::memory::SystemBlocks;
use stallwatch::detector::snapshot::Image;
use stallwatch::service::clock::SystemClock;
use stallwatch::service::snapshots::{Limits, Outcome, SnapshotStore, SnapshotWriter};
use stallwatch::service::status::{PartitionStatus, Status};
use stallwatch::service::telemetry::Metrics;

use crate::state::{found, header, policies, shard, state_at};

const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    store: Arc<SnapshotStore>,
    metrics: Arc<Metrics>,
    writer: SnapshotWriter,
}

fn start(folder: &Path) -> Running {
    let state = state_at(&format!("file://{}", folder.display()), 3);
    let store = SnapshotStore::open(&state, "group", Limits::default(), []).unwrap().unwrap();
    let store = Arc::new(store);
    let metrics = Metrics::new(&policies(), None).unwrap();
    let clock = Arc::new(SystemClock);
    let memory = Arc::new(SystemBlocks);
    let writer = SnapshotWriter::start(store.clone(), memory, metrics.clone(), clock).unwrap();
    Running { store, metrics, writer }
}

impl Running {
    fn ready(&self, slots: usize) -> Box<Image> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(image) = self.writer.ready(slots) {
                return image;
            }
            assert!(Instant::now() < end, "no image becomes ready");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn metric(&self, line: &str) -> Option<f64> {
        let status = Status::new(0);
        status.partitions.insert(7, PartitionStatus::restoring());
        let text = self.metrics.render("topic", &status, 0);
        text.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok())
    }
}

#[test]
fn an_image_is_saved_while_its_shard_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    let shard = shard(70_000);
    assert!(running.writer.ready(shard.slots()).is_none(), "memory has to be made ready first");
    let mut image = running.ready(shard.slots());
    assert!(running.writer.ready(1).is_none(), "there is one image, and it is in use");
    shard.image(&mut image).unwrap();
    let (tell, told) = channel();
    running.writer.submit(image, header(100), move |outcome| tell.send(outcome).unwrap());
    let outcome = told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
    assert_eq!(found(&running.store, 100), Some((100, 70_000)));
    running.ready(shard.slots());
    assert!(running.metric("stallwatch_state_bytes{partition=\"7\"}").unwrap() > 70_000.0);
    let at = running.metric("stallwatch_snapshot_last_success_timestamp_seconds").unwrap();
    assert!(at > 1_700_000_000.0, "{at}");
    assert_eq!(running.metric("stallwatch_snapshot_failures_total"), Some(0.0));
}

#[test]
fn a_shard_that_is_handed_over_is_saved_before_the_writer_ends() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    for offset in [100, 200] {
        running.writer.submit_shard(Box::new(shard(1_000 + offset as u64)), header(offset), |_| ());
    }
    assert!(running.writer.wait(PATIENCE), "it does not come to its end");
    assert_eq!(found(&running.store, 200), Some((200, 1_200)));
    running.writer.submit_shard(Box::new(shard(5)), header(300), |_| ());
    let store = running.store.clone();
    drop(running);
    assert_eq!(found(&store, 300), Some((300, 5)));
}

#[test]
fn a_store_that_fails_is_counted_and_left_alone_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    let in_the_way = folder.path().join("group");
    std::fs::write(&in_the_way, "").unwrap();
    let (tell, told) = channel();
    for offset in [100, 200] {
        let tell = tell.clone();
        let told = move |outcome| tell.send(outcome).unwrap();
        running.writer.submit_shard(Box::new(shard(1)), header(offset), told);
    }
    for _ in 0..2 {
        let outcome = told.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    }
    assert_eq!(running.metric("stallwatch_snapshot_failures_total"), Some(2.0));
    assert!(running.writer.ready(0).is_none(), "no image is taken for a store that fails");

    std::fs::remove_file(&in_the_way).unwrap();
    running
        .writer
        .submit_shard(Box::new(shard(3)), header(300), move |outcome| tell.send(outcome).unwrap());
    let outcome = told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(outcome, Outcome::Saved(_)), "{outcome:?}");
    assert!(running.writer.ready(0).is_some(), "it works again");
}

#[test]
fn what_is_given_up_is_waited_for_no_longer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let variables = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_ACCESS_KEY_ID", "key")];
    let variables = variables.into_iter().chain([("AWS_SECRET_ACCESS_KEY", "secret")]);
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let state = state_at("s3://parcels", 3);
    let store = SnapshotStore::open(&state, "group", Limits::default(), variables);
    let store = Arc::new(store.unwrap().unwrap());
    let metrics = Metrics::new(&policies(), None).unwrap();
    let memory = Arc::new(SystemBlocks);
    let writer = SnapshotWriter::start(store, memory, metrics, Arc::new(SystemClock)).unwrap();
    writer.submit_shard(Box::new(shard(3)), header(100), |_| ());
    let started = Instant::now();
    assert!(!writer.wait(Duration::from_millis(200)), "nobody answers");
    writer.give_up();
    drop(writer);
    assert!(started.elapsed() < Limits::default().silence);
    drop(listener);
}
