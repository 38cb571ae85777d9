//! What cannot be understood goes to the dead letters as it came, and the service goes on.

use rdkafka::message::{Message, OwnedMessage};

use crate::broker::shared;
use crate::client::{NewRecord, committed, header, headers, produce, read};
use crate::evidence::SHORT_POLICIES;
use crate::scans::{AvroScans, Scan};
use crate::service::Setup;
use crate::wait::{now_ms, now_secs};

const OURS: &str = "__stallwatch.errors.";

/// A payload, and the reason that its dead letter must give.
type Broken = (Vec<u8>, &'static str);

fn refused_as_they_came(name: &str, format: &'static str, broken: &[Broken], good: NewRecord) {
    let setup = Setup::new(shared(), name, 1, format)
        .policies(SHORT_POLICIES)
        .with("input", "on_unknown_schema = \"reject\"");
    let mut records: Vec<_> = broken.iter().enumerate().map(|(at, one)| odd(at, &one.0)).collect();
    records.push(good);
    produce(&setup.bootstrap, &setup.scans(), records.clone());

    let mut service = setup.start();
    service.wait_scans(1);
    let rejected = service.wait("rejections in the metrics", |service| {
        Some(service.metrics()?.sum("stallwatch_records_rejected_total"))
    });
    service.stop();
    assert!((rejected - broken.len() as f64).abs() < 0.5, "{rejected} are counted as rejected");

    let dead = read(&setup.bootstrap, &setup.dead_letters());
    assert_eq!(dead.len(), broken.len(), "one dead letter for each");
    for (offset, ((sent, (_, reason)), letter)) in records.iter().zip(broken).zip(&dead).enumerate()
    {
        assert_eq!(letter.payload(), sent.value.as_deref(), "the bytes of record {offset}");
        assert_eq!(letter.key(), sent.key.as_deref(), "the key of record {offset}");
        assert_headers(letter, sent, &setup.scans(), offset, reason);
    }
}

/// A record with a key that is no text, or none, and headers: a name twice, bytes that are no text.
fn odd(at: usize, payload: &[u8]) -> NewRecord {
    NewRecord {
        key: at.is_multiple_of(2).then(|| vec![0xff, 0, u8::try_from(at).expect("few records")]),
        value: Some(payload.to_vec()),
        time_ms: Some(now_ms()),
        headers: vec![
            ("trace".to_owned(), b"1".to_vec()),
            ("trace".to_owned(), b"2".to_vec()),
            ("bytes".to_owned(), vec![0, 0xff, 0xfe]),
        ],
        ..NewRecord::default()
    }
}

fn assert_headers(
    letter: &OwnedMessage,
    sent: &NewRecord,
    topic: &str,
    offset: usize,
    reason: &str,
) {
    let (ours, theirs): (Vec<_>, Vec<_>) =
        headers(letter).into_iter().partition(|(name, _)| name.starts_with(OURS));
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let before: Vec<_> =
        sent.headers.iter().map(|(name, value)| (name.clone(), lossy(value))).collect();
    assert_eq!(theirs, before, "the headers of record {offset}");
    let our = |name: &str| header(letter, &format!("{OURS}{name}"));
    assert_eq!(our("reason").as_deref(), Some(reason), "record {offset}: {ours:?}");
    assert_eq!(our("topic").as_deref(), Some(topic));
    assert_eq!(our("partition").as_deref(), Some("0"));
    assert_eq!(our("offset"), Some(offset.to_string()));
    for name in ["message", "stage"] {
        assert!(our(name).is_some_and(|text| !text.is_empty()), "{name} of record {offset}");
    }
}

#[test]
fn json_that_is_refused_is_dead_lettered_as_it_came() {
    let scan = |fields: &str| format!("{{\"milestone\":\"arrived\",{fields}}}").into_bytes();
    let number = "\"tracking_number\":\"1Z1\"";
    let long = "9".repeat(65);
    let broken: &[Broken] = &[
        (b"no json".to_vec(), "not_json"),
        (b"[1,2]".to_vec(), "not_json"),
        (b"".to_vec(), "not_json"),
        (scan("\"carrier\":\"ups\""), "missing_tracking_number"),
        (
            scan(&format!("\"carrier\":\"ups\",\"tracking_number\":\"{long}\"")),
            "bad_tracking_number",
        ),
        (scan("\"carrier\":\"ups\",\"tracking_number\":17"), "wrong_type"),
        (scan(number), "missing_carrier"),
        (format!("{{\"carrier\":\"ups\",{number}}}").into_bytes(), "missing_milestone"),
        (scan(&format!("\"carrier\":\"ü\",{number}")), "bad_carrier"),
        (
            scan(&format!("\"carrier\":\"ups\",{number},\"event_time\":1772438400")),
            "time_out_of_range",
        ),
        (scan(&format!("\"carrier\":\"ups\",{number},\"event_time\":-1")), "time_out_of_range"),
        (
            scan(&format!("\"carrier\":\"ups\",{number},\"event_time\":\"9999-01-01T00:00:00Z\"")),
            "time_out_of_range",
        ),
        (
            scan(&format!("\"carrier\":\"ups\",{number},\"event_time\":\"2026-03-02 08:00\"")),
            "unreadable_time",
        ),
        (
            scan(&format!("\"carrier\":\"ups\",{number},\"facility\":\"{}\"", "x".repeat(257))),
            "text_too_long",
        ),
    ];
    refused_as_they_came(
        "dead-json",
        "json",
        broken,
        Scan::new("GOOD1", "teleported", now_ms()).json(),
    );
}

#[test]
fn avro_that_is_refused_is_dead_lettered_as_it_came() {
    let mut avro = AvroScans::new();
    let good = avro.record(&Scan::new("GOOD1", "label_created", now_ms()));
    let payload = good.value.clone().expect("a payload");
    let mut other_schema = payload.clone();
    other_schema[5] ^= 0x55;
    let confluent = [&[0, 0, 0, 0, 9], &payload[10..]].concat();
    let no_number = avro.record(&Scan::new("", "arrived", now_ms())).value.expect("a payload");
    let broken: &[Broken] = &[
        (b"no avro".to_vec(), "not_avro"),
        (b"{\"carrier\":\"ups\"}".to_vec(), "not_avro"),
        (payload[..payload.len() - 3].to_vec(), "not_avro"),
        (other_schema, "unknown_schema"),
        (confluent, "unknown_schema"),
        (no_number, "missing_tracking_number"),
    ];
    refused_as_they_came("dead-avro", "avro", broken, good);
}

#[test]
fn a_schema_s_id_in_a_header_is_named_in_the_dead_letter_and_does_no_harm_to_json() {
    let datum = AvroScans::new()
        .record(&Scan::new("HEADED1", "arrived", now_ms()))
        .value
        .expect("a payload")
        .split_off(10);
    let headers = vec![("__value_schema_id".to_owned(), vec![1; 17])];
    let setup = Setup::new(shared(), "headed", 1, "avro").policies(SHORT_POLICIES);
    let headed = NewRecord { headers: headers.clone(), ..odd(0, &datum) };
    let good = AvroScans::new().record(&Scan::new("GOOD1", "label_created", now_ms()));
    produce(&setup.bootstrap, &setup.scans(), [headed, good]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.stop();
    let dead = read(&setup.bootstrap, &setup.dead_letters());
    assert_eq!(dead.len(), 1, "one dead letter");
    let message = header(&dead[0], &format!("{OURS}message")).expect("a message");
    assert!(message.contains("__value_schema_id"), "{message}");

    let setup = Setup::new(shared(), "headed-json", 1, "json").policies(SHORT_POLICIES);
    let good = Scan::new("GOOD2", "label_created", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { headers, ..good }]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.stop();
    assert!(read(&setup.bootstrap, &setup.dead_letters()).is_empty(), "it was read");
}

#[test]
fn scans_in_the_framing_of_a_schema_registry_are_read_with_the_schema_from_a_file() {
    let setup = Setup::new(shared(), "confluent", 1, "avro")
        .policies(SHORT_POLICIES)
        .with("input", "schema_id = 9");
    let mut record = AvroScans::new().record(&Scan::new("FRAMED1", "arrived", now_ms() - 60_000));
    let datum = record.value.take().expect("a payload").split_off(10);
    record.value = Some([&[0, 0, 0, 0, 9], &datum[..]].concat());
    produce(&setup.bootstrap, &setup.scans(), [record]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    let published = setup.published();
    assert_eq!(published.len(), 1, "{published:?}");
    assert_eq!(published[0]["tracking_number"], "FRAMED1");
}

#[test]
fn a_record_without_a_value_is_dead_lettered_as_it_came() {
    let setup = Setup::new(shared(), "tombstone", 1, "json").policies(SHORT_POLICIES);
    let tombstone = NewRecord { value: None, ..odd(0, b"") };
    let good = Scan::new("GOOD1", "label_created", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [tombstone.clone(), good]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.stop();
    let dead = read(&setup.bootstrap, &setup.dead_letters());
    assert_eq!(dead.len(), 1, "one dead letter");
    assert_eq!(dead[0].payload(), None, "it has no value either");
    assert_headers(&dead[0], &tombstone, &setup.scans(), 0, "not_json");
}

#[test]
fn a_record_of_ten_megabytes_is_cut_for_the_dead_letters_and_stops_nothing() {
    let setup = Setup::new(shared(), "large", 1, "json").policies(SHORT_POLICIES);
    let large = NewRecord { value: Some(vec![b'x'; 10_000_000]), ..odd(0, b"") };
    let good = Scan::new("GOOD1", "label_created", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [large.clone(), good]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.stop();
    let dead = read(&setup.bootstrap, &setup.dead_letters());
    assert_eq!(dead.len(), 1, "one dead letter");
    let (kept, whole) = (dead[0].payload().expect("a value"), large.value.expect("a value"));
    assert!(kept.len() > 100_000, "{} bytes are kept", kept.len());
    assert!(whole.starts_with(kept), "what is kept is the beginning");
    let cut = headers(&dead[0])
        .into_iter()
        .any(|(name, value)| name.starts_with(OURS) && value.contains("10000000"));
    assert!(cut, "a header tells the size that it had: {:?}", headers(&dead[0]));
}

#[test]
fn dead_letters_of_keys_and_headers_of_megabytes_are_cut_and_stop_nothing() {
    let setup = Setup::new(shared(), "large-keys", 1, "json").policies(SHORT_POLICIES);
    let key = NewRecord { key: Some(vec![b'k'; 1_040_000]), ..odd(0, b"no json") };
    let huge = (0..4).map(|at| (format!("huge-{at}"), vec![b'v'; 300_000])).collect();
    let few = NewRecord { headers: huge, ..odd(0, b"no json") };
    let tiny = (0..90_000).map(|_| ("many".to_owned(), Vec::new())).collect();
    let many = NewRecord { headers: tiny, ..odd(0, b"no json") };
    let good = Scan::new("GOOD1", "label_created", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [key.clone(), few, many, good]);
    let mut service = setup.start();
    service.wait_scans(1);
    service.stop();

    let dead = read(&setup.bootstrap, &setup.dead_letters());
    let told = |at: usize, name: &str| header(&dead[at], &format!("{OURS}{name}"));
    assert_eq!(dead.len(), 3, "one dead letter for each");
    let kept = dead[0].key().expect("a key");
    assert!(kept.len() > 900_000, "{} bytes of the key are kept", kept.len());
    assert!(key.key.expect("a key").starts_with(kept), "what is kept is the beginning");
    assert_eq!(told(0, "key_cut_from_bytes").as_deref(), Some("1040000"));
    assert_eq!(told(0, "cut_from_bytes").as_deref(), Some("7"));
    assert_eq!(told(1, "headers_left_out").as_deref(), Some("1"));
    assert_eq!(dead[1].payload(), Some(&b"no json"[..]), "it still has room");
    let left_out: usize = told(2, "headers_left_out").expect("a number").parse().expect("a number");
    assert!((1..90_000).contains(&left_out), "{left_out} headers were left out");
    assert!((0..3).all(|at| told(at, "reason").as_deref() == Some("not_json")));
}

#[test]
fn a_partition_told_to_halt_at_a_broken_record_names_it_and_waits_for_somebody() {
    let setup = Setup::new(shared(), "halt", 1, "json")
        .policies(SHORT_POLICIES)
        .with("input", "on_reject = \"halt\"");
    let good = Scan::new("GOOD1", "label_created", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [good.clone(), odd(0, b"no json"), good]);
    let mut service = setup.start();
    service.wait("word of the record", |service| {
        let log = service.log();
        ["halt", "partition=0", "offset 1", "not_json"]
            .iter()
            .all(|part| log.contains(part))
            .then_some(())
    });
    service.stop();
    let committed = committed(&setup.bootstrap, &setup.group(), &setup.scans());
    assert_eq!(committed.into_values().max().unwrap_or(0), 1, "nothing behind it was read");
    assert!(read(&setup.bootstrap, &setup.dead_letters()).is_empty());
}
