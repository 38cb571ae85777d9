//! Looks for what hangs, and reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::left::{Copies, Left, OfOpen, Record};
use super::{Hanging, OTHERS, PAUSE, Taken};
use crate::config::{Kafka, OnReject};
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Client, REQUEST};
use crate::service::native::{RecordView, describe};
use crate::service::restore::{Failure, read};

/// What the broker says to who may not read the group.
const FORBIDDEN: RDKafkaErrorCode = RDKafkaErrorCode::GroupAuthorizationFailed;
/// How long offsets that others are just committing are waited for.
const STABLE: std::time::Duration = std::time::Duration::from_secs(3);
/// So often at most it is looked whether something still hangs.
const LOOKS: usize = 5;
/// Records in front of what hangs among which the rest of its transaction is.
const TAIL: i64 = 20_000;
/// Its rest is not older than this, in milliseconds, whatever clock the topic has.
const AGE_MS: i64 = 3_600_000;

/// From where to where each partition is read.
type Tails = Vec<(i32, (i64, i64))>;

/// Looks at what was left.
pub struct Look<'a> {
    shared: &'a Shared,
    kafka: &'a Kafka,
    /// Reads what is committed.
    pub reader: Client,
    /// Reads everything.
    asker: Client,
}

impl<'a> Look<'a> {
    pub fn new(shared: &'a Shared, kafka: &'a Kafka) -> Result<Self, KafkaError> {
        let (reader, asker) = (kafka::reader(kafka)?, kafka::asker(kafka)?);
        Ok(Self { shared, kafka, reader, asker })
    }

    /// Places where something is open for longer than a transaction under way would be.
    pub fn lasting(&self) -> Result<Hanging, KafkaError> {
        let mut before = self.hanging()?;
        for _ in 0..LOOKS {
            if before.is_empty() {
                return Ok(before);
            }
            std::thread::park_timeout(PAUSE);
            // Others may have ended what was in front, so that it begins further behind now.
            let mut hanging = self.hanging()?;
            hanging.retain(|place, _| before.contains_key(place));
            let stands = hanging.iter().all(|(place, (from, _))| before[place].0 == *from);
            before = hanging;
            if stands {
                break;
            }
        }
        Ok(before)
    }

    fn hanging(&self) -> Result<Hanging, KafkaError> {
        let mut hanging = Hanging::new();
        for name in self.topics() {
            let partitions = self.partitions_of(name)?;
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

    /// The topics that are written to.
    fn topics(&self) -> Vec<&Arc<str>> {
        let topics = &self.shared.topics;
        let mut names = vec![&topics.open, &topics.exceptions];
        if self.shared.config.input.on_reject == OnReject::DeadLetter {
            names.push(&topics.dead_letter);
        }
        names
    }

    fn partitions_of(&self, topic: &str) -> Result<Vec<i32>, KafkaError> {
        let count = kafka::partition_count(&self.asker, topic)?;
        Ok((0..i32::try_from(count).unwrap_or(i32::MAX)).collect())
    }

    /// Whether offsets of the group hang: nobody who wants stable ones is told any.
    pub fn offsets_hang(&self) -> Result<bool, KafkaError> {
        match self.reader.committed_offsets(self.input()?, STABLE) {
            Ok(_) => Ok(false),
            // Whoever wants none that are stable is told: else it is something else.
            Err(_) => {
                self.may_read_group()?;
                self.asker.committed_offsets(self.input()?, STABLE).map(|_| true)
            }
        }
    }

    /// The client does not say that it may not read the group's offsets: it asks again until its time is
    /// up.
    fn may_read_group(&self) -> Result<(), KafkaError> {
        match describe::group(self.asker.client(), &self.kafka.group_id, STABLE) {
            Err(error) if kafka::code(&error) == Some(FORBIDDEN) => Err(error),
            _ => Ok(()),
        }
    }

    fn input(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut all = TopicPartitionList::new();
        for partition in self.partitions_of(&self.shared.input)? {
            all.add_partition(&self.shared.input, partition);
        }
        Ok(all)
    }

    /// What hangs, and what can be seen of it.
    pub fn left(&self, hanging: &Hanging, taken: &Taken) -> Result<Left, KafkaError> {
        let (open, exceptions) = (&self.shared.topics.open, &self.shared.topics.exceptions);
        let mut left = Left { taken: taken.clone(), ..Left::default() };
        for ((topic, partition), (from, to)) in hanging {
            let mut of_open = OfOpen::default();
            self.each(&self.asker, topic, *partition, (*from, *to), |record| {
                left.since_ms = left.since_ms.into_iter().chain(record.timestamp_ms).min();
                if **topic == **open {
                    of_open.see(record, self.kafka);
                } else {
                    left.others.extend(Record::of(topic, record));
                }
            })?;
            if **topic == **open && !of_open.cuts.is_empty() {
                left.hanging.insert(*partition, of_open);
            }
        }
        for (partition, range) in self.tails(open, left.since_ms)? {
            let mut of_open = OfOpen::default();
            self.each(&self.reader, open, partition, range, |record| {
                of_open.see(record, self.kafka);
            })?;
            left.visible.insert(partition, of_open);
        }
        if !left.hanging.is_empty() {
            for topic in self.topics().into_iter().filter(|topic| topic != &open) {
                let (seen, unseen) = self.seen_and_unseen(topic, left.since_ms)?;
                left.add_aborted(unseen);
                if topic == exceptions {
                    left.events = seen;
                }
            }
        }
        left.group = self.group()?;
        Ok(left)
    }

    /// Names of what can be seen of a topic, and what was written up to there and cannot.
    fn seen_and_unseen(
        &self,
        topic: &str,
        since_ms: Option<i64>,
    ) -> Result<(BTreeSet<String>, Vec<Record>), KafkaError> {
        let (mut seen, mut unseen) = (BTreeSet::new(), Vec::new());
        for (partition, range) in self.tails(topic, since_ms)? {
            self.each(&self.reader, topic, partition, range, |record| {
                seen.extend(Record::of(topic, record).map(|it| it.name));
            })?;
            self.each(&self.asker, topic, partition, range, |record| {
                let record = Record::of(topic, record);
                unseen.extend(record.filter(|it| !seen.contains(&it.name)));
            })?;
        }
        Ok((seen, unseen))
    }

    /// The ends of a topic's partitions as a reader of committed data sees them.
    fn tails(&self, topic: &str, since_ms: Option<i64>) -> Result<Tails, KafkaError> {
        let partitions = self.partitions_of(topic)?;
        let mut since = TopicPartitionList::new();
        for partition in &partitions {
            let since_ms = Offset::Offset(since_ms.map_or(0, |it| it - AGE_MS).max(0));
            since.add_partition_offset(topic, *partition, since_ms)?;
        }
        let since = self.asker.offsets_for_times(since, REQUEST)?;
        let mut tails = Vec::new();
        for (partition, end) in kafka::end_offsets(&self.reader, topic, &partitions)? {
            let (start, _) = self.reader.fetch_watermarks(topic, partition, REQUEST)?;
            let since = since.find_partition(topic, partition).map(|it| it.offset());
            let from = match since {
                Some(Offset::Offset(since)) => since,
                _ => end,
            };
            tails.push((partition, (from.max(end - TAIL).max(start), end)));
        }
        Ok(tails)
    }

    /// Metadata of the group's offsets as they are.
    fn group(&self) -> Result<BTreeMap<i32, String>, KafkaError> {
        let offsets = self.asker.committed_offsets(self.input()?, REQUEST)?;
        let told = |offset| matches!(offset, Offset::Offset(_));
        let elements = offsets.elements();
        let known = elements.iter().filter(|element| told(element.offset()));
        Ok(known.map(|it| (it.partition(), it.metadata().to_owned())).collect())
    }

    /// Drops the copies of what can be seen after all: it was committed, and hidden behind what
    /// another instance had left. Waits for that to be ended.
    pub fn drop_visible(&self, copies: &mut Copies) -> Result<(), KafkaError> {
        let mut places = BTreeMap::new();
        for copy in copies.values() {
            let from = places.entry((copy.topic.clone(), copy.partition)).or_insert(copy.offset);
            *from = copy.offset.min(*from);
        }
        for ((topic, partition), from) in places {
            let ends = kafka::end_offsets(&self.asker, &topic, &[partition])?;
            let to = ends.first().map_or(from, |(_, end)| *end);
            self.each(&self.reader, &topic, partition, (from, to), |record| {
                if let Some(seen) = Record::of(&topic, record) {
                    copies.remove(&seen.name);
                }
            })?;
        }
        Ok(())
    }

    fn each(
        &self,
        client: &Client,
        topic: &str,
        partition: i32,
        (from, to): (i64, i64),
        mut look: impl FnMut(&RecordView<'_>),
    ) -> Result<(), KafkaError> {
        let watch = Stopwatch::start();
        let late = || watch.elapsed() > OTHERS;
        let read = read(client, topic, partition, from, to, late, |record| {
            look(record);
            Ok(())
        });
        match read {
            Ok(()) => Ok(()),
            Err(Failure::Kafka(error) | Failure::Forbidden { error, .. }) => Err(error),
            Err(_) => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
        }
    }
}
