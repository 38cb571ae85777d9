//! An ordinary consumer of the topic of exceptions: what it reads is what a subscriber would read.

use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::broker::EXCEPTIONS;
use super::show::DemoError;
use crate::detector::exception::ExceptionEvent;
use crate::wire::exception::{AvroExceptions, EXCEPTION_SCHEMA};

/// How long the embedded broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// `C3 01` and the schema's fingerprint stand in front of a datum.
const SINGLE_OBJECT_HEADER: usize = 10;

/// Reads every partition of the topic from its beginning.
pub struct Onlooker {
    consumer: BaseConsumer,
    exceptions: AvroExceptions,
    schema: Schema,
    /// The next offset of every partition.
    next: Vec<i64>,
}

impl Onlooker {
    /// An onlooker at this broker.
    pub fn connect(bootstrap_servers: &str, partitions: i32) -> Result<Self, DemoError> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "stallwatch-demo-onlooker")
            .set("group.id", "stallwatch-demo-onlooker")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            // The embedded broker sits out the wait even when something arrives.
            .set("fetch.wait.max.ms", "20")
            .create()?;
        let mut places = TopicPartitionList::new();
        for partition in 0..partitions {
            places.add_partition_offset(EXCEPTIONS, partition, Offset::Beginning)?;
        }
        consumer.assign(&places)?;
        let (exceptions, schema) = (AvroExceptions::new(), Schema::parse_str(EXCEPTION_SCHEMA)?);
        Ok(Self { consumer, exceptions, schema, next: vec![0; partitions as usize] })
    }

    /// The next event with its time of detection in milliseconds since 1970, or `None` if nothing
    /// came for a moment.
    pub fn next(&mut self) -> Result<Option<(ExceptionEvent, Option<i64>)>, DemoError> {
        let Some(message) = self.consumer.poll(Duration::from_millis(50)) else {
            return Ok(None);
        };
        let message = message?;
        self.next[message.partition() as usize] = message.offset() + 1;
        let payload = message.payload().unwrap_or_default();
        let event = self.exceptions.from_avro(payload)?;
        Ok(Some((event, self.detected_ms(payload)?)))
    }

    /// What the service adds to an event, and the detector does not know.
    fn detected_ms(&self, payload: &[u8]) -> Result<Option<i64>, DemoError> {
        let mut datum = payload.get(SINGLE_OBJECT_HEADER..).unwrap_or_default();
        let reader = GenericDatumReader::builder(&self.schema).build()?;
        let Value::Record(fields) = reader.read_value(&mut datum)? else {
            return Ok(None);
        };
        let field = fields.into_iter().find(|(name, _)| name == "detected_time");
        Ok(match field.map(|(_, value)| value) {
            Some(Value::Union(_, value)) => match *value {
                Value::TimestampMillis(ms) => Some(ms),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether the end of every partition has been reached, as the broker has it now.
    pub fn has_read_everything(&self) -> Result<bool, DemoError> {
        for (partition, &next) in (0..).zip(&self.next) {
            let (_, end) = self.consumer.fetch_watermarks(EXCEPTIONS, partition, PATIENCE)?;
            if next < end {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
