//! Scans as JSON objects.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::framing::instead_of_json;
use super::no_time::NoTime;
use super::raw::{Checked, Field, RawScan};
use super::texts::Texts;
use super::{MAX_RECORD, Origin, Remarks, too_large};
use crate::detector::scan::Scan;
use crate::wire::avro::shape::{Found, Unit};
use crate::wire::reject::{Reason, Rejected};

/// Decodes scans from JSON: one object a record, with the names of `schemas/scan.v1.avsc`.
///
/// Unknown fields are ignored, `null` and the empty text count as absent, times are RFC 3339 texts
/// with a UTC offset or whole milliseconds.
#[derive(Debug, Default)]
pub struct JsonScans {
    /// Texts that had escapes.
    texts: Texts,
    no_time: NoTime,
}

impl JsonScans {
    /// A decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with other stand-ins for a missing event time.
    pub fn with_no_time(self, no_time: NoTime) -> Self {
        Self { no_time, ..self }
    }

    /// The scan of one record. Texts of scans decoded before are dropped.
    pub fn decode<'a>(
        &'a mut self,
        payload: &'a [u8],
        origin: Origin,
    ) -> Result<Scan<'a>, Rejected> {
        self.batch().decode(payload, origin)
    }

    /// Begins a batch of records whose scans are alive together.
    pub fn batch(&mut self) -> JsonBatch<'_> {
        self.texts.clear();
        JsonBatch { scans: self }
    }

    /// A line of a file, which may hold the envelope's fields as well.
    pub(crate) fn decode_line<'a>(&'a mut self, line: &'a [u8], number: i64) -> Checked<'a> {
        self.batch().check(line, true, Origin { log_time: None, offset: number })
    }
}

/// A batch of records, decoded one by one.
#[derive(Clone, Copy, Debug)]
pub struct JsonBatch<'a> {
    scans: &'a JsonScans,
}

impl<'a> JsonBatch<'a> {
    /// The scan of the next record.
    pub fn decode(self, payload: &'a [u8], origin: Origin) -> Result<Scan<'a>, Rejected> {
        self.decode_telling(payload, origin, |_| {})
    }

    /// The same, and what is to be told of the scan.
    pub(super) fn decode_telling(
        self,
        payload: &'a [u8],
        origin: Origin,
        tell: impl FnOnce(Remarks<'a>),
    ) -> Result<Scan<'a>, Rejected> {
        let checked = self.check(payload, false, origin);
        tell(checked.remarks);
        checked.scan
    }

    fn check(self, payload: &'a [u8], envelope: bool, origin: Origin) -> Checked<'a> {
        let raw = self.read(payload, envelope).unwrap_or_else(RawScan::unreadable);
        raw.check(origin, &self.scans.no_time)
    }

    fn read(self, payload: &'a [u8], envelope: bool) -> Result<RawScan<'a>, Rejected> {
        if payload.len() > MAX_RECORD {
            return Err(too_large(payload.len()));
        }
        let text = std::str::from_utf8(payload).map_err(|error| {
            let message =
                format!("byte {} is not UTF-8{}", error.valid_up_to(), instead_of_json(payload));
            Rejected::new(Reason::NotJson, message)
        })?;
        let mut json = serde_json::Deserializer::from_str(text);
        let scan = json
            .deserialize_map(ScanVisitor { texts: &self.scans.texts, envelope })
            .and_then(|scan| json.end().map(|()| scan));
        scan.map_err(|error| {
            let message = if payload.is_empty() {
                "the record is empty".to_owned()
            } else {
                // Records seldom have lines, and a file's lines are counted elsewhere.
                let error = error.to_string().replace(" at line 1 column ", " at column ");
                format!("{error}{}", instead_of_json(payload))
            };
            Rejected::new(Reason::NotJson, message)
        })
    }
}

struct ScanVisitor<'a> {
    texts: &'a Texts,
    envelope: bool,
}

impl<'a> Visitor<'a> for ScanVisitor<'a> {
    type Value = RawScan<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<RawScan<'a>, A::Error> {
        let mut scan = RawScan::default();
        let mut seen = 0u32;
        while let Some(field) = map.next_key_seed(FieldName)? {
            let Some(field) = field.filter(|field| self.envelope || !field.of_envelope()) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let found = map.next_value_seed(FieldValue { texts: self.texts })?;
            let bit = 1 << field as u32;
            if seen & bit == 0 {
                scan.take(field, found);
            } else {
                scan.twice(field);
            }
            seen |= bit;
        }
        Ok(scan)
    }
}

/// Which field a key names, if it is one of ours.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Field::parse(name))
    }
}

/// What stands in a field; whatever is deeper than that is read over.
struct FieldValue<'a> {
    texts: &'a Texts,
}

impl<'a> DeserializeSeed<'a> for FieldValue<'a> {
    type Value = Found<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Found<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for FieldValue<'a> {
    type Value = Found<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Found<'a>, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found<'a>, E> {
        Ok(Found::Boolean)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Found<'a>, E> {
        Ok(Found::Whole(number, Unit::None))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Found<'a>, E> {
        Ok(i64::try_from(number).map_or(Found::Huge, |number| Found::Whole(number, Unit::None)))
    }

    /// Also whole numbers of more digits than 64 bits have: from there on every number is whole.
    fn visit_f64<E: Error>(self, number: f64) -> Result<Found<'a>, E> {
        let huge = number.abs() >= i64::MAX as f64;
        Ok(if huge { Found::Huge } else { Found::Fraction })
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Found<'a>, E> {
        Ok(Found::Text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found<'a>, E> {
        Ok(Found::Text(self.texts.keep(text)))
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Found<'a>, A::Error> {
        let mut texts = true;
        while map.next_key::<IgnoredAny>()?.is_some() {
            texts &= map.next_value_seed(IsText)?;
        }
        Ok(Found::Map { texts })
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<Found<'a>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other("a list"))
    }
}

/// Whether a value is a text, or null, which is an absent one.
struct IsText;

impl<'de> DeserializeSeed<'de> for IsText {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IsText {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}
