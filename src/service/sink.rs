//! The transactional producer: writes the contents of a commit cycle and commits them with their
//! offsets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::clock::Stopwatch;
use super::kafka::{self, Client, Context, Meaning, REQUEST};
use super::native::{self, OffsetsRefused, describe};
use super::rights::Operation;
use super::time::Time;
use crate::config::Kafka;
use crate::protocol::commit_cycle::Sent;
use written::{Stretch, Written};

/// One record to be written.
pub struct Outgoing {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition; by the key, as Java clients do it, where none is given.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The input partition it belongs to.
    pub of: i32,
    /// Names it in a message to an operator.
    pub name: String,
}

/// The offset of a partition, sent with the transaction.
pub struct CommittedOffset {
    /// The partition of the input.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// By which the offset can be seen to belong to its cut.
    pub metadata: String,
}

/// Something that no retry mends.
#[derive(Clone, Debug)]
pub struct Hopeless {
    /// The partition that must stop; `None`: nothing can be written at all.
    pub partition: Option<i32>,
    /// What is wrong and what to do.
    pub message: String,
}

type Failures = Arc<Mutex<VecDeque<(usize, KafkaError)>>>;

struct Deliveries {
    failures: Failures,
    context: Context,
    stamps: Stamps,
    cut_off: Arc<AtomicBool>,
}

/// Where the stamps of the `open` topic go.
#[derive(Clone)]
struct Stamps {
    time: Arc<Time>,
    open: Arc<str>,
    /// When the transaction was begun, on our monotonic clock.
    begun: Arc<AtomicI64>,
    written: Written,
}

impl Stamps {
    fn take(&self, result: &DeliveryResult<'_>) {
        if let Ok(message) = result
            && message.topic() == &*self.open
        {
            self.written.note(message.partition(), message.offset());
            self.time.acknowledged(result, self.begun.load(Ordering::Relaxed));
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.cut_off.store(true, Ordering::Relaxed);
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        self.stamps.take(result);
        if let Err((error, _)) = result {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push_back((index, error.clone()));
        }
    }
}

/// The producer of this instance.
pub struct Sink {
    kafka: Kafka,
    input: String,
    producer: Arc<BaseProducer<Deliveries>>,
    failures: Failures,
    stamps: Stamps,
    /// A connection has been lost since it was last looked after what hangs.
    cut_off: Arc<AtomicBool>,
    /// For the producer that comes next.
    pub memory: Memory,
}

impl Sink {
    /// Makes the producer. It is of use once [`Self::begin`] has succeeded. The stamps of the `open`
    /// topic tell `time` what time it is.
    pub fn new(
        kafka: &Kafka,
        input: &str,
        open: Arc<str>,
        time: Arc<Time>,
    ) -> Result<Self, KafkaError> {
        let begun = Arc::new(AtomicI64::new(time.mono()));
        Self::with(kafka, input, Stamps { time, open, begun, written: Written::default() })
    }

    fn with(kafka: &Kafka, input: &str, stamps: Stamps) -> Result<Self, KafkaError> {
        let failures = Failures::default();
        let (context, cut_off) = (Context::default(), Arc::<AtomicBool>::default());
        let (told, stamped) = (failures.clone(), stamps.clone());
        let context =
            Deliveries { failures: told, context, stamps: stamped, cut_off: cut_off.clone() };
        let producer = Arc::new(of_producer(kafka).create_with_context(context)?);
        let (kafka, input, memory) = (kafka.clone(), input.to_owned(), Memory::default());
        Ok(Self { kafka, input, producer, failures, stamps, cut_off, memory })
    }

    /// The same with what its predecessor knew.
    pub fn knowing(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Settles whatever transaction its predecessor left open.
    pub fn begin(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.producer.init_transactions(timeout)
    }

    /// Throws the producer away and makes a new one with the same transactional id.
    pub fn replace(&mut self) -> Result<(), KafkaError> {
        let new = Self::with(&self.kafka, &self.input, self.stamps.clone())?;
        new.begin(self.kafka.transaction_timeout)?;
        let memory = std::mem::take(&mut self.memory);
        *self = new.knowing(memory);
        Ok(())
    }

    /// Whether a connection has been lost: the broker may have started again, and what was committed
    /// may hang.
    pub fn was_cut_off(&self) -> bool {
        self.producer.poll(Duration::ZERO);
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Nothing hangs.
    pub fn is_whole(&self) {
        self.cut_off.store(false, Ordering::Relaxed);
    }

    /// Writes everything in one transaction, with the timestamp `now_ms`, and commits it, with the
    /// membership as it is when the offsets are sent; as another member than `as_member` it does not.
    pub fn send(
        &self,
        records: impl Iterator<Item = Outgoing>,
        now_ms: i64,
        offsets: &[CommittedOffset],
        member: &Client,
        as_member: Option<&str>,
    ) -> Result<Sent, Hopeless> {
        let group = (member, as_member);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.stamps.written.take();
        self.stamps.begun.store(self.stamps.time.mono(), Ordering::Relaxed);
        let mut written = Vec::new();
        let done = self
            .producer
            .begin_transaction()
            .map_err(Trouble::from)
            .and_then(|()| self.write(records, &mut written, now_ms))
            .and_then(|()| self.drain(&written))
            .map_err(|trouble| self.cause(trouble, &written, offsets, group))
            .and_then(|()| self.send_offsets(offsets, group));
        match done {
            Ok(()) => Ok(self.commit()),
            Err(trouble) => self.judge(trouble, &written),
        }
    }

    /// Which topic the input is; `None`: the broker does not tell.
    pub fn identity(&self) -> Result<Option<kafka::Identity>, KafkaError> {
        kafka::identity(self.producer.client(), &self.input)
    }

    /// Where the last transaction stands in the `open` topic.
    pub fn take_written(&self) -> BTreeMap<i32, Stretch> {
        self.stamps.written.take()
    }

    fn judge(&self, trouble: Trouble, records: &[Outgoing]) -> Result<Sent, Hopeless> {
        let of = &self.kafka;
        let message = self.not_allowed(&trouble, records).unwrap_or_else(|| {
            kafka::explain_as(of, &trouble.error, &trouble.doing, trouble.right)
        });
        trouble.judge(message)
    }

    /// The topics that must not be written to: a transaction that failed does not name them.
    fn not_allowed(&self, trouble: &Trouble, records: &[Outgoing]) -> Option<String> {
        let refused = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        if kafka::code(&trouble.error) != refused || trouble.right != Operation::Write {
            return None;
        }
        let topics: BTreeSet<&str> = records.iter().map(|record| &*record.topic).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let found = describe::topics(self.producer.client(), &topics, REQUEST).ok()?;
        let lacks = |found: &Result<describe::Topic, _>| match found {
            Ok(topic) => !topic.allowed.as_ref().is_none_or(|it| it.contains(&Operation::Write)),
            Err(code) => Some(*code) == refused,
        };
        let lacking: Vec<_> =
            found.iter().filter(|(_, found)| lacks(found)).map(|(name, _)| name.as_str()).collect();
        (!lacking.is_empty()).then(|| {
            let topics = lacking.join(", ");
            let code = RDKafkaErrorCode::TopicAuthorizationFailed;
            format!(
                "writing to topic {topics}: the user lacks the right Write on the topic ({code})"
            )
        })
    }

    /// Aborts the open transaction; false when the producer is of no more use.
    pub fn abort(&self) -> bool {
        match self.producer.abort_transaction(self.kafka.transaction_timeout) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "the transaction could not be aborted");
                false
            }
        }
    }

    /// Hands records over, one by one; of each only its name is kept.
    fn write(
        &self,
        records: impl Iterator<Item = Outgoing>,
        written: &mut Vec<Outgoing>,
        now_ms: i64,
    ) -> Result<(), Trouble> {
        for (index, record) in records.enumerate() {
            let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: value.as_ref() });
            }
            let mut out: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(&record.topic, index).headers(headers).timestamp(now_ms);
            if let Some(partition) = record.partition {
                out = out.partition(partition);
            }
            if let Some(key) = &record.key {
                out = out.key(key.as_slice());
            }
            if let Some(value) = &record.value {
                out = out.payload(value.as_slice());
            }
            let taken = self.enqueue(out).map_err(|error| Trouble::of(error, &record));
            let (key, value, headers) = (None, None, Vec::new());
            written.push(Outgoing { key, value, headers, ..record });
            taken?;
        }
        Ok(())
    }

    fn enqueue(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), KafkaError> {
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(5));
                    record = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits for every record with short polls: a commit would poll once for 100 ms instead.
    fn drain(&self, records: &[Outgoing]) -> Result<(), Trouble> {
        let waiting = Stopwatch::start();
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            if waiting.elapsed() > self.kafka.transaction_timeout {
                return Err(Trouble {
                    error: KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut),
                    partition: None,
                    doing: writing_to(records),
                    right: Operation::Write,
                    indefinite: None,
                });
            }
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.pop_front() {
            Some((index, error)) => Err(Trouble::of(error, &records[index])),
            None => Ok(()),
        }
    }

    /// Records of a transaction that failed are purged and tell nothing; the transaction does, as
    /// soon as something more is asked of it.
    fn cause(
        &self,
        trouble: Trouble,
        records: &[Outgoing],
        offsets: &[CommittedOffset],
        group: (&Client, Option<&str>),
    ) -> Trouble {
        let purged = [RDKafkaErrorCode::PurgeQueue, RDKafkaErrorCode::PurgeInflight];
        if !kafka::code(&trouble.error).is_some_and(|code| purged.contains(&code)) {
            return trouble;
        }
        match self.send_offsets(offsets, group) {
            Err(cause) => Trouble { doing: writing_to(records), right: Operation::Write, ..cause },
            Ok(()) => trouble,
        }
    }

    fn send_offsets(
        &self,
        offsets: &[CommittedOffset],
        (member, as_member): (&Client, Option<&str>),
    ) -> Result<(), Trouble> {
        let mut list = TopicPartitionList::new();
        for offset in offsets {
            let mut element = list.add_partition(&self.input, offset.partition);
            element.set_offset(Offset::Offset(offset.offset))?;
            element.set_metadata(&offset.metadata);
        }
        let sent = native::send_offsets(&self.producer, list, member, as_member, REQUEST);
        sent.map_err(|OffsetsRefused { code, indefinite }| Trouble {
            error: KafkaError::ConsumerCommit(code),
            partition: None,
            doing: format!("committing offsets of topic {}", self.input),
            right: Operation::Read,
            indefinite: Some(indefinite),
        })
    }

    fn commit(&self) -> Sent {
        let waiting = Stopwatch::start();
        loop {
            match self.producer.commit_transaction(REQUEST) {
                Ok(()) => return Sent::Committed,
                Err(KafkaError::Transaction(error))
                    if error.is_retriable()
                        && waiting.elapsed() < self.kafka.transaction_timeout =>
                {
                    tracing::warn!(%error, "the commit is tried again");
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    tracing::warn!(%error, "the transaction must be aborted");
                    return Sent::Abortable;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outcome of the commit is not known");
                    return Sent::Indefinite;
                }
            }
        }
    }
}

/// The producer's settings.
pub fn of_producer(kafka: &Kafka) -> ClientConfig {
    let mut config = kafka::common(kafka);
    config
        .set("transactional.id", kafka::transactional_id(kafka))
        .set("transaction.timeout.ms", kafka.transaction_timeout.as_millis().to_string())
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("compression.type", compression(kafka));
    config
}

fn compression(kafka: &Kafka) -> &str {
    kafka.properties.get("compression.type").map_or("zstd", String::as_str)
}

/// The topics of these records, for a message.
fn writing_to(records: &[Outgoing]) -> String {
    let topics: BTreeSet<&str> = records.iter().map(|record| &*record.topic).collect();
    format!("writing to {}", topics.into_iter().collect::<Vec<_>>().join(", "))
}

/// An error on the way, and what it concerned.
struct Trouble {
    error: KafkaError,
    partition: Option<i32>,
    doing: String,
    /// What a user must be allowed to do on the topic.
    right: Operation,
    /// Whether the producer is of no more use, where the error does not say it.
    indefinite: Option<bool>,
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        Self {
            error,
            partition: None,
            doing: "committing exceptions".to_owned(),
            right: Operation::Write,
            indefinite: None,
        }
    }
}

impl Trouble {
    fn of(error: KafkaError, record: &Outgoing) -> Self {
        let doing = format!("writing {} to topic {}", record.name, record.topic);
        Self { error, partition: Some(record.of), doing, right: Operation::Write, indefinite: None }
    }

    fn judge(self, message: String) -> Result<Sent, Hopeless> {
        let code = kafka::code(&self.error);
        if matches!(
            code,
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::InvalidRecord
            )
        ) {
            return Err(Hopeless { partition: self.partition, message });
        }
        if code.map(kafka::meaning) == Some(Meaning::Forbidden) {
            return Err(Hopeless { partition: None, message });
        }
        tracing::warn!("{message}");
        let indefinite = match &self.error {
            _ if self.indefinite.is_some() => self.indefinite == Some(true),
            KafkaError::Transaction(error) => error.is_fatal() || !error.txn_requires_abort(),
            _ => matches!(code, Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::ProducerFenced)),
        };
        Ok(if indefinite { Sent::Indefinite } else { Sent::Abortable })
    }
}

mod hanging;
pub use hanging::Memory;
#[cfg(test)]
mod tests;
mod written;
