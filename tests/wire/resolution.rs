//! Any writer's scans are what its data say, and what the Avro project's library resolves them to.
//!
//! ```text
//! STALLWATCH_SEEDS=100000 cargo test --release --no-default-features --test wire resolution
//! STALLWATCH_SEEDS=17..18 cargo test --no-default-features --test wire resolution
//! ```

use std::ops::Range;
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::{Value as Json, json};
use stallwatch::wire::reject::{Reason, Rejected};
use stallwatch::wire::scan::{AvroScans, Framing, JsonScans, Origin};

use super::writers::{Dice, Writer};
use super::{SCAN, bytes_of, library_value, live, schema, verdict};

/// Seeds where `STALLWATCH_SEEDS` says nothing.
const SEEDS: u64 = 600;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("STALLWATCH_SEEDS") else { return 0..SEEDS };
    let number = |text: &str| text.trim().parse().expect("STALLWATCH_SEEDS is N or FROM..TO");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

/// What the library makes of a datum with our schema as the reader's, as a JSON scan.
fn resolved(writer: &Schema, reader: &Schema, mut datum: &[u8]) -> Option<Json> {
    let by_library = GenericDatumReader::builder(writer).reader_schema(reader).build().unwrap();
    let value = by_library.read_value(&mut datum).ok()?;
    let mut scan = Json::try_from(value).unwrap();
    scan["attributes"] = json!({});
    Some(scan)
}

#[test]
fn a_datum_of_any_writer_is_the_scan_that_it_stands_for() {
    let origin = live(1_772_438_400_000);
    for seed in seeds() {
        let mut dice = Dice::new(seed);
        let writer = Writer::any(&mut dice);
        let text = writer.schema.to_string();
        let scans = AvroScans::new(&text, Framing::Bare)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        for _ in 0..4 {
            let (datum, scan) = writer.datum(&mut dice);
            let payload = bytes_of(&scan);
            let mut json = JsonScans::new();
            let expected = verdict(json.decode(&payload, origin));
            let decoded = verdict(scans.decode(&datum, origin));
            assert_eq!(decoded, expected, "seed {seed}: {scan}\n{text}");
        }
    }
}

#[test]
fn what_the_library_resolves_is_the_same_scan() {
    let reader = schema(SCAN);
    let origin = Origin { log_time: None, offset: 3 };
    let (mut compared, mut all) = (0, 0);
    for seed in seeds() {
        let mut dice = Dice::new(seed);
        let writer = Writer::any(&mut dice);
        let text = writer.schema.to_string();
        let scans = AvroScans::new(&text, Framing::Bare).unwrap();
        let parsed = schema(&text);
        if GenericDatumReader::builder(&parsed).build().is_err() {
            // The library knows no reference by an alias.
            assert!(text.contains("Old\""), "seed {seed}: {text}");
            continue;
        }
        for _ in 0..4 {
            let (datum, scan) = writer.datum(&mut dice);
            assert!(library_value(&parsed, &datum).is_some(), "seed {seed}: {scan}\n{text}");
            all += 1;
            let Some(resolved) = resolved(&parsed, &reader, &datum) else { continue };
            compared += 1;
            let payload = bytes_of(&resolved);
            let mut json = JsonScans::new();
            let expected = json.decode(&payload, origin).ok();
            let decoded = scans.decode(&datum, origin).ok();
            assert_eq!(decoded, expected, "seed {seed}: {scan}\n{text}");
        }
    }
    assert!(compared * 20 > all, "only {compared} of {all} data could be resolved");
}

#[test]
fn no_damage_to_a_datum_of_any_writer_does_harm() {
    let origin = live(1_772_438_400_000);
    for seed in seeds() {
        let mut dice = Dice::new(seed);
        let writer = Writer::any(&mut dice);
        let scans = AvroScans::new(&writer.schema.to_string(), Framing::Bare).unwrap();
        for _ in 0..6 {
            let (datum, _) = writer.datum(&mut dice);
            let damaged = damage(datum, &mut dice);
            let start = Instant::now();
            let decoded = scans.decode(&damaged, origin);
            assert!(start.elapsed() < Duration::from_secs(2), "seed {seed} takes long");
            if let Ok(scan) = decoded {
                assert!(!scan.key.number().is_empty(), "seed {seed}");
            }
            // A byte more never belongs to the datum.
            let longer = [&damaged[..], &[0]].concat();
            if scans.decode(&damaged, origin).is_ok() {
                let rejected = Rejected::from(scans.decode(&longer, origin).unwrap_err());
                assert_eq!(rejected.reason, Reason::NotAvro, "seed {seed}");
            }
        }
    }
}

fn damage(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes.truncate(at),
            1 | 2 => bytes[at] ^= 1 << dice.below(8),
            3 => bytes.insert(at, dice.any() as u8),
            4 => drop(bytes.remove(at)),
            // The length, or the count, of something huge.
            _ => drop(bytes.splice(at..=at, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        }
    }
    bytes
}
