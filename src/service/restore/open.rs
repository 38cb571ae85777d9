//! Reads the `open` topic: cut, answer and halt at once, the rows as they are written. They are decoded
//! one by one when they are wanted: however many are open, they do not stand in memory decoded.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use rdkafka::consumer::Consumer;

use super::{Failure, read};
use crate::detector::exception::ExceptionEvent;
use crate::protocol::agree::{ANSWER_KEY, Answer};
use crate::protocol::commit_cycle;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::protocol::halt::{HALT_KEY, HaltRecord};
use crate::protocol::open_sum::OpenSum;
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::contents::ExceptionCodec;
use crate::service::kafka::{self, Client, REQUEST};

/// Names of steps and policies that are told apart; there are never so many.
const MOST_TEXTS: usize = 4_096;

/// What a partition of the `open` topic holds.
pub struct Stored {
    /// The cut record.
    pub cut: Option<CutRecord>,
    /// An operator's answer.
    pub answer: Option<Answer>,
    /// What was left of its last halt.
    pub halt: Option<HaltRecord>,
    /// The last event of every exception that is open.
    pub rows: Rows,
    /// How far it was read.
    pub end: i64,
}

/// Offsets and values by record key.
type Latest = BTreeMap<Box<[u8]>, (i64, Box<[u8]>)>;

/// The rows of a partition of the `open` table, as they are written. Each can be read.
#[derive(Debug, Default)]
pub struct Rows {
    latest: Latest,
    sum: OpenSum,
}

impl Rows {
    /// # Errors
    /// When one of them cannot be read: the first in order of record keys.
    fn of(latest: Latest, codec: &ExceptionCodec) -> Result<Self, Failure> {
        let mut sum = OpenSum::default();
        for (key, (offset, value)) in &latest {
            sum.add(&decode(codec, key, *offset, value)?);
        }
        Ok(Self { latest, sum })
    }

    /// What they come to.
    pub const fn sum(&self) -> OpenSum {
        self.sum
    }

    /// Hands them over in order of record keys.
    pub fn each(
        self,
        codec: &ExceptionCodec,
        mut each: impl FnMut(ExceptionEvent) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut texts = Texts::default();
        for (key, (offset, value)) in self.latest {
            let mut event = decode(codec, &key, offset, &value)?;
            for text in [&mut event.step_name, &mut event.policy_id, &mut event.policy_set] {
                texts.share(text);
            }
            each(event)?;
        }
        Ok(())
    }
}

fn decode(
    codec: &ExceptionCodec,
    key: &[u8],
    offset: i64,
    value: &[u8],
) -> Result<ExceptionEvent, Failure> {
    let key = || String::from_utf8_lossy(key).into_owned();
    codec.decode(value).map_err(|error| Failure::Open { offset, key: key(), error })
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

/// Offset, owner and number of the commit that a partition's cut record names. Its reader does not
/// wait for long.
pub fn read_stored(
    shared: &Shared,
    partition: i32,
) -> Result<Option<commit_cycle::Stored>, Box<dyn std::error::Error>> {
    let reader = kafka::reader(&shared.config.kafka)?;
    let asker = kafka::asker(&shared.config.kafka)?;
    let topic = OpenTopic::of(shared, partition);
    let watch = Stopwatch::start();
    let stored = read_open(&topic, &reader, &asker, || watch.elapsed() > REQUEST)?;
    Ok(stored.cut.map(|CutRecord { owner, commit, offset, .. }| commit_cycle::Stored {
        owner,
        commit,
        offset,
    }))
}

/// A partition of the `open` topic.
pub struct OpenTopic<'a> {
    /// The topic.
    pub name: &'a str,
    /// Reads its values.
    pub codec: &'a ExceptionCodec,
    /// The partition.
    pub partition: i32,
}

impl<'a> OpenTopic<'a> {
    /// That of an input partition.
    pub fn of(shared: &'a Shared, partition: i32) -> Self {
        Self { name: &shared.topics.open, codec: &shared.exceptions, partition }
    }
}

/// Reads a partition of the `open` topic to the end that a reader of uncommitted data sees, with a
/// reader of committed data: transactions that are pending are waited for.
pub fn read_open(
    open: &OpenTopic<'_>,
    reader: &Client,
    asker: &Client,
    stop: impl Fn() -> bool,
) -> Result<Stored, Failure> {
    let OpenTopic { name: topic, codec, partition } = *open;
    let end = kafka::end_offsets(asker, topic, &[partition])?.first().map_or(0, |(_, end)| *end);
    let (start, _) = reader.fetch_watermarks(topic, partition, REQUEST)?;
    let mut latest = Latest::new();
    read(reader, topic, partition, start, end, stop, |record| {
        let key = record.key.unwrap_or_default();
        match record.value {
            Some(value) => latest.insert(key.into(), (record.offset, value.into())),
            None => latest.remove(key),
        };
        Ok(())
    })?;
    let cut = latest.remove(CUT_KEY.as_bytes());
    let cut = cut.map(|(_, bytes)| CutRecord::from_bytes(&bytes)).transpose()?;
    let answer = latest.remove(ANSWER_KEY.as_bytes());
    let answer = answer.and_then(|(_, bytes)| Answer::from_bytes(&bytes));
    let halt = latest.remove(HALT_KEY.as_bytes());
    let halt = halt.and_then(|(_, bytes)| HaltRecord::from_bytes(&bytes));
    // Of the other keys that are no package's, some are of later versions: they are left alone.
    latest.retain(|key, _| !key.starts_with(b":"));
    Ok(Stored { cut, answer, halt, rows: Rows::of(latest, codec)?, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::detector::exception::{Change, example};
    use crate::wire::exception::{Context, open_key};

    fn event(number: u32) -> ExceptionEvent {
        example(number, 0, Change::Opened)
    }

    fn written(codec: &ExceptionCodec, events: &[ExceptionEvent]) -> Latest {
        let context = Context { topic: Some("scans"), partition: Some(0), detected_time_ms: None };
        let entry = |(event, offset): (&ExceptionEvent, i64)| {
            let key = open_key(event).into_bytes().into_boxed_slice();
            (key, (offset, codec.encode(event, &context).into_boxed_slice()))
        };
        events.iter().zip(40..).map(entry).collect()
    }

    #[test]
    fn rows_come_in_order_of_their_keys_and_what_they_have_in_common_is_kept_once() {
        for format in [Format::Avro, Format::Json] {
            let codec = ExceptionCodec::new(format);
            let events = [event(3), event(1), event(2)];
            let rows = Rows::of(written(&codec, &events), &codec).unwrap();
            assert_eq!(rows.sum(), OpenSum::of(&events));
            let mut handed = Vec::new();
            let each = |event| {
                handed.push(event);
                Ok(())
            };
            rows.each(&codec, each).unwrap();
            assert_eq!(handed, [event(1), event(2), event(3)]);
            let name = |at: usize| &handed[at].step_name;
            assert!(Arc::ptr_eq(name(0), name(1)) && Arc::ptr_eq(name(1), name(2)));
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_by_offset_and_key() {
        let codec = ExceptionCodec::new(Format::Json);
        let mut latest = written(&codec, &[event(1), event(2)]);
        for (offset, value) in latest.values_mut().filter(|(offset, _)| *offset == 41) {
            *value = format!("not a row: {offset}").into_bytes().into();
        }
        let failure = Rows::of(latest, &codec).unwrap_err();
        assert!(failure.is_for_good());
        let expected = format!("offset 41 of the open topic, key {}, cannot", open_key(&event(2)));
        assert!(failure.to_string().contains(&expected), "{failure}");
    }
}
