//! Transactions without an end. A broker that starts again with a transaction to be ended may find
//! its partitions without a leader, take them for deleted and skip their end markers (Apache Kafka
//! 4.3.1: "these partitions are likely deleted already and hence can be skipped"). For the coordinator
//! the transaction is over; for the partitions it is open for ever, and holds every reader of
//! committed data behind it: our restores, and the subscribers. Other partitions of the same
//! transaction may have had their marker.
//!
//! A marker ends whatever its producer has open in a partition. So the next producer of the same name,
//! and nobody else, has one written to each partition that hangs, before it does anything else:
//!
//! 1. `left` reads what hangs and tells of each input partition whether it was committed: the broker
//!    said so to this process, or the group's offset, a row or an event of it can be seen.
//! 2. What was not is ended by a transaction that is aborted, and so is all that hangs of exceptions
//!    and dead letters: there is no record that their readers would skip.
//! 3. What was is ended by a transaction that is committed: by a tombstone in the open topic, which
//!    every reader of it skips, together with copies of its exceptions and dead letters and the
//!    group's offsets. Until then the copies are remembered. Where a process dies between the two
//!    transactions the next one finds them among what was aborted, as rows that name them still hang;
//!    where nothing hung but they, nobody notices, and they are lost.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Sink;
use crate::service::Shared;
use crate::service::kafka::{Client, REQUEST};
use crate::service::native;
use left::{Copies, Record};

mod left;
mod look;

/// Key of the records that are written for the sake of a marker.
const KEY: &str = ":hanging";
/// A transaction that is only under way ends within this time, mostly.
const PAUSE: Duration = Duration::from_secs(1);
/// How long is waited for others to end what hangs of theirs, before it is begun again.
const OTHERS: Duration = Duration::from_secs(30);

/// Where nothing can be read on: a topic and a partition, the offset and the end of what is there.
type Hanging = BTreeMap<(String, i32), (i64, i64)>;

/// Owner and number of the last commit of each partition that is known to have taken.
pub type Taken = BTreeMap<i32, (String, u64)>;

/// What a producer's successor of the same name is to know.
#[derive(Default)]
pub struct Memory {
    /// What the broker said to be committed.
    pub taken: Taken,
    /// What was committed and has been aborted where it hung.
    copies: Copies,
}

impl Sink {
    /// Whether something hangs, by whomsoever.
    pub fn hangs(&self, shared: &Shared) -> Result<bool, KafkaError> {
        let look = look::Look::new(shared, &self.kafka)?;
        Ok(!look.lasting()?.is_empty() || look.offsets_hang()?)
    }

    /// Ends what hangs under this producer's name.
    pub fn end_what_hangs(&mut self, shared: &Shared) -> Result<(), KafkaError> {
        if shared.guards.embedded {
            return Ok(());
        }
        let look = look::Look::new(shared, &self.kafka)?;
        let (hanging, offsets_hang) = (look.lasting()?, look.offsets_hang()?);
        if hanging.is_empty() && !offsets_hang && self.memory.copies.is_empty() {
            return Ok(());
        }
        let left = look.left(&hanging, &self.memory.taken)?;
        self.memory.copies.extend(left.copies());
        let offsets = if offsets_hang { left.offsets(&shared.input)? } else { None };
        let ends = |commit: bool| {
            let ends = |place: &(String, i32)| left.is_committed_at(&shared.topics.open, place);
            let places = hanging.keys().filter(move |place| ends(place) == commit);
            places.cloned().collect::<Vec<_>>()
        };
        let (aborted, committed) = (ends(false), ends(true));
        tracing::warn!(
            aborted = ?shown(&aborted),
            committed = ?shown(&committed),
            copied = self.memory.copies.len(),
            offsets_hang,
            "a transaction of an earlier producer has no end there, as a broker that starts again may leave it: it is ended"
        );
        let nobody = &look.reader;
        if !aborted.is_empty() || offsets_hang && offsets.is_none() {
            let offsets = (offsets_hang && offsets.is_none()).then(|| of_nothing(shared));
            self.mark(&aborted, &[], offsets.transpose()?, nobody)?;
            self.producer.abort_transaction(REQUEST)?;
        }
        look.drop_visible(&mut self.memory.copies)?;
        if !committed.is_empty() || !self.memory.copies.is_empty() || offsets.is_some() {
            let copies: Vec<_> = self.memory.copies.values().collect();
            self.mark(&committed, &copies, offsets, nobody)?;
            self.producer.commit_transaction(REQUEST)?;
        }
        self.memory.copies.clear();
        Ok(())
    }

    /// Begins a transaction that ends what hangs at these places, and behind the group's offsets.
    fn mark(
        &self,
        places: &[(String, i32)],
        copies: &[&Record],
        offsets: Option<TopicPartitionList>,
        nobody: &Client,
    ) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        for (topic, partition) in places {
            self.enqueue(
                BaseRecord::with_opaque_to(topic, 0).partition(*partition).key(KEY.as_bytes()),
            )?;
        }
        for copy in copies {
            let mut headers = OwnedHeaders::new_with_capacity(copy.headers.len());
            for (key, value) in &copy.headers {
                headers = headers.insert(Header { key, value: value.as_ref() });
            }
            let mut record: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(&copy.topic, 0)
                    .partition(copy.partition)
                    .headers(headers);
            record.timestamp = copy.timestamp_ms;
            record.key = copy.key.as_deref();
            record.payload = copy.value.as_deref();
            self.enqueue(record)?;
        }
        self.producer.flush(REQUEST)?;
        let Some(offsets) = offsets else { return Ok(()) };
        native::send_offsets(&self.producer, offsets, nobody, None, REQUEST)
            .map_err(|refused| KafkaError::ConsumerCommit(refused.code))
    }
}

/// An offset that means nothing to anybody, for the sake of the marker.
fn of_nothing(shared: &Shared) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&shared.topics.open, 0, Offset::Offset(0))?;
    Ok(list)
}

fn shown(places: &[(String, i32)]) -> Vec<String> {
    places.iter().map(|(topic, partition)| format!("{topic}-{partition}")).collect()
}
