//! Several writer schemas at once: each record is read by the one that it names.

use serde_json::{Value as Json, json};
use stallwatch::wire::scan::framing::Mark;
use stallwatch::wire::scan::{
    AvroScans, ScanDecoder, SchemaSource, UnknownSchema, Unread, WriterSchemas,
};

use super::{SCAN, datum, live, schema, single_object};

/// 2026-03-02T08:00:00Z.
const MORNING: i64 = 1_772_438_400_000;

/// A producer's schema, and the same after a release that adds a nullable field at the end.
fn releases() -> [String; 2] {
    let before = json!([
        {"name": "tracking_number", "type": "string"},
        {"name": "carrier", "type": "string"},
        {"name": "milestone", "type": "string"},
        {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}}]);
    let mut after = before.clone();
    let added = json!({"name": "facility", "type": ["null", "string"], "default": null});
    after.as_array_mut().unwrap().push(added);
    [before, after].map(|fields| {
        json!({"type": "record", "name": "Scan", "namespace": "acme", "fields": fields}).to_string()
    })
}

fn scan(number: &str) -> Json {
    json!({"tracking_number": number, "carrier": "ups", "milestone": "arrived",
        "event_time": MORNING, "facility": "MEM", "evidence": "physical"})
}

/// As one of our own producers' serializers writes it in a registry's framing.
fn framed(id: u32, schema_text: &str, number: &str) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &datum(&schema(schema_text), &scan(number))].concat()
}

fn source<'t>(name: &'t str, text: &'t str, id: Option<u32>) -> SchemaSource<'t> {
    SchemaSource { name, text, id }
}

/// Number and facility of a record, or the schema that is not known.
fn read(decoder: &mut ScanDecoder, payload: &[u8]) -> Result<(String, Option<String>), Mark> {
    match decoder.decode(payload, live(MORNING)) {
        Ok(scan) => {
            let facility = scan.attributes.facility.map(str::to_owned);
            Ok((scan.key.number().to_string(), facility))
        }
        Err(Unread::UnknownSchema(UnknownSchema { mark })) => Err(mark),
        Err(Unread::Rejected(rejected)) => panic!("{rejected}"),
    }
}

#[test]
fn each_record_is_read_by_the_schema_that_it_names_by_fingerprint_or_by_id() {
    let [before, after] = releases();
    let schemas = WriterSchemas::of([
        source("own.avsc", SCAN, None),
        source("before.avsc", &before, Some(17)),
        source("after.avsc", &after, None),
        source("after-too.avsc", &after, Some(18)),
    ])
    .unwrap();
    let mut decoder = ScanDecoder::Avro(AvroScans::of(schemas.clone()));
    let mem = || Some("MEM".to_owned());
    for (payload, expected) in [
        (framed(17, &before, "A"), ("A".to_owned(), None)),
        (framed(18, &after, "B"), ("B".to_owned(), mem())),
        (single_object(&schema(&before), &scan("C")), ("C".to_owned(), None)),
        (single_object(&schema(&after), &scan("D")), ("D".to_owned(), mem())),
        (single_object(&schema(SCAN), &scan("E")), ("E".to_owned(), mem())),
        (framed(17, &before, "F"), ("F".to_owned(), None)),
    ] {
        assert_eq!(read(&mut decoder, &payload), Ok(expected));
    }
    assert_eq!(read(&mut decoder, &framed(19, &after, "G")), Err(Mark::Id(19)));
    assert!(schemas.knows(Mark::Id(17)) && !schemas.knows(Mark::Id(19)));
    let names: Vec<_> = schemas.names().collect();
    assert_eq!(names.len(), 3, "a schema of two files is one: {names:?}");
    assert_eq!((names[1].0, names[1].1[1]), ("before.avsc", Mark::Id(17)));
    assert_eq!((names[2].0, names[2].1[1]), ("after.avsc", Mark::Id(18)));
}

#[test]
fn a_decoder_that_is_given_other_schemas_goes_on_with_the_record_that_it_could_not_read() {
    let [before, after] = releases();
    let known = |sources: &[SchemaSource<'_>]| WriterSchemas::of(sources.iter().copied()).unwrap();
    let mut decoder =
        ScanDecoder::Avro(AvroScans::of(known(&[source("before", &before, Some(17))])));
    let payload = framed(18, &after, "A");
    assert_eq!(read(&mut decoder, &payload), Err(Mark::Id(18)));
    decoder.set_schemas(known(&[source("after", &after, Some(18))]));
    assert_eq!(read(&mut decoder, &payload), Ok(("A".to_owned(), Some("MEM".to_owned()))));
    assert_eq!(read(&mut decoder, &framed(17, &before, "B")), Err(Mark::Id(17)), "it is gone");
}

#[test]
fn every_problem_of_every_schema_is_told_with_its_name() {
    let [before, _] = releases();
    let no_number = before.replace("tracking_number", "number");
    let problems = WriterSchemas::of([
        source("a.avsc", "{", None),
        source("b.avsc", &before, None),
        source("c.avsc", &no_number, None),
    ])
    .unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("a.avsc: it is no Avro schema: "), "{told:?}");
    assert_eq!(told[1], "c.avsc: the field tracking_number is missing");
}

#[test]
fn one_mark_never_stands_for_two_schemas_that_are_read_otherwise() {
    let [before, after] = releases();
    // The unit of a time is in no canonical form.
    let micros = before.replace("timestamp-millis", "timestamp-micros");
    let problem = |sources: &[SchemaSource<'_>]| {
        let problems = WriterSchemas::of(sources.iter().copied()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    };
    let says = problem(&[source("a.avsc", &before, None), source("b.avsc", &micros, None)]);
    assert!(says.starts_with("b.avsc: it has the same fingerprint "), "{says}");
    assert!(says.contains("as a.avsc, and its data are to be read otherwise"), "{says}");
    let says = problem(&[source("a.avsc", &before, Some(17)), source("c.avsc", &after, Some(17))]);
    assert!(says.starts_with("c.avsc: it has the same id 17 as a.avsc"), "{says}");
    // By ids they are told apart, and by nothing else.
    let both = [source("a.avsc", &before, Some(17)), source("b.avsc", &micros, Some(18))];
    let mut decoder = ScanDecoder::Avro(AvroScans::of(WriterSchemas::of(both).unwrap()));
    let event_time = |decoder: &mut ScanDecoder, payload: &[u8]| {
        decoder.decode(payload, live(MORNING)).unwrap().event_time.map(|time| time.secs())
    };
    let morning = Some(MORNING / 1_000);
    assert_eq!(event_time(&mut decoder, &framed(17, &before, "A")), morning);
    let datum = datum(
        &schema(&micros),
        &json!({"tracking_number": "B", "carrier": "ups",
        "milestone": "arrived", "event_time": MORNING * 1_000}),
    );
    let payload = [&[0][..], &18_u32.to_be_bytes(), &datum].concat();
    assert_eq!(event_time(&mut decoder, &payload), morning);
    assert_eq!(event_time(&mut decoder, &single_object(&schema(&before), &scan("C"))), morning);
    // What does not change how data are read makes no other schema.
    let documented = before.replacen("\"type\"", "\"doc\":\"scans\",\"type\"", 1);
    assert_ne!(documented, before);
    let same = [source("a.avsc", &before, Some(17)), source("d.avsc", &documented, Some(18))];
    assert_eq!(WriterSchemas::of(same).unwrap().names().count(), 1);
}
