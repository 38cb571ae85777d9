//! The scans that are read, all different: what a feed of a large shipper looks like.
//!
//! Fields of `schemas/scan.v1.avsc`, in its order, and their bytes in Avro:
//!
//! | field | values | bytes |
//! | --- | --- | --- |
//! | tracking_number | of 100: 35 of UPS (18 characters), 30 of USPS (22), 23 of FedEx (12), 8 of S10 (13), 4 of OnTrac (15) | 18.6 |
//! | carrier | `ups`, `usps`, `fedex`, `royal-mail`, `ontrac` | 5.5 |
//! | milestone | any of picked_up, arrived, departed, in_transit and out_for_delivery | 1 |
//! | event_time | March 2026, in milliseconds | 7 |
//! | evidence | physical; every tenth system | 1 |
//! | service | `ground`, `priority`, `2nd-day` and `next-day` | 9 |
//! | direction | `outbound` | 10 |
//! | destination_country | one of twelve | 4 |
//! | shipper, value_tier | null | 2 |
//! | facility | `MEM-07-0121`: one of twelve hubs, a gate of forty and its sorter | 13 |
//! | country | the hub's, one of twelve | 4 |
//! | event_id | a UUID as text | 38 |
//! | carrier_code | two letters, as `AR` | 4 |
//! | attributes | none | 1 |

use serde_json::{Map, Value, json};
use stallwatch::detector::scan::{Evidence, Milestone};

/// 2026-04-01T00:00:00Z, in milliseconds: when the log received the scans.
pub const LOG_TIME: i64 = 1_775_001_600_000;

/// 2026-03-01T00:00:00Z, in milliseconds.
const MARCH: i64 = 1_772_323_200_000;

const MILESTONES: [Milestone; 5] = [
    Milestone::PickedUp,
    Milestone::Arrived,
    Milestone::Departed,
    Milestone::InTransit,
    Milestone::OutForDelivery,
];
const SERVICES: [&str; 4] = ["ground", "priority", "2nd-day", "next-day"];
const COUNTRIES: [&str; 12] =
    ["US", "CA", "MX", "GB", "DE", "FR", "NL", "AT", "CH", "JP", "AU", "BR"];
const HUBS: [&str; 12] =
    ["MEM", "SDF", "IND", "OAK", "ONT", "EWR", "DFW", "ORD", "ATL", "LAX", "CGN", "LEJ"];
const CODES: [&str; 6] = ["AR", "DP", "IT", "OD", "PU", "X6"];

/// One scan as text and numbers.
#[derive(Default)]
pub struct Event {
    number: String,
    carrier: &'static str,
    milestone: Option<Milestone>,
    event_time: i64,
    evidence: Option<Evidence>,
    service: &'static str,
    country: &'static str,
    destination: &'static str,
    facility: String,
    event_id: String,
    code: &'static str,
}

impl Event {
    /// A scan of the package of this number; another `time` in milliseconds is another scan.
    pub fn of(package: u64, time: i64) -> Self {
        let dice = mix(package, time as u64);
        let of_package = mix(package, 7);
        let pick = |shift: u32| (dice >> shift) as usize;
        let (carrier, number) = number(package, of_package % 100);
        let (hub, gate) = (pick(15) % 12, pick(20) % 40);
        Self {
            number,
            carrier,
            milestone: Some(MILESTONES[pick(0) % 5]),
            event_time: time,
            evidence: Some(match pick(5) % 10 {
                0 => Evidence::System,
                _ => Evidence::Physical,
            }),
            service: SERVICES[(of_package >> 10) as usize % 4],
            country: COUNTRIES[hub],
            destination: COUNTRIES[(of_package >> 20) as usize % 12],
            facility: format!("{}-{gate:02}-{:04}", HUBS[hub], 100 + 3 * gate),
            event_id: uuid(mix(dice, 1), mix(dice, 2)),
            code: CODES[pick(30) % 6],
        }
    }

    /// Appends the datum.
    pub fn write(&self, out: &mut Vec<u8>) {
        text(out, &self.number);
        text(out, self.carrier);
        long(out, self.milestone.map_or(0, |milestone| milestone as i64));
        out.push(2);
        long(out, self.event_time);
        long(out, self.evidence.map_or(0, |evidence| evidence as i64));
        for present in [self.service, "outbound", self.destination] {
            out.push(2);
            text(out, present);
        }
        out.extend_from_slice(&[0, 0]);
        for present in [&self.facility, self.country, &self.event_id, self.code] {
            out.push(2);
            text(out, present);
        }
        out.push(0);
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("tracking_number".to_owned(), json!(self.number));
        object.insert("carrier".to_owned(), json!(self.carrier));
        object.insert("milestone".to_owned(), json!(self.milestone.map(Milestone::as_str)));
        object.insert("event_time".to_owned(), json!(self.event_time));
        object.insert("evidence".to_owned(), json!(self.evidence.map(Evidence::as_str)));
        object.insert("service".to_owned(), json!(self.service));
        object.insert("direction".to_owned(), json!("outbound"));
        object.insert("destination_country".to_owned(), json!(self.destination));
        object.insert("facility".to_owned(), json!(self.facility));
        object.insert("country".to_owned(), json!(self.country));
        object.insert("event_id".to_owned(), json!(self.event_id));
        object.insert("carrier_code".to_owned(), json!(self.code));
        Value::Object(object)
    }
}

fn number(package: u64, of_hundred: u64) -> (&'static str, String) {
    match of_hundred {
        0..35 => ("ups", format!("1Z999AA1{package:010}")),
        35..65 => ("usps", format!("940011189922{package:010}")),
        65..88 => ("fedex", format!("77{package:010}")),
        88..96 => ("royal-mail", format!("RM{package:09}GB")),
        _ => ("ontrac", format!("D1001{package:010}")),
    }
}

fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A number that looks like chance.
pub fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

fn long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    long(out, text.len() as i64);
    out.extend_from_slice(text.as_bytes());
}

/// Payloads behind one another.
#[derive(Default)]
pub struct Payloads {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
}

impl Payloads {
    /// Appends what `write` does.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Each payload.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// Scans as Avro and as JSON.
pub struct Batch {
    avro: Payloads,
    json: Payloads,
}

impl Batch {
    /// So many different scans of as many packages.
    pub fn of(scans: u64) -> Self {
        let (mut avro, mut json) = (Payloads::default(), Payloads::default());
        for package in 0..scans {
            let event = Event::of(package, MARCH + (mix(package, 3) % 2_678_400_000) as i64);
            avro.push(|out| event.write(out));
            json.push(|out| out.extend_from_slice(event.to_json().to_string().as_bytes()));
        }
        Self { avro, json }
    }

    pub fn len(&self) -> usize {
        self.avro.ends.len()
    }

    /// Bytes of a datum, on average.
    pub fn mean(&self) -> f64 {
        self.avro.bytes.len() as f64 / self.len() as f64
    }

    pub fn data(&self) -> impl Iterator<Item = &[u8]> {
        self.avro.iter()
    }

    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.json.iter()
    }

    pub fn both(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.data().zip(self.texts())
    }
}
