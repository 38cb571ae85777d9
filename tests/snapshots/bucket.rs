//! `s3://`, of moto's server; and of servers that fail or hang.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use stallwatch::detector::memory::SystemBlocks;
use stallwatch::service::snapshots::{Limits, Refusal, SnapshotStore, StoreError};

use crate::server::{Gate, Server, request};
use crate::state::{PARTITION, TOPIC, found, header, policies, restore, snapshot, state_at};

const PATIENCE: Duration = Duration::from_secs(120);

fn limits() -> Limits {
    Limits { silence: Duration::from_secs(20), retries: 1, ..Limits::default() }
}

fn open(endpoint: &str, url: &str, limits: Limits) -> SnapshotStore {
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_PROFILE_OF_OTHERS", "no setting of ours"),
        ("PATH", "/bin"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    SnapshotStore::open(&state_at(url, 2), "group", limits, variables).unwrap().unwrap()
}

#[test]
fn a_bucket_keeps_and_gives_back_what_a_folder_does() {
    let server = Server::start();
    let store = open(&server.endpoint, "s3://parcels/state/eu", limits());
    assert_eq!(found(&store, 1_000), None);
    for (offset, packages) in [(100, 1), (200, 2), (300, 3)] {
        let header = header(offset);
        let saved = store.save(&header, snapshot(packages, &header)).unwrap();
        assert!(saved.name.starts_with("state/eu/group/carrier.scans.v1/7/000"), "{}", saved.name);
    }
    assert_eq!(found(&store, 1_000), Some((300, 3)));
    assert_eq!(found(&store, 299), Some((200, 2)));
    assert_eq!(found(&store, 199), None, "only two are kept");

    let damaged = header(400);
    let mut content = snapshot(4, &damaged);
    let last = content.len() - 1;
    content[last] ^= 1;
    let name = store.save(&damaged, content).unwrap().name;
    let restored = restore(&store, 1_000).unwrap();
    assert_eq!(restored.found.map(|(header, _)| header.offset), Some(300));
    assert!(matches!(restored.refused[..], [Refusal::Damaged(_)]), "{:?}", restored.refused);
    assert!(restore(&store, 1_000).unwrap().refused.is_empty(), "it is not looked at again");
    let (folder, file) = name.rsplit_once('/').unwrap();
    let status = |path: String| request(&server.endpoint, "GET", &path);
    assert_eq!(status(format!("/parcels/{folder}/set-aside/{file}")), Some(200));
    assert_eq!(status(format!("/parcels/{name}")), Some(404));
}

#[test]
fn what_is_sent_in_parts_comes_back_whole() {
    let server = Server::start();
    let store = open(&server.endpoint, "s3://parcels", limits());
    let header = header(100);
    let content = snapshot(1_400_000, &header);
    assert!(content.len() > 9 << 20, "{} bytes are no two parts", content.len());
    store.save(&header, content).unwrap();
    assert_eq!(found(&store, 100), Some((100, 1_400_000)));
}

#[test]
fn a_bucket_that_is_not_there_is_an_error() {
    let server = Server::start();
    let store = open(&server.endpoint, "s3://elsewhere", limits());
    let header = header(100);
    let error = store.save(&header, snapshot(1, &header)).err();
    assert!(matches!(error, Some(StoreError::Failed { .. })), "{error:?}");
    assert!(error.unwrap().to_string().contains("NoSuchBucket"));
}

#[test]
fn a_server_that_always_fails_is_an_error_after_a_few_tries() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 4_096];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(
                b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let store = open(&endpoint, "s3://parcels", limits());
    let header = header(100);
    let said = store.save(&header, snapshot(1, &header)).unwrap_err().to_string();
    assert!(said.contains("saving a snapshot failed") && said.contains("503"), "{said}");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    let store =
        open(&endpoint, "s3://parcels", Limits { whole: limit, listing: limit, ..limits() });
    let header = header(100);
    let started = Instant::now();
    let error = store.save(&header, snapshot(1, &header)).err();
    assert!(matches!(error, Some(StoreError::Slow { limit: it, .. }) if it == limit), "{error:?}");
    let error = restore(&store, 100).err();
    assert!(matches!(error, Some(StoreError::Slow { limit: it, .. }) if it == limit), "{error:?}");
    assert!(started.elapsed() < PATIENCE);
    // Only now: a connection that nobody takes is one that nobody answers.
    drop(listener);
}

/// A store behind a gate, with one snapshot of several MiB.
fn behind_a_gate(limits: Limits) -> (Server, Gate, SnapshotStore) {
    let server = Server::start();
    let gate = Gate::before(&server);
    let store = open(&gate.endpoint, "s3://parcels", limits);
    let header = header(100);
    store.save(&header, snapshot(LARGE, &header)).unwrap();
    (server, gate, store)
}

const LARGE: u64 = 400_000;

#[test]
fn a_snapshot_that_comes_to_a_standstill_is_given_up_after_the_time_of_one_piece() {
    let piece = Duration::from_secs(2);
    let silence = Duration::from_secs(1);
    let (_server, gate, store) = behind_a_gate(Limits { piece, silence, ..limits() });
    let listing = store.listing(TOPIC, PARTITION).unwrap();
    gate.block_after(1_500_000);
    let started = Instant::now();
    let (policies, memory) = (policies(), std::sync::Arc::new(SystemBlocks) as _);
    let error = store.load(&listing.found[0], &policies, &memory).err().expect("it stands still");
    assert!(matches!(error, StoreError::Stalled { limit, .. } if limit == piece), "{error}");
    assert!(started.elapsed() >= piece);
    assert!(started.elapsed() < Limits::default().piece, "{:?}", started.elapsed());
    gate.open();
    assert_eq!(found(&store, 100), Some((100, LARGE as usize)), "it is as good as ever");
}

#[test]
fn a_snapshot_that_comes_slowly_is_waited_for_as_long_as_it_comes() {
    let piece = Duration::from_secs(2);
    let (silence, part) = (Duration::from_secs(1), Duration::from_secs(20));
    let limits = Limits { piece, silence, part, listing: piece, ..limits() };
    let (_server, gate, store) = behind_a_gate(limits);
    let listing = store.listing(TOPIC, PARTITION).unwrap();
    gate.slow_down(1 << 20);
    let started = Instant::now();
    let (policies, memory) = (policies(), std::sync::Arc::new(SystemBlocks) as _);
    let loaded = store.load(&listing.found[0], &policies, &memory).unwrap().unwrap();
    assert_eq!(loaded.len(), LARGE as usize);
    assert!(started.elapsed() > piece, "it came at once: {:?}", started.elapsed());
}

#[test]
fn headers_that_do_not_come_are_given_up_within_the_time_of_the_listing() {
    let listing = Duration::from_secs(2);
    let silence = Duration::from_secs(1);
    let (_server, gate, store) = behind_a_gate(Limits { listing, silence, ..limits() });
    for offset in [200, 300] {
        let header = header(offset);
        store.save(&header, snapshot(2, &header)).unwrap();
    }
    gate.block_after(3_000);
    let started = Instant::now();
    let error = store.listing(TOPIC, PARTITION).expect_err("headers do not come");
    assert!(matches!(error, StoreError::Slow { limit, .. } if limit == listing), "{error}");
    assert!(error.to_string().contains("header"), "{error}");
    assert!(started.elapsed() < listing * 2, "{:?}", started.elapsed());
}
