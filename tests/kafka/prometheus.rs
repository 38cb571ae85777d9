//! A real Prometheus scrapes the service and works with the rules that are shipped.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{free_port, project, shared};
use crate::client::produce;
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, until};

const POLICIES: &str = r#"
version = 1
[[policy]]
id = "everything"
no_movement = [ { after = "48h", severity = "warning", name = "stalled" } ]
"#;
const SETTINGS: &str = r"
global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }
rule_files: ['*.rules.yml']
scrape_configs:
  - job_name: stallwatch
    file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }]
";
const LAGGING: &str = "StallwatchInputLagging";

/// A Prometheus with the shipped rules, each alert of which fires at once. Ended when dropped.
struct Prometheus {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Prometheus {
    fn start() -> Self {
        let binary = project().join(".cache/prometheus/prometheus");
        assert!(binary.exists(), "no Prometheus in .cache/prometheus: run ./test setup first");
        let dir = tempfile::Builder::new().prefix("stallwatch-prom-").tempdir().expect("a folder");
        let file = |name: &str| dir.path().join(name);
        fs::write(file("prometheus.yml"), SETTINGS).expect("written");
        copy_rules(dir.path());
        let address = format!("127.0.0.1:{}", free_port());
        let log = fs::File::create(file("prometheus.log")).expect("a log file");
        let child = Command::new(binary)
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus can be run");
        let prometheus = Self { child, address, dir };
        prometheus.wait("Prometheus is ready", || {
            let rules = prometheus.ask("/api/v1/rules")?;
            (rules["groups"].as_array()?.len() > 5).then_some(())
        });
        prometheus
    }

    /// Scrapes this service from now on, under the one name that its instance has.
    fn scrape(&self, service: &Service) {
        let target = serde_json::json!([{
            "targets": [service.probe()],
            "labels": { "instance": "stallwatch-0" },
        }]);
        // Beside it and then in its place, so that half a file is never read.
        let beside = self.dir.path().join("targets.new");
        fs::write(&beside, target.to_string()).expect("written");
        fs::rename(beside, self.dir.path().join("targets.json")).expect("renamed");
    }

    /// The data of an answer, if there is one.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let mut answer: Value = serde_json::from_str(body).ok()?;
        (head.contains(" 200 ") && answer["status"] == "success").then(|| answer["data"].take())
    }

    /// The value of a query that has one.
    fn value(&self, query: &str) -> Option<f64> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query)))?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }

    fn wait_value(&self, query: &str, value: f64) {
        self.wait(&format!("{query} is {value}"), || (self.value(query)? == value).then_some(()));
    }

    /// The alert of this name that fires, if it does.
    fn firing(&self, name: &str) -> Option<Value> {
        let alerts = self.ask("/api/v1/alerts")?["alerts"].take();
        let fires =
            |alert: &&Value| alert["labels"]["alertname"] == name && alert["state"] == "firing";
        alerts.as_array()?.iter().find(fires).cloned()
    }

    /// Waits until no alert of this name is left, be it pending.
    fn wait_resolved(&self, name: &str) {
        self.wait(&format!("{name} is resolved"), || {
            let alerts = self.ask("/api/v1/alerts")?["alerts"].take();
            let none = alerts.as_array()?.iter().all(|alert| alert["labels"]["alertname"] != name);
            none.then_some(())
        });
    }

    fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        until(what, PATIENCE, look, || {
            let log = fs::read_to_string(self.dir.path().join("prometheus.log"));
            format!("alerts: {:?}\n{}", self.ask("/api/v1/alerts"), log.unwrap_or_default())
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped rules, but that no alert waits before it fires.
fn copy_rules(to: &Path) {
    for name in ["recording", "alerts"] {
        let shipped = project().join(format!("deploy/prometheus/{name}.yml"));
        let shipped = fs::read_to_string(shipped).expect("the rules can be read");
        let at_once: String = shipped
            .lines()
            .map(|line| match line.split_once("for: ") {
                Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        fs::write(to.join(format!("{name}.rules.yml")), at_once).expect("written");
    }
}

fn encoded(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn limited(setup: Setup, packages: usize) -> Setup {
    setup.with("engine", format!("max_packages = {packages}"))
}

/// So many packages, from this one on, that are scanned at this time.
fn packages(setup: &Setup, from: usize, count: usize, log_ms: i64) {
    let numbers = from..from + count;
    let scans = numbers.map(|number| Scan::new(&format!("P{number}"), "departed", log_ms).json());
    produce(&setup.bootstrap, &setup.scans(), scans);
}

#[test]
fn prometheus_raises_the_alert_of_a_lagging_input_and_takes_it_back_once_the_input_is_read() {
    let setup = limited(Setup::new(shared(), "prom", 1, "json").policies(POLICIES), 10);
    packages(&setup, 0, 60, now_ms() - 600_000);
    let prometheus = Prometheus::start();
    let mut service = setup.spawn();
    prometheus.scrape(&service);

    // The partition halts for want of room while scans keep coming.
    prometheus.wait_value("stallwatch_frontier_held{reason=\"max_packages\"}", 1.0);
    prometheus.wait_value("stallwatch_consumer_lag_records", 50.0);
    packages(&setup, 60, 40, now_ms());
    prometheus.wait_value("stallwatch_consumer_lag_records", 90.0);
    let alert = prometheus.wait("the alert fires", || prometheus.firing(LAGGING));
    assert_eq!(alert["labels"]["severity"], "warning");
    assert_eq!(alert["labels"]["job"], "stallwatch");
    assert_eq!(alert["labels"]["topic"], setup.scans());
    let summary = alert["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.starts_with(&format!("Partition 0 of {} is read 10m", setup.scans())));
    prometheus.wait("the halt is told", || prometheus.firing("StallwatchPartitionHalted"));
    service.wait("the service still runs", |service| service.metrics());
    service.stop();

    let mut service = limited(setup, 1_000).start();
    prometheus.scrape(&service);
    service.wait_scans(90);
    prometheus.wait_value("up{instance=\"stallwatch-0\"}", 1.0);
    prometheus.wait_value("stallwatch_packages_limit", 1_000.0);
    prometheus.wait_value("max(stallwatch_consumer_lag_seconds)", 0.0);
    prometheus.wait_resolved(LAGGING);
    prometheus.wait_resolved("StallwatchPartitionHalted");
    let fired =
        format!("max_over_time(ALERTS{{alertname=\"{LAGGING}\",alertstate=\"firing\"}}[5m])");
    assert_eq!(prometheus.value(&fired), Some(1.0), "it had been raised before");
    service.stop();
}
