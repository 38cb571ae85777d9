//! A feed of which nothing is read is heard: in the log, the metrics, the API, `top` and `doctor`.

use std::process::Command;

use serde_json::Value;

use crate::broker::{free_port, shared};
use crate::client::{NewRecord, produce};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{Service, Setup};
use crate::wait::now_ms;

/// A record of partition 0 with this value.
fn record(value: impl Into<Vec<u8>>) -> NewRecord {
    let (value, partition) = (Some(value.into()), Some(0));
    NewRecord { value, partition, ..NewRecord::default() }
}

fn dhl(number: usize, milestone: &str, evidence: &str) -> NewRecord {
    record(format!(
        r#"{{"carrier":"dhl","tracking_number":"JD{number}","milestone":"{milestone}","evidence":"{evidence}"}}"#
    ))
}

/// The warnings of the log, of which each line is JSON.
fn warnings(service: &Service) -> Vec<Value> {
    let log = service.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == "WARN" && line["topic"].is_string()).collect()
}

fn top(address: &str, more: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_stallwatch"))
        .args(["top", "--once", "--address", address])
        .args(more)
        .output()
        .expect("stallwatch can be run");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).expect("UTF-8")
}

#[test]
fn what_is_not_read_is_said_once_with_its_place_counted_and_shown() {
    let address = format!("127.0.0.1:{}", free_port());
    let setup = Setup::new(shared(), "unread", 1, "json")
        .policies(SHORT_POLICIES)
        .with("admin", format!("listen = \"{address}\""))
        .with("log", "format = \"json\"");
    let xml = (0..30).map(|_| record("<scan/>"));
    let words = (0..20).map(|number| dhl(number, "SORTED", "PHYSICAL"));
    let hearsay = [dhl(20, "PARKED", "hearsay"), record(r#"{"carrier":"dhl"}"#)];
    produce(&setup.bootstrap, &setup.scans(), xml.chain(words).chain(hearsay));

    let mut service = setup.start();
    service.wait_scans(21);
    service.wait("what is not read in the metrics", |service| {
        let metrics = service.metrics()?;
        let unknown = |field: &str, text: &str| {
            let labels = [("carrier", "dhl"), ("field", field), ("text", text)];
            let labels = labels.map(|(name, value)| (name, value.to_owned()));
            metrics.value("stallwatch_unknown_texts_total", &labels)
        };
        let rejected = |reason: &str| {
            let labels = [("reason", reason.to_owned())];
            metrics.value("stallwatch_records_rejected_total", &labels)
        };
        let told = [
            unknown("milestone", "SORTED"),
            unknown("milestone", "PARKED"),
            unknown("evidence", "hearsay"),
            rejected("not_json"),
            rejected("missing_tracking_number"),
        ];
        (told == [20.0, 1.0, 1.0, 30.0, 1.0].map(Some)).then_some(())
    });

    let told = warnings(&service);
    let places: Vec<_> = told
        .iter()
        .map(|line| {
            let fields = line;
            assert_eq!(
                (&fields["topic"], &fields["partition"]),
                (&setup.scans().into(), &0.into())
            );
            let kind = fields["reason"].as_str().or(fields["field"].as_str()).unwrap_or_default();
            (kind, fields["offset"].as_i64().unwrap_or(-1))
        })
        .collect();
    let expected =
        [("evidence", 50), ("milestone", 30), ("missing_tracking_number", 51), ("not_json", 0)];
    let mut sorted = places.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "one line for the first of each: {told:#?}");
    let said = told.iter().map(ToString::to_string).collect::<String>();
    for part in ["input.format", "SORTED", "map the carrier's words", &setup.dead_letters()] {
        assert!(said.contains(part), "{part} is not in {said}");
    }

    let answer: Value = serde_json::from_str(&top(&address, &["-o", "json"])).expect("JSON");
    let unread = &answer["instances"][0]["partitions"]["unread"];
    for of in ["since_start", "last_15_min"] {
        let counts = [("records", 52), ("rejected", 31), ("unknown_texts", 22)];
        for (name, count) in counts {
            assert_eq!(unread[of][name], count, "{name} {of}: {unread:#}");
        }
    }
    assert_eq!(unread["rejected"][0]["reason"], "not_json");
    assert_eq!(unread["rejected"][0]["last"]["offset"], 29);
    let text = top(&address, &[]);
    for part in [
        "31 records are no scans, 59.6 % of 52 records: 30 not_json",
        "20 dhl milestone \"SORTED\"",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    service.stop();

    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    for part in [
        "of the newest 52 records of 1 partitions 31 are no scans: 30 not_json, 1 missing_tracking_number; partition 0, offset 29: ",
        "20 dhl milestone \"SORTED\"",
    ] {
        let told =
            |line: &str| line.starts_with("FAIL  records: ") || line.starts_with("warn  records: ");
        assert!(said.out.lines().any(|line| told(line) && line.contains(part)), "{part}: {said:?}");
    }
}

#[test]
fn doctor_looks_at_the_newest_records_of_every_partition() {
    let setup = Setup::new(shared(), "readable", 3, "json").policies(SHORT_POLICIES);
    let scans =
        (0..450).map(|number| Scan::new(&format!("1Z{number}"), "arrived", now_ms()).json());
    produce(&setup.bootstrap, &setup.scans(), scans);
    let said = setup.run_verb(&["doctor"]);
    let well = "ok    records: ";
    let line = said.out.lines().find(|line| line.starts_with(well)).unwrap_or_default();
    assert!(line.contains("of the newest 300 records of 3 partitions all are scans"), "{said:?}");
}
