//! Whatever the collector does, the service does its work.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use stallwatch::demo::POLICIES;

use crate::{demo, said, summary, without_telemetry};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// An address at which nobody listens: a port that is given to none who asks for any.
fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

#[test]
fn a_collector_that_is_away_is_told_once_and_stops_nothing() {
    // Every span by itself, so that there are many attempts.
    let often = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")];
    let output = demo(&[(ENDPOINT, &url(nobody())), often[0], often[1]]);
    let summary = summary(&output);
    assert_eq!((summary["missed"].as_u64(), summary["invented"].as_u64()), (Some(0), Some(0)));
    let said = said(&output);
    let told = said.matches("the collector does not take traces").count();
    assert_eq!(told, 1, "{said}");
}

#[test]
fn a_collector_that_does_not_answer_delays_the_end_by_seconds_only() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    summary(&demo(&[]));
    let without = began.elapsed();
    let address = url(silent.local_addr().unwrap());
    let began = Instant::now();
    let output = demo(&[(ENDPOINT, &address), ("OTEL_EXPORTER_OTLP_TIMEOUT", "120000")]);
    summary(&output);
    let with = began.elapsed();
    assert!(with < without * 2 + Duration::from_secs(20), "{with:?}, otherwise {without:?}");
    let said = said(&output);
    assert!(said.contains("the last traces have not been taken"), "{said}");
}

#[test]
fn an_environment_that_asks_for_what_cannot_be_is_answered_by_a_line_and_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policies.toml"), POLICIES).unwrap();
    let config = folder.path().join("stallwatch.toml");
    let text = format!(
        r#"
[kafka]
bootstrap_servers = "{}"
group_id = "traces"
instance_id = "one"
patience = "1s"
[input]
topics = ["scans"]
[output]
exceptions = "exceptions"
open = "open"
dead_letter = "dead"
[policies]
file = "policies.toml"
[admin]
listen = "127.0.0.1:0"
probe_listen = "127.0.0.1:0"
[log]
format = "json"
"#,
        nobody()
    );
    std::fs::write(&config, text).unwrap();
    for (name, value, why) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "only http/protobuf is spoken here"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a b", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ] {
        let mut run = without_telemetry();
        run.env(ENDPOINT, url(nobody())).env(name, value);
        let said = said(&run.args(["run", "--config"]).arg(&config).output().unwrap());
        let lines: Vec<serde_json::Value> =
            said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let warned = lines.iter().filter_map(|line| line["message"].as_str());
        let warned: Vec<&str> = warned.filter(|line| line.contains("not exported")).collect();
        assert_eq!(warned.len(), 1, "{said}");
        assert!(warned[0].contains(why) && warned[0].contains(name), "{said}");
        assert!(said.contains("\"message\":\"starting\""), "{said}");
        assert!(said.contains("given up after kafka.patience"), "{said}");
    }
}
