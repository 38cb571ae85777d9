//! Figures that people read in the documentation are those of the code.

use std::path::Path;
use std::time::Duration;

use super::admin::{self, peers};
use super::engine::BYTES_IN_FLIGHT;
use super::listener::{HEAD_BYTES, LONGEST};
use super::questions::{AT_ONCE, LONGEST_REST, QUEUE, REST, SHORTEST_REST};
use super::settings::wanted_retention;
use super::snapshots::Limits;
use super::telemetry::{CARRIERS, QUIET};
use super::topics::{DELETE_RETENTION_MS, Sizes, plan};
use super::{misrouted, probes};
use crate::config::{Config, Environment};
use crate::detector::policy::PolicySet;
use crate::wire::policy_file;

const DAY: i64 = 86_400;

fn defaults() -> Config {
    let text =
        "[kafka]\nbootstrap_servers = \"b:9092\"\ngroup_id = \"g\"\n[policies]\nfile = \"p\"\n";
    Config::parse("stallwatch.toml", text, Path::new(""), &Environment::ignored()).unwrap()
}

fn policies() -> PolicySet {
    let text = "version = 1\n[[policy]]\nid = \"all\"\n\
        no_movement = [ { after = \"2d\", severity = \"warning\" } ]\n";
    policy_file::parse("policies.toml", text).unwrap()
}

/// Asserts that a file of the repository says all of this.
#[track_caller]
fn says(file: &str, sentences: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    for sentence in sentences {
        assert!(text.contains(sentence), "{file} does not say: {sentence}");
    }
}

fn s(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn min(duration: Duration) -> String {
    format!("{} min", duration.as_secs() / 60)
}

const fn kib(bytes: usize) -> usize {
    bytes >> 10
}

#[test]
fn the_bounds_of_the_listeners_are_those_that_the_documentation_names() {
    let (connections, head) = (probes::CONNECTIONS, probes::HEAD);
    says(
        "docs/SECURITY.md",
        &[
            format!("{connections} connections at once, each for one request"),
            format!("no login, {connections} connections at once"),
            format!("{connections} slow clients that begin anew"),
            format!("a head of at most {} KiB must be there within {}", kib(HEAD_BYTES), s(head)),
            format!("after {} a connection is closed in any case", s(head * LONGEST)),
            format!("A connection has {} for the head of a request", s(admin::HEAD)),
            format!("{} are served at once", admin::CONNECTIONS),
            format!("{} of them, two seconds each", peers::MOST),
        ],
    );
    let (shortest, longest) = (SHORTEST_REST.as_millis(), LONGEST_REST.as_millis());
    says(
        "docs/OPERATING.md",
        &[
            format!("{} connections are served at once", admin::CONNECTIONS),
            format!("an idle one is closed after {}", s(admin::HEAD)),
            format!("more than {} requests under way", admin::REQUESTS),
            format!("more than {} taps", admin::TAPS),
            format!("A request has {} until its answer begins", s(admin::REQUEST)),
            format!("{} KiB of body", kib(admin::BODY)),
            format!("short queues of the workers, {QUEUE} for each"),
            format!("answers up to {AT_ONCE} of them"),
            format!("{shortest} to {longest} ms"),
            format!("advertise an address, {} at most", peers::MOST),
        ],
    );
    assert_eq!((REST, peers::DEADLINE), (50, Duration::from_secs(2)), "fifty times; two seconds");
}

#[test]
fn the_defaults_are_those_that_the_documentation_names() {
    let (config, policies) = (defaults(), policies());
    let kept = policies.defaults();
    let (deadline, session) = (s(config.shutdown.deadline), s(config.kafka.session_timeout));
    let (patience, interval) = (min(config.kafka.patience), min(config.state.snapshot_interval));
    let (forget, settled) = (kept.forget_after / DAY, kept.settled_retention / DAY);
    says(
        "docs/OPERATING.md",
        &[
            format!("within `shutdown.deadline` ({deadline})"),
            format!("within `session_timeout` ({session})"),
            format!("until `session_timeout` has passed ({session})"),
            format!("`kafka.patience`, {patience}"),
            format!("every `snapshot_interval` ({interval} by default)"),
            format!("`settled_retention` ({settled} days)"),
            format!("kept for `forget_after` ({forget} days)"),
            format!("{} MiB in all", BYTES_IN_FLIGHT >> 20),
            format!("one package in {}", misrouted::ONE_IN),
        ],
    );
    says("README.md", &[format!("twice `forget_after` ({forget} days by default)")]);
    says("docs/SUBSCRIBING.md", &[format!("(forget_after, {forget} days)")]);
    says("docs/metrics.md", &[format!("at most {CARRIERS}, else `other`")]);
    assert_eq!(QUIET, 3_600, "docs/OPERATING.md and docs/metrics.md say an hour");
}

#[test]
fn the_time_that_a_store_of_snapshots_has_is_the_one_that_the_documentation_names() {
    let Limits { silence, listing, piece, .. } = Limits::default();
    let (listing, both) = (s(listing), s(listing + piece));
    let piece = s(piece);
    says(
        "docs/OPERATING.md",
        &[
            format!("waits {listing} for the listing and its headers, and {piece} for each MiB"),
            format!("silent for {} is replaced", s(silence)),
            format!("adds {listing}, or {both} where it stops"),
        ],
    );
}

#[test]
fn the_topics_that_are_shipped_are_kept_for_as_long_as_those_that_the_program_creates() {
    let (config, forget_after) = (defaults(), policies().defaults().forget_after);
    let sizes = Sizes { partitions: None, replication_factor: 3 };
    let of = |role: &str, setting: &str| {
        let plan = plan(&config, forget_after, sizes);
        let topic = plan.iter().find(|topic| topic.role == role).unwrap();
        let found = topic.settings.iter().find(|(name, _)| *name == setting);
        found.unwrap().1.parse::<i64>().unwrap()
    };
    assert_eq!(of("input", "retention.ms"), wanted_retention(forget_after) * 1_000);
    let roles = ["input", "exceptions", "dead letter"];
    let kept = roles.map(|role| of(role, "retention.ms"));
    let in_strimzi = kept.map(|kept| format!("    retention.ms: {kept}\n"));
    says("deploy/strimzi/topics.yaml", &in_strimzi);
    says("deploy/strimzi/topics.yaml", &[format!("delete.retention.ms: {DELETE_RETENTION_MS}\n")]);
    let in_compose = kept.map(|kept| format!(" retention.ms=$(({} * day))", kept / DAY / 1_000));
    says("deploy/compose/create-topics.sh", &in_compose);
}
