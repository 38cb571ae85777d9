//! What a feed can get wrong, and what stallwatch says then.

mod encoding;

use apache_avro::Codec;
use serde_json::{Value as Json, json};
use stallwatch::detector::scan::{Evidence, Milestone};
use stallwatch::detector::time::LogTime;
use stallwatch::wire::reject::{Reason, Rejected};
use stallwatch::wire::scan::framing::{Mark, with_headers};
use stallwatch::wire::scan::{
    AvroScans, Framing, JsonScans, NoTime, Origin, Remarks, ScanDecoder, UnknownSchema, Unread,
};
use stallwatch::wire::scan_file::ScanFile;

use encoding::{OFFSET, SCAN, SCAN_LOG, container, datum, in_pieces, library_value, live, schema};

/// 2026-03-02T08:00:00Z.
const MORNING: i64 = 1_772_438_400_000;

fn good() -> Json {
    json!({"tracking_number": "1Z1", "carrier": "ups", "milestone": "arrived", "event_time": MORNING})
}

/// A good scan with one field changed.
fn with(field: &str, value: Json) -> Json {
    let mut scan = good();
    scan[field] = value;
    scan
}

fn without(field: &str) -> Json {
    let mut scan = good();
    scan.as_object_mut().unwrap().remove(field);
    scan
}

/// The rejection of a payload logged that morning; its message has to name all of `says`.
fn rejected_bytes(payload: &[u8], reason: Reason, says: &[&str]) -> Rejected {
    rejected_by(&mut ScanDecoder::Json(JsonScans::new()), payload, reason, says)
}

fn rejected_by(
    decoder: &mut ScanDecoder,
    payload: &[u8],
    reason: Reason,
    says: &[&str],
) -> Rejected {
    let rejected = match decoder.decode(payload, live(MORNING)).unwrap_err() {
        Unread::Rejected(rejected) => rejected,
        Unread::UnknownSchema(unknown) => panic!("{unknown}"),
    };
    assert_eq!(rejected.reason, reason, "{rejected}");
    for word in says {
        assert!(rejected.message.contains(word), "{rejected} does not say {word:?}");
    }
    rejected
}

/// The rejection of a JSON object, which leaves the log time readable.
fn rejected(scan: &Json, reason: Reason, says: &[&str]) {
    let rejected = rejected_bytes(scan.to_string().as_bytes(), reason, says);
    assert_eq!(rejected.log_time, Some(LogTime::from_millis(MORNING)), "the log time was good");
}

fn framed(schema_id: Option<u32>) -> ScanDecoder {
    ScanDecoder::Avro(AvroScans::new(SCAN, Framing::Marked { schema_id }).unwrap())
}

fn confluent(id: u32, scan: &Json) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend_from_slice(&id.to_be_bytes());
    payload.extend_from_slice(&datum(&schema(SCAN), scan));
    payload
}

#[test]
fn what_is_not_json_is_rejected_and_keeps_its_log_time() {
    for payload in ["", "hello", "[]", "\"1Z1\"", "{", "{\"carrier\":\"ups\"} {}", "NaN", "null"] {
        let rejected = rejected_bytes(payload.as_bytes(), Reason::NotJson, &[]);
        assert_eq!(rejected.log_time, Some(LogTime::from_millis(MORNING)));
    }
    rejected_bytes(b"", Reason::NotJson, &["empty"]);
    rejected_bytes(b"{\"carrier\": ups}", Reason::NotJson, &["expected value at column 13"]);
    rejected_bytes(b"\xc3\x01abcdefgh", Reason::NotJson, &["looks like Avro"]);
    rejected_bytes(b"{\"event_time\":NaN}", Reason::NotJson, &[]);
}

#[test]
fn json_behind_a_schema_registry_s_framing_is_named_in_either_format() {
    let framed_json = [&[0, 0, 0, 0, 7][..], good().to_string().as_bytes()].concat();
    let says = ["JSON in Confluent's framing", "schema id 7", "HeaderSchemaIdSerializer"];
    rejected_bytes(&framed_json, Reason::NotJson, &says);
    for schema_id in [None, Some(7), Some(8)] {
        rejected_by(&mut framed(schema_id), &framed_json, Reason::NotAvro, &says);
    }
    let avro = confluent(7, &good());
    rejected_bytes(&avro, Reason::NotJson, &["Avro or Protobuf in Confluent's framing", "id 7"]);
    // One that only begins like it.
    let broken = b"\0\0\0\0\x07{\"carrier\":";
    let rejected = rejected_by(&mut framed(Some(7)), broken, Reason::NotAvro, &[]);
    assert!(!rejected.message.contains("JSON"), "{rejected}");
}

#[test]
fn a_schema_s_id_in_a_header_is_named_where_a_record_cannot_be_read() {
    let unread = rejected_by(&mut framed(None), b"\x061Z1", Reason::NotAvro, &["begins with 06"]);
    let (log_time, unread) = (unread.log_time, Unread::from(unread));
    let names = ["traceparent", "__value_schema_id"];
    assert_eq!(with_headers(unread.clone(), names[..1].iter().copied()), unread);
    let Unread::Rejected(named) = with_headers(unread, names.into_iter()) else {
        panic!("it is rejected");
    };
    for word in ["begins with 06", "__value_schema_id", "PrefixSchemaIdSerializer"] {
        assert!(named.message.contains(word), "{named} does not say {word:?}");
    }
    assert_eq!((named.reason, named.log_time), (Reason::NotAvro, log_time));
    let other = Unread::from(Rejected::new(Reason::BadCarrier, "carrier: odd"));
    assert_eq!(with_headers(other.clone(), names.into_iter()), other, "it is not to blame");
    // What looks like a mark is the beginning of the datum.
    let unknown = Unread::from(UnknownSchema { mark: Mark::Id(7) });
    assert_eq!(with_headers(unknown.clone(), [].into_iter()), unknown);
    let Unread::Rejected(named) = with_headers(unknown, names.into_iter()) else {
        panic!("nobody waits for its schema");
    };
    assert!(named.reason == Reason::NotAvro && named.message.contains("id 7"), "{named}");
}

#[test]
fn wrong_utf_8_is_rejected_wherever_it_stands() {
    for field in ["carrier", "nobody_knows"] {
        let mut payload = format!("{{\"{field}\":\"").into_bytes();
        payload.extend_from_slice(b"\xff\xfe\"}");
        rejected_bytes(&payload, Reason::NotJson, &["not UTF-8"]);
    }
}

#[test]
fn what_is_not_avro_is_rejected() {
    let mut decoder = framed(None);
    rejected_by(&mut decoder, b"", Reason::NotAvro, &["empty"]);
    rejected_by(&mut decoder, b"{\"carrier\":\"ups\"}", Reason::NotAvro, &["looks like JSON"]);
    rejected_by(&mut decoder, b"hello", Reason::NotAvro, &["68", "C3 01"]);
    rejected_by(&mut decoder, b"\xc3\x01abc", Reason::NotAvro, &["marker"]);
    let mut decoder = framed(Some(1));
    rejected_by(&mut decoder, b"\0\0\0\0\x01\xff\xff", Reason::NotAvro, &["tracking_number"]);
    let rejected = rejected_by(&mut decoder, b"\0\0\0\0\x01", Reason::NotAvro, &["too early"]);
    assert_eq!(rejected.log_time, Some(LogTime::from_millis(MORNING)));
}

#[test]
fn a_datum_cut_off_anywhere_is_rejected() {
    let whole = confluent(1, &with("service", json!("ground")));
    let mut decoder = framed(Some(1));
    assert!(decoder.decode(&whole, live(MORNING)).is_ok());
    for length in 0..whole.len() {
        rejected_by(&mut decoder, &whole[..length], Reason::NotAvro, &[]);
    }
    // The library takes a text or a union that is cut off for null.
    let texts = r#"{"type":"record","name":"T","fields":[
        {"name":"carrier","type":"string"},{"name":"tracking_number","type":"string"},
        {"name":"milestone","type":"string"},{"name":"service","type":["null","string"]}]}"#;
    let scan = json!({"carrier":"ups","tracking_number":"1","milestone":"lost","service":"x"});
    let whole = datum(&schema(texts), &scan);
    let cut = &whole[..whole.len() - 3];
    assert!(library_value(&schema(texts), cut).is_some());
    let scans = AvroScans::new(texts, Framing::Bare).unwrap();
    let rejected = Rejected::from(scans.decode(cut, live(MORNING)).unwrap_err());
    assert_eq!(rejected.reason, Reason::NotAvro);
}

#[test]
fn bytes_behind_a_datum_are_rejected() {
    let mut payload = confluent(1, &good());
    payload.push(0);
    rejected_by(&mut framed(Some(1)), &payload, Reason::NotAvro, &["1 bytes follow"]);
}

#[test]
fn a_length_larger_than_the_record_is_an_error_and_no_allocation() {
    let mut payload = b"\0\0\0\0\x01".to_vec();
    payload.extend_from_slice(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01abc");
    rejected_by(&mut framed(Some(1)), &payload, Reason::NotAvro, &["tracking_number", "too early"]);
}

/// What a decoder says of a record whose schema it does not know.
fn unknown(decoder: &mut ScanDecoder, payload: &[u8]) -> (Mark, String) {
    match decoder.decode(payload, live(MORNING)).unwrap_err() {
        Unread::UnknownSchema(unknown) => (unknown.mark, unknown.to_string()),
        Unread::Rejected(rejected) => panic!("{rejected}"),
    }
}

#[test]
fn a_schema_that_is_not_known_is_named_and_its_record_not_rejected() {
    for known in [None, Some(5)] {
        let (mark, says) = unknown(&mut framed(known), &confluent(7, &good()));
        assert_eq!(mark, Mark::Id(7));
        for word in ["schema of id 7", "7 = \"FILE.avsc\"", "input.schema_id = 7"] {
            assert!(says.contains(word), "{says} does not say {word:?}");
        }
    }
    assert!(framed(Some(7)).decode(&confluent(7, &good()), live(MORNING)).is_ok());
    let payload = [&b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08"[..], &[0; 20]].concat();
    let (mark, says) = unknown(&mut framed(None), &payload);
    assert_eq!(mark, Mark::Fingerprint([1, 2, 3, 4, 5, 6, 7, 8]));
    assert!(says.contains("fingerprint 0807060504030201"), "{says}");
    assert!(says.contains("input.schema_files"), "{says}");
    // Who waits for no schema rejects it.
    let unread = framed(None).decode(&payload, live(MORNING)).unwrap_err();
    assert_eq!(Rejected::from(unread).reason, Reason::UnknownSchema);
}

#[test]
fn a_record_that_names_a_schema_and_is_too_large_or_cut_off_is_rejected() {
    let large = [&b"\0\0\0\0\x07"[..], &vec![0; 1 << 20]].concat();
    rejected_by(&mut framed(None), &large, Reason::TooLarge, &["1048581"]);
    rejected_by(&mut framed(None), b"\0\0\0", Reason::NotAvro, &["marker"]);
}

#[test]
fn a_tracking_number_has_to_be_there() {
    let missing = Reason::MissingTrackingNumber;
    rejected(&without("tracking_number"), missing, &["tracking_number"]);
    for nothing in [json!(null), json!(""), json!("  "), json!(" - -")] {
        rejected(&with("tracking_number", nothing), missing, &["tracking_number"]);
    }
}

#[test]
fn a_carrier_has_to_be_there() {
    rejected(&without("carrier"), Reason::MissingCarrier, &["carrier"]);
    for nothing in [json!(null), json!(""), json!(" \t")] {
        rejected(&with("carrier", nothing), Reason::MissingCarrier, &["carrier"]);
    }
    for bad in ["dhl express", "ups!", "größe", &"c".repeat(33)] {
        rejected(&with("carrier", json!(bad)), Reason::BadCarrier, &["carrier"]);
    }
}

#[test]
fn a_number_of_65_characters_is_rejected_and_one_of_64_is_not() {
    let number = |length: usize| with("tracking_number", json!("1".repeat(length)));
    rejected(&number(65), Reason::BadTrackingNumber, &["tracking_number", "64"]);
    let payload = number(64).to_string();
    assert!(JsonScans::new().decode(payload.as_bytes(), live(MORNING)).is_ok());
    rejected(&with("tracking_number", json!("1Zé")), Reason::BadTrackingNumber, &["ASCII"]);
    rejected(&with("tracking_number", json!("1\t2")), Reason::BadTrackingNumber, &["ASCII"]);
}

#[test]
fn a_tracking_number_that_is_a_json_number_is_rejected() {
    for number in [json!(940_011_189_922_i64), json!(9.4e30), json!(u64::MAX)] {
        let says = &["tracking_number", "quote it"];
        rejected(&with("tracking_number", number), Reason::WrongType, says);
    }
}

#[test]
fn a_scan_without_a_milestone_is_rejected_and_not_taken_for_one_that_informs() {
    for scan in [without("milestone"), with("milestone", json!("")), with("milestone", json!(null))]
    {
        rejected(&scan, Reason::MissingMilestone, &["milestone", "missing or empty", "send"]);
    }
    let nullable = r#"{"type":"record","name":"T","fields":[
        {"name":"carrier","type":"string"},{"name":"tracking_number","type":"string"},
        {"name":"milestone","type":["null","string"]}]}"#;
    let scan = json!({"carrier":"ups","tracking_number":"1","milestone":null});
    let payload = datum(&schema(nullable), &scan);
    let scans = AvroScans::new(nullable, Framing::Bare).unwrap();
    let rejected = Rejected::from(scans.decode(&payload, live(MORNING)).unwrap_err());
    assert_eq!(rejected.reason, Reason::MissingMilestone);
}

#[test]
fn an_unknown_milestone_counts_as_info_and_an_unknown_evidence_as_predicted() {
    let decode = |scan: &Json| {
        let payload = scan.to_string();
        let mut scans = JsonScans::new();
        let scan = scans.decode(payload.as_bytes(), live(MORNING)).unwrap();
        (scan.milestone, scan.evidence)
    };
    let physical = Evidence::Physical;
    assert_eq!(decode(&with("milestone", json!("teleported"))), (Milestone::Info, physical));
    assert_eq!(
        decode(&with("evidence", json!("hearsay"))),
        (Milestone::Arrived, Evidence::Predicted)
    );
    assert_eq!(decode(&with("evidence", json!(null))), (Milestone::Arrived, physical));
}

#[test]
fn times_in_seconds_are_rejected_with_a_hint() {
    rejected(
        &with("event_time", json!(MORNING / 1000)),
        Reason::TimeOutOfRange,
        &["event_time", "1970-01-21", "looks like seconds: send milliseconds"],
    );
    rejected(
        &with("event_time", json!(MORNING * 1000)),
        Reason::TimeOutOfRange,
        &["looks like microseconds"],
    );
}

#[test]
fn years_outside_2000_to_2099_are_rejected() {
    for time in [
        json!("9999-12-30T23:59:59Z"),
        json!("2100-01-01T00:00:00Z"),
        json!("1999-12-31T23:59:59.999Z"),
        json!("0001-01-01T00:00:01Z"),
        json!(253_402_214_399_000_i64),
        json!(-1),
        json!(i64::MIN),
        json!(u64::MAX),
    ] {
        rejected(
            &with("event_time", time),
            Reason::TimeOutOfRange,
            &["event_time", "2000 to 2099"],
        );
    }
    for time in ["2000-01-01T00:00:01Z", "2099-12-31T23:59:59Z"] {
        let payload = with("event_time", json!(time)).to_string();
        assert!(JsonScans::new().decode(payload.as_bytes(), live(MORNING)).is_ok(), "{time}");
    }
}

#[test]
fn a_log_time_out_of_range_moves_no_clock() {
    let payload = good().to_string();
    for log_time in [MORNING / 1000, -1, i64::MAX, i64::MIN, 0] {
        let rejected = JsonScans::new().decode(payload.as_bytes(), live(log_time)).unwrap_err();
        assert_eq!(rejected.reason, Reason::TimeOutOfRange);
        assert_eq!(rejected.log_time, None);
        assert!(rejected.message.contains("log_time"), "{rejected}");
    }
}

#[test]
fn a_time_that_cannot_be_read_is_rejected() {
    for time in [json!("yesterday"), json!("2026-03-02"), json!(1.5), json!(1e9), json!("1e9")] {
        rejected(&with("event_time", time), Reason::UnreadableTime, &["event_time"]);
    }
    let far_offset = with("event_time", json!("2026-03-02T08:00:00+25:00"));
    rejected(&far_offset, Reason::UnreadableTime, &["UTC offset that no place has", "go to 23"]);
    let without_offset = with("event_time", json!("2026-03-02T08:00:00"));
    rejected(&without_offset, Reason::UnreadableTime, &["no UTC offset", "append Z"]);
    rejected(&with("event_time", json!(true)), Reason::WrongType, &["event_time", "boolean"]);
}

#[test]
fn a_whole_number_of_any_length_is_called_one() {
    for digits in [19, 20, 22, 40, 300] {
        for sign in ["", "-"] {
            let number = format!("{sign}{}", "9".repeat(digits));
            let payload = good().to_string().replace(&MORNING.to_string(), &number);
            rejected_bytes(
                payload.as_bytes(),
                Reason::TimeOutOfRange,
                &["event_time", "2000 to 2099"],
            );
            let payload = good().to_string().replace("\"1Z1\"", &number);
            rejected_bytes(payload.as_bytes(), Reason::WrongType, &["a whole number", "quote it"]);
        }
    }
    for number in ["1.5", "-0.1", "9007199254740993.5", "1e3"] {
        let payload = good().to_string().replace("\"1Z1\"", number);
        rejected_bytes(payload.as_bytes(), Reason::WrongType, &["a fraction or an exponent"]);
    }
}

/// The event time of a scan whose own is written so, in JSON.
fn event_time(time: &Json, no_time: Option<NoTime>) -> (Option<i64>, u64) {
    let payload = with("event_time", time.clone()).to_string();
    let mut scans = ScanDecoder::Json(JsonScans::new());
    if let Some(no_time) = no_time {
        scans = scans.with_no_time(no_time);
    }
    let mut counted = 0;
    let tell = |remarks: Remarks<'_>| counted += u64::from(remarks.no_time);
    let scan = scans.batch().decode_telling(payload.as_bytes(), live(MORNING), tell).unwrap();
    let event = scan.event_time.map(|time| time.secs());
    (event, counted)
}

#[test]
fn a_stand_in_for_no_time_is_a_missing_event_time_and_counted() {
    for date in ["0001-01-01", "1900-01-01", "1970-01-01", "2000-01-01", "9999-12-31"] {
        for zone in ["Z", "+00:00", "-05:00", "+05:30", ""] {
            let time = json!(format!("{date}T00:00:00{zone}"));
            assert_eq!(event_time(&time, None), (None, 1), "{time}");
        }
    }
    for time in [json!("9999-12-31T23:59:59.9999999Z"), json!(0), json!(946_684_800_999_i64)] {
        assert_eq!(event_time(&time, None), (None, 1), "{time}");
    }
    let seconds = MORNING / 1000;
    assert_eq!(event_time(&json!(MORNING), None), (Some(seconds), 0));
    // Another stand-in, and none at all.
    let only = NoTime::of(["2026-03-02"]).unwrap();
    assert_eq!(event_time(&json!("2026-03-02T00:00:00Z"), Some(only.clone())), (None, 1));
    assert_eq!(event_time(&json!(MORNING), Some(only)), (Some(seconds), 0));
    let nothing = || Some(NoTime::of([]).unwrap());
    assert_eq!(event_time(&json!("2000-01-01T00:00:00Z"), nothing()), (Some(946_684_800), 0));
    rejected(&with("event_time", json!("1970-01-01T00:00:01Z")), Reason::TimeOutOfRange, &[]);
}

#[test]
fn a_stand_in_is_one_in_avro_whatever_the_unit_and_leaves_no_time_where_there_is_no_log_time() {
    for (unit, per_second) in
        [("millis", 1_000_i64), ("micros", 1_000_000), ("nanos", 1_000_000_000)]
    {
        let writer = json!({"type": "record", "name": "T", "fields": [
            {"name": "tracking_number", "type": "string"}, {"name": "carrier", "type": "string"},
            {"name": "milestone", "type": "string"},
            {"name": "event_time",
                "type": {"type": "long", "logicalType": format!("timestamp-{unit}")}}]});
        let scans = AvroScans::new(&writer.to_string(), Framing::Bare).unwrap();
        let mut scans = ScanDecoder::Avro(scans);
        for seconds in [0, -2_208_988_800, 946_684_800, 946_684_801] {
            let scan = with("event_time", json!(seconds * per_second));
            let payload = datum(&schema(&writer.to_string()), &scan);
            let is_one = seconds != 946_684_801;
            let mut told = false;
            let tell = |remarks: Remarks<'_>| told = remarks.no_time;
            let scan = scans.batch().decode_telling(&payload, live(MORNING), tell).unwrap();
            assert_eq!((scan.event_time.is_none(), told), (is_one, is_one), "{seconds} {unit}");
            let nowhere = Origin { log_time: None, offset: OFFSET };
            let mut told = false;
            let tell = |_: Remarks<'_>| told = true;
            let alone = scans.batch().decode_telling(&payload, nowhere, tell);
            let why = alone.map_err(|unread| Rejected::from(unread).reason).err();
            assert_eq!(why, is_one.then_some(Reason::MissingTime));
            assert!(!told, "a record that is no scan is counted as that");
        }
    }
    let nowhere = Origin { log_time: None, offset: OFFSET };
    let payload = with("event_time", json!(0)).to_string();
    let rejected = JsonScans::new().decode(payload.as_bytes(), nowhere).unwrap_err();
    assert!(rejected.message.contains("event_time stands for no time"), "{rejected}");
}

#[test]
fn a_record_without_any_time_is_rejected() {
    let payload = without("event_time").to_string();
    let nowhere = Origin { log_time: None, offset: OFFSET };
    let rejected = JsonScans::new().decode(payload.as_bytes(), nowhere).unwrap_err();
    assert_eq!(rejected.reason, Reason::MissingTime);
    assert_eq!(rejected.log_time, None);
}

#[test]
fn a_rejected_record_without_a_log_time_has_none_whatever_event_time_it_names() {
    let nowhere = Origin { log_time: None, offset: OFFSET };
    let far = json!("2099-12-31T23:59:59Z");
    for event_time in [json!(MORNING), json!(MORNING + 7_200_000), far, json!(5), json!("soon")] {
        let mut scan = with("carrier", json!("?"));
        scan["event_time"] = event_time.clone();
        let payload = scan.to_string();
        let rejected = JsonScans::new().decode(payload.as_bytes(), nowhere).unwrap_err();
        assert_eq!(rejected.log_time, None, "{rejected}");
        if let Some(millis) = event_time.as_i64() {
            scan["event_time"] = json!(millis);
            scan["evidence"] = json!("physical");
            let payload = confluent(1, &scan);
            let rejected = Rejected::from(framed(Some(1)).decode(&payload, nowhere).unwrap_err());
            assert_eq!(rejected.log_time, None, "{rejected}");
            scan["log_time"] = json!(null);
            for file in [ndjson(&[scan.clone()]).into_bytes(), one_block(&scan)] {
                let mut file = ScanFile::open(in_pieces(file, 100)).unwrap();
                let rejected = file.next().unwrap().unwrap().scan.unwrap_err();
                assert_eq!(rejected.log_time, None, "{rejected}");
            }
        }
    }
}

#[test]
fn the_event_time_that_stands_for_a_missing_log_time_is_judged_as_one() {
    let nowhere = Origin { log_time: None, offset: OFFSET };
    for (time, good) in [(MORNING, true), (4_102_444_799_999, true), (4_102_444_800_000, false)] {
        let payload = with("event_time", json!(time)).to_string();
        let mut scans = JsonScans::new();
        let json = scans.decode(payload.as_bytes(), nowhere);
        let mut scan = with("event_time", json!(time));
        scan["evidence"] = json!("physical");
        let payload = confluent(1, &scan);
        let mut avro = framed(Some(1));
        for scan in [json, avro.decode(&payload, nowhere).map_err(Rejected::from)] {
            match scan {
                Ok(scan) => assert!(good && scan.log_time == LogTime::from_millis(time)),
                Err(rejected) => {
                    assert!(!good && rejected.reason == Reason::TimeOutOfRange, "{rejected}");
                    assert_eq!(rejected.log_time, None);
                }
            }
        }
    }
}

#[test]
fn a_text_over_256_bytes_is_rejected() {
    for field in ["carrier", "tracking_number", "milestone", "evidence", "service", "facility"] {
        let scan = with(field, json!("x".repeat(257)));
        rejected(&scan, Reason::TextTooLong, &[field, "257", "256"]);
    }
    let payload = with("facility", json!("é".repeat(128))).to_string();
    assert!(JsonScans::new().decode(payload.as_bytes(), live(MORNING)).is_ok());
    // What takes no part may be of any length.
    let payload = with("event_id", json!("x".repeat(1000))).to_string();
    assert!(JsonScans::new().decode(payload.as_bytes(), live(MORNING)).is_ok());
}

#[test]
fn a_field_of_the_wrong_type_is_rejected_also_where_it_takes_no_part() {
    for (field, value) in [
        ("service", json!(1)),
        ("carrier", json!(["ups"])),
        ("milestone", json!({"code": "arrived"})),
        ("evidence", json!(true)),
        ("event_id", json!(17)),
        ("carrier_code", json!(["AR"])),
        ("attributes", json!("trailer")),
        ("attributes", json!({"weight": 3})),
        ("attributes", json!({"nested": {"a": "b"}})),
        ("attributes", json!([])),
    ] {
        rejected(&with(field, value), Reason::WrongType, &[field]);
    }
    for good in [json!({}), json!({"a": "b", "c": null}), json!(null)] {
        let payload = with("attributes", good).to_string();
        assert!(JsonScans::new().decode(payload.as_bytes(), live(MORNING)).is_ok());
    }
}

#[test]
fn a_field_that_stands_twice_is_not_guessed() {
    let payload = br#"{"carrier":"ups","carrier":"dhl","tracking_number":"1"}"#;
    rejected_bytes(payload, Reason::DuplicateField, &["carrier", "twice"]);
}

#[test]
fn a_record_of_10_mb_is_rejected_for_its_size() {
    let payload = with("unknown", json!("x".repeat(10_000_000))).to_string();
    rejected_bytes(payload.as_bytes(), Reason::TooLarge, &["1048576"]);
    let payload = confluent(1, &with("event_id", json!("x".repeat(10_000_000))));
    rejected_by(&mut framed(Some(1)), &payload, Reason::TooLarge, &["1048576"]);
}

#[test]
fn a_hundred_thousand_brackets_do_no_harm() {
    let deep = "[".repeat(100_000);
    rejected_bytes(deep.as_bytes(), Reason::NotJson, &[]);
    for field in ["carrier", "unknown", "attributes"] {
        let payload = format!("{{\"{field}\":{deep}");
        rejected_bytes(payload.as_bytes(), Reason::NotJson, &[]);
        let closed = format!("{{\"{field}\":{deep}{}}}", "]".repeat(100_000));
        assert!(JsonScans::new().decode(closed.as_bytes(), live(MORNING)).is_err());
    }
    let objects = format!("{{\"carrier\":{}", "{\"a\":".repeat(100_000));
    rejected_bytes(objects.as_bytes(), Reason::NotJson, &[]);
}

#[test]
fn a_writer_schema_without_the_needed_fields_says_which() {
    let new = |text: &str| AvroScans::new(text, Framing::Bare).unwrap_err().to_string();
    let message = new(r#"{"type":"record","name":"T","fields":[
        {"name":"carrier","type":["null","int"]},
        {"name":"event_time","type":{"type":"long","logicalType":"local-timestamp-millis"}},
        {"name":"attributes","type":{"type":"map","values":"long"}}]}"#);
    for word in [
        "tracking_number is missing",
        "milestone is missing",
        "carrier is a union of null, int, but wanted is a string",
        "event_time is local-timestamp-millis (local times are no instants)",
        "attributes is a map of long, but wanted is a map of strings",
    ] {
        assert!(message.contains(word), "{message} does not say {word:?}");
    }
    assert!(new("{").contains("no Avro schema"));
    assert!(new(r#""string""#).contains("not a record"));
}

/// Every entry of a file in one line: the place, then the scan's number or why there is none; at
/// last what ended reading before its time.
fn listing(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut file = match ScanFile::open(in_pieces(bytes.to_vec(), 13)) {
        Ok(file) => file,
        Err(error) => return vec![format!("! {error}")],
    };
    loop {
        match file.next() {
            Ok(Some(entry)) => lines.push(match entry.scan {
                Ok(scan) => format!("{}: {}", entry.place, scan.key.number()),
                Err(rejected) => format!("{}: {rejected}", entry.place),
            }),
            Ok(None) => break,
            Err(error) => {
                lines.push(format!("! {error}"));
                break;
            }
        }
    }
    lines
}

fn log() -> Vec<Json> {
    (0..6)
        .map(|n| {
            json!({"tracking_number": format!("N{n}"), "carrier": "ups", "milestone": "arrived",
                "evidence": "physical", "event_time": MORNING + n * 1000, "log_time": MORNING + n * 1000})
        })
        .collect()
}

fn one_block(scan: &Json) -> Vec<u8> {
    container(&schema(SCAN_LOG), Codec::Null, std::slice::from_ref(scan), 1)
}

fn ndjson(scans: &[Json]) -> String {
    scans.iter().map(|scan| format!("{scan}\n")).collect()
}

#[test]
fn an_empty_file_has_no_scans() {
    assert_eq!(listing(b""), [] as [&str; 0]);
    assert_eq!(listing(b"\n\r\n  \n"), [] as [&str; 0]);
    assert_eq!(listing(b"\xef\xbb\xbf"), [] as [&str; 0]);
    assert_eq!(listing(&container(&schema(SCAN_LOG), Codec::Null, &[], 1)), [] as [&str; 0]);
}

#[test]
fn lines_end_as_they_like() {
    let [a, b, c] = [&log()[0], &log()[1], &log()[2]];
    let text = format!("\u{feff}{a}\r\n\r\n{b}\n \t\n{c}");
    assert_eq!(listing(text.as_bytes()), ["line 1: N0", "line 3: N1", "line 5: N2"]);
}

#[test]
fn a_broken_line_is_reported_and_reading_goes_on() {
    let [a, b] = [&log()[0], &log()[1]];
    let mut bytes = format!("{a}\nhello\n").into_bytes();
    bytes.extend_from_slice(b"{\"carrier\":\"\xff\"}\n");
    bytes.extend_from_slice(
        format!("{{\"tracking_number\":\"{}\"}}\n", "x".repeat(10_000_000)).as_bytes(),
    );
    bytes.extend_from_slice(format!("{b}\n{{\"carrier\":").as_bytes());
    let lines = listing(&bytes);
    assert_eq!(lines[0], "line 1: N0");
    assert!(lines[1].starts_with("line 2: not_json"), "{}", lines[1]);
    assert!(lines[2].starts_with("line 3: not_json: byte 12 is not UTF-8"), "{}", lines[2]);
    assert!(lines[3].starts_with("line 4: too_large: the line has 10000022 bytes"), "{}", lines[3]);
    assert_eq!(lines[4], "line 5: N1");
    assert!(lines[5].starts_with("line 6: not_json"), "{}", lines[5]);
    assert_eq!(lines.len(), 6);
}

#[test]
fn records_without_a_log_time_have_to_be_sorted_and_the_error_says_what_to_do() {
    let scan = |n: i64, second: i64, partition: Option<i32>| {
        json!({"tracking_number": format!("N{n}"), "carrier": "ups", "milestone": "arrived",
            "partition": partition, "event_time": MORNING + second * 1000 + 500})
    };
    // Each partition is a log of its own, and what differs by less than a second is equal.
    let sorted = [scan(0, 5, None), scan(1, 1, Some(0)), scan(2, 5, None), scan(3, 2, Some(0))];
    assert_eq!(listing(ndjson(&sorted).as_bytes()).len(), 4);
    let unsorted = [scan(0, 5, None), scan(1, 1, Some(0)), scan(2, 4, None), scan(3, 2, Some(0))];
    let lines = listing(ndjson(&unsorted).as_bytes());
    assert_eq!(lines.len(), 3);
    assert!(
        lines[2].starts_with("! line 3: its event time lies before that of line 1"),
        "{}",
        lines[2]
    );
    assert!(lines[2].contains("--sort"), "{}", lines[2]);
}

#[test]
fn log_times_may_go_back() {
    let mut scans = log();
    scans.reverse();
    assert_eq!(listing(ndjson(&scans).as_bytes()).len(), scans.len());
}

#[test]
fn a_broken_envelope_in_a_file_moves_no_clock() {
    for (field, value) in [
        ("log_time", json!(true)),
        ("log_time", json!(MORNING / 1000)),
        ("log_time", json!("soon")),
        ("partition", json!("0")),
        ("partition", json!(-1)),
        ("partition", json!(1_i64 << 31)),
        ("offset", json!(1.5)),
        ("offset", json!(-1)),
    ] {
        let mut scan = log().remove(0);
        scan[field] = value;
        let bytes = scan.to_string().into_bytes();
        let mut file = ScanFile::open(in_pieces(bytes, 100)).unwrap();
        let entry = file.next().unwrap().unwrap();
        let rejected = entry.scan.unwrap_err();
        assert!(rejected.message.contains(field), "{rejected}");
        assert_eq!(rejected.log_time, None, "{rejected}");
    }
}

#[test]
fn every_codec_reads_the_same() {
    let expected: Vec<String> =
        (0..6).map(|n| format!("block {}, record {}: N{n}", n / 2 + 1, n % 2 + 1)).collect();
    for codec in [
        Codec::Null,
        Codec::Deflate(apache_avro::DeflateSettings::default()),
        Codec::Snappy,
        Codec::Zstandard(apache_avro::ZstandardSettings::default()),
    ] {
        assert_eq!(listing(&container(&schema(SCAN_LOG), codec, &log(), 2)), expected, "{codec:?}");
    }
}

/// Where the blocks of a container begin, the first one right behind the header; at last its end.
fn block_starts(bytes: &[u8]) -> Vec<usize> {
    let marker = [b'5'; 16];
    let ends = bytes.windows(16).enumerate().filter(|(_, window)| *window == marker);
    ends.map(|(at, _)| at + 16).collect()
}

#[test]
fn a_broken_datum_costs_the_rest_of_its_block_and_no_more() {
    let mut bytes = container(&schema(SCAN_LOG), Codec::Null, &log(), 3);
    let start = block_starts(&bytes)[0];
    let second = bytes[start..].windows(2).position(|window| window == b"N1").unwrap() + start;
    bytes[second - 1] = 0xff;
    let lines = listing(&bytes);
    assert_eq!(lines[0], "block 1, record 1: N0");
    assert!(lines[1].starts_with("block 1, record 2: not_avro"), "{}", lines[1]);
    assert!(lines[1].ends_with("the block's last 1 records are lost"), "{}", lines[1]);
    assert_eq!(
        lines[2..],
        ["block 2, record 1: N3", "block 2, record 2: N4", "block 2, record 3: N5"]
    );
}

#[test]
fn a_broken_block_is_reported_and_reading_resumes_at_the_next_marker() {
    let whole = container(&schema(SCAN_LOG), Codec::Deflate(Default::default()), &log(), 2);
    let starts = block_starts(&whole);
    // Its contents.
    let mut bytes = whole.clone();
    bytes[starts[1] + 10..starts[2] - 20].fill(0xaa);
    let lines = listing(&bytes);
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(
        lines[2].starts_with("block 2: broken_block: it cannot be decompressed"),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], "block 3, record 1: N4");
    // Its size.
    for size in [&b"\x7f"[..], b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x01"] {
        let mut bytes = whole.clone();
        bytes.splice(starts[1] + 1..starts[1] + 3, size.iter().copied());
        let lines = listing(&bytes);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[2].starts_with("block 2: broken_block"), "{}", lines[2]);
        assert!(lines[2].contains("next sync marker"), "{}", lines[2]);
        assert_eq!(lines[3], "block 3, record 1: N4");
    }
    // The marker behind it: the next block is lost as well.
    let mut bytes = whole.clone();
    bytes[starts[2] - 1] = b'6';
    let lines = listing(&bytes);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].contains("no sync marker stands behind it"), "{}", lines[2]);
}

#[test]
fn a_truncated_container_says_what_is_lost() {
    let whole = container(&schema(SCAN_LOG), Codec::Null, &log(), 2);
    let starts = block_starts(&whole);
    for length in starts[2] + 1..whole.len() {
        let lines = listing(&whole[..length]);
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert_eq!(
            lines[4],
            format!(
                "block 3: broken_block: the file ends before it does; the last {} bytes of the file are lost",
                length - starts[2]
            )
        );
    }
    assert_eq!(listing(&whole[..starts[2]]).len(), 4, "cut between blocks is whole");
    for length in 4..starts[0] {
        let lines = listing(&whole[..length]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("header of the Avro container"), "{lines:?}");
    }
}

#[test]
fn a_block_that_declares_too_few_records_says_so() {
    let mut bytes = container(&schema(SCAN_LOG), Codec::Null, &log(), 3);
    let start = block_starts(&bytes)[0];
    bytes[start] = 4;
    let lines = listing(&bytes);
    assert!(lines[2].starts_with("block 1: broken_block"), "{}", lines[2]);
    assert!(lines[2].contains("bytes follow its 2 records"), "{}", lines[2]);
    assert_eq!(lines[3], "block 2, record 1: N3");
    // And one that declares too many.
    bytes[start] = 0x7e;
    let lines = listing(&bytes);
    assert!(lines[3].starts_with("block 1, record 4: not_avro"), "{}", lines[3]);
    assert_eq!(lines[4], "block 2, record 1: N3");
}

#[test]
fn a_compressed_block_cannot_grow_without_bound() {
    let bomb = json!({"tracking_number": "N", "carrier": "ups", "milestone": "info",
        "evidence": "physical", "event_id": "x".repeat(70 << 20), "log_time": MORNING});
    let good = log();
    let scans = [good[0].clone(), bomb, good[1].clone()];
    let codec = Codec::Zstandard(Default::default());
    let lines = listing(&container(&schema(SCAN_LOG), codec, &scans, 1));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].starts_with("block 2: broken_block"), "{}", lines[1]);
    assert_eq!(lines[2], "block 3, record 1: N1");
}

#[test]
fn a_compressed_block_grows_by_so_many_times_its_size_and_no_more() {
    let scan = |number: &str, length: usize| {
        json!({"tracking_number": number, "carrier": "ups", "milestone": "info",
            "evidence": "physical", "event_id": "x".repeat(length), "log_time": MORNING})
    };
    let scans = [scan("N0", 60 << 10), scan("N1", 1 << 20), scan("N2", 60 << 10)];
    let zstandard = container(&schema(SCAN_LOG), Codec::Zstandard(Default::default()), &scans, 1);
    let lines = listing(&zstandard);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "block 1, record 1: N0", "a writer's usual block may be all alike");
    assert!(lines[1].starts_with("block 2: broken_block: it cannot be decompressed"), "{lines:?}");
    assert!(lines[1].contains("would grow to more than"), "{lines:?}");
    assert_eq!(lines[2], "block 3, record 1: N2");
}

#[test]
fn a_schema_has_a_bounded_size_and_so_has_a_name_in_it() {
    let scan = |more: Json| {
        let mut fields = vec![
            json!({"name": "tracking_number", "type": "string"}),
            json!({"name": "carrier", "type": "string"}),
            json!({"name": "milestone", "type": "string"}),
        ];
        fields.push(more);
        json!({"type": "record", "name": "S", "fields": fields}).to_string()
    };
    let new = |text: &str| AvroScans::new(text, Framing::Bare).map_err(|error| error.to_string());
    let of_length = |length: usize| {
        scan(json!({"name": "n", "type": {"type": "fixed", "name": "x".repeat(length), "size": 1}}))
    };
    assert!(new(&of_length(512)).is_ok());
    let message = new(&of_length(513)).unwrap_err();
    assert!(message.contains("has 513 bytes; at most 512 are read"), "{message}");
    assert!(message.len() < 400, "a name is not told in full: {message}");
    let doc = |length: usize| scan(json!({"name": "n", "type": "int", "doc": "x".repeat(length)}));
    assert!(new(&doc(1 << 19)).is_ok());
    let message = new(&doc(1 << 20)).unwrap_err();
    assert!(message.contains("at most 1048576 are read"), "{message}");
    let many: Vec<Json> = (0..1_000)
        .map(|n| json!({"type": "enum", "name": format!("E{n}"), "symbols": []}))
        .collect();
    let message = new(&scan(json!({"name": "event_time", "type": many}))).unwrap_err();
    assert!(message.contains("enum and others, but wanted") && message.len() < 400, "{message}");
}

#[test]
fn a_container_that_holds_something_else_is_refused_at_once() {
    let other = schema(r#"{"type":"record","name":"T","fields":[{"name":"a","type":"long"}]}"#);
    let lines = listing(&container(&other, Codec::Null, &[json!({"a": 1})], 1));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("tracking_number is missing"), "{}", lines[0]);
    let bytes = container(&schema(SCAN_LOG), Codec::Snappy, &log(), 1);
    let at = bytes.windows(6).position(|window| window == b"snappy").unwrap();
    let mut bytes = bytes;
    bytes[at..at + 6].copy_from_slice(b"brotli");
    assert!(listing(&bytes)[0].contains("codec is \"brotli\""));
}

#[test]
fn a_compressed_or_foreign_file_is_named_for_what_it_is() {
    for (start, word) in [
        (&b"\x1f\x8b\x08\0"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"PAR1\x15", "Parquet"),
        (b"\xff\xfe{\0", "UTF-16"),
    ] {
        let lines = listing(start);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(word), "{lines:?}");
    }
}

#[test]
fn an_input_that_fails_ends_reading_with_its_reason() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    for start in [ndjson(&log()).into_bytes(), container(&schema(SCAN_LOG), Codec::Null, &log(), 2)]
    {
        let input = std::io::Read::chain(std::io::Cursor::new(start), Failing);
        let mut file = ScanFile::open(Box::new(std::io::BufReader::new(input))).unwrap();
        let mut scans = 0;
        let error = loop {
            match file.next() {
                Ok(entry) => {
                    assert!(entry.unwrap().scan.is_ok());
                    scans += 1;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(scans, 6);
        assert!(error.to_string().contains("the disk is gone"), "{error}");
    }
}
