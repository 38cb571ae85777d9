//! What look-ups cost the shards: the processor time that a worker takes for a scan while a backlog
//! is read, without and with ten thousand clients that look packages up all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

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

/// Measures some rounds of both in turns; prints a line of JSON.
pub fn measure() {
    let broker = Broker::start();
    let mut alone = Vec::new();
    let mut asked = Vec::new();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        alone.push(read_backlog(&broker, &format!("alone-{round}"), 0).ns_per_scan);
        let with = read_backlog(&broker, &format!("asked-{round}"), CLIENTS);
        asked.push(with.ns_per_scan);
        answered += with.answered;
        refused += with.refused;
    }
    let ratio = median(&mut asked) / median(&mut alone);
    println!(
        "{}",
        json!({"scans": SCANS, "clients": CLIENTS, "worker_ns_per_scan": {"alone": alone, "with_look_ups": asked},
            "ratio": ratio, "answered": answered, "told_to_come_again": refused})
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn read_backlog(broker: &Broker, name: &str, clients: usize) -> Reading {
    let address = format!("127.0.0.1:{}", free_port());
    let setup = Setup::new(broker, name, 1, "json")
        .policies(POLICIES)
        .with("engine", "workers = 1")
        .with("admin", format!("listen = \"{address}\""));
    log_scans(&setup, SCANS);
    let mut service = setup.spawn();
    let crowd = Crowd::gather(&address, clients);
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
