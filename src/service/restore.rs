//! Rebuilds a partition beside the running ones, on a consumer that is told what to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::clock::Stopwatch;
use super::kafka::{self, Client, REQUEST};
use super::native::{Event, EventQueue, RecordView};
use super::room::{BoundedShard, NoRoom};
use super::status::Halt;
use super::worker::Partition;
use super::{Shared, millis};
use crate::config::{self, StartFrom};
use crate::detector::exception::ExceptionEvent;
use crate::detector::scan::Record;
use crate::detector::shard::{Inconsistent, Shard};
use crate::detector::time::{Frontier, floor_to_seconds};
use crate::protocol::cut::{Backfill, CUT_KEY, CutError, CutRecord, StateSettings};
use crate::protocol::ownership::Epoch;
use crate::protocol::restore::{Decision, Durable, HaltReason, decide};
use crate::wire::exception::ReadError;
use crate::wire::scan::{Origin, ScanDecoder, SchemaError};

/// Pause before a restore that the broker interrupted is begun again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a long restore reports its progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// A partition for its worker, and owner and number of its last commit.
pub type Ready = (Box<Partition>, Option<(String, u64)>);

/// What a restore thread says in the end.
pub struct Restored {
    /// The partition.
    pub partition: i32,
    /// The assignment that it was restored for.
    pub epoch: Epoch,
    /// The partition, ready for a worker, and owner and number of its last commit; or why it halts.
    pub result: Result<Ready, Halt>,
    /// Whether the timestamps of its records were set by the broker; `None` without records.
    pub log_append_time: Option<bool>,
    /// How long it took.
    pub took: Duration,
}

/// Why a restore did not come to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The partition was taken away meanwhile.
    #[error("the partition was taken away")]
    Cancelled,
    /// The broker did not answer; the restore is begun again.
    #[error("{}", kafka::explain(.0, "restoring"))]
    Kafka(#[from] KafkaError),
    /// An operator must decide.
    #[error(transparent)]
    Halt(#[from] HaltReason),
    #[error(transparent)]
    Cut(#[from] CutError),
    #[error("an entry of the open topic cannot be read: {0}")]
    Open(#[from] ReadError),
    #[error("package {0}: {1}; stop all instances and correct the open topic")]
    Inconsistent(String, Inconsistent),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The packages do not fit.
    #[error("there is no room for {0}: {1}")]
    NoRoom(String, NoRoom),
}

impl Failure {
    fn halt(&self) -> Halt {
        match self {
            Self::NoRoom(what, no_room) => no_room.restoring(what),
            other => other.to_string().into(),
        }
    }
}

/// Restores a partition; begins again as long as the broker does not answer. `None` when cancelled.
pub fn restore(
    shared: &Shared,
    partition: i32,
    epoch: Epoch,
    cancelled: &AtomicBool,
) -> Option<Restored> {
    let watch = Stopwatch::start();
    loop {
        let mut restore = Restore { shared, partition, epoch, cancelled, log_append_time: None };
        let result = match restore.run() {
            Ok(restored) => Ok(restored),
            Err(Failure::Cancelled) => return None,
            Err(failure @ Failure::Kafka(_)) => {
                tracing::warn!(partition, "{failure}; trying again");
                wait(cancelled, PAUSE)?;
                continue;
            }
            Err(failure) => Err(failure.halt()),
        };
        let log_append_time = restore.log_append_time;
        return Some(Restored { partition, epoch, result, log_append_time, took: watch.elapsed() });
    }
}

fn wait(cancelled: &AtomicBool, pause: Duration) -> Option<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < pause {
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Some(())
}

struct Restore<'a> {
    shared: &'a Shared,
    partition: i32,
    epoch: Epoch,
    cancelled: &'a AtomicBool,
    log_append_time: Option<bool>,
}

impl Restore<'_> {
    fn run(&mut self) -> Result<Ready, Failure> {
        let reader = kafka::reader(&self.shared.config.kafka)?;
        let asker = kafka::asker(&self.shared.config.kafka)?;
        let mut again = false;
        loop {
            let stored = read_open(self.shared, &reader, &asker, self.partition, self.cancelled)?;
            let durable = self.durable(&reader, stored.cut.clone())?;
            match decide(&durable, again) {
                Decision::ReadAgain => again = true,
                Decision::Halt(reason) => return Err(reason.into()),
                Decision::FirstStart => return self.first_start(&reader, &asker, &durable),
                Decision::Continue(cut) => return self.go_on(&reader, &durable, cut, &stored.open),
            }
        }
    }

    fn durable(&self, reader: &Client, cut: Option<CutRecord>) -> Result<Durable, Failure> {
        let topic = &self.shared.input;
        let (log_start, log_end) = reader.fetch_watermarks(topic, self.partition, REQUEST)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, self.partition);
        let committed = reader.committed_offsets(list, REQUEST)?;
        let group = committed.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        });
        Ok(Durable { cut, group, log_start, log_end })
    }

    fn first_start(
        &mut self,
        reader: &Client,
        asker: &Client,
        durable: &Durable,
    ) -> Result<Ready, Failure> {
        let start = self.start_offset(reader, durable)?;
        let settings = self.settings_from(start);
        if self.shared.config.input.backfill == config::Backfill::Publish {
            tracing::info!(
                partition = self.partition,
                start,
                "first start: publishing the history"
            );
            let shard = self.bounded(Shard::with_memory(
                self.shared.policies.clone(),
                self.shared.memory.clone(),
            ));
            let partition = self.partition(shard, start, start, Vec::new(), settings);
            return Ok((Box::new(Partition { backfill: Backfill::Publish, ..partition }), None));
        }
        let now_ms = self.shared.clock.now_ms();
        let ends = kafka::end_offsets(asker, &self.shared.input, &[self.partition])?;
        let end = ends.first().map_or(start, |(_, end)| *end).max(start);
        let mut shard = self.bounded(Shard::rebuilding_with_memory(
            self.shared.policies.clone(),
            self.shared.memory.clone(),
        ));
        let latest_ms = now_ms.saturating_add(millis(self.shared.config.input.max_future_skew));
        let refused = self.rebuild(reader, &mut shard, start, end, &[], Some(latest_ms))?;
        let margin = self.shared.clock_margin_ms(self.log_append_time);
        shard.go_live(Some(Frontier::from_secs(floor_to_seconds(now_ms - margin))));
        shard.backfill();
        tracing::info!(
            partition = self.partition,
            packages = shard.len(),
            "first start: what is open already is published once"
        );
        let partition = self.partition(shard, start, end, refused, settings);
        Ok((Box::new(Partition { backfill: Backfill::Pending, ..partition }), None))
    }

    fn go_on(
        &mut self,
        reader: &Client,
        durable: &Durable,
        cut: CutRecord,
        open: &BTreeMap<Vec<u8>, ExceptionEvent>,
    ) -> Result<Ready, Failure> {
        let mut shard = self.bounded(Shard::rebuilding_with_memory(
            self.shared.policies.clone(),
            self.shared.memory.clone(),
        ));
        let from = cut.start.max(durable.log_start);
        self.rebuild(reader, &mut shard, from, cut.offset, &cut.refused, None)?;
        for event in open.values() {
            self.restore_open(&mut shard, event)?;
        }
        shard.go_live(cut.frontier.map(Frontier::from_secs));
        if cut.backfill == Backfill::Pending {
            shard.backfill();
        }
        let mut settings = cut.settings.clone();
        let now = self.settings_from(cut.offset);
        if settings.last().zip(now.last()).is_none_or(|(then, now)| {
            (then.forget_after, then.settled_retention) != (now.forget_after, now.settled_retention)
        }) {
            settings.extend(now);
        }
        settings.retain(|line| line.from >= durable.log_start || line.from == cut.start);
        let refused =
            cut.refused.iter().copied().filter(|&offset| offset >= durable.log_start).collect();
        let partition = self.partition(shard, cut.start, cut.offset, refused, settings);
        let partition = Partition { backfill: cut.backfill, ..partition };
        Ok((Box::new(partition), Some((cut.owner, cut.commit))))
    }

    fn restore_open(
        &self,
        shard: &mut BoundedShard,
        event: &ExceptionEvent,
    ) -> Result<(), Failure> {
        let shown = || self.shared.config.log.tracking_numbers.show(&event.key);
        shard
            .restore_open(event)
            .map_err(|no_room| Failure::NoRoom(format!("the open package {}", shown()), no_room))?
            .map_err(|inconsistent| Failure::Inconsistent(shown(), inconsistent))
    }

    fn bounded(&self, shard: Shard) -> BoundedShard {
        BoundedShard::new(shard, &self.shared.room)
    }

    fn partition(
        &self,
        shard: BoundedShard,
        start: i64,
        offset: i64,
        refused: Vec<i64>,
        settings: Vec<StateSettings>,
    ) -> Partition {
        Partition {
            partition: self.partition,
            epoch: self.epoch,
            shard,
            offset,
            start,
            refused,
            settings,
            backfill: Backfill::Done,
        }
    }

    fn settings_from(&self, from: i64) -> Vec<StateSettings> {
        let defaults = self.shared.policies.defaults();
        let (forget_after, settled_retention) = (defaults.forget_after, defaults.settled_retention);
        vec![StateSettings { from, forget_after, settled_retention }]
    }

    fn start_offset(&self, reader: &Client, durable: &Durable) -> Result<i64, Failure> {
        let time = match self.shared.config.input.start_from {
            StartFrom::Committed | StartFrom::Earliest => return Ok(durable.log_start),
            StartFrom::Latest => return Ok(durable.log_end),
            StartFrom::At(time) => time,
        };
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(time.secs() * 1000);
        list.add_partition_offset(&self.shared.input, self.partition, at)?;
        let found = reader.offsets_for_times(list, REQUEST)?;
        Ok(match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => durable.log_end,
        })
    }

    /// Applies the records from `from` up to `to`, without ladders and without those refused. At a
    /// first start those later than `latest_ms` are refused now; gives their offsets.
    fn rebuild(
        &mut self,
        reader: &Client,
        shard: &mut BoundedShard,
        from: i64,
        to: i64,
        refused: &[i64],
        latest_ms: Option<i64>,
    ) -> Result<Vec<i64>, Failure> {
        let mut newly_refused = Vec::new();
        let mut decoder = self.shared.decoder()?;
        let partition = self.partition;
        let (mut records, progress) = (0u64, Stopwatch::start());
        let mut reported = Duration::ZERO;
        let log_append_time = &mut self.log_append_time;
        let topic = &self.shared.input;
        read(reader, topic, partition, from, to, self.cancelled, |record| {
            *log_append_time = Some(record.log_append_time);
            if latest_ms.zip(record.timestamp_ms).is_some_and(|(latest, time)| time > latest) {
                newly_refused.push(record.offset);
            } else if refused.binary_search(&record.offset).is_err() {
                apply(shard, &mut decoder, record)?;
            }
            records += 1;
            if progress.elapsed() > reported + PROGRESS {
                reported = progress.elapsed();
                let percent = (record.offset - from) * 100 / (to - from).max(1);
                tracing::info!(partition, records, percent, "rebuilding package state");
            }
            Ok(())
        })?;
        shard.settle();
        tracing::info!(partition, records, packages = shard.len(), "package state rebuilt");
        if !newly_refused.is_empty() {
            let count = newly_refused.len();
            tracing::warn!(partition, count, "records from the future are refused");
        }
        Ok(newly_refused)
    }
}

fn apply(
    shard: &mut BoundedShard,
    decoder: &mut ScanDecoder,
    record: &RecordView<'_>,
) -> Result<(), Failure> {
    let offset = record.offset;
    let origin = Origin { log_time: record.timestamp_ms, offset };
    let record = match decoder.decode(record.value.unwrap_or_default(), origin) {
        Ok(scan) => Record::Scan(scan),
        Err(rejected) => rejected.record(),
    };
    shard.apply(std::slice::from_ref(&record), &mut Vec::with_capacity(1)).map_err(|no_room| {
        Failure::NoRoom(format!("the package that the record at offset {offset} brings"), no_room)
    })
}

/// What a partition of the `open` topic holds.
pub struct Stored {
    /// The cut record.
    pub cut: Option<CutRecord>,
    /// The last event of every exception that is open, by record key.
    pub open: BTreeMap<Vec<u8>, ExceptionEvent>,
}

/// The owner and number of the commit that a partition's cut record names.
pub fn read_stamp(
    shared: &Shared,
    partition: i32,
) -> Result<Option<(String, u64)>, Box<dyn std::error::Error>> {
    let reader = kafka::reader(&shared.config.kafka)?;
    let asker = kafka::asker(&shared.config.kafka)?;
    let stored = read_open(shared, &reader, &asker, partition, &AtomicBool::new(false))?;
    Ok(stored.cut.map(|cut| (cut.owner, cut.commit)))
}

/// Reads a partition of the `open` topic to the end that a reader of uncommitted data sees, with a
/// reader of committed data: transactions that are pending are waited for.
fn read_open(
    shared: &Shared,
    reader: &Client,
    asker: &Client,
    partition: i32,
    cancelled: &AtomicBool,
) -> Result<Stored, Failure> {
    let topic = &shared.config.output.open;
    let end = kafka::end_offsets(asker, topic, &[partition])?.first().map_or(0, |(_, end)| *end);
    let (start, _) = reader.fetch_watermarks(topic, partition, REQUEST)?;
    let mut latest: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    read(reader, topic, partition, start, end, cancelled, |record| {
        let key = record.key.unwrap_or_default().to_vec();
        match record.value {
            Some(value) => latest.insert(key, value.to_vec()),
            None => latest.remove(&key),
        };
        Ok(())
    })?;
    let cut = latest.remove(CUT_KEY.as_bytes());
    let cut = cut.map(|bytes| CutRecord::from_bytes(&bytes)).transpose()?;
    let open = latest
        .into_iter()
        .map(|(key, value)| Ok((key, shared.exceptions.decode(&value)?)))
        .collect::<Result<_, ReadError>>()?;
    Ok(Stored { cut, open })
}

/// Reads a partition from `from` up to, not including, `to`, or to the first failure of `each`.
fn read(
    reader: &Client,
    topic: &str,
    partition: i32,
    from: i64,
    to: i64,
    cancelled: &AtomicBool,
    mut each: impl FnMut(&RecordView<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if from >= to {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(from))?;
    reader.assign(&list)?;
    let queue = EventQueue::of(reader);
    let mut reached = from;
    while reached < to {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Failure::Cancelled);
        }
        let mut trouble = Ok(());
        queue.poll(Duration::from_millis(100), |event| match event {
            Event::Record(record) => {
                if record.offset < to {
                    trouble = each(&record);
                }
                reached = record.offset + 1;
            }
            Event::EndOfPartition { offset, .. } => reached = reached.max(offset),
            Event::Error { code, text, .. }
                if kafka::meaning(code) == kafka::Meaning::Unreachable =>
            {
                tracing::debug!(partition, "{text}");
            }
            Event::Error { code, text, .. } => {
                tracing::warn!(partition, "reading {topic}: {text}");
                trouble = Err(KafkaError::MessageConsumption(code).into());
            }
            Event::Assigned(_) | Event::Revoked(_) => {}
        });
        trouble?;
    }
    reader.assign(&TopicPartitionList::new())?;
    Ok(())
}
