//! What look-ups cost the shards: the processor time that a worker takes for a scan while a backlog
//! is read, without and with ten thousand clients that look packages up all the time; and with the
//! same clients at a server of their own beside the service, which tells what the machine's full
//! processors and caches have to do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backlog::{POLICIES, log_scans};
use crate::broker::{Broker, free_port};
use crate::service::{Service, Setup};

const SCANS: usize = 1_000_000;
const CLIENTS: usize = 10_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(600);
/// A client that was told to come again waits so long.
const PAUSE: Duration = Duration::from_millis(500);

/// One reading of the backlog.
struct Reading {
    /// Processor time of the worker for each scan, in nanoseconds.
    ns_per_scan: f64,
    answered: u64,
    refused: u64,
}

/// Whom the clients ask while a backlog is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nobody,
    AnotherServer,
    Shards,
}

impl Asked {
    const ALL: [Self; 3] = [Self::Nobody, Self::AnotherServer, Self::Shards];
}

/// Measures some rounds of each in turns; prints a line of JSON.
pub fn measure() {
    let broker = Broker::start();
    let mut ns: [Vec<f64>; 3] = Default::default();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        for (asked, ns) in Asked::ALL.into_iter().zip(&mut ns) {
            let reading = read_backlog(&broker, &format!("{asked:?}-{round}"), asked);
            ns.push(reading.ns_per_scan);
            if asked == Asked::Shards {
                answered += reading.answered;
                refused += reading.refused;
            }
        }
    }
    let [alone, elsewhere, shards] = ns.each_mut().map(|ns| median(ns));
    println!(
        "{}",
        json!({"scans": SCANS, "clients": CLIENTS,
            "worker_ns_per_scan": {"alone": ns[0], "clients_at_another_server": ns[1], "look_ups": ns[2]},
            "ratio_to_alone": shards / alone, "ratio_to_another_server": shards / elsewhere,
            "answered": answered, "told_to_come_again": refused})
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn read_backlog(broker: &Broker, name: &str, asked: Asked) -> Reading {
    let address = format!("127.0.0.1:{}", free_port());
    let elsewhere = (asked == Asked::AnotherServer).then(Elsewhere::open);
    let setup = Setup::new(broker, name, 1, "json")
        .policies(POLICIES)
        .with("engine", "workers = 1")
        .with("admin", format!("listen = \"{address}\""));
    log_scans(&setup, SCANS);
    let mut service = setup.spawn();
    let crowd = match (asked, &elsewhere) {
        (Asked::Nobody, _) => Crowd::gather(&address, 0),
        (_, Some(elsewhere)) => Crowd::gather(&elsewhere.address, CLIENTS),
        (_, None) => Crowd::gather(&address, CLIENTS),
    };
    service.wait_ready();
    let begun = Instant::now();
    while read(&service) < SCANS as f64 {
        assert!(begun.elapsed() < PATIENCE, "the backlog is not read\n{}", service.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let ns_per_scan = worker_ns(service.id()) / SCANS as f64;
    let (answered, refused) = crowd.leave();
    service.stop();
    Reading { ns_per_scan, answered, refused }
}

fn read(service: &Service) -> f64 {
    service.metrics().map_or(0.0, |metrics| metrics.sum("stallwatch_scans_total"))
}

/// Processor time of the worker so far, in nanoseconds.
fn worker_ns(process: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let name = |path: &std::path::Path| std::fs::read_to_string(path.join("comm"));
    let worker = tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .find(|path| name(path).is_ok_and(|name| name.trim() == "worker-0"))
        .expect("a worker");
    let text = std::fs::read_to_string(worker.join("schedstat")).expect("its processor time");
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

/// A server on one thread that tells whoever asks to come again, as the service does when its
/// queues are full.
struct Elsewhere {
    address: String,
    _runtime: tokio::runtime::Runtime,
}

impl Elsewhere {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let socket = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let socket = socket.expect("a socket");
        let address = socket.local_addr().expect("its address").to_string();
        runtime.spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(tell_to_come_again(stream));
            }
        });
        Self { address, _runtime: runtime }
    }
}

/// Answers every request of a connection.
async fn tell_to_come_again(mut stream: TcpStream) -> std::io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER).await?;
            head.clear();
        }
    }
    Ok(())
}

/// Clients that ask one after the other, each as soon as it was answered.
struct Crowd {
    runtime: tokio::runtime::Runtime,
    going: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Crowd {
    fn gather(address: &str, clients: usize) -> Self {
        let crowd = Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime"),
            going: Arc::new(AtomicBool::new(true)),
            answered: Arc::default(),
            refused: Arc::default(),
        };
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30));
        let client = client.build().expect("a client");
        for number in 0..clients {
            let (going, answered) = (crowd.going.clone(), crowd.answered.clone());
            let (client, refused) = (client.clone(), crowd.refused.clone());
            let url = format!("http://{address}/v1/packages/ups/1Z{number:016}");
            crowd.runtime.spawn(async move {
                while going.load(Ordering::Relaxed) {
                    let status = client.get(&url).send().await.map(|it| it.status());
                    if status.is_ok_and(|status| status.is_success()) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    } else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            });
        }
        crowd
    }

    /// How many look-ups were answered, and how many were not.
    fn leave(self) -> (u64, u64) {
        self.going.store(false, Ordering::Relaxed);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        (self.answered.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}
