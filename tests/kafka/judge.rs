//! `tests/chaos/judge.py`: exceptions and dead letters as a reference has them that shares no code with the
//! service.

use std::process::Command;

use rdkafka::Message;
use serde_json::Value;

use crate::client::{NewRecord, headers, produce, read};
use crate::equality::{journeys_on_a_topic, run_to_the_end};
use crate::python;
use crate::service::Setup;
use crate::wait::now_secs;

/// Has a service judged that has stopped: what was compared; panics where something differs.
pub fn assert_equals_reference(setup: &Setup) -> Value {
    let compared = python::finished("the judge", &mut judge(setup));
    serde_json::from_str(&compared).expect("a line of JSON")
}

fn judge(setup: &Setup) -> Command {
    let mut command = python::command("tests/chaos/judge.py");
    command
        .args(["--bootstrap", &setup.bootstrap, "--scans", &setup.scans()])
        .args(["--exceptions", &setup.exceptions(), "--dead-letters", &setup.dead_letters()])
        .args(["--format", setup.format, "--until", &now_secs().to_string()])
        .arg("--policies")
        .arg(setup.file("policies.toml"));
    command
}

#[test]
fn the_reference_plays_every_scenario_and_the_judge_finds_every_event_that_is_not_as_it_must_be() {
    for script in ["tests/chaos/test_scenarios.py", "tests/chaos/test_judge.py"] {
        python::finished(script, &mut python::command(script));
    }
}

#[test]
fn the_judge_finds_what_a_topic_has_too_much() {
    let setup = journeys_on_a_topic("judged", 200, 2, "json");
    run_to_the_end(&setup);
    let compared = assert_equals_reference(&setup);
    assert_eq!(compared["records"], 2_000);
    assert_eq!(compared["dead_letters"], 1);
    for topic in [setup.exceptions(), setup.dead_letters()] {
        twice(&setup, &topic);
    }
    let ran = judge(&setup).output().expect("Python can be run");
    let compared: Value = serde_json::from_slice(&ran.stdout).expect("a line of JSON");
    assert_eq!(ran.status.code(), Some(1));
    assert_eq!(compared["differing_packages"], 1);
    assert_eq!(compared["differing_dead_letters"], 1);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("  published:\n") && said.contains("2 times, not 1"), "{said}");
}

/// Produces the first record of a topic a second time.
fn twice(setup: &Setup, topic: &str) {
    let first = &read(&setup.bootstrap, topic)[0];
    let headers = headers(first).into_iter().map(|(name, value)| (name, value.into_bytes()));
    let copy = NewRecord {
        key: first.key().map(<[u8]>::to_vec),
        value: first.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
        ..NewRecord::default()
    };
    produce(&setup.bootstrap, topic, [copy]);
}
