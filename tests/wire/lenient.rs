//! What a writer schema may have in it that reading does not need. Java's library reads by these;
//! where it does not either, the bytes still say which value is meant.

use serde_json::{Value as Json, json};
use stallwatch::wire::scan::{AvroScans, Framing};
use stallwatch::wire::scan_file::ScanFile;

use super::{SCAN, datum as datum_of, in_pieces, live, schema as schema_of, single_object};

/// 2026-03-02T08:00:00Z.
const MORNING: i64 = 1_772_438_400_000;

/// A writer schema with one more field than are looked at.
fn schema(extra: &Json) -> Json {
    json!({"type": "record", "name": "Scan", "namespace": "com.acme", "fields": [
        {"name": "tracking_number", "type": "string"},
        {"name": "carrier", "type": "string"},
        {"name": "milestone", "type": {"type": "enum", "name": "Word",
            "symbols": ["arrived", "departed"]}},
        extra,
        {"name": "facility", "type": ["null", "string"]}]})
}

/// The same with another field that has this type, and what else is said of it.
fn field(of: Json, more: Json) -> Json {
    let mut field = json!({"name": "extra", "type": of});
    field.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    schema(&field)
}

/// The same record with something else said of it.
fn record(more: Json) -> Json {
    let mut record = field(json!("string"), json!({}));
    record.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    record
}

/// A text as Avro writes it; of fewer than 64 bytes.
fn text(text: &str) -> Vec<u8> {
    [&[2 * text.len() as u8], text.as_bytes()].concat()
}

/// A scan with these bytes in the extra field.
fn datum(extra: &[u8]) -> Vec<u8> {
    [&text("1Z1")[..], &text("ups"), &[2], extra, &[2], &text("MEM")].concat()
}

fn assert_reads(what: &str, schema: &str, extra: &[u8]) {
    let scans = AvroScans::new(schema, Framing::Bare)
        .unwrap_or_else(|error| panic!("{what}: {error}\n{schema}"));
    let datum = datum(extra);
    let scan = scans.decode(&datum, live(MORNING)).unwrap_or_else(|no| panic!("{what}: {no}"));
    assert_eq!(scan.key.to_string(), "ups:1Z1", "{what}");
    assert_eq!((scan.milestone.as_str(), scan.attributes.facility), ("departed", Some("MEM")));
    let file = container(schema, &datum);
    let mut file = ScanFile::open(in_pieces(file, 4096)).unwrap();
    // No log time: it is read all the same.
    let rejected = file.next().unwrap().unwrap().scan.unwrap_err();
    assert_eq!(rejected.reason.as_str(), "missing_time", "{what}: {rejected}");
}

/// A container of one record, as no library would write it that is strict about the schema.
fn container(schema: &str, datum: &[u8]) -> Vec<u8> {
    let long = |number: usize| {
        let (mut bytes, mut rest) = (Vec::new(), 2 * number);
        while rest > 127 {
            bytes.push(rest as u8 | 128);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let name = text("avro.schema");
    let head = [&b"Obj\x01\x02"[..], &name, &long(schema.len()), schema.as_bytes(), b"\0"];
    let sync = [b'5'; 16];
    [&head.concat()[..], &sync, &[2], &long(datum.len()), datum, &sync].concat()
}

#[test]
fn what_reading_does_not_need_keeps_no_scan_from_being_read() {
    let long = |more: Json| {
        let mut of = json!({"type": "long"});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    let fixed = |more: Json| {
        let mut of = json!({"type": "fixed", "name": "Ten", "size": 10});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    let symbols = |more: Json| {
        let mut of = json!({"type": "enum", "name": "Way", "symbols": ["air", "by-road", "7"]});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    let x = text("x");
    let cases: Vec<(&str, Json, &[u8])> = vec![
        // Names.
        ("namespace", record(json!({"namespace": "abc-123.table.scans_dbz"})), &x),
        ("namespace of nothing", record(json!({"namespace": ""})), &x),
        ("namespace null", record(json!({"namespace": null})), &x),
        ("name", record(json!({"name": "scan event-2"})), &x),
        ("field name", schema(&json!({"name": "x-request-id", "type": "string"})), &x),
        ("empty field name", schema(&json!({"name": "", "type": "string"})), &x),
        ("alias", record(json!({"aliases": ["scan-event"]})), &x),
        ("aliases", record(json!({"aliases": "scan"})), &x),
        ("field alias", field(json!("string"), json!({"aliases": ["a b", 3]})), &x),
        ("symbols", field(symbols(json!({})), json!({})), &[2]),
        ("symbol twice", field(symbols(json!({"symbols": ["a", "a"]})), json!({})), &[2]),
        // Defaults.
        (
            "default of a list",
            field(json!({"type": "array", "items": "string"}), json!({"default": null})),
            &[0],
        ),
        ("default of a text", field(json!("string"), json!({"default": 5})), &x),
        ("default of a union", field(json!(["null", "string"]), json!({"default": 5})), &[0]),
        ("default of bytes", field(json!("bytes"), json!({"default": "\u{20ac}"})), &x),
        ("default of an int", field(json!("int"), json!({"default": 1e300})), &[2]),
        ("default symbol", field(symbols(json!({"default": "sea"})), json!({})), &[0]),
        ("default symbol null", field(symbols(json!({"default": null})), json!({})), &[0]),
        (
            "default of a record",
            field(
                json!({"type": "record", "name": "In", "fields": [{"name": "a", "type": "int"}]}),
                json!({"default": {}}),
            ),
            &[2],
        ),
        // What is said beside.
        ("doc", record(json!({"doc": {"en": "a scan"}})), &x),
        ("order", field(json!("string"), json!({"order": "sideways"})), &x),
        ("properties", record(json!({"size": "large", "items": 3, "symbols": null})), &x),
        // Logical types.
        ("logical unknown", field(long(json!({"logicalType": "epoch-weeks"})), json!({})), &[2]),
        ("logical no text", field(long(json!({"logicalType": 7})), json!({})), &[2]),
        (
            "logical of another type",
            field(json!({"type": "string", "logicalType": "timestamp-millis"}), json!({})),
            &x,
        ),
        (
            "decimal without precision",
            field(json!({"type": "bytes", "logicalType": "decimal"}), json!({})),
            &x,
        ),
        (
            "decimal too precise",
            field(
                fixed(json!({"logicalType": "decimal", "precision": 400, "scale": 500})),
                json!({}),
            ),
            &[7; 10],
        ),
        (
            "duration of ten bytes",
            field(fixed(json!({"logicalType": "duration"})), json!({})),
            &[7; 10],
        ),
        ("uuid of ten bytes", field(fixed(json!({"logicalType": "uuid"})), json!({})), &[7; 10]),
        ("beside a field", field(json!("long"), json!({"logicalType": "date"})), &[2]),
        // Types.
        (
            "an error",
            field(
                json!({"type": "error", "name": "In", "fields": [{"name": "a", "type": "int"}]}),
                json!({}),
            ),
            &[2],
        ),
        ("a union in a type", field(json!({"type": ["null", "string"]}), json!({})), &[0]),
        ("a type in a type", field(json!({"type": {"type": "string"}}), json!({})), &x),
        ("a branch twice", field(json!(["string", "string"]), json!({})), &[2, 2, b'x']),
        (
            "a union in a union",
            field(json!(["null", ["int", "string"]]), json!({})),
            &[2, 2, 2, b'x'],
        ),
        ("a fixed of nothing", field(fixed(json!({"size": 0})), json!({})), &[]),
        ("a type named in full", field(json!("com.acme.Word"), json!({})), &[2]),
        ("a type named again", field(json!({"type": "enum", "name": "Word"}), json!({})), &[2]),
    ];
    for (what, schema, extra) in cases {
        assert_reads(what, &schema.to_string(), extra);
    }
}

#[test]
fn a_type_outside_of_every_namespace_is_found_from_within_one() {
    let schema = r#"{"type":"record","name":"Scan","fields":[
        {"name":"tracking_number","type":"string"},{"name":"carrier","type":"string"},
        {"name":"milestone","type":{"type":"enum","name":"Word","symbols":["arrived","departed"]}},
        {"name":"in","type":{"type":"record","name":"In","namespace":"com.acme","fields":[
            {"name":"word","type":"Word"}]}},
        {"name":"facility","type":["null","string"]}]}"#;
    assert_reads("Word of no namespace", schema, &[2]);
}

#[test]
fn a_schema_may_begin_with_a_licence_in_a_comment() {
    let schema = field(json!("string"), json!({"doc": "// no comment, and \" \\\\"}));
    let pretty = serde_json::to_string_pretty(&schema).unwrap();
    let text = format!("\u{feff}/* Licensed to \"us\", 2 * 3 */\n// at your\n{pretty} // end");
    assert_reads("comments", &text, b"\x02x");
    let broken = AvroScans::new("// one\n/* two */ {", Framing::Bare).unwrap_err().to_string();
    assert!(broken.contains("line 2 column 11"), "{broken}");
}

#[test]
fn a_field_that_is_always_null_is_absent_unless_it_is_needed() {
    for of in [json!("null"), json!(["null"])] {
        let mut schema = schema(&json!({"name": "service", "type": of}));
        let extra: &[u8] = if of.is_array() { &[0] } else { &[] };
        assert_reads("service", &schema.to_string(), extra);
        schema["fields"][1]["type"] = of;
        let message = AvroScans::new(&schema.to_string(), Framing::Bare).unwrap_err().to_string();
        assert!(message.contains("the field carrier is"), "{message}");
    }
}

#[test]
fn what_the_bytes_do_not_say_is_an_error_that_names_it() {
    for (schema, says) in [
        (
            field(json!("Unknown"), json!({})),
            "field extra: it refers to a type that it does not define: Unknown",
        ),
        (field(json!({"type": "array"}), json!({})), "field extra: a type lacks its `items`"),
        (field(json!({"items": "int"}), json!({})), "field extra: a type lacks its `type`"),
        (
            field(json!({"type": "fixed", "name": "F", "size": -1}), json!({})),
            "the size of com.acme.F",
        ),
        (
            field(json!({"type": "enum", "name": "F", "symbols": [1]}), json!({})),
            "the symbols of com.acme.F",
        ),
        (
            field(json!({"type": "record", "name": "F"}), json!({})),
            "the type com.acme.F has no contents",
        ),
        (field(json!(7), json!({})), "field extra: a type is written as a number"),
        (schema(&json!({"type": "string"})), "a field has no name (in com.acme.Scan)"),
        (
            schema(&json!({"name": "carrier", "type": "string"})),
            "the field carrier stands there twice",
        ),
    ] {
        let message = AvroScans::new(&schema.to_string(), Framing::Bare).unwrap_err().to_string();
        assert!(message.contains(says), "{message}\ndoes not say {says}");
    }
}

#[test]
fn single_objects_of_our_own_schema_are_read_whatever_library_wrote_them() {
    let scan = json!({"tracking_number": "1Z1", "carrier": "ups", "milestone": "departed",
        "evidence": "physical", "event_time": MORNING});
    let scans = AvroScans::new(SCAN, Framing::Marked { schema_id: None }).unwrap();
    let bytes = datum_of(&schema_of(SCAN), &scan);
    for (fingerprint, library) in [
        (0xb704_c987_3a38_64e8_u64, "fastavro 1.13.1, Java"),
        (0x2cf6_0015_ab0d_35ed, "avro 1.12.2 of Python, goavro 2.15.0"),
        (0x8538_0563_0bec_eca7, "hamba/avro 2.31.0"),
    ] {
        let payload = [&[0xc3, 0x01], &fingerprint.to_le_bytes()[..], &bytes].concat();
        assert!(scans.decode(&payload, live(MORNING)).is_ok(), "{library}");
    }
    let ordered =
        SCAN.replace(r#""name": "facility","#, r#""name": "facility", "order": "ignore","#);
    assert_ne!(ordered, SCAN);
    let payload = single_object(&schema_of(&ordered), &scan);
    let scans = AvroScans::new(&ordered, Framing::Marked { schema_id: None }).unwrap();
    assert!(scans.decode(&payload, live(MORNING)).is_ok(), "apache-avro 0.22 with an order");
}
