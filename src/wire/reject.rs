//! What is wrong with a record, where, and what to do about it.

use std::fmt;

use crate::detector::scan::{Record, vocabulary};
use crate::detector::time::LogTime;

vocabulary! {
    /// Why a record was rejected: the label `reason` of `records_rejected_total`.
    Reason {
        /// Not a JSON object.
        NotJson = "not_json",
        /// Not a datum of the writer schema, or not framed as one.
        NotAvro = "not_avro",
        /// Avro of a schema that nobody has; only the live service says so, and for good.
        UnknownSchema = "unknown_schema",
        /// More bytes than a scan can sensibly have.
        TooLarge = "too_large",
        /// A block of an Avro container that cannot be read.
        BrokenBlock = "broken_block",
        /// A JSON object that has a field twice.
        DuplicateField = "duplicate_field",
        /// A field of another type than the schema's.
        WrongType = "wrong_type",
        /// A text over 256 bytes.
        TextTooLong = "text_too_long",
        /// No carrier.
        MissingCarrier = "missing_carrier",
        /// A carrier without a normal form.
        BadCarrier = "bad_carrier",
        /// No tracking number.
        MissingTrackingNumber = "missing_tracking_number",
        /// A tracking number without a normal form.
        BadTrackingNumber = "bad_tracking_number",
        /// No milestone.
        MissingMilestone = "missing_milestone",
        /// Neither an event time nor a log time.
        MissingTime = "missing_time",
        /// A time that is no whole number and no RFC 3339 text with a UTC offset.
        UnreadableTime = "unreadable_time",
        /// A time outside the years 2000 to 2099.
        TimeOutOfRange = "time_out_of_range",
        /// A log time too far ahead of the wall clock; only the live service says so.
        FutureLogTime = "future_log_time",
    }
}

impl Reason {
    /// Whether nothing of a record could be read.
    pub const fn is_of_the_whole_record(self) -> bool {
        matches!(self, Self::NotJson | Self::NotAvro | Self::UnknownSchema | Self::BrokenBlock)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that is no scan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Rejected {
    /// The kind of fault, for counting.
    pub reason: Reason,
    /// What is wrong, in which field, and what to do. Never holds a tracking number.
    pub message: String,
    /// The record's own log time, where it has one that could be read and lies in range: it moves
    /// the clocks like that of any other record. No event time stands for it.
    pub log_time: Option<LogTime>,
}

impl Rejected {
    /// A record without a readable log time.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), log_time: None }
    }

    /// The same with the log time that the record had.
    pub fn with_log_time(self, log_time: Option<LogTime>) -> Self {
        Self { log_time, ..self }
    }

    /// What the detector is to know of it.
    pub fn record(&self) -> Record<'static> {
        Record::Rejected { log_time: self.log_time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_label_that_metrics_accept() {
        for reason in Reason::ALL {
            let label = reason.as_str();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
            assert_eq!(Reason::parse(label), Some(*reason));
        }
    }
}
