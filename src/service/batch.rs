//! Raw records of one partition, copied once from the client into one buffer.

use std::ops::Range;

use super::native::RecordView;

/// Records of a partition in the order of its log.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp_ms: Option<i64>,
    by_broker: bool,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// Its broker set the timestamp.
    pub by_broker: bool,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

impl Raw<'_> {
    /// The names of its headers.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }
}

impl Batch {
    /// Copies a record to the end.
    pub fn push(&mut self, record: &RecordView<'_>) {
        let key = record.key.map(|key| self.append(key));
        let value = record.value.map(|value| self.append(value));
        let headers = record
            .headers()
            .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
            .collect();
        let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
        let by_broker = record.log_append_time;
        self.records.push(Entry { offset, timestamp_ms, by_broker, key, value, headers });
    }

    /// The records in their order, without so many in front.
    pub fn iter_from(&self, first: usize) -> impl Iterator<Item = Raw<'_>> {
        let bytes = |range: &Option<Range<usize>>| range.clone().map(|range| &self.bytes[range]);
        self.records[first..].iter().map(move |entry| Raw {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            by_broker: entry.by_broker,
            key: bytes(&entry.key),
            value: bytes(&entry.value),
            headers: &entry.headers,
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Memory it holds, in bytes, nearly.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.records.len() * size_of::<Entry>()
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
