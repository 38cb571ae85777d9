//! What a cut becomes in a transaction: exceptions, updates of the `open` table, dead letters, the
//! cut record and the offset.

use std::sync::Arc;

use super::sink::{CommittedOffset, Outgoing};
use super::trace::{self, TRACEPARENT};
use super::worker::{Cut, DeadLetter};
use crate::config::Format;
use crate::detector::exception::ExceptionEvent;
use crate::detector::key::PackageKey;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::protocol::repair::Row;
use crate::wire::exception::{
    AvroExceptions, ContentType, Context, ReadError, from_json, headers, open_key, to_json,
};

/// Room that a dead letter leaves for the record's own overhead, in bytes.
const OVERHEAD: usize = 4096;

/// Most that a header takes beside its name and value: the lengths of both.
const HEADER_OVERHEAD: usize = 10;

/// How exceptions are written.
pub enum ExceptionCodec {
    /// Avro single objects.
    Avro(Box<AvroExceptions>),
    /// JSON objects.
    Json,
}

impl ExceptionCodec {
    /// The codec of a configured format.
    pub fn new(format: Format) -> Self {
        match format {
            Format::Avro => Self::Avro(Box::default()),
            Format::Json => Self::Json,
        }
    }

    /// An event as a record's value.
    pub fn encode(&self, event: &ExceptionEvent, context: &Context<'_>) -> Vec<u8> {
        match self {
            Self::Avro(codec) => codec.encode_single_object(event, context),
            Self::Json => to_json(event, context).into_bytes(),
        }
    }

    /// The event of a record's value.
    pub fn decode(&self, value: &[u8]) -> Result<ExceptionEvent, ReadError> {
        match self {
            Self::Avro(codec) => codec.from_avro(value),
            Self::Json => from_json(value),
        }
    }

    fn content_type(&self) -> ContentType {
        match self {
            Self::Avro(_) => ContentType::Avro,
            Self::Json => ContentType::Json,
        }
    }
}

/// Names of topics and what else every record needs.
pub struct Writer<'a> {
    /// Encodes exceptions.
    pub codec: &'a ExceptionCodec,
    /// The topic of the scans.
    pub input: &'a Arc<str>,
    /// The topic of every event.
    pub exceptions: &'a Arc<str>,
    /// The compacted topic of what is open.
    pub open: &'a Arc<str>,
    /// The topic of rejected records.
    pub dead_letter: &'a Arc<str>,
    /// The consumer group.
    pub group_id: &'a str,
    /// Wall time in milliseconds since 1970 UTC.
    pub now_ms: i64,
    /// Most bytes that a record may have.
    pub max_bytes: usize,
}

impl Writer<'_> {
    /// The offset of a cut with its cut record.
    pub fn offset(cut: &Cut, record: &CutRecord) -> CommittedOffset {
        CommittedOffset {
            partition: cut.partition,
            offset: cut.offset,
            metadata: record.metadata(),
        }
    }

    /// All records of a cut with its cut record, each made when it is wanted.
    pub fn records<'w>(
        &'w self,
        cut: &'w Cut,
        record: &'w CutRecord,
    ) -> impl Iterator<Item = Outgoing> + 'w {
        let rows = cut.rows.iter().map(|row| self.row(cut, row));
        let exceptions = cut.events.iter().flat_map(|event| self.exception(cut, event));
        let letters = cut.dead_letters.iter();
        let letters = letters.map(|letter| self.dead_letter(cut.partition, letter));
        rows.chain(exceptions).chain(letters).chain(std::iter::once_with(|| self.cut(cut, record)))
    }

    fn cut(&self, cut: &Cut, record: &CutRecord) -> Outgoing {
        Outgoing {
            topic: self.open.clone(),
            partition: Some(cut.partition),
            key: Some(CUT_KEY.as_bytes().to_vec()),
            value: Some(record.to_bytes()),
            headers: Vec::new(),
            of: cut.partition,
            name: format!("the cut record of partition {}", cut.partition),
        }
    }

    /// The row of an event, and the event.
    fn exception(&self, cut: &Cut, event: &ExceptionEvent) -> [Outgoing; 2] {
        let partition = cut.partition;
        let value = self.codec.encode(event, &self.context(cut));
        let headers: Vec<_> = self.headers(event).chain(traceparent(cut, event)).collect();
        let name = format!("exception {}:{}", event.exception_id, event.sequence);
        let row = Outgoing {
            topic: self.open.clone(),
            partition: Some(partition),
            key: Some(open_key(event).into_bytes()),
            value: (!event.change.closes()).then(|| value.clone()),
            headers: headers.clone(),
            of: partition,
            name: name.clone(),
        };
        let exception = Outgoing {
            topic: self.exceptions.clone(),
            partition: None,
            key: Some(record_key(&event.key)),
            value: Some(value),
            headers,
            of: partition,
            name,
        };
        [row, exception]
    }

    /// A row of the `open` table that is written again or deleted.
    fn row(&self, cut: &Cut, Row { event, open }: &Row) -> Outgoing {
        let value = open.then(|| self.codec.encode(event, &self.context(cut)));
        Outgoing {
            topic: self.open.clone(),
            partition: Some(cut.partition),
            key: Some(open_key(event).into_bytes()),
            value,
            headers: self.headers(event).collect(),
            of: cut.partition,
            name: format!("the row of exception {}:{}", event.exception_id, event.sequence),
        }
    }

    fn context(&self, cut: &Cut) -> Context<'_> {
        Context {
            topic: Some(self.input),
            partition: Some(cut.partition),
            detected_time_ms: Some(self.now_ms),
        }
    }

    fn headers(&self, event: &ExceptionEvent) -> impl Iterator<Item = (String, Option<Vec<u8>>)> {
        let headers = headers(event, self.group_id, self.codec.content_type()).into_iter();
        headers.map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
    }

    fn dead_letter(&self, partition: i32, letter: &DeadLetter) -> Outgoing {
        let mut left = self.max_bytes.saturating_sub(OVERHEAD + letter.rejected.message.len());
        let (key, cut_key) = cut(letter.key.as_deref(), &mut left);
        let mut headers = fitting(&letter.headers, &mut left);
        let left_out = letter.headers.len() - headers.len();
        let (value, cut_value) = cut(letter.value.as_deref(), &mut left);
        let mut tell = |name: &str, value: String| {
            headers.push((format!("__stallwatch.errors.{name}"), Some(value.into_bytes())));
        };
        tell("reason", letter.rejected.reason.as_str().to_owned());
        tell("message", letter.rejected.message.clone());
        tell("stage", "decode".to_owned());
        tell("topic", self.input.to_string());
        tell("partition", partition.to_string());
        tell("offset", letter.offset.to_string());
        if let Some(bytes) = cut_value {
            tell("cut_from_bytes", bytes.to_string());
        }
        if let Some(bytes) = cut_key {
            tell("key_cut_from_bytes", bytes.to_string());
        }
        if left_out > 0 {
            tell("headers_left_out", left_out.to_string());
        }
        Outgoing {
            topic: self.dead_letter.clone(),
            partition: None,
            key,
            value,
            headers,
            of: partition,
            name: format!("the dead letter of partition {partition}, offset {}", letter.offset),
        }
    }
}

/// As much of the bytes as there is room for, which it then takes; how many there were where that
/// is not all.
fn cut(bytes: Option<&[u8]>, left: &mut usize) -> (Option<Vec<u8>>, Option<usize>) {
    let Some(bytes) = bytes else { return (None, None) };
    let kept = bytes.len().min(*left);
    *left -= kept;
    (Some(bytes[..kept].to_vec()), (kept < bytes.len()).then_some(bytes.len()))
}

/// The first headers, as many as there is room for, which they then take.
fn fitting(
    headers: &[(String, Option<Vec<u8>>)],
    left: &mut usize,
) -> Vec<(String, Option<Vec<u8>>)> {
    let fits = |(name, value): &&(String, Option<Vec<u8>>)| {
        let bytes = HEADER_OVERHEAD + name.len() + value.as_ref().map_or(0, Vec::len);
        left.checked_sub(bytes).map(|rest| *left = rest).is_some()
    };
    headers.iter().take_while(fits).cloned().collect()
}

/// The trace context of the scan that closed an exception.
fn traceparent(cut: &Cut, event: &ExceptionEvent) -> Option<(String, Option<Vec<u8>>)> {
    let context = trace::of(cut, event)?;
    Some((TRACEPARENT.to_owned(), Some(context.as_bytes().to_vec())))
}

fn record_key(key: &PackageKey) -> Vec<u8> {
    key.to_string().into_bytes()
}
