//! `s3://`, of moto's server; and of servers that fail or hang.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stallwatch::service::snapshots::{Limits, Refusal, SnapshotStore, StoreError};

use crate::state::{found, header, restore, snapshot, state_at};

const PATIENCE: Duration = Duration::from_secs(120);

/// moto's server on the loopback. Ends with this.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Self {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let interpreter = project.join(".cache/venv/bin/python");
        assert!(
            interpreter.exists(),
            "no Python environment in .cache/venv: run ./test setup first"
        );
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(interpreter)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, endpoint: format!("http://{address}") };
        let end = Instant::now() + PATIENCE;
        while request(&server.endpoint, "PUT", "/parcels").is_none_or(|status| status != 200) {
            assert!(Instant::now() < end, "moto's server does not answer: see ./test setup");
            thread::sleep(Duration::from_millis(100));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The status of a request without a body.
fn request(endpoint: &str, method: &str, path: &str) -> Option<u16> {
    let address = endpoint.strip_prefix("http://")?;
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request\r\n\r\n"
    )
    .ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

fn limits() -> Limits {
    Limits { request: Duration::from_secs(20), whole: Duration::from_secs(60), retries: 1 }
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
    let whole = Duration::from_millis(300);
    let store = open(&endpoint, "s3://parcels", Limits { whole, ..limits() });
    let header = header(100);
    let started = Instant::now();
    let error = store.save(&header, snapshot(1, &header)).err();
    assert!(matches!(error, Some(StoreError::Slow { limit, .. }) if limit == whole), "{error:?}");
    assert!(matches!(restore(&store, 100), Err(StoreError::Slow { .. })));
    assert!(started.elapsed() < PATIENCE);
    // Only now: a connection that nobody takes is one that nobody answers.
    drop(listener);
}
