//! The schemas are a promise: to what the code does, and to every version published before.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use serde_json::{Value as Json, json};
use stallwatch::detector::exception::{Change, Kind, Severity, exception_id};
use stallwatch::detector::scan::{Evidence, Milestone};
use stallwatch::wire::exception::{Context, EXCEPTION_SCHEMA, from_json, to_json};
use stallwatch::wire::scan::{AvroScans, Framing, JsonScans, Origin, SCAN_SCHEMA};

const NAMES: [&str; 3] = ["scan", "scan-log", "tracking-exception"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn text(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json_of(file: &str) -> Json {
    serde_json::from_str(&text(file)).unwrap()
}

fn current(name: &str) -> Json {
    json_of(&format!("{name}.v1.avsc"))
}

/// The published versions of a schema, oldest first.
fn history(name: &str) -> Vec<Json> {
    (0..)
        .map(|version| folder().join(format!("history/{name}.v1.{version}.avsc")))
        .take_while(|path| path.exists())
        .map(|path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap())
        .collect()
}

/// Whether each of two schemas reads all that the other writes.
fn fully_compatible(a: &Json, b: &Json) -> Result<(), String> {
    let parse = |schema: &Json| Schema::parse(schema).map_err(|error| error.to_string());
    match SchemaCompatibility::mutual_read(&parse(a)?, &parse(b)?) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err("some data cannot be read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Every object in a schema, at any depth.
fn visit(schema: &Json, each: &mut impl FnMut(&Json)) {
    each(schema);
    match schema {
        Json::Object(object) => object.values().for_each(|value| visit(value, each)),
        Json::Array(items) => items.iter().for_each(|item| visit(item, each)),
        _ => {}
    }
}

fn enum_of(schema: &Json, name: &str) -> Json {
    let mut found = Json::Null;
    visit(schema, &mut |part| {
        if part["type"] == "enum" && part["name"] == name {
            found = part.clone();
        }
    });
    found
}

fn symbols<T>(vocabulary: &[T], name: impl Fn(&T) -> &'static str, more: &[&str]) -> Json {
    let mut symbols: Vec<&str> = vocabulary.iter().map(name).collect();
    symbols.extend(more);
    json!(symbols)
}

fn field_names(record: &Json) -> Vec<&str> {
    let fields = record["fields"].as_array().unwrap();
    fields.iter().map(|field| field["name"].as_str().unwrap()).collect()
}

#[test]
fn every_schema_is_fully_compatible_with_all_of_its_history() {
    for name in NAMES {
        let versions = history(name);
        assert!(!versions.is_empty(), "{name} has no history");
        for (version, old) in versions.iter().enumerate() {
            if let Err(error) = fully_compatible(&current(name), old) {
                panic!("{name} and its version 1.{version}: {error}");
            }
        }
    }
}

#[test]
fn the_newest_version_in_the_history_is_the_present_one() {
    for name in NAMES {
        assert_eq!(history(name).last(), Some(&current(name)), "copy {name} to history/");
    }
}

#[test]
fn the_history_holds_nothing_that_is_not_checked() {
    let files = fs::read_dir(folder().join("history")).unwrap().count();
    assert_eq!(files, NAMES.iter().map(|name| history(name).len()).sum::<usize>());
}

#[test]
fn an_incompatible_change_is_caught() {
    type Change = (&'static str, fn(&mut Json));
    let changes: [Change; 6] = [
        ("a field without a default", |schema| {
            schema["fields"].as_array_mut().unwrap().push(json!({"name": "x", "type": "string"}));
        }),
        ("a needed field removed", |schema| {
            schema["fields"].as_array_mut().unwrap().remove(0);
        }),
        ("a field renamed", |schema| schema["fields"][1]["name"] = json!("courier")),
        ("another type", |schema| schema["fields"][1]["type"] = json!("long")),
        ("a null where none was", |schema| {
            schema["fields"][1]["type"] = json!(["null", "string"]);
        }),
        ("a symbol less, without a default", |schema| {
            let milestone = &mut schema["fields"][2]["type"];
            milestone.as_object_mut().unwrap().remove("default");
            milestone["symbols"].as_array_mut().unwrap().remove(0);
        }),
    ];
    for (what, change) in changes {
        let mut changed = current("scan");
        change(&mut changed);
        assert!(fully_compatible(&changed, &current("scan")).is_err(), "{what} was not caught");
    }
}

#[test]
fn a_compatible_change_is_let_through() {
    let mut changed = current("scan");
    let fields = changed["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": "x", "type": ["null", "string"], "default": null}));
    changed["fields"][2]["type"]["symbols"].as_array_mut().unwrap().push(json!("teleported"));
    assert_eq!(fully_compatible(&changed, &current("scan")), Ok(()));
}

#[test]
fn the_vocabularies_of_schemas_and_code_are_the_same_in_the_same_order() {
    for name in ["scan", "scan-log"] {
        let milestones = enum_of(&current(name), "Milestone");
        assert_eq!(milestones["symbols"], symbols(Milestone::ALL, |m| m.as_str(), &[]));
        assert_eq!(milestones["default"], "info");
        let evidence = enum_of(&current(name), "Evidence");
        assert_eq!(evidence["symbols"], symbols(Evidence::ALL, |e| e.as_str(), &[]));
        assert_eq!(evidence["default"], "predicted");
        let fields = current(name)["fields"].as_array().unwrap().clone();
        let default =
            |field: &str| fields.iter().find(|f| f["name"] == field).unwrap()["default"].clone();
        assert_eq!(default("milestone"), "info");
        assert_eq!(default("evidence"), "physical");
    }
    let exception = current("tracking-exception");
    let unknown = &["unknown"][..];
    for (name, expected) in [
        ("Change", symbols(Change::ALL, |c| c.as_str(), unknown)),
        ("Kind", symbols(Kind::ALL, |k| k.as_str(), unknown)),
        ("Severity", symbols(Severity::ALL, |s| s.as_str(), unknown)),
        ("LastMilestone", symbols(Milestone::ALL, |m| m.as_str(), unknown)),
    ] {
        let found = enum_of(&exception, name);
        assert_eq!(found["symbols"], expected, "{name}");
        assert_eq!(found["default"], "unknown", "{name}");
    }
}

#[test]
fn the_log_s_schema_is_the_scan_s_and_the_envelope() {
    let (scan, log) = (current("scan"), current("scan-log"));
    let (scan, log) = (scan["fields"].as_array().unwrap(), log["fields"].as_array().unwrap());
    assert_eq!(log[..scan.len()], scan[..]);
    let envelope: Vec<&Json> = log[scan.len()..].iter().map(|field| &field["name"]).collect();
    assert_eq!(envelope, ["log_time", "partition", "offset"]);
}

#[test]
fn every_field_and_type_says_what_it_is() {
    for name in NAMES {
        visit(&current(name), &mut |part| {
            if part.is_object() && part["name"].is_string() {
                assert!(part["doc"].as_str().is_some_and(|doc| doc.len() > 10), "{name}: {part}");
            }
        });
    }
}

#[test]
fn every_nullable_field_is_null_by_default() {
    for name in NAMES {
        visit(&current(name), &mut |part| {
            if part["type"].is_array() {
                assert_eq!(part["type"][0], "null", "{name}: {part}");
                assert!(part.get("default").is_some_and(Json::is_null), "{name}: {part}");
            }
        });
    }
}

#[test]
fn the_schemas_in_the_program_are_those_of_the_folder() {
    assert_eq!(SCAN_SCHEMA, text("scan.v1.avsc"));
    assert_eq!(EXCEPTION_SCHEMA, text("tracking-exception.v1.avsc"));
    assert!(AvroScans::new(&text("scan-log.v1.avsc"), Framing::Bare).is_ok());
}

#[test]
fn the_example_of_a_scan_is_a_scan_with_every_field() {
    let payload = text("examples/scan.json");
    let example: Json = serde_json::from_str(&payload).unwrap();
    let names: Vec<&str> = example.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, field_names(&current("scan")));
    let mut scans = JsonScans::new();
    let scan = scans.decode(payload.as_bytes(), Origin { log_time: None, offset: 0 }).unwrap();
    assert_eq!(scan.key.to_string(), "ups:1Z999AA10123456784");
    assert_eq!(scan.milestone, Milestone::Arrived);
    assert_eq!(scan.attributes.facility, Some("MEM"));
}

#[test]
fn there_is_an_example_of_every_change_and_it_reads_as_what_it_says() {
    let schema = current("tracking-exception");
    let names = field_names(&schema);
    let mut seen = BTreeSet::new();
    for change in Change::ALL {
        let file = format!("examples/tracking-exception.{}.json", change.as_str());
        let event = from_json(text(&file).as_bytes()).unwrap();
        assert_eq!(event.change, *change);
        let id = exception_id(&event.key, event.kind, event.anchor, event.anchor_set_at);
        assert_eq!(event.exception_id, id, "{file}");
        assert_eq!(event.closed_by.is_some(), change.closes() && *change != Change::Expired);

        let example = json_of(&file);
        let closed_by = &example["closed_by"];
        let context = Context {
            topic: closed_by["topic"].as_str(),
            partition: closed_by["partition"].as_i64().map(|n| i32::try_from(n).unwrap()),
            detected_time_ms: Some(
                example["detected_time"]
                    .as_str()
                    .unwrap()
                    .parse::<jiff::Timestamp>()
                    .unwrap()
                    .as_millisecond(),
            ),
        };
        let written = to_json(&event, &context);
        assert_eq!(serde_json::to_string(&example).unwrap(), written, "{file}");
        let fields = example.as_object().unwrap();
        let order: Vec<&str> =
            names.iter().copied().filter(|name| fields.contains_key(*name)).collect();
        assert_eq!(fields.keys().collect::<Vec<_>>(), order, "{file}");
        seen.extend(fields.keys().cloned());
    }
    let all: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, all, "every field stands in some example");
}
