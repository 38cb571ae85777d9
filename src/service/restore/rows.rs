//! Which records of the `open` topic are its rows. While the topic is read each key has a hash, an offset
//! and its share of the sum; then the offsets are left, and the rows are read again one by one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use sha1::{Digest, Sha1};

use super::open::OpenTopic;
use super::{Failure, read};
use crate::detector::exception::ExceptionEvent;
use crate::protocol::open_sum::OpenSum;
use crate::service::contents::ExceptionCodec;
use crate::service::kafka::Client;
use crate::service::native::RecordView;

/// Names of steps and policies that are told apart; there are never so many.
const MOST_TEXTS: usize = 4_096;

/// A key by which no other is mistaken for it.
type Key = u128;

/// The last record of each key that was not deleted, as far as the topic has been read.
#[derive(Default)]
pub struct Latest {
    rows: HashMap<Key, Row, FixedState>,
    /// Those of them that cannot be read.
    unreadable: HashSet<Key, FixedState>,
}

struct Row {
    offset: i64,
    sum: u64,
}

impl Latest {
    /// The next record. One that cannot be read does no harm where another takes its place.
    pub fn take(&mut self, key: &[u8], offset: i64, value: Option<&[u8]>, codec: &ExceptionCodec) {
        let key = hash(key);
        if !self.unreadable.is_empty() {
            self.unreadable.remove(&key);
        }
        let Some(value) = value else {
            self.rows.remove(&key);
            return;
        };
        let sum = match codec.decode(value) {
            Ok(event) => OpenSum::of([&event]).sum,
            Err(_) => {
                self.unreadable.insert(key);
                0
            }
        };
        self.rows.insert(key, Row { offset, sum });
    }

    /// The first of the rows that cannot be read.
    pub fn unreadable(&self) -> Option<i64> {
        let rows = self.unreadable.iter().filter_map(|key| self.rows.get(key));
        rows.map(|row| row.offset).min()
    }
}

fn hash(key: &[u8]) -> Key {
    let mut hash = Key::default().to_ne_bytes();
    hash.iter_mut().zip(Sha1::digest(key)).for_each(|(to, from)| *to = from);
    Key::from_ne_bytes(hash)
}

/// Where the rows of a partition of the `open` table stand, and what they come to. Each can be read.
#[derive(Debug, Default)]
pub struct Rows {
    offsets: Offsets,
    sum: OpenSum,
}

impl From<Latest> for Rows {
    fn from(latest: Latest) -> Self {
        let sum = latest.rows.values().fold(0, |sum: u64, row| sum.wrapping_add(row.sum));
        let sum = OpenSum { count: latest.rows.len() as u64, sum };
        let mut offsets: Vec<i64> = latest.rows.into_values().map(|row| row.offset).collect();
        offsets.sort_unstable();
        Self { offsets: offsets.into_iter().collect(), sum }
    }
}

impl Rows {
    /// What they come to.
    pub const fn sum(&self) -> OpenSum {
        self.sum
    }

    /// Reads them again and hands them over in order of the log.
    pub fn each(
        self,
        open: &OpenTopic<'_>,
        reader: &Client,
        stop: impl Fn() -> bool,
        mut each: impl FnMut(ExceptionEvent) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let OpenTopic { name: topic, codec, partition, .. } = *open;
        let (mut wanted, end) = (self.offsets.iter().peekable(), self.offsets.last + 1);
        let Some(&start) = wanted.peek() else { return Ok(()) };
        let mut texts = Texts::default();
        read(reader, topic, partition, start, end, stop, |record| {
            open.progress();
            if let Some(offset) = wanted.next_if(|wanted| *wanted < record.offset) {
                return Err(Failure::Changed { offset });
            }
            if wanted.next_if_eq(&record.offset).is_none() {
                return Ok(());
            }
            let mut event = decode(codec, record)?;
            for text in [&mut event.step_name, &mut event.policy_id, &mut event.policy_set] {
                texts.share(text);
            }
            each(event)
        })?;
        wanted.next().map_or(Ok(()), |offset| Err(Failure::Changed { offset }))
    }
}

/// The event of a row.
pub fn decode(codec: &ExceptionCodec, record: &RecordView<'_>) -> Result<ExceptionEvent, Failure> {
    let key = || String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
    let offset = record.offset;
    let read = codec.decode(record.value.unwrap_or_default());
    read.map_err(|error| Failure::Open { offset, key: key(), error })
}

/// Offsets in their order: of each its distance from the one before, seven bits to a byte.
#[derive(Debug, Default)]
struct Offsets {
    steps: Vec<u8>,
    last: i64,
}

impl FromIterator<i64> for Offsets {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        let mut all = Self::default();
        for offset in offsets {
            let mut step = (offset - all.last).unsigned_abs();
            while step > 0x7f {
                all.steps.push(step as u8 | 0x80);
                step >>= 7;
            }
            all.steps.push(step as u8);
            all.last = offset;
        }
        all
    }
}

impl Offsets {
    fn iter(&self) -> impl Iterator<Item = i64> {
        let (mut bytes, mut at) = (self.steps.iter(), 0_i64);
        std::iter::from_fn(move || {
            let (mut step, mut bits) = (0_u64, 0);
            loop {
                let byte = *bytes.next()?;
                step |= u64::from(byte & 0x7f) << bits;
                bits += 7;
                if byte & 0x80 == 0 {
                    at += step as i64;
                    return Some(at);
                }
            }
        })
    }
}

/// Texts that nearly all rows have in common: what is kept of them is kept once.
#[derive(Default)]
struct Texts(HashSet<Arc<str>, FixedState>);

impl Texts {
    fn share(&mut self, text: &mut Arc<str>) {
        match self.0.get(text) {
            Some(known) => *text = known.clone(),
            None if self.0.len() < MOST_TEXTS => drop(self.0.insert(text.clone())),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::detector::exception::{Change, example};
    use crate::wire::exception::{Context, open_key};

    /// Takes the row of an event at an offset; `None`: its deletion.
    fn take(latest: &mut Latest, (number, at): (u32, i64), sequence: Option<u32>) {
        let codec = ExceptionCodec::new(Format::Avro);
        let context = Context { topic: Some("scans"), partition: Some(0), detected_time_ms: None };
        let event = example(number, sequence.unwrap_or_default(), Change::Escalated);
        let value = sequence.map(|_| codec.encode(&event, &context));
        latest.take(open_key(&event).as_bytes(), at, value.as_deref(), &codec);
    }

    #[test]
    fn the_last_record_of_each_key_is_its_row_unless_it_was_deleted() {
        let mut latest = Latest::default();
        let taken = [((1, 40), Some(0)), ((2, 41), Some(0)), ((3, 45), Some(3))];
        taken.into_iter().for_each(|(row, sequence)| take(&mut latest, row, sequence));
        let taken = [((1, 50), Some(1)), ((2, 4_000_000_000), None), ((4, 9_000_000_000), Some(7))];
        taken.into_iter().for_each(|(row, sequence)| take(&mut latest, row, sequence));
        let rows = Rows::from(latest);
        let event = |number, sequence| example(number, sequence, Change::Escalated);
        assert_eq!(rows.sum(), OpenSum::of(&[event(1, 1), event(3, 3), event(4, 7)]));
        assert_eq!(rows.offsets.iter().collect::<Vec<_>>(), [45, 50, 9_000_000_000]);
    }

    #[test]
    fn what_cannot_be_read_is_named_unless_another_has_taken_its_place() {
        let codec = ExceptionCodec::new(Format::Avro);
        let mut latest = Latest::default();
        for (number, offset) in [(1, 40), (2, 41), (3, 42)] {
            let key = open_key(&example(number, 0, Change::Opened));
            latest.take(key.as_bytes(), offset, Some(b"not a row"), &codec);
        }
        assert_eq!(latest.unreadable(), Some(40));
        take(&mut latest, (1, 43), Some(0));
        assert_eq!(latest.unreadable(), Some(41));
        take(&mut latest, (2, 44), None);
        assert_eq!(latest.unreadable(), Some(42));
        take(&mut latest, (3, 45), Some(0));
        assert_eq!(latest.unreadable(), None);
    }
}
