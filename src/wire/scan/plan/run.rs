//! A plan at work on one datum.

use ascii::AsciiStr;

use super::{EVENT_TIME, LOG_TIME, PLACES, Plan, RUN, Skip, Step, Value};
use crate::detector::key::{Inset, PackageKey};
use crate::detector::scan::{Attributes, Evidence, Milestone, Scan};
use crate::detector::time::{EventTime, LogTime, in_range};
use crate::wire::avro::reader::Reader;
use crate::wire::avro::shape::{Found, Shapes, Unit};
use crate::wire::scan::no_time::NoTime;
use crate::wire::scan::raw::{Field, MAX_PARTITION, per_second};
use crate::wire::scan::{MAX_TEXT, Origin};
use crate::wire::time_text::{Written, parse_seconds};

/// What a plan found in a datum: every text in its place, times in seconds and in range.
#[derive(Debug)]
pub(in crate::wire::scan) struct Planned<'a> {
    /// The number and the carrier as bytes, which are no texts for sure: their normal form is
    /// checked anyhow.
    number: &'a [u8],
    carrier: Inset<'a>,
    /// Empty texts stand for absent ones.
    texts: [&'a str; PLACES],
    milestone: Option<Milestone>,
    evidence: Option<Evidence>,
    event_time: Option<i64>,
    log_time: Option<i64>,
    /// The partition that the record itself names.
    pub(in crate::wire::scan) partition: Option<i32>,
    offset: Option<i64>,
    /// How many bytes the datum has.
    pub(in crate::wire::scan) length: usize,
}

/// What of a scan may be wrong, and is not.
pub(in crate::wire::scan) struct Head {
    key: PackageKey,
    milestone: Milestone,
    evidence: Evidence,
    event_time: Option<EventTime>,
    log_time: LogTime,
    /// The event time stands for the missing log time.
    pub(in crate::wire::scan) stands_in: bool,
    /// The event time stands for no time.
    pub(in crate::wire::scan) no_time: bool,
}

/// The event time of a datum.
enum Event {
    Missing,
    /// It stands for no time.
    NoTime,
    At(i64),
}

impl Event {
    fn time(&self) -> Option<i64> {
        match self {
            Self::At(seconds) => Some(*seconds),
            Self::Missing | Self::NoTime => None,
        }
    }
}

/// A scan's fields as they stand in its record; absent texts are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Fields<'a> {
    pub tracking_number: &'a str,
    pub carrier: &'a str,
    pub milestone: Milestone,
    pub evidence: Evidence,
    /// In whole seconds since 1970.
    pub event_time: Option<i64>,
    pub attributes: Attributes<&'a str>,
}

impl Plan {
    /// Reads the datum that these bytes begin with. `None`: nothing that makes a good scan.
    #[inline(always)]
    pub(in crate::wire::scan) fn read<'a>(
        &'a self,
        shapes: &'a Shapes,
        bytes: &'a [u8],
        planned: &mut Planned<'a>,
    ) -> Option<()> {
        let mut reader = Reader::new(bytes);
        for step in &self.steps {
            match step {
                Step::Texts(places) => planned.texts::<false>(places, &mut reader)?,
                Step::NullableTexts(places) => planned.texts::<true>(places, &mut reader)?,
                Step::SkippedTexts(count) => reader.skip_texts::<false>(*count)?,
                Step::SkippedNullableTexts(count) => reader.skip_texts::<true>(*count)?,
                Step::Plain(value) => planned.take(value, shapes, &mut reader)?,
                Step::Nullable { null, value } => {
                    let branch = reader.byte()?;
                    if branch != *null {
                        if branch ^ *null != 2 {
                            return None;
                        }
                        planned.take(value, shapes, &mut reader)?;
                    }
                }
            }
        }
        planned.length = reader.position();
        Some(())
    }
}

/// How long a text for a place may be.
#[inline]
const fn most(place: usize) -> usize {
    if place < EVENT_TIME { MAX_TEXT } else { usize::MAX }
}

impl<'a> Planned<'a> {
    #[inline]
    pub(in crate::wire::scan) fn new() -> Self {
        Self {
            number: &[],
            carrier: Inset::default(),
            texts: [""; PLACES],
            milestone: None,
            evidence: None,
            event_time: None,
            log_time: None,
            partition: None,
            offset: None,
            length: 0,
        }
    }

    /// Texts that stand behind one another. First their lengths are read and then all are checked
    /// for ASCII at once: so are the bytes between them as long as no length exceeds 63.
    #[inline(always)]
    fn texts<const NULLABLE: bool>(
        &mut self,
        places: &[usize],
        reader: &mut Reader<'a>,
    ) -> Option<()> {
        // Where each ends, counted from where the first one begins, and its length.
        let mut spans = [(0_u32, 0_u32); RUN];
        let start = reader.position();
        for (span, place) in spans.iter_mut().zip(places) {
            if NULLABLE {
                match reader.byte()? {
                    0 => continue,
                    2 => {}
                    _ => return None,
                }
            }
            let length = reader.skip_text(most(*place))?;
            *span = ((reader.position() - start) as u32, length as u32);
        }
        let bytes = reader.since(start);
        if u32::try_from(bytes.len()).is_err() {
            return None;
        }
        let Some(all) = reader.ascii_since(start) else {
            return self.texts_one_by_one(places, &spans, bytes);
        };
        for ((end, length), place) in spans.iter().zip(places) {
            if *length > 0 {
                self.texts[*place] = all[(end - length) as usize..*end as usize].as_str();
            }
        }
        Some(())
    }

    #[cold]
    fn texts_one_by_one(
        &mut self,
        places: &[usize],
        spans: &[(u32, u32); RUN],
        bytes: &'a [u8],
    ) -> Option<()> {
        for ((end, length), place) in spans.iter().zip(places) {
            if *length > 0 {
                let text = &bytes[(end - length) as usize..*end as usize];
                self.texts[*place] = std::str::from_utf8(text).ok()?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn take(
        &mut self,
        value: &'a Value,
        shapes: &'a Shapes,
        reader: &mut Reader<'a>,
    ) -> Option<()> {
        match value {
            Value::Text(place) => {
                self.texts[*place] = reader.text().filter(|text| text.len() <= most(*place))?;
            }
            Value::Number => {
                let length = reader.skip_text(MAX_TEXT)?;
                self.number = reader.last(length).text();
            }
            Value::Carrier => {
                let length = reader.skip_text(MAX_TEXT)?;
                self.carrier = reader.last(length);
            }
            Value::Milestone(symbols) => self.milestone = Some((*symbol(reader, symbols)?)?),
            Value::Evidence(symbols) => self.evidence = Some((*symbol(reader, symbols)?)?),
            Value::EventTime(unit) => self.event_time = Some(seconds(reader.wide()?, *unit)?),
            Value::LogTime(unit) => self.log_time = Some(seconds(reader.wide()?, *unit)?),
            Value::Partition => {
                let number = reader.long().filter(|number| (0..=MAX_PARTITION).contains(number))?;
                self.partition = Some(number as i32);
            }
            Value::Offset => self.offset = Some(reader.long().filter(|number| *number >= 0)?),
            Value::Other(field, shape) => {
                let found = reader.by_cursor(|cursor| shapes.read(shape, cursor).ok())?;
                self.take_found(*field, found)?;
            }
            Value::Skip(skip) => skip.over(shapes, reader)?,
        }
        Some(())
    }

    #[cold]
    fn take_found(&mut self, field: Field, found: Found<'a>) -> Option<()> {
        let place = match field {
            Field::EventTime => EVENT_TIME,
            Field::LogTime => LOG_TIME,
            field => field as usize,
        };
        match (field, found) {
            (_, Found::Null) => {}
            (Field::EventTime, Found::Whole(number, unit)) => {
                self.event_time = Some(seconds(number, unit)?);
            }
            (Field::LogTime, Found::Whole(number, unit)) => {
                self.log_time = Some(seconds(number, unit)?);
            }
            (Field::Partition, Found::Whole(number @ 0..=MAX_PARTITION, _)) => {
                self.partition = Some(number as i32);
            }
            (Field::Offset, Found::Whole(number @ 0.., _)) => self.offset = Some(number),
            (Field::Attributes, Found::Map { texts: true }) => {}
            (Field::EventId | Field::CarrierCode, Found::Text(_)) => {}
            (Field::Attributes | Field::Partition | Field::Offset, _) => return None,
            (_, Found::Text(text)) if text.len() > most(place) => return None,
            (Field::TrackingNumber, Found::Text(text)) => self.number = text.as_bytes(),
            (Field::Carrier, Found::Text(text)) => {
                self.carrier = Inset::new(text.as_bytes(), text.len());
            }
            (_, Found::Text(text)) => self.texts[place] = text,
            _ => return None,
        }
        Some(())
    }

    /// What of the scan may turn out to be wrong. What the origin says of the log time goes before
    /// the record's own field; where there is neither, the event time stands for it.
    #[inline(always)]
    pub(in crate::wire::scan) fn head(&self, origin: Origin, no_time: &NoTime) -> Option<Head> {
        let event = self.event(no_time)?;
        let event_time = event.time();
        let log_time = match (origin.log_time, self.texts[LOG_TIME]) {
            (Some(millis), _) => Some(seconds(millis, Unit::Millis)?),
            (None, "") => self.log_time,
            (None, text) => Some(parsed(text)?),
        };
        Some(Head {
            key: match PackageKey::of(self.carrier, self.number) {
                Some(key) => key,
                None => self.odd_key()?,
            },
            milestone: self.milestone()?,
            evidence: self.evidence()?,
            event_time: event_time.map(EventTime::from_secs),
            log_time: LogTime::from_secs(log_time.or(event_time)?),
            stands_in: log_time.is_none(),
            no_time: matches!(event, Event::NoTime),
        })
    }

    /// The key of texts that are not in normal form already.
    #[cold]
    fn odd_key(&self) -> Option<PackageKey> {
        PackageKey::new(text(self.carrier.text())?, text(self.number)?).ok()
    }

    /// The scan.
    #[inline(always)]
    pub(in crate::wire::scan) fn scan(&self, head: Head, origin: Origin) -> Scan<'a> {
        Scan {
            key: head.key,
            milestone: head.milestone,
            evidence: head.evidence,
            event_time: head.event_time,
            log_time: head.log_time,
            offset: self.offset.unwrap_or(origin.offset),
            attributes: self.attributes(),
        }
    }

    /// What is known without the normal form of the key.
    #[inline(always)]
    pub(in crate::wire::scan) fn fields(&self, no_time: &NoTime) -> Option<Fields<'a>> {
        Some(Fields {
            tracking_number: text(self.number)?,
            carrier: text(self.carrier.text())?,
            milestone: self.milestone()?,
            evidence: self.evidence()?,
            event_time: self.event(no_time)?.time(),
            attributes: self.attributes(),
        })
    }

    /// The event time; `None` if it can be no good one.
    #[inline(always)]
    fn event(&self, no_time: &NoTime) -> Option<Event> {
        Some(match (self.texts[EVENT_TIME], self.event_time) {
            ("", None) => Event::Missing,
            ("", Some(seconds)) if no_time.is(seconds) => Event::NoTime,
            ("", Some(seconds)) => Event::At(seconds),
            (text, _) => {
                let written = Written::parse(text).ok()?;
                match no_time.is_written(written) {
                    true => Event::NoTime,
                    false => Event::At(written.utc().ok().filter(|at| in_range(*at))?),
                }
            }
        })
    }

    /// `None`: there is none, or its text is none of the vocabulary.
    #[inline(always)]
    fn milestone(&self) -> Option<Milestone> {
        match self.text(Field::Milestone) {
            Some(text) => Milestone::named(text),
            None => self.milestone,
        }
    }

    /// `None`: its text is none of the vocabulary.
    #[inline(always)]
    fn evidence(&self) -> Option<Evidence> {
        match self.text(Field::Evidence) {
            Some(text) => Evidence::named(text),
            None => Some(self.evidence.unwrap_or(Evidence::Physical)),
        }
    }

    #[inline(always)]
    fn attributes(&self) -> Attributes<&'a str> {
        Attributes {
            service: self.text(Field::Service),
            direction: self.text(Field::Direction),
            destination_country: self.text(Field::DestinationCountry),
            shipper: self.text(Field::Shipper),
            value_tier: self.text(Field::ValueTier),
            facility: self.text(Field::Facility),
            country: self.text(Field::Country),
        }
    }

    #[inline(always)]
    fn text(&self, field: Field) -> Option<&'a str> {
        Some(self.texts[field as usize]).filter(|text| !text.is_empty())
    }
}

/// Bytes as text; nearly all are ASCII.
#[inline]
fn text(bytes: &[u8]) -> Option<&str> {
    match AsciiStr::from_ascii(bytes) {
        Ok(text) => Some(text.as_str()),
        Err(_) => std::str::from_utf8(bytes).ok(),
    }
}

impl Skip {
    #[inline]
    fn over<'a>(&'a self, shapes: &'a Shapes, reader: &mut Reader<'a>) -> Option<()> {
        match self {
            Self::Text => reader.text().map(|_| ()),
            Self::Bytes => reader.skip_bytes(),
            Self::Long => reader.long().map(|_| ()),
            Self::Int => i32::try_from(reader.long()?).ok().map(|_| ()),
            Self::Boolean => (reader.byte()? <= 1).then_some(()),
            Self::Enum(symbols) => (0..*symbols).contains(&reader.long()?).then_some(()),
            Self::Fixed(length) => reader.skip(*length),
            Self::TextMap => reader.skip_text_map(),
            Self::Other(shape, depth) => {
                reader.by_cursor(|cursor| shapes.read_within(shape, cursor, *depth).ok())?;
                Some(())
            }
        }
    }
}

#[inline]
fn symbol<'s, T>(reader: &mut Reader<'_>, symbols: &'s [T]) -> Option<&'s T> {
    symbols.get(usize::try_from(reader.long()?).ok()?)
}

/// Whole seconds since 1970 UTC, floored; `None` outside the years 2000 to 2099.
#[inline]
fn seconds(number: i64, unit: Unit) -> Option<i64> {
    let seconds = match unit {
        Unit::Local => return None,
        // Each divided by a constant: a division by a variable takes longer than the rest.
        Unit::None | Unit::Millis => number.div_euclid(per_second(Unit::Millis)),
        Unit::Micros => number.div_euclid(per_second(Unit::Micros)),
        Unit::Nanos => number.div_euclid(per_second(Unit::Nanos)),
    };
    in_range(seconds).then_some(seconds)
}

fn parsed(text: &str) -> Option<i64> {
    parse_seconds(text).ok().filter(|seconds| in_range(*seconds))
}
