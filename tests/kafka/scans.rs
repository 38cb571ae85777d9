//! Scans for the tests: single ones, and a seeded log of whole journeys with all that goes wrong in
//! a feed: late, doubled, shuffled, unknown, predicted and broken scans, numbers used again.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::{Value, json};
use sha2::Digest;

use crate::broker::project;
use crate::client::NewRecord;

/// One scan and the log time that its record gets.
#[derive(Clone, Debug)]
pub struct Scan {
    pub carrier: &'static str,
    pub number: String,
    pub milestone: &'static str,
    pub evidence: Option<&'static str>,
    pub event_ms: Option<i64>,
    pub log_ms: i64,
    pub service: Option<&'static str>,
    pub facility: Option<&'static str>,
    pub country: Option<&'static str>,
}

impl Scan {
    /// A physical scan without event time: it happened when it was logged.
    pub fn new(number: &str, milestone: &'static str, log_ms: i64) -> Self {
        Self {
            carrier: "ups",
            number: number.to_owned(),
            milestone,
            evidence: None,
            event_ms: None,
            log_ms,
            service: None,
            facility: None,
            country: None,
        }
    }

    /// The key of its record.
    pub fn key(&self) -> String {
        format!("{}:{}", self.carrier, self.number)
    }

    /// Its record with a JSON payload, partitioned by key.
    pub fn json(&self) -> NewRecord {
        let fields = json!({
            "tracking_number": self.number, "carrier": self.carrier, "milestone": self.milestone,
            "evidence": self.evidence, "event_time": self.event_ms, "service": self.service,
            "facility": self.facility, "country": self.country,
        });
        let Value::Object(mut fields) = fields else { unreachable!("an object was made") };
        fields.retain(|_, value| !value.is_null());
        self.record(Value::Object(fields).to_string().into_bytes())
    }

    fn record(&self, value: Vec<u8>) -> NewRecord {
        NewRecord {
            key: Some(self.key().into_bytes()),
            value: Some(value),
            time_ms: Some(self.log_ms),
            ..NewRecord::default()
        }
    }
}

/// Encodes scans as Avro single objects, mostly under `schemas/scan.v1.avsc`, in turns under the fingerprint
/// of the specification, as Java and fastavro write it, and under that of Avro's Rust library, which
/// keeps `{"type":"long"}` in the canonical form where a long has a logical type.
pub struct AvroScans {
    schema: &'static Schema,
    writer: GenericDatumWriter<'static>,
    fingerprints: [[u8; 8]; 2],
    written: usize,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let path = project().join("schemas/scan.v1.avsc");
    let text = std::fs::read_to_string(path).expect("the schema of scans");
    Schema::parse_str(&text).expect("a schema")
});

impl AvroScans {
    pub fn new() -> Self {
        Self::of(&SCHEMA)
    }

    /// By another schema that has the same fields and, maybe, texts beside them.
    pub fn of(schema: &'static Schema) -> Self {
        let library = schema.canonical_form();
        let specified = library.replace(r#"{"type":"long"}"#, r#""long""#);
        assert_ne!(library, specified, "the two forms of a schema with times");
        let fingerprints = [specified, library].map(|form| Rabin::digest(form).into());
        let writer = GenericDatumWriter::builder(schema).build().expect("a schema that stands");
        Self { schema, writer, fingerprints, written: 0 }
    }

    /// Its record with an Avro payload, partitioned by key.
    pub fn record(&mut self, scan: &Scan) -> NewRecord {
        let Schema::Record(schema) = self.schema else { unreachable!("a scan is a record") };
        let fields = schema.fields.iter().map(|field| {
            let value = match field.name.as_str() {
                "tracking_number" => Avro::String(scan.number.clone()),
                "carrier" => Avro::String(scan.carrier.to_owned()),
                "milestone" => symbol(&field.schema, scan.milestone),
                "evidence" => symbol(&field.schema, scan.evidence.unwrap_or("physical")),
                "event_time" => optional(scan.event_ms.map(Avro::TimestampMillis)),
                "service" => text(scan.service),
                "facility" => text(scan.facility),
                "country" => text(scan.country),
                "attributes" => Avro::Map([("lane".into(), Avro::String("7".into()))].into()),
                _ => text(None),
            };
            (field.name.clone(), value)
        });
        let fingerprint = self.fingerprints[self.written % 2];
        self.written += 1;
        let datum = self.writer.write_value_to_vec(Avro::Record(fields.collect()));
        let datum = datum.expect("a scan fits its schema");
        scan.record([&[0xc3, 0x01], &fingerprint[..], &datum].concat())
    }
}

fn optional(value: Option<Avro>) -> Avro {
    match value {
        Some(value) => Avro::Union(1, Box::new(value)),
        None => Avro::Union(0, Box::new(Avro::Null)),
    }
}

fn text(value: Option<&str>) -> Avro {
    optional(value.map(|text| Avro::String(text.to_owned())))
}

fn symbol(schema: &Schema, name: &str) -> Avro {
    let Schema::Enum(schema) = schema else { unreachable!("{name} is of an enum") };
    let known = |name: &str| schema.symbols.iter().position(|symbol| symbol == name);
    let (at, name) = known(name).map_or_else(|| (known("info"), "info"), |at| (Some(at), name));
    let at = u32::try_from(at.expect("info is a milestone")).expect("a small enum");
    Avro::Enum(at, name.to_owned())
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const SCANS_PER_PACKAGE: usize = 10;
const CARRIERS: &[&str] = &["ups", "fedex", "dhl", "usps", "gls"];
const SERVICES: &[&str] = &["ground", "express", "economy"];
pub const FACILITIES: &[&str] = &["MEM", "SDF", "LEJ", "ORD", "CVG"];
pub const COUNTRIES: &[&str] = &["US", "DE", "FR"];
pub const MOVES: &[&str] = &[
    "arrived",
    "departed",
    "in_transit",
    "handed_over",
    "customs_hold",
    "customs_cleared",
    "delivery_attempted",
    "available_for_pickup",
];

/// One policy for every package, with one step after so long, such as `10s`, and no grace.
pub fn one_step(after: &str) -> String {
    format!(
        "version = 1\n[defaults]\ncatch_up_grace = \"0s\"\n[[policy]]\nid = \"everything\"\n\
         first_scan = [ {{ after = \"{after}\", severity = \"warning\" }} ]\n\
         no_movement = [ {{ after = \"{after}\", severity = \"warning\" }} ]\n"
    )
}

/// Policies under which the log of [`journeys`] opens, escalates, retracts and forgets.
/// The longest step is 7 days, feed grace 6 hours, and packages are forgotten after 12 days.
pub const JOURNEY_POLICIES: &str = r#"
version = 1
[defaults]
forget_after = "12d"
settled_retention = "3d"
[carriers.dhl]
feed_grace = "6h"
[[policy]]
id = "express"
match = { service = ["express"] }
first_scan = [ { after = "12h", severity = "notice" }, { after = "36h", severity = "critical" } ]
no_movement = [ { after = "20h", severity = "warning" }, { after = "60h", severity = "critical" } ]
[[policy]]
id = "out-for-delivery"
match = { milestone = ["out_for_delivery"] }
no_movement = [ { after = "14h", severity = "critical", name = "not_delivered" } ]
[[policy]]
id = "everything-else"
first_scan = [ { after = "24h", severity = "warning" }, { after = "72h", severity = "critical" } ]
no_movement = [
    { after = "48h", severity = "warning", name = "stalled" },
    { after = "7d", severity = "critical", name = "presumed_lost" },
]
"#;

/// Ten scans of each of so many packages in the order of their log, all logged at least 14 days
/// before `now_ms`: under [`JOURNEY_POLICIES`] nothing falls due within days of now.
pub fn journeys(packages: usize, now_ms: i64, seed: u64) -> Vec<Scan> {
    let mut dice = Dice(seed);
    let end = (now_ms - 14 * DAY).div_euclid(1000) * 1000;
    let mut log = Vec::with_capacity(packages * SCANS_PER_PACKAGE);
    for number in 0..packages {
        log.extend(journey(&mut dice, number, end - 60 * DAY));
    }
    for scan in &mut log {
        scan.log_ms = scan.log_ms.min(end);
        scan.event_ms = scan.event_ms.map(|event| event.min(end));
    }
    log.sort_by_key(|scan| scan.log_ms);
    for at in 0..log.len() {
        if dice.of(100) == 0 {
            let other = (at + 1 + dice.below(40)).min(log.len() - 1);
            log.swap(at, other);
        }
    }
    log
}

fn journey(dice: &mut Dice, number: usize, start: i64) -> Vec<Scan> {
    let carrier = dice.pick(CARRIERS);
    let service = (dice.of(4) > 0).then(|| dice.pick(SERVICES));
    let mut at = start + dice.of(40 * 24 * 3600) * 1000;
    let mut scans: Vec<Scan> = Vec::with_capacity(SCANS_PER_PACKAGE);
    for place in 0..SCANS_PER_PACKAGE {
        if place > 0 && dice.of(100) < 4 {
            let mut again = scans[place - 1].clone();
            again.log_ms += dice.of(90) * 60_000;
            scans.push(again);
            continue;
        }
        let (milestone, evidence) = dice.milestone(place);
        let log_ms = at + dice.feed_delay();
        scans.push(Scan {
            carrier,
            number: format!("{}{number:010}", carrier.to_ascii_uppercase()),
            milestone,
            evidence,
            event_ms: (dice.of(20) > 0).then_some(at),
            log_ms,
            service,
            facility: (dice.of(5) > 0).then(|| dice.pick(FACILITIES)),
            country: (dice.of(3) > 0).then(|| dice.pick(COUNTRIES)),
        });
        at += dice.dwell();
    }
    scans
}

/// SplitMix64: the same seed, the same log.
pub struct Dice(pub u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    pub fn of(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() % end.unsigned_abs()).expect("below an i64")
    }

    pub fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }

    /// Milliseconds between two scans: mostly hours, at times long enough for an alarm.
    fn dwell(&mut self) -> i64 {
        let hours = match self.of(100) {
            0..78 => 1 + self.of(16),
            78..92 => 16 + self.of(40),
            92..98 => 50 + self.of(130),
            _ => 180 + self.of(160),
        };
        hours * HOUR + self.of(3_600) * 1000 + self.of(1000)
    }

    /// Milliseconds from a scan to its record: mostly minutes, at times days.
    fn feed_delay(&mut self) -> i64 {
        match self.of(100) {
            0..80 => self.of(300) * 1000,
            80..95 => self.of(12 * 3600) * 1000,
            _ => self.of(4 * 24 * 3600) * 1000,
        }
    }

    fn milestone(&mut self, place: usize) -> (&'static str, Option<&'static str>) {
        let physical = |milestone| (milestone, None);
        match (place, self.of(100)) {
            (0, 0..=84) => ("label_created", Some("system")),
            (1, 0..=49) => physical("tendered"),
            (1, 50..=84) => physical("picked_up"),
            (9, 0..=79) => physical("delivered"),
            (9, 80..=84) => physical("returned"),
            (8, 0..=59) => physical("out_for_delivery"),
            (_, 0..=2) => physical("on_hold"),
            (_, 3..=4) => physical("exception"),
            (_, 5) => physical("cancelled"),
            (_, 6) => ("lost", Some("system")),
            (_, 7..=9) => ("departed", Some("predicted")),
            (_, 10..=11) => ("arrived", Some("system")),
            (_, 12..=13) => physical("info"),
            (_, 14) => physical("weighed_again"),
            (5.., 15) => physical("label_created"),
            (4.., 16..=17) => physical("delivered"),
            (6.., 18..=19) => physical("returning"),
            _ => physical(self.pick(MOVES)),
        }
    }
}
