//! Reads the `open` topic: cut, answer and halt, and which records are its rows. The rows themselves are
//! read again when they are wanted: however many are open, they do not stand in memory.

use rdkafka::consumer::Consumer;

use super::rows::{self, Latest, Rows};
use super::{Failure, Turns, read};
use crate::protocol::agree::{ANSWER_KEY, Answer};
use crate::protocol::commit_cycle;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::protocol::halt::{HALT_KEY, HaltRecord};
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::contents::ExceptionCodec;
use crate::service::kafka::{self, Client, REQUEST};

/// What a partition of the `open` topic holds.
pub struct Stored {
    /// The cut record.
    pub cut: Option<CutRecord>,
    /// An operator's answer.
    pub answer: Option<Answer>,
    /// What was left of its last halt.
    pub halt: Option<HaltRecord>,
    /// Where the last event of every exception stands that is open.
    pub rows: Rows,
    /// How far it was read.
    pub end: i64,
}

/// Keys that are no package's, with their last values. Others like them are of later versions: they are
/// left alone.
#[derive(Default)]
struct Reserved {
    cut: Option<Box<[u8]>>,
    answer: Option<Box<[u8]>>,
    halt: Option<Box<[u8]>>,
}

impl Reserved {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) {
        let known =
            [(CUT_KEY, &mut self.cut), (ANSWER_KEY, &mut self.answer), (HALT_KEY, &mut self.halt)];
        for (name, place) in known {
            if name.as_bytes() == key {
                *place = value.map(Into::into);
            }
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
    /// Are told that it comes further.
    pub turns: Option<&'a Turns>,
}

impl<'a> OpenTopic<'a> {
    /// That of an input partition.
    pub fn of(shared: &'a Shared, partition: i32) -> Self {
        let (name, codec) = (&shared.topics.open, &shared.exceptions);
        Self { name, codec, partition, turns: Some(&shared.turns) }
    }

    /// It comes further.
    pub(super) fn progress(&self) {
        self.turns.into_iter().for_each(Turns::progress);
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
    let OpenTopic { name: topic, codec, partition, .. } = *open;
    let end = kafka::end_offsets(asker, topic, &[partition])?.first().map_or(0, |(_, end)| *end);
    let (start, _) = reader.fetch_watermarks(topic, partition, REQUEST)?;
    let (mut latest, mut reserved) = (Latest::default(), Reserved::default());
    read(reader, topic, partition, start, end, &stop, |record| {
        open.progress();
        let key = record.key.unwrap_or_default();
        match key.starts_with(b":") {
            true => reserved.take(key, record.value),
            false => latest.take(key, record.offset, record.value, codec),
        }
        Ok(())
    })?;
    let cut = reserved.cut.map(|bytes| CutRecord::from_bytes(&bytes)).transpose()?;
    let answer = reserved.answer.and_then(|bytes| Answer::from_bytes(&bytes));
    let halt = reserved.halt.and_then(|bytes| HaltRecord::from_bytes(&bytes));
    if let Some(offset) = latest.unreadable() {
        why_unreadable(open, reader, offset, stop)?;
    }
    Ok(Stored { cut, answer, halt, rows: latest.into(), end })
}

/// Fails as the record at this offset does, which is a row.
fn why_unreadable(
    open: &OpenTopic<'_>,
    reader: &Client,
    offset: i64,
    stop: impl Fn() -> bool,
) -> Result<(), Failure> {
    let OpenTopic { name: topic, codec, partition, .. } = *open;
    read(reader, topic, partition, offset, offset + 1, stop, |record| {
        rows::decode(codec, record).map(drop)
    })?;
    Err(Failure::Changed { offset })
}
