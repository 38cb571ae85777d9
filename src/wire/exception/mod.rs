//! What subscribers are told, to JSON and Avro and back.
//!
//! Both encodings are written by one walk over the event ([`walk`]), in the order of
//! `schemas/tracking-exception.v1.avsc`, so that they cannot tell different stories.

mod avro;
mod headers;
mod json;
mod read;

pub use avro::{AvroExceptions, EXCEPTION_SCHEMA, ExceptionContainer};
pub use headers::{ContentType, headers, open_key};
pub use json::to_json;
pub use read::{ReadError, from_json};

use crate::detector::exception::{ClosedBy, ExceptionEvent};

/// What an exception's carrier adds to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// The topic of the closing scan. `None` in a replay of a file.
    pub topic: Option<&'a str>,
    /// The partition of the closing scan. `None` in a replay of a file without partitions.
    pub partition: Option<i32>,
    /// When the service noticed, in milliseconds since 1970 UTC. `None` in a replay.
    pub detected_time_ms: Option<i64>,
}

/// Takes the fields of a record in the order of its schema.
trait Sink {
    fn text(&mut self, name: &'static str, text: &str);
    /// A symbol, and its place in the vocabulary, which is its place in the schema's enum.
    fn symbol(&mut self, name: &'static str, symbol: &'static str, place: u8);
    fn number(&mut self, name: &'static str, number: i64);
    fn flag(&mut self, name: &'static str, flag: bool);
    /// A time in whole seconds since 1970 UTC.
    fn seconds(&mut self, name: &'static str, seconds: i64);
    /// A time in milliseconds since 1970 UTC.
    fn millis(&mut self, name: &'static str, millis: i64);
    /// A nullable field has no value.
    fn absent(&mut self, name: &'static str);
    /// The next field is nullable and has a value.
    fn present(&mut self);
    /// What follows, up to the end, are the fields of the record in this field.
    fn begin(&mut self, name: &'static str);
    fn end(&mut self);

    fn optional<T>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        put: impl FnOnce(&mut Self, &'static str, T),
    ) {
        match value {
            Some(value) => {
                self.present();
                put(self, name, value);
            }
            None => self.absent(name),
        }
    }
}

/// Gives every field of an event to a sink.
fn walk<S: Sink>(event: &ExceptionEvent, context: &Context<'_>, sink: &mut S) {
    let mut uuid = uuid::Uuid::encode_buffer();
    sink.text("exception_id", event.exception_id.hyphenated().encode_lower(&mut uuid));
    sink.number("sequence", i64::from(event.sequence));
    sink.symbol("change", event.change.as_str(), event.change as u8);
    sink.symbol("kind", event.kind.as_str(), event.kind as u8);
    sink.symbol("severity", event.severity.as_str(), event.severity as u8);
    sink.number("step", i64::from(event.step));
    sink.text("step_name", &event.step_name);
    sink.text("carrier", event.key.carrier());
    sink.text("tracking_number", &event.key.number());
    sink.seconds("anchor_time", event.anchor.secs());
    sink.seconds("anchor_set_at", event.anchor_set_at.secs());
    sink.seconds("opened_deadline", event.opened_deadline.secs());
    sink.seconds("deadline", event.deadline.secs());
    sink.number("silent_for_s", event.silent_for_s);
    sink.symbol("last_milestone", event.last_milestone.as_str(), event.last_milestone as u8);
    let attributes = &event.attributes;
    for (name, text) in [
        ("last_facility", &attributes.facility),
        ("last_country", &attributes.country),
        ("service", &attributes.service),
        ("direction", &attributes.direction),
        ("destination_country", &attributes.destination_country),
        ("shipper", &attributes.shipper),
        ("value_tier", &attributes.value_tier),
    ] {
        sink.optional(name, text.as_deref(), S::text);
    }
    sink.text("policy_id", &event.policy_id);
    sink.text("policy_set", &event.policy_set);
    sink.optional("closed_by", event.closed_by.as_ref(), |sink, name, closed_by| {
        sink.begin(name);
        walk_closed_by(closed_by, context, sink);
        sink.end();
    });
    sink.flag("backfilled", event.backfilled);
    sink.optional("detected_time", context.detected_time_ms, S::millis);
}

fn walk_closed_by<S: Sink>(closed_by: &ClosedBy, context: &Context<'_>, sink: &mut S) {
    sink.symbol("milestone", closed_by.milestone.as_str(), closed_by.milestone as u8);
    sink.optional("event_time", closed_by.event_time.map(|time| time.secs()), S::seconds);
    sink.seconds("effective_time", closed_by.effective_time.secs());
    sink.seconds("log_time", closed_by.log_time.secs());
    sink.optional("topic", context.topic, S::text);
    sink.optional("partition", context.partition.map(i64::from), S::number);
    sink.number("offset", closed_by.offset);
}
