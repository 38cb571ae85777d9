//! What a scrape of `/metrics` costs: `cargo bench --bench scrape [-- --partitions N]`. A status as a
//! busy instance has it, rendered again and again; prints the median and the longest in milliseconds
//! and the size of the text.

use std::sync::Arc;
use std::time::Instant;

use stallwatch::detector::exception::{Kind, Severity};
use stallwatch::service::status::{PartitionStatus, Stage, Status};
use stallwatch::service::telemetry::Metrics;
use stallwatch::wire::policy_file;

const ROUNDS: usize = 200;
/// As many as have a label of their own.
const CARRIERS: usize = 64;
const POLICIES: &str = "version = 1\n[[policy]]\nid = \"all\"\n\
    no_movement = [ { after = \"2d\", severity = \"warning\" } ]\n";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let partitions = arguments
        .iter()
        .position(|argument| argument == "--partitions")
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(64);
    let policies = policy_file::parse("policies.toml", POLICIES).expect("policies in order");
    let metrics = Metrics::new(&Arc::new(policies), None).expect("metrics");
    let status = status(partitions);
    let mut bytes = 0;
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| scrape(&metrics, &status, &mut bytes)).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{{\"partitions\":{partitions},\"median_ms\":{:.3},\"longest_ms\":{:.3},\"bytes\":{bytes}}}",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
}

#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn scrape(metrics: &Metrics, status: &Status, bytes: &mut usize) -> f64 {
    let start = Instant::now();
    *bytes = metrics.render("carrier.scans.v1", status, 1_790_000_000_000).len();
    start.elapsed().as_secs_f64() * 1_000.0
}

/// Every carrier has exceptions of every kind and severity in every partition.
fn status(partitions: i32) -> Arc<Status> {
    let status = Status::new(4);
    for partition in 0..partitions {
        let mut of_one = PartitionStatus::restoring();
        of_one.stage = Stage::Live;
        of_one.position = 1_000_000;
        of_one.end = Some(1_000_100);
        of_one.frontier = Some(1_789_999_990);
        of_one.log_clock = Some(1_789_999_990);
        for carrier in 0..CARRIERS {
            let carrier: Arc<str> = format!("carrier-{carrier}").into();
            for kind in Kind::ALL {
                for severity in Severity::ALL {
                    of_one.stats.open.insert((carrier.clone(), *kind, *severity), 17);
                }
            }
        }
        status.partitions.insert(partition, of_one);
    }
    status
}
