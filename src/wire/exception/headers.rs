//! The headers of an exception's Kafka record: CloudEvents 1.0, binary mode.

use crate::detector::exception::{Change, ExceptionEvent};
use crate::wire::time_text::format_seconds;

/// The encoding of a record's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// An Avro single object.
    Avro,
    /// A JSON object.
    Json,
}

impl ContentType {
    /// The media type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "application/avro",
            Self::Json => "application/json",
        }
    }
}

/// The headers, by name. All are functions of the log and the group, never of an instance or its
/// clock, so that an event that is told twice looks the same twice.
pub fn headers(
    event: &ExceptionEvent,
    group_id: &str,
    content_type: ContentType,
) -> [(&'static str, String); 7] {
    [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{}:{}", event.exception_id, event.sequence)),
        ("ce_source", format!("/stallwatch/{}", percent_encoded(group_id))),
        ("ce_type", format!("io.stallwatch.exception.{}.v1", event.change.as_str())),
        ("ce_subject", event.key.to_string()),
        ("ce_time", format_seconds(time(event))),
        ("content-type", content_type.as_str().to_owned()),
    ]
}

/// The key of the event's record in the open table: `carrier:tracking_number:kind`.
pub fn open_key(event: &ExceptionEvent) -> String {
    format!("{}:{}", event.key, event.kind.as_str())
}

/// When it happened by the log: the step's deadline, the closing record's log time, or the end of
/// watching.
fn time(event: &ExceptionEvent) -> i64 {
    match (event.change, &event.closed_by) {
        (Change::Expired, _) => event.anchor.secs() + event.silent_for_s,
        (Change::Resolved | Change::Retracted, Some(closed_by)) => closed_by.log_time.secs(),
        _ => event.deadline.secs(),
    }
}

/// A group id may have any character, a segment of a URI may not.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
