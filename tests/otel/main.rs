//! What the export of traces promises. The spans are those of the demo, whose scans carry trace
//! contexts when traces are exported, and whose broker it brings.

mod collector;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::{Command, Output, Stdio};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Map, Value, json};
use stallwatch::demo::network::{Network, Settings};
use stallwatch::demo::production::context;

use collector::{Collector, attributes};

const SETTINGS: Settings = Settings { seed: 7, packages: 400, partitions: 4 };

/// The demo with these variables and no others of OpenTelemetry.
pub fn demo(variables: &[(&str, &str)]) -> Output {
    let Settings { seed, packages, partitions } = SETTINGS;
    let numbers = [("--seed", seed), ("--packages", packages.into())];
    let mut command = without_telemetry();
    command.args(["demo", "-o", "json", "--speed", "1000000"]);
    command.args(["--partitions", &partitions.to_string()]);
    command
        .args(numbers.iter().flat_map(|(name, number)| [(*name).to_owned(), number.to_string()]));
    command.envs(variables.iter().copied()).output().unwrap()
}

/// The program, with nothing of OpenTelemetry in its environment.
pub fn without_telemetry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stallwatch"));
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// What the demo summed up, given that it went well.
pub fn summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What it said on standard error.
pub fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A span and its attributes.
type Attributed = (Span, Map<String, Value>);

/// Spans by their names, each with its attributes.
fn by_name(spans: Vec<Span>) -> BTreeMap<String, Vec<Attributed>> {
    let mut named: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for span in spans {
        let attributes = attributes(&span.attributes);
        named.entry(span.name.clone()).or_default().push((span, attributes));
    }
    named
}

/// How many events the demo saw of these changes; of all where none is named.
fn events(summary: &Value, changes: &[&str]) -> i64 {
    let events = summary["events"].as_array().unwrap().iter();
    let wanted = events
        .filter(|event| changes.is_empty() || changes.contains(&event["change"].as_str().unwrap()));
    wanted.map(|event| event["count"].as_i64().unwrap()).sum()
}

#[test]
fn every_commit_restore_and_rebalance_and_every_exception_that_a_scan_closed_is_a_span() {
    let collector = Collector::start();
    let output = demo(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let summary = summary(&output);
    it_is_otlp_over_http(&collector);
    let spans = by_name(collector.spans());
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["commit", "exception", "rebalance", "restore"]);
    rebalances_tell_what_came_and_went(&spans["rebalance"]);
    restores_tell_what_they_read(&spans["restore"]);
    commits_tell_what_they_carried(&spans["commit"], &summary);
    closed_exceptions_go_on_with_the_trace_of_their_scan(&spans["exception"], &summary);
    closed_exceptions_name_their_commit(&spans["exception"], &spans["commit"]);
}

fn it_is_otlp_over_http(collector: &Collector) {
    for posted in collector.posted() {
        assert_eq!(posted.line, "POST /v1/traces HTTP/1.1");
        assert_eq!(posted.headers["content-type"], "application/x-protobuf");
        for spans in posted.traces.resource_spans {
            let resource = attributes(&spans.resource.unwrap().attributes);
            assert_eq!(resource["service.name"], "stallwatch");
            assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
            assert_eq!(resource["service.instance.id"], "demo");
            assert_eq!(resource["messaging.consumer.group.name"], "stallwatch-demo");
        }
    }
}

fn rebalances_tell_what_came_and_went(rebalances: &[Attributed]) {
    let mut held = BTreeSet::new();
    for (_, attributes) in rebalances {
        let partitions = attributes["partitions"].as_str().unwrap().split(',');
        match attributes["kind"].as_str().unwrap() {
            "assigned" => partitions.for_each(|partition| assert!(held.insert(partition))),
            "revoked" => partitions.for_each(|partition| assert!(held.remove(partition))),
            other => panic!("no rebalance is {other}"),
        }
    }
    let all = (0..SETTINGS.partitions).map(|partition| partition.to_string());
    let held: Vec<String> = held.into_iter().map(str::to_owned).collect();
    assert_eq!(held, all.collect::<Vec<_>>(), "{rebalances:?}");
}

fn restores_tell_what_they_read(restores: &[Attributed]) {
    let mut partitions: Vec<i64> = Vec::new();
    for (_, attributes) in restores {
        partitions.push(attributes["partition"].as_i64().unwrap());
        let expected = json!({
            "partition": attributes["partition"], "attempts": 1, "records": 0, "packages": 0,
            "outcome": "restored",
        });
        assert_eq!(json!(attributes), expected);
    }
    partitions.sort_unstable();
    assert_eq!(partitions, (0..i64::from(SETTINGS.partitions)).collect::<Vec<_>>());
}

fn commits_tell_what_they_carried(commits: &[Attributed], summary: &Value) {
    let mut committed = 0;
    for (span, attributes) in commits {
        assert_eq!(attributes["outcome"], "committed");
        assert_eq!(attributes["attempts"], 1);
        assert_eq!(attributes["dead_letters"], 0);
        assert!(!attributes["partitions"].as_str().unwrap().is_empty());
        assert!(span.parent_span_id.is_empty());
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        assert!(span.status.as_ref().is_none_or(|status| status.code() != StatusCode::Error));
        committed += attributes["events"].as_i64().unwrap();
    }
    assert_eq!(committed, events(summary, &[]));
}

fn closed_exceptions_go_on_with_the_trace_of_their_scan(
    exceptions: &[Attributed],
    summary: &Value,
) {
    let sent = contexts_that_were_sent();
    for (span, attributes) in exceptions {
        let (carrier, shown) = attributes["package"].as_str().unwrap().split_once(":…").unwrap();
        assert_eq!(attributes["carrier"], carrier);
        assert!(["resolved", "retracted"].contains(&attributes["change"].as_str().unwrap()));
        uuid::Uuid::parse_str(attributes["exception_id"].as_str().unwrap()).unwrap();
        assert_eq!(span.kind(), SpanKind::Producer);
        let scan = (hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id));
        let key = sent.get(&scan).unwrap_or_else(|| panic!("no scan has the context {scan:?}"));
        assert!(key.starts_with(&format!("{carrier}:")) && key.ends_with(shown), "{key}");
    }
    let closed = events(summary, &["resolved", "retracted"]);
    assert!(closed > 20, "{summary}");
    assert_eq!(exceptions.len() as i64, closed);
}

fn closed_exceptions_name_their_commit(exceptions: &[Attributed], commits: &[Attributed]) {
    let commits: HashSet<_> =
        commits.iter().map(|(span, _)| (&span.trace_id, &span.span_id)).collect();
    for (span, _) in exceptions {
        assert_eq!(span.links.len(), 1);
        let link = &span.links[0];
        assert!(commits.contains(&(&link.trace_id, &link.span_id)));
    }
}

/// Trace and span of every scan of the demo, and its package.
fn contexts_that_were_sent() -> BTreeMap<(String, String), String> {
    let network = Network::simulate(SETTINGS);
    let of_scan = |report| {
        let package = network.package(report);
        let key = format!("{}:{}", package.carrier, package.number);
        let context = context(&key, report.logged_ms);
        let mut parts = context.split('-').skip(1).map(str::to_owned);
        ((parts.next().unwrap(), parts.next().unwrap()), key)
    };
    network.stream.iter().map(of_scan).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_environment_names_the_service_and_adds_to_its_resource() {
    let collector = Collector::start();
    let output = demo(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/elsewhere", collector.url())),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
        ("OTEL_SERVICE_NAME", "parcels"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-3,deployment.environment.name=test"),
    ]);
    summary(&output);
    let posted = collector.posted();
    assert!(!posted.is_empty(), "{}", said(&output));
    for posted in posted {
        assert_eq!(posted.line, "POST /elsewhere HTTP/1.1");
        assert_eq!(posted.headers["authorization"], "secret");
        let resource = &posted.traces.resource_spans[0].resource.as_ref().unwrap().attributes;
        let resource = attributes(resource);
        assert_eq!(resource["service.name"], "parcels");
        assert_eq!(resource["service.instance.id"], "pod-3");
        assert_eq!(resource["deployment.environment.name"], "test");
    }
}

#[test]
fn nothing_is_exported_where_the_sdk_is_disabled_or_traces_go_nowhere() {
    let collector = Collector::start();
    let url = collector.url();
    for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        summary(&demo(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), off]));
    }
    assert_eq!(collector.posted().len(), 0);
}
