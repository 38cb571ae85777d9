//! The subscribers of `examples/` on what the service of today does not publish: values of a later
//! version of the schema, rows that went without a word, and ends in the middle of everything.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};
use sha2::Digest;

use crate::broker::{project, shared};
use crate::client::{NewRecord, create_topic, delete_records, end_offsets, produce};
use crate::service::Setup;
use crate::subscriber::{
    care_from_the_first_event, claims, claims_on, claims_topic, decisions, expected, reship,
};

/// Writes events under a version of the schema.
struct Version {
    schema: Schema,
    fingerprint: [u8; 8],
}

impl Version {
    /// The published one.
    fn first() -> Self {
        Self::of(&published())
    }

    /// A later one: a change and a kind more, a field more.
    fn later() -> Self {
        Self::of(&later())
    }

    fn of(schema: &Value) -> Self {
        let schema = Schema::parse(schema).expect("a schema");
        let form = schema.canonical_form().replace(r#"{"type":"long"}"#, r#""long""#);
        Self { schema, fingerprint: Rabin::digest(form).into() }
    }

    fn value(&self, event: &Value) -> Vec<u8> {
        let fields = event.as_object().expect("an event is an object").iter();
        let fields = fields.map(|(name, value)| (name.clone(), avro(value))).collect();
        let event = Avro::Record(fields).resolve(&self.schema).expect("an event");
        let writer = GenericDatumWriter::builder(&self.schema).build().expect("a writer");
        let datum = writer.write_value_to_vec(event).expect("it fits");
        [&[0xc3, 0x01], &self.fingerprint[..], &datum].concat()
    }
}

fn avro(value: &Value) -> Avro {
    match value {
        Value::Number(number) => Avro::Long(number.as_i64().expect("a whole number")),
        Value::String(text) => Avro::String(text.clone()),
        other => panic!("{other} in an event of these tests"),
    }
}

fn published() -> Value {
    let file = project().join("schemas/history/tracking-exception.v1.0.avsc");
    serde_json::from_str(&fs::read_to_string(file).expect("the schema")).expect("JSON")
}

fn later() -> Value {
    let mut schema = published();
    let fields = schema["fields"].as_array_mut().expect("fields");
    fields.push(json!({"name": "note", "type": ["null", "string"], "default": null}));
    for (name, symbol) in [("change", "rerouted"), ("kind", "damaged")] {
        let field = fields.iter_mut().find(|field| field["name"] == name).expect("a field");
        field["type"]["symbols"].as_array_mut().expect("an enum").push(symbol.into());
    }
    schema
}

/// A folder of published versions that has the later one.
fn history_with_the_later_version(setup: &Setup) -> PathBuf {
    let folder = setup.file("history");
    fs::create_dir(&folder).expect("a folder");
    for (number, schema) in [(0, published()), (1, later())] {
        let file = folder.join(format!("tracking-exception.v1.{number}.avsc"));
        fs::write(file, schema.to_string()).expect("written");
    }
    folder
}

/// An event of a critical silence.
fn event(number: &str, sequence: i32, change: &str, kind: &str) -> Value {
    json!({
        "exception_id": format!("id-of-{number}"), "sequence": sequence, "change": change, "kind": kind,
        "severity": "critical", "step": 1, "step_name": "presumed_lost", "carrier": "ups",
        "tracking_number": number, "anchor_time": 0, "anchor_set_at": 0, "opened_deadline": 0,
        "deadline": 0, "silent_for_s": 7200, "last_milestone": "arrived", "policy_id": "p",
        "policy_set": "s", "note": "of a later version",
    })
}

/// The record of an event on the exceptions topic.
fn told(version: &Version, event: &Value) -> NewRecord {
    let package = format!("ups:{}", event["tracking_number"].as_str().expect("a text"));
    NewRecord {
        key: Some(package.into_bytes()),
        value: Some(version.value(event)),
        ..NewRecord::default()
    }
}

/// The row of an event in the open table.
fn row(version: &Version, event: &Value) -> NewRecord {
    let text = |name: &str| event[name].as_str().expect("a text").to_owned();
    let key = format!("ups:{}:{}", text("tracking_number"), text("kind"));
    let ce_id = format!("{}:{}", text("exception_id"), event["sequence"]);
    let ce_type = format!("io.stallwatch.exception.{}.v1", text("change"));
    NewRecord {
        key: Some(key.into_bytes()),
        value: Some(version.value(event)),
        headers: [("ce_id", ce_id), ("ce_type", ce_type)]
            .map(|(name, value)| (name.to_owned(), value.into_bytes()))
            .into(),
        ..NewRecord::default()
    }
}

/// Its end, by an event that closes it or is no longer about it.
fn tombstone(version: &Version, event: &Value) -> NewRecord {
    NewRecord { value: None, ..row(version, event) }
}

#[test]
fn a_subscriber_stops_at_a_schema_that_it_lacks_and_with_it_passes_over_only_what_is_new() {
    let setup = Setup::new(shared(), "later", 1, "avro");
    create_topic(&setup.bootstrap, &claims_topic(&setup), 1, &[]);
    let (first, later) = (Version::first(), Version::later());
    let kind = "no_movement";
    let events = [
        told(&first, &event("OLD", 0, "opened", kind)),
        told(&later, &event("NEW", 0, "opened", kind)),
        told(&later, &event("NEW", 1, "rerouted", kind)),
        told(&later, &event("NEW", 2, "retracted", kind)),
        told(&later, &event("OTHER", 0, "opened", "damaged")),
    ];
    let one_partition = events.map(|record| NewRecord { partition: Some(0), ..record });
    produce(&setup.bootstrap, &setup.exceptions(), one_partition);
    let rows = [
        row(&first, &event("OLD", 0, "opened", kind)),
        row(&later, &event("NEW", 0, "opened", kind)),
        tombstone(&later, &event("NEW", 1, "rerouted", kind)),
    ];
    produce(&setup.bootstrap, &setup.open(), rows);

    let (mut care, mut claims, mut reship) =
        (care_from_the_first_event(&setup), claims(&setup), reship(&setup));
    for subscriber in [&mut care, &mut claims, &mut reship] {
        subscriber.start(&[]);
        let status = subscriber.wait_exit();
        assert_eq!(status.code(), Some(1), "{}", subscriber.said());
        let remedy = "tracking-exception.v1.*.avsc";
        assert!(subscriber.said().contains(remedy), "{}", subscriber.said());
    }
    let with_it = format!("--history={}", history_with_the_later_version(&setup).display());
    for subscriber in [&mut care, &mut claims, &mut reship] {
        subscriber.start(std::slice::from_ref(&with_it));
        subscriber.wait_committed();
        subscriber.stop();
    }
    let of_care = [("OLD", &["message@0"][..]), ("NEW", &["message@0", "apologise@2"])];
    assert_eq!(care.decisions(), expected(&of_care), "{}", care.said());
    let of_claims = [("OLD", &["open@0"][..]), ("NEW", &["open@0", "review@1"])];
    assert_eq!(claims.decisions_on_topic(), expected(&of_claims), "{}", claims.said());
    let of_reship = [("OLD", &["start@0"][..]), ("NEW", &["start@0", "stop@2"])];
    assert_eq!(reship.decisions(), expected(&of_reship), "{}", reship.said());
}

#[test]
fn a_claim_whose_row_went_without_a_word_is_given_to_a_person() {
    let setup = Setup::new(shared(), "vanished", 1, "avro");
    create_topic(&setup.bootstrap, &claims_topic(&setup), 1, &[]);
    // Of a compacted topic, whose rows go with their tombstones in time, nothing can be deleted.
    let topic = format!("{}.deletable", setup.name);
    create_topic(&setup.bootstrap, &topic, 1, &[]);
    let mut claims = claims_on(&setup, topic.clone());
    let version = Version::first();
    let rows = ["GONE", "STAYS"].map(|number| event(number, 1, "escalated", "no_movement"));
    produce(&setup.bootstrap, &topic, rows.iter().map(|event| row(&version, event)));
    claims.start(&[]);
    claims.wait_for("GONE", "open");
    claims.wait_for("STAYS", "open");
    claims.stop();

    produce(&setup.bootstrap, &topic, [row(&version, &rows[1])]);
    let mut ends = end_offsets(&setup.bootstrap, &topic);
    ends.values_mut().for_each(|end| *end -= 1);
    delete_records(&setup.bootstrap, &topic, &ends);
    claims.start(&[]);
    claims.wait_for("GONE", "review");
    claims.wait_committed();
    claims.stop();
    let decisions = [("GONE", &["open@1", "review@1"][..]), ("STAYS", &["open@1"])];
    assert_eq!(claims.decisions(), expected(&decisions), "{}", claims.said());
}

#[test]
fn a_subscriber_that_is_killed_before_it_has_committed_decides_nothing_twice() {
    let setup = Setup::new(shared(), "killed", 1, "avro");
    let version = Version::first();
    let opened = told(&version, &event("ONE", 0, "opened", "no_movement"));
    produce(&setup.bootstrap, &setup.exceptions(), [opened]);
    let (mut care, mut reship) = (care_from_the_first_event(&setup), reship(&setup));
    for (subscriber, decision) in [(&mut care, "message"), (&mut reship, "start")] {
        subscriber.start(&[]);
        subscriber.wait_for("ONE", decision);
        subscriber.kill();
    }
    let journal = File::options().append(true).open(setup.file("reship.db"));
    journal.expect("the journal").write_all(b"{\"decision\":\"st").expect("half a line");

    let resolved = told(&version, &event("ONE", 1, "resolved", "no_movement"));
    produce(&setup.bootstrap, &setup.exceptions(), [resolved]);
    care.start(&[]);
    reship.start(&[]);
    care.wait_for("ONE", "reassure");
    reship.wait_for("ONE", "stop");
    care.stop();
    reship.stop();
    // A kill between handing a line on and noting it brings the line again, by which id it shows.
    let mut lines = care.lines();
    lines.dedup();
    assert_eq!(decisions(&lines), expected(&[("ONE", &["message@0", "reassure@1"])]));
    assert_eq!(reship.decisions(), expected(&[("ONE", &["start@0", "stop@1"])]));
}
