//! Transactions without an end. A broker that starts again with a transaction to be ended may find
//! its partitions without a leader, take them for deleted and skip their end markers (Apache Kafka
//! 4.3.1: "these partitions are likely deleted already and hence can be skipped"). For the coordinator
//! the transaction is over; for the partitions it is open for ever, and holds every reader of
//! committed data behind it: our restores, and the subscribers.
//!
//! A marker ends whatever its producer has open in a partition. So the next producer of the same name
//! has one written to each partition that hangs, before it does anything else: by a transaction of
//! records that nobody gets to see, as it is aborted. Where we were told, or the group's offset shows,
//! that what hangs was committed, it is committed instead, by records that every reader of the open
//! topic skips.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Sink;
use crate::config::OnReject;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Client, REQUEST};
use crate::service::native;
use crate::service::restore::{Failure, read};

/// Key of the records that are written for the sake of a marker.
const KEY: &str = ":hanging";
/// A transaction of somebody else that is only under way ends within this time, mostly.
const PAUSE: Duration = Duration::from_secs(1);
/// How long offsets that others are just committing are waited for.
const STABLE: Duration = Duration::from_secs(3);

/// Where nothing can be read on: a topic and a partition, the offset and the end of what is there.
type Hanging = BTreeMap<(String, i32), (i64, i64)>;

/// Owner and number of the last commit of each partition that is known to have taken.
pub type Taken = BTreeMap<i32, (String, u64)>;

impl Sink {
    /// Ends what hangs under this producer's name.
    pub fn end_what_hangs(&self, shared: &Shared, taken: &Taken) -> Result<(), KafkaError> {
        if shared.guards.embedded {
            return Ok(());
        }
        let look =
            Look { shared, reader: kafka::reader(&self.kafka)?, asker: kafka::asker(&self.kafka)? };
        let before = look.hanging()?;
        let mut hanging = before.clone();
        if !before.is_empty() {
            std::thread::park_timeout(PAUSE);
            let now = look.hanging()?;
            hanging.retain(|place, (from, _)| now.get(place).is_some_and(|it| it.0 == *from));
        }
        let Some(offsets) = look.offsets() else { return Ok(()) };
        let offset = look.hanging_offset(&offsets)?;
        if hanging.is_empty() && offset.is_none() {
            return Ok(());
        }
        let committed = look.is_committed(&hanging, &offsets, taken)?;
        hanging.retain(|(topic, _), _| !committed || *topic == *shared.topics.open);
        let places: Vec<_> = hanging.keys().map(|(topic, at)| format!("{topic}-{at}")).collect();
        tracing::warn!(
            ?places,
            committed,
            "a transaction of an earlier producer has no end there, as a broker that starts again may leave it: it is ended"
        );
        self.mark(&hanging, offset, &look.reader, committed)
    }

    /// Has markers written to these partitions, and behind the group's offsets.
    fn mark(
        &self,
        hanging: &Hanging,
        offset: Option<TopicPartitionList>,
        nobody: &Client,
        commit: bool,
    ) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        for (topic, partition) in hanging.keys() {
            let record: BaseRecord<'_, str, [u8], usize> =
                BaseRecord::with_opaque_to(topic, 0).partition(*partition).key(KEY);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        self.producer.flush(REQUEST)?;
        if let Some(offset) = offset {
            native::send_offsets(&self.producer, offset, nobody, true, REQUEST)
                .map_err(|refused| KafkaError::ConsumerCommit(refused.code))?;
        }
        match commit {
            true => self.producer.commit_transaction(REQUEST),
            false => self.producer.abort_transaction(REQUEST),
        }
    }
}

/// Looks at what was left.
struct Look<'a> {
    shared: &'a Shared,
    /// Reads what is committed.
    reader: Client,
    /// Reads everything.
    asker: Client,
}

impl Look<'_> {
    /// Partitions of the topics that are written to where something is open.
    fn hanging(&self) -> Result<Hanging, KafkaError> {
        let topics = &self.shared.topics;
        let mut names = vec![&topics.open, &topics.exceptions];
        if self.shared.config.input.on_reject == OnReject::DeadLetter {
            names.push(&topics.dead_letter);
        }
        let mut hanging = Hanging::new();
        for name in names {
            let count = kafka::partition_count(&self.asker, name)?;
            let partitions: Vec<i32> = (0..i32::try_from(count).unwrap_or(i32::MAX)).collect();
            // The other way round, what comes in between would look as if it hung.
            let ends = kafka::end_offsets(&self.asker, name, &partitions)?;
            let stable = kafka::end_offsets(&self.reader, name, &partitions)?;
            for ((partition, end), (_, stable)) in ends.into_iter().zip(stable) {
                if stable < end {
                    hanging.insert((name.to_string(), partition), (stable, end));
                }
            }
        }
        Ok(hanging)
    }

    /// The group's offsets of the input, as they are; `None` where the broker does not tell.
    fn offsets(&self) -> Option<TopicPartitionList> {
        let told = self.partitions().and_then(|all| self.asker.committed_offsets(all, STABLE));
        told.map_err(|error| tracing::debug!(%error, "the group's offsets are not known")).ok()
    }

    /// One of the group's offsets as it is, if others hang behind them.
    fn hanging_offset(
        &self,
        known: &TopicPartitionList,
    ) -> Result<Option<TopicPartitionList>, KafkaError> {
        if self.reader.committed_offsets(self.partitions()?, STABLE).is_ok() {
            return Ok(None);
        }
        let first = known.elements().first().map(|element| element.offset());
        let mut one = TopicPartitionList::new();
        let offset = match first {
            Some(offset @ Offset::Offset(_)) => offset,
            _ => Offset::Offset(0),
        };
        one.add_partition_offset(&self.shared.input, 0, offset)?;
        Ok(Some(one))
    }

    fn partitions(&self) -> Result<TopicPartitionList, KafkaError> {
        let count = kafka::partition_count(&self.asker, &self.shared.input)?;
        let mut all = TopicPartitionList::new();
        for partition in 0..i32::try_from(count).unwrap_or(i32::MAX) {
            all.add_partition(&self.shared.input, partition);
        }
        Ok(all)
    }

    /// Whether what hangs was committed: it is known to have taken, or the group has the offset of a cut
    /// that hangs.
    fn is_committed(
        &self,
        hanging: &Hanging,
        offsets: &TopicPartitionList,
        taken: &Taken,
    ) -> Result<bool, KafkaError> {
        for ((topic, partition), (from, to)) in hanging {
            if **topic != *self.shared.topics.open {
                continue;
            }
            let Some(cut) = self.last_cut(*partition, (*from, *to))? else { continue };
            if taken.get(partition).is_some_and(|last| *last == (cut.owner.clone(), cut.commit)) {
                return Ok(true);
            }
            let group = offsets.find_partition(&self.shared.input, *partition);
            if group.is_some_and(|group| *group.metadata() == *cut.metadata()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last cut record that hangs in a partition of the open topic.
    fn last_cut(
        &self,
        partition: i32,
        (from, to): (i64, i64),
    ) -> Result<Option<CutRecord>, KafkaError> {
        let (mut cut, watch) = (None, Stopwatch::start());
        let late = || watch.elapsed() > REQUEST;
        let topic = &self.shared.topics.open;
        let read = read(&self.asker, topic, partition, from, to, late, |record| {
            if record.key == Some(CUT_KEY.as_bytes()) {
                cut = record.value.and_then(|value| CutRecord::from_bytes(value).ok());
            }
            Ok(())
        });
        match read {
            Ok(()) => Ok(cut),
            Err(Failure::Kafka(error)) => Err(error),
            Err(_) => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
}
