//! Writer schemas by chance, and data of theirs, encoded here and by nobody's library.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use stallwatch::detector::scan::{Evidence, Milestone};

/// Numbers that look like chance; the same seed, the same numbers.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end.max(1) as u64) as usize
    }

    pub fn in_hundred(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for index in (1..all.len()).rev() {
            all.swap(index, self.below(index + 1));
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.any() as u8).collect()
    }

    /// A whole number: small, large or of one of the lengths in between.
    fn whole(&mut self, bits: u32) -> i64 {
        let kept = 1 + self.below(bits as usize - 1) as u32;
        (self.any() as i64) >> (64 - kept)
    }

    fn text(&mut self) -> String {
        let length = match self.below(20) {
            0 => 0,
            1 => 60 + self.below(80),
            2 => 250 + self.below(12),
            _ => 1 + self.below(20),
        };
        let plain = self.in_hundred(80);
        let letters = ['a', 'Z', '7', '-', ' ', 'é', 'ß', '東', '🚚', '\u{80}'];
        (0..length).map(|_| *self.of(if plain { &letters[..5] } else { &letters })).collect()
    }
}

/// A writer's record: fields of a scan, in any order and shape, among others.
pub struct Writer {
    pub schema: Json,
    fields: Vec<(String, Json)>,
    names: HashMap<String, Json>,
}

/// What takes part as a text, and what is needed.
const TEXTS: [&str; 11] = [
    "tracking_number",
    "carrier",
    "service",
    "direction",
    "destination_country",
    "shipper",
    "value_tier",
    "facility",
    "country",
    "event_id",
    "carrier_code",
];

impl Writer {
    pub fn any(dice: &mut Dice) -> Self {
        let mut types = Types::default();
        let mut fields = Vec::new();
        for (index, name) in TEXTS.iter().enumerate() {
            if index < 2 || dice.in_hundred(70) {
                fields.push(((*name).to_owned(), Part::Text(name)));
            }
        }
        for name in ["milestone", "evidence", "event_time", "attributes"] {
            if name == "milestone" || dice.in_hundred(75) {
                fields.push((name.to_owned(), Part::Own(name)));
            }
        }
        for number in 0..dice.below(6) {
            fields.push((format!("extra_{number}"), Part::Extra));
        }
        dice.shuffle(&mut fields);
        let fields: Vec<(String, Json)> = fields
            .into_iter()
            .map(|(name, part)| {
                let schema = match part {
                    Part::Text(name) => types.of_text(name, dice),
                    Part::Own(name) => types.of_own(name, dice),
                    Part::Extra => types.any(dice, 0),
                };
                (name, schema)
            })
            .collect();
        let listed: Vec<Json> =
            fields.iter().map(|(name, schema)| json!({"name": name, "type": schema})).collect();
        let schema = json!({"type": "record", "name": "Event", "namespace": "com.example",
            "aliases": ["Scan"], "fields": listed});
        Self { schema, fields, names: types.names }
    }

    /// A datum, and the scan that it stands for as a JSON object.
    pub fn datum(&self, dice: &mut Dice) -> (Vec<u8>, Json) {
        let mut encoder = Encoder { names: &self.names, dice, out: Vec::new() };
        let mut scan = Map::new();
        for (name, schema) in &self.fields {
            let value = encoder.field(name, schema);
            if !name.starts_with("extra") && name != "attributes" {
                scan.insert(name.clone(), value);
            }
        }
        (encoder.out, Json::Object(scan))
    }
}

enum Part {
    Text(&'static str),
    Own(&'static str),
    Extra,
}

/// The types of a schema; names are defined once and may be referred to then.
#[derive(Default)]
struct Types {
    names: HashMap<String, Json>,
    /// What may be referred to: names and aliases.
    known: Vec<String>,
    /// The enum of milestones or of evidence, once it is defined.
    count: usize,
}

impl Types {
    fn name(&mut self) -> String {
        self.count += 1;
        format!("T{}", self.count)
    }

    fn define(&mut self, name: &str, schema: &Json) {
        self.names.insert(name.to_owned(), schema.clone());
        self.known.push(name.to_owned());
    }

    fn symbols(&mut self, symbols: Vec<&str>) -> Json {
        let name = self.name();
        let schema = json!({"type": "enum", "name": name, "symbols": symbols});
        self.define(&name, &schema);
        schema
    }

    fn of_text(&mut self, name: &str, dice: &mut Dice) -> Json {
        let symbols = match name {
            "carrier" => vec!["ups", "DHL", "fedex"],
            _ => vec!["A1", "b_2", "C"],
        };
        match dice.below(11) {
            0..2 => json!("string"),
            9 => json!("bytes"),
            10 => json!(["null", "bytes"]),
            2..5 => json!(["null", "string"]),
            5 => json!(["string", "null"]),
            6 => json!(["string"]),
            7 => json!(["null", "string", "long"]),
            _ => {
                let symbols = self.symbols(symbols);
                if dice.in_hundred(50) { symbols } else { json!(["null", symbols]) }
            }
        }
    }

    fn of_own(&mut self, name: &str, dice: &mut Dice) -> Json {
        let value = match name {
            "milestone" | "evidence" => {
                let mut symbols: Vec<&str> = match name {
                    "milestone" => Milestone::ALL.iter().map(|m| m.as_str()).collect(),
                    _ => Evidence::ALL.iter().map(|e| e.as_str()).collect(),
                };
                symbols.push("teleported");
                dice.shuffle(&mut symbols);
                symbols.truncate(1 + dice.below(symbols.len()));
                if dice.in_hundred(70) { self.symbols(symbols) } else { json!("string") }
            }
            "event_time" => match dice.below(6) {
                0 => json!("long"),
                1 => json!({"type": "long", "logicalType": "timestamp-micros"}),
                2 => json!({"type": "long", "logicalType": "timestamp-nanos"}),
                3 => json!("string"),
                _ => json!({"type": "long", "logicalType": "timestamp-millis"}),
            },
            _ => json!({"type": "map", "values": "string"}),
        };
        match dice.below(4) {
            0 => json!(["null", value]),
            1 => json!([value, "null"]),
            _ => value,
        }
    }

    /// Any type, no deeper than a few.
    fn any(&mut self, dice: &mut Dice, depth: usize) -> Json {
        match dice.below(if depth < 3 { 21 } else { 13 }) {
            kind @ 0..8 => json!(PRIMITIVES[kind]),
            8 => json!({"type": "long", "logicalType": "timestamp-micros"}),
            9 => json!({"type": "int", "logicalType": "date"}),
            10 => json!({"type": "string", "logicalType": "uuid"}),
            11 => json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            12 if !self.known.is_empty() => json!(dice.of(&self.known)),
            13 | 14 => {
                let name = self.name();
                let mut schema = json!({"type": "fixed", "name": name, "size": 1 + dice.below(20)});
                if dice.in_hundred(30) {
                    schema["size"] = json!(12);
                    schema["logicalType"] = json!("duration");
                }
                self.define(&name, &schema);
                schema
            }
            15 => self.symbols(vec!["X", "Y", "Z"]),
            16 => json!({"type": "array", "items": self.any(dice, depth + 1)}),
            17 => json!({"type": "map", "values": self.any(dice, depth + 1)}),
            18 => self.union(dice, depth),
            _ => self.record(dice, depth),
        }
    }

    fn union(&mut self, dice: &mut Dice, depth: usize) -> Json {
        let mut branches: Vec<Json> = PRIMITIVES.iter().map(|name| json!(name)).collect();
        dice.shuffle(&mut branches);
        branches.truncate(1 + dice.below(branches.len()));
        branches.push(json!({"type": "array", "items": self.any(dice, depth + 1)}));
        branches.push(json!({"type": "map", "values": self.any(dice, depth + 1)}));
        branches.push(self.record(dice, depth + 1));
        Json::Array(branches)
    }

    fn record(&mut self, dice: &mut Dice, depth: usize) -> Json {
        let name = self.name();
        let mut fields: Vec<Json> = (0..dice.below(4))
            .map(|number| json!({"name": format!("f{number}"), "type": self.any(dice, depth + 1)}))
            .collect();
        if dice.in_hundred(40) {
            fields.push(json!({"name": "next", "type": ["null", name]}));
        }
        let alias = format!("{name}Old");
        let schema = json!({"type": "record", "name": name, "aliases": [alias], "fields": fields});
        self.define(&name, &schema);
        self.define(&alias, &schema);
        schema
    }
}

const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Writes values, the blocks of arrays and maps with their sizes or without.
struct Encoder<'e> {
    names: &'e HashMap<String, Json>,
    dice: &'e mut Dice,
    out: Vec<u8>,
}

impl Encoder<'_> {
    /// A field's value; what it is, as JSON scans have it.
    fn field(&mut self, name: &str, schema: &Json) -> Json {
        match schema {
            Json::Array(branches) if !name.starts_with("extra") => {
                let branch = self.dice.below(branches.len());
                self.long(branch as i64);
                self.field(name, &branches[branch])
            }
            Json::String(kind) if kind == "null" => Json::Null,
            Json::String(kind)
                if matches!(&kind[..], "string" | "bytes") && !name.starts_with("extra") =>
            {
                let text = self.text_for(name);
                self.text(&text);
                json!(text)
            }
            schema if name == "event_time" => {
                let millis = match self.dice.below(12) {
                    0 => self.dice.whole(40),
                    1 => *self.dice.of(&[0, -2_208_988_800_000, 946_684_800_000]),
                    _ => 946_684_700_000 + (self.dice.any() % 3_155_760_200_000) as i64,
                };
                let more = match schema["logicalType"].as_str() {
                    Some("timestamp-micros") => 1_000,
                    Some("timestamp-nanos") => 1_000_000,
                    _ => 1,
                };
                let rest = self.dice.below(more as usize) as i64;
                self.long(millis * more + rest);
                json!(millis)
            }
            Json::Object(object) if object["type"] == "enum" => {
                let symbols = object["symbols"].as_array().unwrap();
                let symbol = self.dice.below(symbols.len());
                self.long(symbol as i64);
                symbols[symbol].clone()
            }
            Json::String(kind) if kind == "long" => {
                let number = self.dice.whole(64);
                self.long(number);
                json!(number)
            }
            schema => {
                self.value(schema, 0);
                Json::Null
            }
        }
    }

    fn text_for(&mut self, name: &str) -> String {
        match name {
            "carrier" => (*self.dice.of(&["ups", " DHL\t", "usps", "dpd", "?", ""])).to_owned(),
            "tracking_number" if self.dice.in_hundred(90) => {
                format!("1Z{:016}", self.dice.any() % 1_000_000)
            }
            "milestone" => self.dice.of(Milestone::ALL).as_str().to_owned(),
            "evidence" => self.dice.of(Evidence::ALL).as_str().to_owned(),
            "event_time" => (*self.dice.of(&[
                "2026-03-02T08:00:00Z",
                "",
                "soon",
                "2026-03-02T08:00:00.5+05:30",
                "2026-03-02T08:00:00.01234567890123+05:30",
                "2026-03-02T08:00:00+25:00",
                "1970-01-01T00:00:00-08:00",
                "0001-01-01T00:00:00",
                "9999-12-31T23:59:59.9999999Z",
            ]))
            .to_owned(),
            _ => self.dice.text(),
        }
    }

    fn value(&mut self, schema: &Json, depth: usize) {
        match schema {
            Json::Array(branches) => {
                let null = branches.iter().position(|branch| branch == "null");
                let branch = match null {
                    Some(null) if depth > 5 => null,
                    _ => self.dice.below(branches.len()),
                };
                self.long(branch as i64);
                self.value(&branches[branch], depth + 1);
            }
            Json::String(name) => match self.names.get(name) {
                Some(named) => self.value(named, depth + 1),
                None => self.primitive(name, ""),
            },
            schema => self.complex(schema, depth),
        }
    }

    fn primitive(&mut self, name: &str, logical: &str) {
        match (name, logical) {
            ("null", _) => {}
            ("boolean", _) => self.out.push(self.dice.below(2) as u8),
            ("int", _) => {
                let number = self.dice.whole(32);
                self.long(number);
            }
            ("long", _) => {
                let number = self.dice.whole(64);
                self.long(number);
            }
            ("float", _) => self.out.extend(self.dice.bytes(4)),
            ("double", _) => self.out.extend(self.dice.bytes(8)),
            ("string", "uuid") => self.text("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            ("bytes", _) => {
                let length = 1 + self.dice.below(90);
                self.long(length as i64);
                self.out.extend(self.dice.bytes(length));
            }
            _ => {
                let text = self.dice.text();
                self.text(&text);
            }
        }
    }

    fn complex(&mut self, schema: &Json, depth: usize) {
        match schema["type"].as_str().unwrap() {
            "fixed" => {
                let bytes = self.dice.bytes(schema["size"].as_u64().unwrap() as usize);
                self.out.extend(bytes);
            }
            "enum" => {
                let symbol = self.dice.below(schema["symbols"].as_array().unwrap().len());
                self.long(symbol as i64);
            }

            "array" => self.blocks(depth, |encoder| encoder.value(&schema["items"], depth + 1)),
            "map" => self.blocks(depth, |encoder| {
                encoder.primitive("string", "");
                encoder.value(&schema["values"], depth + 1);
            }),
            "record" => {
                for field in schema["fields"].as_array().unwrap() {
                    self.value(&field["type"], depth + 1);
                }
            }
            primitive => {
                self.primitive(primitive, schema["logicalType"].as_str().unwrap_or_default());
            }
        }
    }

    fn blocks(&mut self, depth: usize, mut item: impl FnMut(&mut Self)) {
        for _ in 0..if depth > 4 { 0 } else { self.dice.below(3) } {
            let count = 1 + self.dice.below(3);
            if self.dice.in_hundred(50) {
                self.long(count as i64);
                (0..count).for_each(|_| item(self));
                continue;
            }
            self.long(-(count as i64));
            let before = std::mem::take(&mut self.out);
            (0..count).for_each(|_| item(self));
            let block = std::mem::replace(&mut self.out, before);
            self.long(block.len() as i64);
            self.out.extend(block);
        }
        self.long(0);
    }

    fn text(&mut self, text: &str) {
        self.long(text.len() as i64);
        self.out.extend_from_slice(text.as_bytes());
    }

    fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)) as u64;
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }
}
