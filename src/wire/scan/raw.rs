//! The rules of normal form and rejection, the same for every encoding.

use crate::detector::key::{KeyError, PackageKey};
use crate::detector::scan::{Attributes, Evidence, Milestone, Scan, vocabulary};
use crate::detector::time::{EventTime, LogTime, in_range};
use crate::wire::avro::shape::{Found, Unit};
use crate::wire::reject::{Reason, Rejected};
use crate::wire::time_text::{TextFault, Written, format_seconds};

use super::no_time::NoTime;
use super::unknown::UnknownTexts;
use super::{MAX_TEXT, Origin, Remarks};

vocabulary! {
    /// The fields of a scan's record that are looked at. The texts that take part come first.
    #[allow(missing_docs)]
    Field {
        TrackingNumber = "tracking_number",
        Carrier = "carrier",
        Milestone = "milestone",
        Evidence = "evidence",
        Service = "service",
        Direction = "direction",
        DestinationCountry = "destination_country",
        Shipper = "shipper",
        ValueTier = "value_tier",
        Facility = "facility",
        Country = "country",
        EventId = "event_id",
        CarrierCode = "carrier_code",
        Attributes = "attributes",
        EventTime = "event_time",
        LogTime = "log_time",
        Partition = "partition",
        Offset = "offset",
    }
}

/// How many fields are texts that take part.
pub(super) const TEXTS: usize = Field::Country as usize + 1;

/// Kafka numbers partitions with 32 bits.
pub(super) const MAX_PARTITION: i64 = i32::MAX as i64;

/// What a field has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A text that takes part: at most [`MAX_TEXT`] bytes.
    Text,
    /// A text that takes no part.
    AnyText,
    /// A map of texts.
    TextMap,
    Time,
    Partition,
    Offset,
}

impl Wanted {
    /// As messages say it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text | Self::AnyText => "a text",
            Self::TextMap => "a map of texts",
            Self::Time => "milliseconds since 1970 or an RFC 3339 text with a UTC offset",
            Self::Partition | Self::Offset => "a whole number from 0",
        }
    }
}

impl Field {
    /// What this field has to be.
    pub(crate) const fn wanted(self) -> Wanted {
        match self {
            Self::EventId | Self::CarrierCode => Wanted::AnyText,
            Self::Attributes => Wanted::TextMap,
            Self::EventTime | Self::LogTime => Wanted::Time,
            Self::Partition => Wanted::Partition,
            Self::Offset => Wanted::Offset,
            _ => Wanted::Text,
        }
    }

    /// Whether there is no scan without it.
    pub(crate) const fn is_needed(self) -> bool {
        matches!(self, Self::TrackingNumber | Self::Carrier | Self::Milestone)
    }

    /// Whether only files have it: what a topic's records say in their envelope.
    pub(crate) const fn of_envelope(self) -> bool {
        matches!(self, Self::LogTime | Self::Partition | Self::Offset)
    }
}

/// A time as it stands in a record.
#[derive(Clone, Copy, Debug)]
enum Stamp<'a> {
    Whole(i64, Unit),
    Text(&'a str),
}

/// The fields of one record as they were found, and the first thing that is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct RawScan<'a> {
    texts: [Option<&'a str>; TEXTS],
    event_time: Option<Stamp<'a>>,
    log_time: Option<Stamp<'a>>,
    partition: Option<i32>,
    offset: Option<i64>,
    /// A field of the envelope has the wrong type: neither log nor log time are known then.
    envelope_broken: bool,
    problem: Option<Rejected>,
}

/// A record by the rules.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    /// The partition that the record itself names.
    pub(crate) partition: Option<i32>,
    /// The event time stands for the missing log time.
    pub(crate) stands_in: bool,
    pub(crate) scan: Result<Scan<'a>, Rejected>,
    /// What is to be told of the scan, where it is one.
    pub(crate) remarks: Remarks<'a>,
}

impl<'a> Checked<'a> {
    /// A record of which nothing could be read.
    pub(crate) fn unreadable(rejected: Rejected) -> Self {
        let remarks = Remarks::default();
        Self { partition: None, stands_in: false, scan: Err(rejected), remarks }
    }

    /// The log time, also that of a rejected record.
    pub(crate) fn log_time(&self) -> Option<LogTime> {
        match &self.scan {
            Ok(scan) => Some(scan.log_time),
            Err(rejected) => rejected.log_time,
        }
    }
}

impl<'a> RawScan<'a> {
    /// A record of which nothing could be read.
    pub(crate) fn unreadable(rejected: Rejected) -> Self {
        Self { problem: Some(rejected), ..Self::default() }
    }

    /// Takes what was found in a field.
    #[inline]
    pub(crate) fn take(&mut self, field: Field, found: Found<'a>) {
        match (field.wanted(), found) {
            (_, Found::Null) => {}
            (Wanted::Text, Found::Text(text)) => self.take_text(field, text),
            (Wanted::Time, Found::Text(text)) => {
                if !text.is_empty() {
                    self.take_stamp(field, Stamp::Text(text));
                }
            }
            (Wanted::Time, Found::Whole(number, unit)) if unit != Unit::Local => {
                self.take_stamp(field, Stamp::Whole(number, unit));
            }
            (Wanted::AnyText, Found::Text(_)) | (Wanted::TextMap, Found::Map { texts: true }) => {}
            (Wanted::Partition, Found::Whole(number @ 0..=MAX_PARTITION, _)) => {
                self.partition = Some(number as i32);
            }
            (Wanted::Offset, Found::Whole(number @ 0.., _)) => self.offset = Some(number),
            (wanted, found) => self.refuse(field, wanted, found),
        }
    }

    fn take_text(&mut self, field: Field, text: &'a str) {
        if text.len() > MAX_TEXT {
            let message = format!(
                "{}: a text of {} bytes; at most {MAX_TEXT} are allowed",
                field.as_str(),
                text.len()
            );
            self.reject(Reason::TextTooLong, message);
        } else if !text.is_empty() {
            self.texts[field as usize] = Some(text);
        }
    }

    fn take_stamp(&mut self, field: Field, stamp: Stamp<'a>) {
        match field {
            Field::LogTime => self.log_time = Some(stamp),
            _ => self.event_time = Some(stamp),
        }
    }

    /// The field stands there twice, and which one is meant must not be guessed.
    pub(crate) fn twice(&mut self, field: Field) {
        self.envelope_broken |= field.of_envelope();
        if field == Field::EventTime {
            self.event_time = None;
        }
        self.reject(
            Reason::DuplicateField,
            format!("{}: the record has this field twice; send it once", field.as_str()),
        );
    }

    #[cold]
    fn refuse(&mut self, field: Field, wanted: Wanted, found: Found<'_>) {
        self.envelope_broken |= field.of_envelope();
        let name = field.as_str();
        let is = match found {
            Found::Null => "null",
            Found::Text(_) => "a text",
            Found::Whole(..) | Found::Huge => "a whole number",
            Found::Fraction => "a number with a fraction or an exponent",
            Found::Boolean => "a boolean",
            Found::Map { .. } if wanted == Wanted::TextMap => "a map with other values than texts",
            Found::Map { .. } => "a map",
            Found::Other(what) => what,
        };
        let wanted_text = wanted.as_str();
        let (reason, message) = match (wanted, found) {
            (Wanted::Time, Found::Huge) => (
                Reason::TimeOutOfRange,
                format!(
                    "{name}: the number is far outside the years 2000 to 2099; send {wanted_text}"
                ),
            ),
            (Wanted::Time, Found::Whole(..)) => (
                Reason::UnreadableTime,
                format!("{name}: a local time, which is no instant; send {wanted_text}"),
            ),
            (Wanted::Time, Found::Fraction) => {
                (Reason::UnreadableTime, format!("{name}: {is}; send {wanted_text}"))
            }
            (Wanted::Text, Found::Whole(..) | Found::Huge | Found::Fraction) => (
                Reason::WrongType,
                format!(
                    "{name}: {is} where a text is wanted; quote it, digits of long numbers get lost otherwise"
                ),
            ),
            (Wanted::Partition | Wanted::Offset, Found::Whole(number, _)) => {
                (Reason::WrongType, format!("{name}: {number}, but wanted is {wanted_text}"))
            }
            _ => (Reason::WrongType, format!("{name}: {is}, but wanted is {wanted_text}")),
        };
        self.reject(reason, message);
    }

    #[cold]
    fn reject(&mut self, reason: Reason, message: String) {
        self.problem.get_or_insert_with(|| Rejected::new(reason, message));
    }

    /// Applies the rules. What the origin says of the log time goes before the record's own fields.
    pub(crate) fn check(mut self, origin: Origin, no_time: &NoTime) -> Checked<'a> {
        let log_stamp =
            origin.log_time.map(|millis| Stamp::Whole(millis, Unit::Millis)).or(self.log_time);
        let log_time = log_stamp.map(|stamp| stamp.seconds("log_time")).transpose();
        let event_time = self.event_time.map_or(Ok(None), |stamp| stamp.event(no_time));
        let no_time = self.event_time.is_some() && event_time == Ok(None);
        let stands_in = matches!(log_time, Ok(None)) && !self.envelope_broken;
        // What stands in for a missing log time is that of a scan alone: a record that is none has
        // an event time that nobody vouches for.
        let own = match &log_time {
            Ok(own) if !self.envelope_broken => own.map(LogTime::from_secs),
            _ => None,
        };
        let partition = self.partition;
        let problem = self.problem.take();
        let scan = match (log_time, problem, event_time) {
            (Err(rejected), ..) | (_, Some(rejected), _) | (_, _, Err(rejected)) => Err(rejected),
            (Ok(_), None, Ok(event)) => {
                let in_effect = own.or(event.map(LogTime::from_secs));
                self.scan(event.map(EventTime::from_secs), in_effect, origin)
            }
        };
        let scan = scan.map_err(|rejected| rejected.with_log_time(own));
        let remarks = match &scan {
            Ok(_) => Remarks { unknown: self.unknown(), no_time },
            Err(_) => Remarks::default(),
        };
        Checked { partition, stands_in, scan, remarks }
    }

    fn unknown(&self) -> UnknownTexts<'a> {
        let text = |field: Field| self.texts[field as usize];
        UnknownTexts {
            milestone: text(Field::Milestone).filter(|text| Milestone::named(text).is_none()),
            evidence: text(Field::Evidence).filter(|text| Evidence::named(text).is_none()),
        }
    }

    fn scan(
        &self,
        event_time: Option<EventTime>,
        log_time: Option<LogTime>,
        origin: Origin,
    ) -> Result<Scan<'a>, Rejected> {
        let text = |field: Field| self.texts[field as usize];
        let log_time = log_time.ok_or_else(|| {
            let message = match self.event_time {
                None => "the record has neither event_time nor log_time",
                Some(_) => "event_time stands for no time, and the record has no log_time",
            };
            Rejected::new(Reason::MissingTime, message)
        })?;
        let key = self.key()?;
        let milestone = text(Field::Milestone).ok_or_else(|| {
            Rejected::new(
                Reason::MissingMilestone,
                "milestone: missing or empty; send one of the vocabulary, info where there is none",
            )
        })?;
        Ok(Scan {
            key,
            milestone: Milestone::from_text(milestone),
            evidence: text(Field::Evidence).map_or(Evidence::Physical, Evidence::from_text),
            event_time,
            log_time,
            offset: self.offset.unwrap_or(origin.offset),
            attributes: Attributes {
                service: text(Field::Service),
                direction: text(Field::Direction),
                destination_country: text(Field::DestinationCountry),
                shipper: text(Field::Shipper),
                value_tier: text(Field::ValueTier),
                facility: text(Field::Facility),
                country: text(Field::Country),
            },
        })
    }

    fn key(&self) -> Result<PackageKey, Rejected> {
        let missing = |reason, field: Field| {
            Rejected::new(reason, format!("{}: missing or empty", field.as_str()))
        };
        let carrier = self.texts[Field::Carrier as usize]
            .ok_or_else(|| missing(Reason::MissingCarrier, Field::Carrier))?;
        let number = self.texts[Field::TrackingNumber as usize]
            .ok_or_else(|| missing(Reason::MissingTrackingNumber, Field::TrackingNumber))?;
        PackageKey::new(carrier, number).map_err(|error| {
            let (reason, field) = match error {
                KeyError::NoCarrier => (Reason::MissingCarrier, Field::Carrier),
                KeyError::BadCarrier => (Reason::BadCarrier, Field::Carrier),
                KeyError::NoNumber => (Reason::MissingTrackingNumber, Field::TrackingNumber),
                KeyError::LongNumber | KeyError::BadNumber => {
                    (Reason::BadTrackingNumber, Field::TrackingNumber)
                }
            };
            Rejected::new(reason, format!("{}: {error}", field.as_str()))
        })
    }
}

impl Stamp<'_> {
    /// Whole seconds since 1970 UTC, floored, within the years 2000 to 2099.
    #[inline]
    fn seconds(self, field: &str) -> Result<i64, Rejected> {
        match self {
            Self::Whole(number, unit) => self.within(field, number.div_euclid(per_second(unit))),
            Self::Text(text) => self.of_text(field, Written::parse(text), text),
        }
    }

    /// The same of an event time; none where it stands for no time.
    #[inline]
    fn event(self, no_time: &NoTime) -> Result<Option<i64>, Rejected> {
        const FIELD: &str = "event_time";
        match self {
            Self::Whole(number, unit) => {
                let seconds = number.div_euclid(per_second(unit));
                if no_time.is(seconds) { Ok(None) } else { self.within(FIELD, seconds).map(Some) }
            }
            Self::Text(text) => match Written::parse(text) {
                Ok(written) if no_time.is_written(written) => Ok(None),
                written => self.of_text(FIELD, written, text).map(Some),
            },
        }
    }

    fn of_text(
        self,
        field: &str,
        written: Result<Written, TextFault>,
        text: &str,
    ) -> Result<i64, Rejected> {
        let seconds = written.and_then(Written::utc);
        self.within(field, seconds.map_err(|fault| bad_text(field, text, fault))?)
    }

    #[inline]
    fn within(self, field: &str, seconds: i64) -> Result<i64, Rejected> {
        if in_range(seconds) { Ok(seconds) } else { Err(self.out_of_range(field, seconds)) }
    }

    #[cold]
    fn out_of_range(self, field: &str, seconds: i64) -> Rejected {
        let message = match self {
            Self::Text(text) => {
                format!("{field}: {:?} lies outside the years 2000 to 2099", beginning(text))
            }
            Self::Whole(number, unit) => {
                let (unit_name, is) = (unit_name(unit), format_seconds(seconds));
                let mut message = format!(
                    "{field}: {number} {unit_name} is {is}, outside the years 2000 to 2099"
                );
                let looks_like = [
                    (1, "seconds"),
                    (1_000, "milliseconds"),
                    (1_000_000, "microseconds"),
                    (1_000_000_000, "nanoseconds"),
                ]
                .into_iter()
                .find(|(per_second, _)| in_range(number.div_euclid(*per_second)));
                if let Some((_, other)) = looks_like {
                    message += &format!("; it looks like {other}: send {unit_name}");
                }
                message
            }
        };
        Rejected::new(Reason::TimeOutOfRange, message)
    }
}

/// How many of a unit a second has; numbers without a unit are milliseconds.
pub(super) const fn per_second(unit: Unit) -> i64 {
    match unit {
        Unit::Micros => 1_000_000,
        Unit::Nanos => 1_000_000_000,
        Unit::None | Unit::Millis | Unit::Local => 1_000,
    }
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Micros => "microseconds",
        Unit::Nanos => "nanoseconds",
        Unit::None | Unit::Millis | Unit::Local => "milliseconds",
    }
}

#[cold]
fn bad_text(field: &str, text: &str, fault: TextFault) -> Rejected {
    let shown = beginning(text);
    let message = match fault {
        TextFault::NoOffset => {
            format!("{field}: {shown:?} has no UTC offset; append Z or, for example, +01:00")
        }
        TextFault::FarOffset => {
            format!("{field}: {shown:?} has a UTC offset that no place has; its hours go to 23")
        }
        TextFault::Unreadable => format!(
            "{field}: {shown:?} is no time; send RFC 3339 such as 2026-03-02T08:00:00Z, or milliseconds as a number"
        ),
    };
    Rejected::new(Reason::UnreadableTime, message)
}

/// As much of a text as a message shows.
fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}
