//! Properties of the encodings: they agree with each other, and no bytes do harm.

#[path = "wire/batches.rs"]
mod batches;
mod encoding;
#[path = "wire/lenient.rs"]
mod lenient;
#[path = "wire/resolution.rs"]
mod resolution;
#[path = "wire/schemas.rs"]
mod schemas;
#[path = "wire/words.rs"]
mod words;
#[path = "wire/writers.rs"]
mod writers;

use std::sync::Arc;

use apache_avro::rabin::Rabin;
use apache_avro::{Codec, Reader};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};
use stallwatch::detector::exception::{Change, ClosedBy, ExceptionEvent, Kind, Severity};
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Scan};
use stallwatch::detector::time::{Deadline, EffectiveTime, EventTime, LogTime};
use stallwatch::wire::exception::{
    AvroExceptions, Context, ExceptionContainer, from_json, to_json,
};
use stallwatch::wire::reject::{Reason, Rejected};
use stallwatch::wire::scan::{AvroScans, Framing, JsonScans, Origin, ScanDecoder};
use stallwatch::wire::scan_file::{ScanFile, StoredScan};
use uuid::Uuid;

use encoding::{SCAN, SCAN_LOG, container, datum, in_pieces, library_value, live, schema};

/// A writer that shares nothing with our schema but the names: another order, strings for enums,
/// other kinds of null and time, and fields of every type that Avro has.
const FOREIGN: &str = r#"{"type":"record","name":"Event","namespace":"com.example","fields":[
    {"name":"list","type":{"type":"array","items":["null","long"]}},
    {"name":"attributes","type":{"type":"map","values":"string"}},
    {"name":"event_time","type":[{"type":"long","logicalType":"timestamp-micros"},"null"]},
    {"name":"flag","type":"boolean"},
    {"name":"country","type":["string","null"]},
    {"name":"facility","type":"string"},
    {"name":"evidence","type":["null","string"]},
    {"name":"hub","type":{"type":"record","name":"Hub","fields":[
        {"name":"lat","type":"double"},{"name":"lon","type":"float"},
        {"name":"tags","type":{"type":"map","values":{"type":"array","items":"bytes"}}}]}},
    {"name":"milestone","type":"string"},
    {"name":"carrier","type":["null","string"]},
    {"name":"other_hub","type":["null","Hub"]},
    {"name":"tracking_number","type":["null","string"]},
    {"name":"log_time","type":"string"}]}"#;

/// A scan as a JSON object, its times in milliseconds.
fn any_scan() -> impl Strategy<Value = Json> {
    let text = || {
        prop_oneof![
            6 => "[a-zA-Z0-9 -]{0,12}",
            2 => any::<String>(),
            1 => "x{250,260}",
        ]
    };
    let milestone = select(Milestone::ALL).prop_map(|m| m.as_str());
    let evidence = select(Evidence::ALL).prop_map(|e| e.as_str());
    let time = prop_oneof![
        9 => 946_684_700_000_i64..4_102_444_900_000,
        1 => any::<i64>().prop_map(|time| time / 1000),
        1 => select(vec![0, -62_135_596_800_000, 946_684_800_000, 253_402_300_799_000]),
    ];
    (
        (
            option::weighted(0.95, text()),
            option::weighted(0.95, select(vec!["ups", " DHL\t", "?", ""])),
        ),
        (milestone, evidence, option::of(time)),
        (option::of(text()), option::of(text())),
    )
        .prop_map(|((number, carrier), (milestone, evidence, time), (facility, country))| {
            json!({"tracking_number": number, "carrier": carrier, "milestone": milestone,
                "event_time": time, "evidence": evidence, "facility": facility, "country": country,
                "attributes": {"some": "thing"}})
        })
}

/// The same scan as [`FOREIGN`] has it.
fn foreign(scan: &Json) -> Json {
    let mut scan = scan.clone();
    if let Some(time) = scan["event_time"].as_i64() {
        scan["event_time"] = json!(time * 1000);
    }
    if scan["facility"].is_null() {
        scan["facility"] = json!("");
    }
    let hub = json!({"lat": 1.5, "lon": 2.5, "tags": {"a": [[1, 2], []]}});
    scan["list"] = json!([null, 1, -5]);
    scan["flag"] = json!(true);
    scan["hub"] = hub.clone();
    scan["other_hub"] = hub;
    scan["log_time"] = json!("not the envelope's");
    scan
}

/// What encodings have to agree on; messages may name what only one of them has.
fn verdict<'a>(
    decoded: Result<Scan<'a>, impl Into<Rejected>>,
) -> Result<Scan<'a>, (Reason, Option<LogTime>)> {
    decoded.map_err(Into::into).map_err(|rejected| (rejected.reason, rejected.log_time))
}

fn bytes_of(scan: &Json) -> Vec<u8> {
    scan.to_string().into_bytes()
}

/// With so many needed fields that scans are good more often than not.
fn needed(scan: &Json) -> Option<&Json> {
    (scan["tracking_number"].is_string() && scan["carrier"].is_string()).then_some(scan)
}

fn single_object(schema: &apache_avro::Schema, scan: &Json) -> Vec<u8> {
    let mut payload = vec![0xc3, 0x01];
    payload.extend_from_slice(&schema.fingerprint::<Rabin>().bytes);
    payload.extend_from_slice(&datum(schema, scan));
    payload
}

proptest! {
    #[test]
    fn json_and_avro_of_the_same_scan_are_the_same(
        scan in any_scan(),
        log_time in option::of(946_684_800_000_i64..4_102_444_800_000),
    ) {
        let origin = Origin { log_time, offset: 3 };
        let payload = bytes_of(&scan);
        let mut json = JsonScans::new();
        let json = verdict(json.decode(&payload, origin));

        let foreign_schema = AvroScans::new(FOREIGN, Framing::Bare).unwrap();
        let payload = datum(&schema(FOREIGN), &foreign(&scan));
        prop_assert_eq!(&verdict(foreign_schema.decode(&payload, origin)), &json);

        if let Some(scan) = needed(&scan) {
            let own_schema = AvroScans::new(SCAN, Framing::Marked { schema_id: None }).unwrap();
            let payload = single_object(&schema(SCAN), scan);
            prop_assert_eq!(&verdict(own_schema.decode(&payload, origin)), &json);
        }
    }

    #[test]
    fn a_scan_has_the_log_time_in_effect_and_a_rejected_record_only_its_own(
        scan in any_scan(),
        log_time in option::of(946_684_000_000_i64..4_102_445_000_000),
    ) {
        let decodes = |payload: &[u8], scans: &mut ScanDecoder| {
            let origin = Origin { log_time, offset: 3 };
            let scan = scans.decode(payload, origin).map_err(Rejected::from);
            scan.map(|scan| scan.log_time.secs()).map_err(|no| no.log_time.map(|time| time.secs()))
        };
        let own = log_time.map(|millis| millis.div_euclid(1000));
        let in_range = own.filter(|secs| (946_684_800..4_102_444_800).contains(secs));
        let event = scan["event_time"].as_i64().map(|millis| millis.div_euclid(1000));
        let event = event.filter(|seconds| (946_684_801..4_102_444_800).contains(seconds));
        let mut json = ScanDecoder::Json(JsonScans::new());
        let mut avro = ScanDecoder::Avro(AvroScans::new(FOREIGN, Framing::Bare).unwrap());
        for decoded in [
            decodes(&bytes_of(&scan), &mut json),
            decodes(&datum(&schema(FOREIGN), &foreign(&scan)), &mut avro),
        ] {
            match decoded {
                Ok(in_effect) => prop_assert_eq!(Some(in_effect), own.or(event)),
                Err(kept) => prop_assert_eq!(kept, in_range),
            }
        }
    }

    #[test]
    fn a_time_is_the_same_as_a_text_and_as_a_number(
        millis in 946_684_800_000_i64..4_102_444_800_000,
        minutes in -1439_i32..1440,
    ) {
        let time = jiff::Timestamp::from_millisecond(millis).unwrap();
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
        let decode = |time: Json| {
            let scan = json!({"tracking_number": "1", "carrier": "ups", "milestone": "arrived",
                "event_time": time});
            let payload = bytes_of(&scan);
            let mut scans = JsonScans::new();
            let scan = scans.decode(&payload, Origin { log_time: None, offset: 0 });
            scan.map(|scan| scan.event_time).map_err(|rejected| rejected.reason)
        };
        let number = decode(json!(millis));
        prop_assert!(number.is_ok());
        prop_assert_eq!(decode(json!(time.to_string())), number);
        let elsewhere = time.display_with_offset(offset).to_string();
        prop_assert_eq!(decode(json!(elsewhere)), number);
    }

    #[test]
    fn escaped_texts_of_a_batch_are_alive_together(texts in vec("[^\u{0}-\u{1f}]{1,20}", 1..80)) {
        let escaped = |text: &str| -> String {
            text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
        };
        let payloads: Vec<String> = texts.iter().map(|text| {
            format!(
                r#"{{"tracking_number":"1","carrier":"ups","milestone":"info","facility":"{}"}}"#,
                escaped(text)
            )
        }).collect();
        let mut decoder = ScanDecoder::Json(JsonScans::new());
        for _ in 0..2 {
            let batch = decoder.batch();
            let scans: Vec<Scan<'_>> = payloads
                .iter()
                .map(|payload| batch.decode(payload.as_bytes(), live(1_772_438_400_000)).unwrap())
                .collect();
            for (scan, text) in scans.iter().zip(&texts) {
                prop_assert_eq!(scan.attributes.facility, Some(text.as_str()));
            }
        }
    }

    #[test]
    fn lines_and_containers_of_the_same_log_are_the_same(
        scans in vec((any_scan(), option::of(0..3_i32), option::of(0..1000_i64)), 0..20),
        per_block in 1..5_usize,
        codec in any_codec(),
        piece in 1..200_usize,
    ) {
        let log: Vec<Json> = scans
            .into_iter()
            .filter(|(scan, ..)| needed(scan).is_some())
            .map(|(mut scan, partition, offset)| {
                scan["log_time"] = json!(1_772_438_400_000_i64);
                scan["partition"] = json!(partition);
                scan["offset"] = json!(offset);
                scan
            })
            .collect();
        let lines: String = log.iter().map(|scan| format!("{scan}\n")).collect();
        let container = container(&schema(SCAN_LOG), codec, &log, per_block);
        let lines = verdicts(lines.into_bytes(), piece);
        prop_assert_eq!(lines.len(), log.len());
        prop_assert_eq!(verdicts(container, piece), lines);
    }

    #[test]
    fn a_stored_scan_is_the_scan(scan in any_scan()) {
        let payload = bytes_of(&scan);
        let mut scans = JsonScans::new();
        if let Ok(scan) = scans.decode(&payload, live(1_772_438_400_000)) {
            let stored = StoredScan::from(scan.clone());
            prop_assert_eq!(stored.log_time(), scan.log_time);
            prop_assert_eq!(stored.scan(), scan);
        }
    }

    #[test]
    fn damaged_records_do_no_harm(scan in any_scan(), damage in any_damage()) {
        let origin = live(1_772_438_400_000);
        let payload = damage.done_to(bytes_of(&scan));
        let _ = JsonScans::new().decode(&payload, origin);

        for (text, value) in [(FOREIGN, Some(foreign(&scan))), (SCAN, needed(&scan).cloned())] {
            let Some(value) = value else { continue };
            let scans = AvroScans::new(text, Framing::Bare).unwrap();
            let payload = damage.done_to(datum(&schema(text), &value));
            let decoded = scans.decode(&payload, origin).map_err(Rejected::from);
            let structure_holds = !matches!(decoded, Err(Rejected { reason: Reason::NotAvro, .. }));
            // What we take for a datum, the library does as well.
            prop_assert!(!structure_holds || library_value(&schema(text), &payload).is_some());
            let marked = AvroScans::new(text, Framing::Marked { schema_id: Some(1) }).unwrap();
            let payload = damage.done_to(single_object(&schema(text), &value));
            let _ = marked.decode(&payload, origin);
        }
    }

    #[test]
    fn a_damaged_writer_schema_is_an_error_or_a_schema(damage in any_damage()) {
        // Without its docs, so that the damage hits what matters.
        let whole = schema(SCAN_LOG).canonical_form().into_bytes();
        let Ok(text) = String::from_utf8(damage.done_to(whole)) else { return Ok(()) };
        if let Ok(scans) = AvroScans::new(&text, Framing::Bare) {
            let _ = scans.decode(&[0; 40], live(1_772_438_400_000));
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..300)) {
        let origin = live(1_772_438_400_000);
        let _ = JsonScans::new().decode(&bytes, origin);
        for framing in [Framing::Bare, Framing::Marked { schema_id: Some(0) }] {
            for text in [SCAN, FOREIGN] {
                let _ = AvroScans::new(text, framing).unwrap().decode(&bytes, origin);
            }
        }
        verdicts(bytes.clone(), 7);
        verdicts([&b"Obj\x01"[..], &bytes].concat(), 7);
        let _ = from_json(&bytes);
        let _ = AvroExceptions::new().from_avro(&bytes);
    }

    #[test]
    fn damaged_files_do_no_harm_and_end(
        scans in vec(any_scan(), 1..12),
        codec in any_codec(),
        damage in any_damage(),
    ) {
        let mut log: Vec<Json> = scans.into_iter().filter(|s| needed(s).is_some()).collect();
        for scan in &mut log {
            scan["log_time"] = json!(1_772_438_400_000_i64);
        }
        let lines: String = log.iter().map(|scan| format!("{scan}\n")).collect();
        verdicts(damage.done_to(lines.into_bytes()), 50);
        verdicts(damage.done_to(container(&schema(SCAN_LOG), codec, &log, 3)), 50);
    }

    #[test]
    fn exceptions_come_back_from_json_as_they_went(event in any_event(), context in any_context()) {
        let context = context.borrowed();
        let line = to_json(&event, &context);
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(from_json(line.as_bytes()).unwrap(), event.clone());
        // A later version may add fields.
        let longer = line.replacen('{', r#"{"added_later":[1,{"a":null}],"#, 1);
        prop_assert_eq!(from_json(longer.as_bytes()).unwrap(), event);
    }

    #[test]
    fn exceptions_come_back_from_avro_as_they_went(event in any_event(), context in any_context()) {
        let avro = AvroExceptions::new();
        let payload = avro.encode_single_object(&event, &context.borrowed());
        prop_assert_eq!(avro.from_avro(&payload).unwrap(), event.clone());

        // The library reads the same, and so does whoever reads the JSON.
        let value = library_value(&schema(stallwatch::wire::exception::EXCEPTION_SCHEMA), &payload[10..]);
        let by_library = Json::try_from(value.unwrap()).unwrap();
        prop_assert_eq!(from_json(&bytes_of(&by_library)).unwrap(), event.clone());
        let by_us: Json = serde_json::from_str(&to_json(&event, &context.borrowed())).unwrap();
        for (name, value) in by_us.as_object().unwrap() {
            prop_assert!(!by_library[name].is_null(), "{} is {}", name, value);
        }
    }

    #[test]
    fn a_damaged_exception_is_an_error_or_an_exception(event in any_event(), damage in any_damage()) {
        let avro = AvroExceptions::new();
        let payload = avro.encode_single_object(&event, &Context::default());
        let _ = avro.from_avro(&damage.done_to(payload.clone()));
        for length in 0..payload.len() {
            prop_assert!(avro.from_avro(&payload[..length]).is_err());
        }
        let _ = from_json(&damage.done_to(to_json(&event, &Context::default()).into_bytes()));
    }

    #[test]
    fn a_container_of_exceptions_is_one_that_the_library_reads(
        events in vec((any_event(), any_context()), 0..12),
    ) {
        let write = || {
            let mut container = ExceptionContainer::new(Vec::new()).unwrap();
            for (event, context) in &events {
                container.append(event, &context.borrowed()).unwrap();
            }
            container.finish().unwrap()
        };
        let bytes = write();
        prop_assert_eq!(&write(), &bytes, "the same exceptions give the same bytes");
        let read: Vec<ExceptionEvent> = Reader::new(&bytes[..])
            .unwrap()
            .map(|value| {
                let json = Json::try_from(value.unwrap()).unwrap();
                from_json(&bytes_of(&json)).unwrap()
            })
            .collect();
        let written: Vec<ExceptionEvent> = events.iter().map(|(event, _)| event.clone()).collect();
        prop_assert_eq!(read, written);
    }
}

/// Partition, and the scan or why it is none, of every entry of a file.
type Entries = Vec<(Option<i32>, Result<String, (Reason, Option<LogTime>)>)>;

fn verdicts(bytes: Vec<u8>, piece: usize) -> Entries {
    let mut entries = Vec::new();
    let Ok(mut file) = ScanFile::open(in_pieces(bytes, piece)) else { return entries };
    while let Ok(Some(entry)) = file.next() {
        entries.push((entry.partition, verdict(entry.scan).map(|scan| format!("{scan:?}"))));
    }
    entries
}

fn any_codec() -> impl Strategy<Value = Codec> {
    select(vec![
        Codec::Null,
        Codec::Deflate(apache_avro::DeflateSettings::default()),
        Codec::Snappy,
        Codec::Zstandard(apache_avro::ZstandardSettings::default()),
    ])
}

/// What can happen to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(Vec<(prop::sample::Index, u8)>),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Cut),
        vec((index(), 1..=255_u8), 1..6).prop_map(Damage::Flip),
        (index(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (index(), 1..20_usize).prop_map(|(at, length)| Damage::Remove(at, length)),
    ]
}

impl Damage {
    fn done_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        match self {
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Flip(flips) => {
                for (at, bits) in flips {
                    let at = at.index(bytes.len());
                    bytes[at] ^= bits;
                }
            }
            Self::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, length) => {
                let at = at.index(bytes.len());
                let end = (at + length).min(bytes.len());
                bytes.drain(at..end);
            }
        }
        bytes
    }
}

/// A [`Context`] with a text of its own.
#[derive(Clone, Debug)]
struct OwnedContext {
    topic: Option<String>,
    partition: Option<i32>,
    detected_time_ms: Option<i64>,
}

impl OwnedContext {
    fn borrowed(&self) -> Context<'_> {
        Context {
            topic: self.topic.as_deref(),
            partition: self.partition,
            detected_time_ms: self.detected_time_ms,
        }
    }
}

fn any_context() -> impl Strategy<Value = OwnedContext> {
    (option::of(any::<String>()), option::of(any::<i32>()), option::of(0..4_102_444_800_000_i64))
        .prop_map(|(topic, partition, detected_time_ms)| OwnedContext {
            topic,
            partition,
            detected_time_ms,
        })
}

fn any_event() -> impl Strategy<Value = ExceptionEvent> {
    let second = || 946_684_800_i64..4_102_444_800;
    let text = || any::<String>().prop_map(Arc::<str>::from);
    let attributes = vec(option::of(any::<String>().prop_map(Arc::from)), 7);
    let closed_by =
        (select(Milestone::ALL), option::of(second()), second(), second(), any::<i64>()).prop_map(
            |(milestone, event, effective, log, offset)| ClosedBy {
                milestone,
                event_time: event.map(EventTime::from_secs),
                effective_time: EffectiveTime::from_secs(effective),
                log_time: LogTime::from_secs(log),
                offset,
            },
        );
    (
        (any::<u128>(), 0..i32::MAX as u32, 0..i32::MAX as u32, any::<i64>(), any::<bool>()),
        (select(Change::ALL), select(Kind::ALL), select(Severity::ALL), select(Milestone::ALL)),
        (text(), text(), text(), "[a-z0-9._-]{1,32}", "[!-,.-`{-~]{1,64}"),
        (second(), second(), second(), second(), option::of(closed_by), attributes),
    )
        .prop_map(|(numbers, symbols, texts, rest)| {
            let (id, sequence, step, silent_for_s, backfilled) = numbers;
            let (change, kind, severity, last_milestone) = symbols;
            let (step_name, policy_id, policy_set, carrier, number) = texts;
            let (anchor, set_at, opened, deadline, closed_by, mut attributes) = rest;
            let mut attribute = || attributes.pop().flatten();
            ExceptionEvent {
                exception_id: Uuid::from_u128(id),
                sequence,
                change,
                kind,
                severity,
                step,
                step_name,
                key: PackageKey::new(&carrier, &number).unwrap(),
                anchor: EffectiveTime::from_secs(anchor),
                anchor_set_at: LogTime::from_secs(set_at),
                opened_deadline: Deadline::from_secs(opened),
                deadline: Deadline::from_secs(deadline),
                silent_for_s,
                last_milestone,
                attributes: Attributes {
                    service: attribute(),
                    direction: attribute(),
                    destination_country: attribute(),
                    shipper: attribute(),
                    value_tier: attribute(),
                    facility: attribute(),
                    country: attribute(),
                },
                policy_id,
                policy_set,
                closed_by,
                backfilled,
            }
        })
}
