//! The tests' own Kafka client: topics, records in, records out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);
/// Large enough for the 10 MB record.
pub const LARGEST_RECORD: &str = "16777216";

/// A name that no other test of this process uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Creates a topic with settings of its own.
pub fn create_topic(bootstrap: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a client");
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let made = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()));
    for result in made.expect("the broker answers") {
        result.unwrap_or_else(|(name, code)| panic!("topic {name} was not created: {code}"));
    }
}

/// Deletes a topic and waits until it is gone.
#[allow(dead_code, reason = "for tests/kafka")]
pub fn delete_topic(bootstrap: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let deleted = runtime.block_on(admin.delete_topics(&[name], &AdminOptions::new()));
    for result in deleted.expect("the broker answers") {
        result.unwrap_or_else(|(name, code)| panic!("topic {name} was not deleted: {code}"));
    }
    let consumer = reader(bootstrap, "read_uncommitted");
    until(
        "the topic is gone",
        PATIENCE,
        || {
            let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
            metadata.topics().iter().all(|topic| topic.name() != name).then_some(())
        },
        || name.to_owned(),
    );
}

/// One record to produce.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// By the key, as Java clients do, where it is not said.
    pub partition: Option<i32>,
    /// Now, where it is not said.
    pub time_ms: Option<i64>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Produces records in order and waits until the broker has them all.
pub fn produce(bootstrap: &str, topic: &str, records: impl IntoIterator<Item = NewRecord>) {
    let producer: BaseProducer = config(bootstrap)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("compression.type", "zstd")
        .set("message.max.bytes", LARGEST_RECORD)
        .create()
        .expect("a producer");
    for record in records {
        send(&producer, topic, &record);
    }
    producer.flush(PATIENCE).expect("the broker takes every record");
}

/// Hands a record to a producer, waiting while it has no room.
pub fn send(producer: &BaseProducer, topic: &str, new: &NewRecord) {
    loop {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        record.key = new.key.as_deref();
        record.payload = new.value.as_deref();
        record.partition = new.partition;
        record.timestamp = new.time_ms;
        if !new.headers.is_empty() {
            let headers = new.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
            record = record.headers(headers);
        }
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => panic!("a record for {topic} was not taken: {error}"),
        }
    }
    producer.poll(Duration::ZERO);
}

/// The partitions of a topic with the offset behind the last record of each.
pub fn end_offsets(bootstrap: &str, topic: &str) -> BTreeMap<i32, i64> {
    let consumer = reader(bootstrap, "read_uncommitted");
    partitions(&consumer, topic)
        .into_iter()
        .map(|partition| {
            let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("offsets");
            (partition, end)
        })
        .collect()
}

/// Where a reader of this isolation level ends in the first partition of a topic.
#[allow(dead_code, reason = "not for tests/chaos")]
pub fn end_offset(bootstrap: &str, topic: &str, isolation: &str) -> i64 {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::End).expect("an offset");
    let reader = reader(bootstrap, isolation);
    // A broker that has just started may not lead the partition yet.
    until(
        "the end of a partition",
        PATIENCE,
        || {
            let found = reader.offsets_for_times(list.clone(), PATIENCE).expect("offsets");
            match found.elements().first().map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            }
        },
        || topic.to_owned(),
    )
}

/// Deletes the records below these offsets, by partition, as retention does in time.
pub fn delete_records(bootstrap: &str, topic: &str, below: &BTreeMap<i32, i64>) {
    let admin: AdminClient<DefaultClientContext> = config(bootstrap).create().expect("a client");
    let mut offsets = TopicPartitionList::new();
    for (&partition, &offset) in below {
        let offset = Offset::Offset(offset);
        offsets.add_partition_offset(topic, partition, offset).expect("an offset");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let deleted = runtime.block_on(admin.delete_records(&offsets, &AdminOptions::new()));
    for element in deleted.expect("the broker answers").elements() {
        element.error().expect("the records are deleted");
    }
}

/// What a group has committed, by partition; partitions without a commit are left out.
pub fn committed(bootstrap: &str, group: &str, topic: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer =
        config(bootstrap).set("group.id", group).create().expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    for partition in partitions(&consumer, topic) {
        wanted.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(wanted, PATIENCE).expect("the group's offsets");
    let offset = |offset| match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    let elements = found.elements();
    elements.iter().filter_map(|one| Some((one.partition(), offset(one.offset())?))).collect()
}

/// A consumer that may commit offsets of a group.
pub fn committing(bootstrap: &str, group: &str) -> BaseConsumer {
    config(bootstrap).set("group.id", group).create().expect("a consumer")
}

/// All committed records of a topic, by partition and offset.
pub fn read(bootstrap: &str, topic: &str) -> Vec<OwnedMessage> {
    let consumer = reader(bootstrap, "read_committed");
    let mut assignment = TopicPartitionList::new();
    let mut unfinished = partitions(&consumer, topic);
    for &partition in &unfinished {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("an offset to begin at");
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut found = Vec::new();
    until(
        "the end of every partition",
        PATIENCE,
        || {
            while let Some(next) = consumer.poll(Duration::from_millis(20)) {
                match next {
                    Ok(record) => found.push(record.detach()),
                    Err(KafkaError::PartitionEOF(partition)) => {
                        unfinished.retain(|&one| one != partition);
                    }
                    Err(error) => panic!("{topic} cannot be read: {error}"),
                }
            }
            unfinished.is_empty().then_some(())
        },
        || topic.to_owned(),
    );
    found.sort_by_key(|record| (record.partition(), record.offset()));
    found
}

/// The headers of a record in their order, values as text.
pub fn headers(record: &OwnedMessage) -> Vec<(String, String)> {
    let text = |header: Header<'_, &[u8]>| {
        let value = String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned();
        (header.key.to_owned(), value)
    };
    record.headers().map(|headers| headers.iter().map(text).collect()).unwrap_or_default()
}

/// The value of one header of a record.
pub fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    headers(record).into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the topic's metadata");
    let topic = metadata.topics().first().expect("the topic asked for");
    topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect()
}

fn reader(bootstrap: &str, isolation: &str) -> BaseConsumer {
    config(bootstrap)
        .set("group.id", "test-reader")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", LARGEST_RECORD)
        .create()
        .expect("a consumer")
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}
