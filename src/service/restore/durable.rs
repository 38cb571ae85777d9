//! What the broker tells of the input, of the group, and of what is durable about a partition.

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Stored;
use crate::config::Config;
use crate::protocol::agree::Durable;
use crate::protocol::cut::Source;
use crate::service::Shared;
use crate::service::kafka::{self, Client, REQUEST};

/// Our group, and what the input is now.
pub fn source_of(config: &Config, client: &Client) -> Result<Source, KafkaError> {
    let input = config.input.topics.first().map_or("", String::as_str);
    let Some(found) = kafka::identity(client.client(), input)? else {
        return partitions_of(config, client);
    };
    let (group, partitions) = (config.kafka.group_id.clone(), found.partitions);
    Ok(Source { group, topic_id: found.id, partitions })
}

/// The same for a service; the brokers inside a client do not say which topic it is.
pub(super) fn source_of_input(shared: &Shared, client: &Client) -> Result<Source, KafkaError> {
    match shared.guards.embedded {
        true => partitions_of(&shared.config, client),
        false => source_of(&shared.config, client),
    }
}

/// The same without the topic's identity.
fn partitions_of(config: &Config, client: &Client) -> Result<Source, KafkaError> {
    let input = config.input.topics.first().map_or("", String::as_str);
    let partitions = kafka::partition_count(client, input)?;
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    Ok(Source { group: config.kafka.group_id.clone(), topic_id: None, partitions })
}

/// What is durable about a partition, given what the `open` topic holds, the brokers' clock since that
/// was read, and by how much clocks may differ, in milliseconds.
pub fn durable_of(
    (topic, partition): (&str, i32),
    reader: &Client,
    stored: Stored,
    (now_ms, margin_ms): (i64, i64),
) -> Result<Durable, KafkaError> {
    let (group, log_start, log_end) = group_and_log((topic, partition), reader)?;
    let Stored { cut, answer, .. } = stored;
    Ok(Durable { cut, group, log_start, log_end, answer, other: None, now_ms, margin_ms })
}

/// The group's offset with its metadata, and from where to where the log goes.
#[expect(clippy::type_complexity, reason = "three things that are asked for together")]
pub(super) fn group_and_log(
    (topic, partition): (&str, i32),
    reader: &Client,
) -> Result<(Option<(i64, String)>, i64, i64), KafkaError> {
    let (log_start, log_end) = reader.fetch_watermarks(topic, partition, REQUEST)?;
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let committed = reader.committed_offsets(list, REQUEST)?;
    let group = committed.elements().first().and_then(|element| match element.offset() {
        Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
        _ => None,
    });
    Ok((group, log_start, log_end))
}
