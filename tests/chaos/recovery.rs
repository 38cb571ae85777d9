//! How long a restart takes after a crash with so many records behind the last snapshot: from the
//! assignment until every partition is live again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::backlog::{PACKAGES, POLICIES, log_scans};
use crate::broker::Broker;
use crate::client::end_offsets;
use crate::service::{Service, Setup};
use crate::wait::now_secs;

const PARTITIONS: i32 = 8;
const PATIENCE: Duration = Duration::from_secs(900);

/// Measures with so many scans behind the last snapshot; prints a line of JSON.
pub fn measure(behind: usize) {
    let broker = Broker::start();
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let setup =
        Setup::with_scans(&broker, "recovery", PARTITIONS, "json", &settings).policies(POLICIES);
    let url = format!("url = \"file://{}\"", setup.file("snapshots").display());
    // So long that none is taken on time: the one of the hand-over is the last.
    let setup = setup.with("state", url).with("state", "snapshot_interval = \"1d\"");
    log_scans(&setup, PACKAGES);
    let mut service = setup.start();
    wait_to_the_end(&setup, &mut service);
    service.stop();

    let mut service = setup.start();
    log_scans(&setup, behind);
    wait_to_the_end(&setup, &mut service);
    service.kill();

    let begun = Instant::now();
    let mut service = setup.spawn();
    service.wait_ready();
    let ready = begun.elapsed().as_secs_f64();
    let metrics = service.metrics().expect("metrics of a service that is ready");
    let replayed = metrics.sum("stallwatch_records_replayed_total");
    let restored = since_the_assignment(&service.log());
    service.stop();
    println!(
        "{}",
        json!({"packages": PACKAGES, "records_replayed": replayed, "ready_after_start_s": ready,
            "live_after_assignment_s": restored})
    );
}

/// Waits until all that is logged is committed, and the frontier has moved past it by evidence.
fn wait_to_the_end(setup: &Setup, service: &mut Service) {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let committed = crate::client::committed(&setup.bootstrap, &setup.group(), &setup.scans());
        let ends = end_offsets(&setup.bootstrap, &setup.scans());
        if ends.iter().all(|(partition, end)| committed.get(partition) == Some(end)) {
            return service.wait_frontier(PARTITIONS, now_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the service has not come to the end of the log\n{}", service.log());
}

/// Seconds from the last assignment to the last partition that was restored after it, by the log.
fn since_the_assignment(log: &str) -> f64 {
    let time = |line: &str| {
        let text = line.split_whitespace().next().unwrap_or_default();
        text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
    };
    let last =
        |what: &str| log.lines().filter(|line| line.contains(what)).filter_map(time).next_back();
    let assigned = last("assigned partitions").expect("an assignment in the log");
    let restored = last("restored partition").expect("restored partitions in the log");
    (restored - assigned) as f64 / 1000.0
}
