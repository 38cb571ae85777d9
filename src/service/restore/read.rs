//! Reads a partition from an offset up to another.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Failure;
use crate::service::clock::Stopwatch;
use crate::service::commands;
use crate::service::kafka::{self, Client, REQUEST};
use crate::service::native::{Event, EventQueue, RecordView};

/// How long nothing may come before it is told.
const SILENT: Duration = Duration::from_secs(15);

/// Notices that nothing comes although there is more.
struct Waiting {
    since: Stopwatch,
    reached: i64,
    told: Duration,
}

impl Waiting {
    fn begin() -> Self {
        Self { since: Stopwatch::start(), reached: i64::MIN, told: Duration::ZERO }
    }

    /// Tells of it again and again as long as it lasts.
    fn tell(&mut self, reader: &Client, topic: &str, partition: i32, (reached, to): (i64, i64)) {
        if reached != self.reached {
            *self = Self { reached, ..Self::begin() };
        }
        let seconds = self.since.elapsed().as_secs();
        if self.since.elapsed() >= self.told + SILENT {
            self.told = self.since.elapsed();
            // To a reader of committed data a topic ends where the first open transaction begins.
            let stable = reader.fetch_watermarks(topic, partition, REQUEST);
            let from = stable.map_or(reached, |(_, stable)| stable);
            let end = commands::end_transaction(&reader.context().admin, topic, partition, from);
            tracing::warn!(
                "partition {partition} of {topic}: nothing to read at offset {reached} for {seconds} s, and it ends at {to}: a transaction is open from offset {from} on; its producer ends it, or the broker after that producer's transaction.timeout.ms; one that an instance of this service left is ended by that instance when it starts again; to end another that hangs, and drop what it holds: {end}"
            );
        }
    }
}

/// Reads a partition from `from` up to, not including, `to`, or to the first failure of `each`, or until
/// `stop` says so.
pub fn read(
    reader: &Client,
    topic: &str,
    partition: i32,
    from: i64,
    to: i64,
    stop: impl Fn() -> bool,
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
    let mut waiting = Waiting::begin();
    while reached < to {
        waiting.tell(reader, topic, partition, (reached, to));
        if stop() {
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
            Event::Error { code, .. } if kafka::meaning(code) == kafka::Meaning::Forbidden => {
                let error = KafkaError::MessageConsumption(code);
                trouble = Err(Failure::Forbidden { topic: topic.to_owned(), error });
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
