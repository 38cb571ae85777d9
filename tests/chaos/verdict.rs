//! What was published against what `replay` of the same log gives.

use std::any::Any;
use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::client::read;
use crate::equality::{ByPackage, assert_equals_replay, by_package, left_open, lines};
use crate::judge::assert_equals_reference;
use crate::python;
use crate::service::Setup;
use crate::wait::now_secs;

/// What the comparison has found.
pub struct Findings {
    events: usize,
    open: usize,
    pub told: Value,
}

/// Exceptions and open table must equal the replay's, exceptions and dead letters those of the reference
/// that shares no code with us; panics at the first difference.
pub fn equal(setup: &Setup) -> Findings {
    let judged = assert_equals_reference(setup);
    let replayed = assert_equals_replay(setup);
    let (events, open) = (replayed.values().map(Vec::len).sum(), left_open(&replayed).len());
    let told = json!({
        "compared": "equal", "packages": replayed.len(), "events": events, "open": open,
        "missing": 0, "double": 0, "false": 0, "reference": judged,
    });
    Findings { events, open, told }
}

/// What is open at the end must be open by the table and justified by the log; panics where not.
/// Openings that the log justifies and that never came are counted.
pub fn consistent(setup: &Setup) -> Findings {
    let until = now_secs();
    let log = setup.file("log");
    let broken = python::export(&setup.bootstrap, &setup.scans(), setup.format, &log);
    let dead = read(&setup.bootstrap, &setup.dead_letters()).len() as u64;
    assert_eq!(broken, dead, "a dead letter for each");
    let replayed = by_package(lines(&setup.replay(&log, until)));
    let published = by_package(setup.published());
    let table = subjects(&setup.open_table());
    let (open, justified) = (subjects(&left_open(&published)), subjects(&left_open(&replayed)));
    assert_eq!(table, open, "the `open` table");
    let baseless: Vec<_> = open.difference(&justified).collect();
    assert!(baseless.is_empty(), "open without a reason in the log: {baseless:?}");
    let never_came: Vec<_> = justified.difference(&open).collect();
    let events = published.values().map(Vec::len).sum();
    let differing = differing(&published, &replayed);
    let told = json!({
        "compared": "consistent", "packages": published.len(), "events": events,
        "open": open.len(), "never_came": never_came.len(), "packages_unlike_replay": differing,
    });
    Findings { events, open: open.len(), told }
}

fn differing(published: &ByPackage, replayed: &ByPackage) -> usize {
    let all: BTreeSet<_> = published.keys().chain(replayed.keys()).collect();
    all.into_iter().filter(|key| published.get(*key) != replayed.get(*key)).count()
}

fn subjects(events: &[Value]) -> BTreeSet<String> {
    let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
    let fields = ["carrier", "tracking_number", "kind"];
    events.iter().map(|event| fields.map(|name| text(event, name)).join(":")).collect()
}

/// The subscribers that read along must have seen as much as a reader afterwards.
pub fn watched_all(findings: &Findings, events: &Value, table: &Value) -> Result<(), String> {
    let seen = (&events["records"], &events["open"], &table["open"]);
    let wanted = (findings.events, findings.open, findings.open);
    if seen == (&json!(wanted.0), &json!(wanted.1), &json!(wanted.2)) {
        return Ok(());
    }
    Err(format!("the subscribers saw {seen:?} (events, open, table), not {wanted:?}"))
}

/// No instance may have panicked, however it went on afterwards.
pub fn no_panic(setup: &Setup, instances: usize) -> Result<(), String> {
    for index in 0..instances {
        let log = setup.file(&format!("{}-{index}.log", setup.name));
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
            return Err(format!("instance {index}: {line}"));
        }
    }
    Ok(())
}

/// What a panic said.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let text = text.unwrap_or_else(|| "a panic without words".to_owned());
    text.lines().take(60).collect::<Vec<_>>().join("\n")
}
