//! `topics print` and `topics create`.

use serde_json::Value;

use crate::broker::shared;
use crate::client::create_topic;
use crate::evidence::SHORT_POLICIES;
use crate::service::{Said, Setup};

const SIZES: [&str; 4] = ["--partitions", "3", "--replication-factor", "1"];

fn setup(name: &str) -> Setup {
    Setup::on(shared().bootstrap(), name, 3, "json").policies(SHORT_POLICIES)
}

fn topics(setup: &Setup, verb: &str, more: &[&str]) -> Said {
    let said = setup.run_verb(&[&["topics", verb], &SIZES[..], more].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said
}

/// Outcome, and where it differs, of each topic.
fn created(setup: &Setup) -> Vec<(String, String, Value)> {
    let said = topics(setup, "create", &["-o", "json"]);
    let list: Vec<Value> = serde_json::from_str(&said.out).expect("a list");
    let text = |entry: &Value, name: &str| entry[name].as_str().expect("a text").to_owned();
    list.iter()
        .map(|entry| (text(entry, "role"), text(entry, "outcome"), entry["differs"].clone()))
        .collect()
}

#[test]
fn what_topics_print_prints_creates_what_topics_create_finds_as_it_should_be() {
    let setup = setup("printed");
    shared().shell(&topics(&setup, "print", &[]).out);
    let found = created(&setup);
    assert_eq!(found.len(), 4, "{found:?}");
    for (role, outcome, differs) in found {
        assert_eq!((outcome.as_str(), differs), ("exists", Value::Array(vec![])), "{role}");
    }
}

#[test]
fn topics_create_creates_what_the_service_runs_on_and_a_second_time_nothing() {
    let setup = setup("created");
    let made = created(&setup);
    assert!(made.iter().all(|(_, outcome, _)| outcome == "created"), "{made:?}");
    setup.start().stop();
    let again = created(&setup);
    assert!(again.iter().all(|(_, outcome, _)| outcome == "exists"), "{again:?}");
}

#[test]
fn topics_create_leaves_what_exists_and_says_where_it_differs_and_open_follows_the_input() {
    let setup = setup("differs");
    create_topic(&setup.bootstrap, &setup.scans(), 5, &[("retention.ms", "86400000")]);
    let said = topics(&setup, "create", &[]).out;
    let line = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no line of {name}: {said}")).to_owned()
    };
    let scans = line(&setup.scans());
    for part in ["partitions is 5, planned is 3", "retention.ms is 86400000", "LogAppendTime"] {
        assert!(scans.contains(part), "{part}: {said}");
    }
    assert!(line(&setup.open()).contains("created with 5 partitions"), "{said}");
    assert!(line(&setup.exceptions()).contains("created with 3 partitions"), "{said}");
}

#[test]
fn topics_create_says_what_the_broker_refuses() {
    let setup = setup("replicas");
    let said = setup.run_verb(&["topics", "create", "--replication-factor", "3"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("--replication-factor"), "{said:?}");
}
