//! Words of a feed that are none of the vocabulary are told, in every encoding, and no others.

use serde_json::{Value as Json, json};
use stallwatch::detector::scan::{Evidence, Milestone};
use stallwatch::wire::scan::unknown::UnknownTexts;
use stallwatch::wire::scan::{AvroScans, Framing, JsonScans, ScanDecoder};
use stallwatch::wire::scan_file::ScanFile;

use super::{bytes_of, container, datum, in_pieces, live, schema};

const TEXTS: &str = r#"{"type":"record","name":"T","fields":[
    {"name":"carrier","type":"string"},{"name":"tracking_number","type":"string"},
    {"name":"milestone","type":"string"},{"name":"evidence","type":["null","string"]}]}"#;
const ENUMS: &str = r#"{"type":"record","name":"T","fields":[
    {"name":"carrier","type":"string"},{"name":"tracking_number","type":"string"},
    {"name":"milestone","type":{"type":"enum","name":"M",
        "symbols":["OUT_FOR_DELIVERY","arrived","SORTED"]}},
    {"name":"evidence","type":["null",{"type":"enum","name":"E",
        "symbols":["Physical","HEARSAY"]}]}]}"#;

fn scan(milestone: &str, evidence: Option<&str>) -> Json {
    json!({"carrier": "ups", "tracking_number": "1", "milestone": milestone, "evidence": evidence})
}

/// Milestone, evidence and the unknown words of a payload.
fn read(decoder: &mut ScanDecoder, payload: &[u8]) -> (Milestone, Evidence, [Option<String>; 2]) {
    let mut unknown = UnknownTexts::default();
    let scan = decoder
        .batch()
        .decode_telling(payload, live(1_772_438_400_000), |remarks| unknown = remarks.unknown)
        .unwrap();
    let UnknownTexts { milestone, evidence } = unknown;
    (scan.milestone, scan.evidence, [milestone, evidence].map(|text| text.map(str::to_owned)))
}

#[test]
fn unknown_words_are_told_as_they_came_and_other_spellings_of_known_ones_are_known() {
    let text = |text: &str| Some(text.to_owned());
    for (milestone, evidence, expected) in [
        ("arrived", None, (Milestone::Arrived, Evidence::Physical, [None, None])),
        (
            "OUT_FOR_DELIVERY",
            Some("Physical"),
            (Milestone::OutForDelivery, Evidence::Physical, [None, None]),
        ),
        (
            "SORTED",
            Some("HEARSAY"),
            (Milestone::Info, Evidence::Predicted, [text("SORTED"), text("HEARSAY")]),
        ),
    ] {
        let scan = scan(milestone, evidence);
        let json = &mut ScanDecoder::Json(JsonScans::new());
        assert_eq!(read(json, &bytes_of(&scan)), expected);
        for writer in [TEXTS, ENUMS] {
            let avro = &mut ScanDecoder::Avro(AvroScans::new(writer, Framing::Bare).unwrap());
            assert_eq!(read(avro, &datum(&schema(writer), &scan)), expected, "{writer}");
        }
    }
}

#[test]
fn files_tell_the_unknown_words_of_each_record() {
    let scans = [("arrived", None), ("SORTED", None), ("arrived", Some("HEARSAY"))];
    let scans = scans.map(|(milestone, evidence)| {
        let mut scan = scan(milestone, evidence);
        scan["event_time"] = json!(1_772_438_400_000_i64);
        scan
    });
    let lines: Vec<u8> = scans.iter().flat_map(|scan| format!("{scan}\n").into_bytes()).collect();
    let writer = TEXTS.replace("]}", r#",{"name":"event_time","type":"long"}]}"#);
    let blocks = container(&schema(&writer), apache_avro::Codec::Null, &scans, 2);
    for bytes in [lines, blocks] {
        let mut file = ScanFile::open(in_pieces(bytes, 7)).unwrap();
        let mut told = Vec::new();
        while let Some(batch) = file.next_batch(10).unwrap() {
            assert!(batch.rejected.is_empty(), "{:?}", batch.rejected);
            let texts = batch.remarks.iter().flat_map(|(_, of)| of.unknown.each());
            told.extend(texts.map(|(field, text)| format!("{} {text}", field.as_str())));
        }
        assert_eq!(told, ["milestone SORTED", "evidence HEARSAY"]);
    }
}
