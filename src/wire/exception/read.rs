//! Events back from their records, for what was open before a restart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::detector::exception::{Change, ClosedBy, ExceptionEvent, Kind, Severity};
use crate::detector::key::PackageKey;
use crate::detector::scan::{Attributes, Milestone};
use crate::detector::time::{Deadline, EffectiveTime, EventTime, LogTime, floor_to_seconds};
use crate::wire::time_text::parse_seconds;

/// A record that is no exception that this version understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exception cannot be read: {message}")]
pub struct ReadError {
    message: String,
}

impl ReadError {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string() }
    }

    fn field(name: &str, what: impl fmt::Display) -> Self {
        Self { message: format!("{name}: {what}") }
    }
}

/// The event of a JSON object. Fields that are not known are ignored; a symbol that is not known is
/// an error, since what it means cannot be guessed.
pub fn from_json(bytes: &[u8]) -> Result<ExceptionEvent, ReadError> {
    from_value(&serde_json::from_slice(bytes).map_err(ReadError::new)?)
}

/// The event of a record whose times are RFC 3339 texts or milliseconds.
pub(super) fn from_value(value: &Value) -> Result<ExceptionEvent, ReadError> {
    let fields = Fields::of(value).ok_or_else(|| ReadError::new("it is no object"))?;
    Ok(ExceptionEvent {
        exception_id: fields.parsed("exception_id", |text| Uuid::from_str(text).ok())?,
        sequence: fields.number("sequence")?,
        change: fields.parsed("change", Change::parse)?,
        kind: fields.parsed("kind", Kind::parse)?,
        severity: fields.parsed("severity", Severity::parse)?,
        step: fields.number("step")?,
        step_name: fields.text("step_name")?.into(),
        key: fields.key()?,
        anchor: EffectiveTime::from_secs(fields.seconds("anchor_time")?),
        anchor_set_at: LogTime::from_secs(fields.seconds("anchor_set_at")?),
        opened_deadline: Deadline::from_secs(fields.seconds("opened_deadline")?),
        deadline: Deadline::from_secs(fields.seconds("deadline")?),
        silent_for_s: fields.number("silent_for_s")?,
        last_milestone: fields.parsed("last_milestone", Milestone::parse)?,
        attributes: Attributes {
            service: fields.optional_text("service")?,
            direction: fields.optional_text("direction")?,
            destination_country: fields.optional_text("destination_country")?,
            shipper: fields.optional_text("shipper")?,
            value_tier: fields.optional_text("value_tier")?,
            facility: fields.optional_text("last_facility")?,
            country: fields.optional_text("last_country")?,
        },
        policy_id: fields.text("policy_id")?.into(),
        policy_set: fields.text("policy_set")?.into(),
        closed_by: fields.given("closed_by").map(closed_by).transpose()?,
        backfilled: fields.flag("backfilled")?,
    })
}

fn closed_by(value: &Value) -> Result<ClosedBy, ReadError> {
    let fields =
        Fields::of(value).ok_or_else(|| ReadError::field("closed_by", "it is no object"))?;
    let event_time =
        fields.given("event_time").map(|_| fields.seconds("event_time")).transpose()?;
    Ok(ClosedBy {
        milestone: fields.parsed("milestone", Milestone::parse)?,
        event_time: event_time.map(EventTime::from_secs),
        effective_time: EffectiveTime::from_secs(fields.seconds("effective_time")?),
        log_time: LogTime::from_secs(fields.seconds("log_time")?),
        offset: fields.number("offset")?,
    })
}

/// The fields of an object.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    fn given(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn needed(&self, name: &str) -> Result<&'a Value, ReadError> {
        self.given(name).ok_or_else(|| ReadError::field(name, "missing"))
    }

    fn text(&self, name: &str) -> Result<&'a str, ReadError> {
        self.needed(name)?.as_str().ok_or_else(|| ReadError::field(name, "it is no text"))
    }

    fn optional_text(&self, name: &str) -> Result<Option<Arc<str>>, ReadError> {
        self.given(name).map(|_| self.text(name).map(Arc::from)).transpose()
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ReadError> {
        let text = self.text(name)?;
        parse(text).ok_or_else(|| ReadError::field(name, format!("{text:?} is not understood")))
    }

    fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, ReadError> {
        let number = self.needed(name)?.as_i64().and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| ReadError::field(name, "it is no whole number in range"))
    }

    fn flag(&self, name: &str) -> Result<bool, ReadError> {
        match self.given(name) {
            None => Ok(false),
            Some(value) => {
                value.as_bool().ok_or_else(|| ReadError::field(name, "it is no boolean"))
            }
        }
    }

    fn seconds(&self, name: &str) -> Result<i64, ReadError> {
        let value = self.needed(name)?;
        match (value.as_i64(), value.as_str()) {
            (Some(millis), _) => Ok(floor_to_seconds(millis)),
            (_, Some(text)) => parse_seconds(text)
                .map_err(|_| ReadError::field(name, format!("{text:?} is no time"))),
            _ => Err(ReadError::field(name, "it is no time")),
        }
    }

    fn key(&self) -> Result<PackageKey, ReadError> {
        let key = PackageKey::new(self.text("carrier")?, self.text("tracking_number")?);
        key.map_err(ReadError::new)
    }
}
