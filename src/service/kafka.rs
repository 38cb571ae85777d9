//! Clients of the broker: how each is configured, and what its errors mean to an operator.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaConfRes;

use super::clock::Stopwatch;
use super::native::describe;
use super::rights::Operation;
use super::topics::administrator;
use super::{native, peer_name, sink};
use crate::config::{Config, Kafka};
use crate::wire::toml_reader::nearest;

/// How long one request to the broker may take.
pub const REQUEST: Duration = Duration::from_secs(10);
/// How much a reader has in advance: in KiB, and what it asks for at a time, compressed, in bytes.
const AHEAD: [(&str, &str); 2] =
    [("queued.max.messages.kbytes", "1024"), ("fetch.message.max.bytes", "262144")];
/// How long is listened to what a client tells of its connections.
const LISTEN: Duration = Duration::from_millis(200);

/// The context of every client: log lines go to tracing. What is told of connections is kept, as an
/// error that a call returns says only that there is none.
#[derive(Clone, Debug, Default)]
pub struct Context {
    heard: Arc<Mutex<Heard>>,
    /// How an administrator reaches the broker that it talks to.
    pub admin: String,
}

#[derive(Debug, Default)]
struct Heard {
    refused: Option<String>,
    other: Option<String>,
}

/// What a client was told of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The broker is there, and one of both does not trust the other.
    Refused(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "one does not let the other in: {why}"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl Context {
    /// What was told since the last time this was asked; a refusal before anything else.
    pub fn told(&self) -> Option<Told> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.refused.map(Told::Refused).or(heard.other.map(Told::Other))
    }

    fn hear(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        // That the broker ends a handshake comes as a failure of the connection.
        let refused =
            code.map(meaning) == Some(Meaning::NotTrusted) || reason.contains("SSL routines");
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let place = if refused { &mut heard.refused } else { &mut heard.other };
        *place = Some(reason.to_owned());
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, "kafka client: {message}"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka client: {message}"),
            _ => tracing::debug!(facility, "kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Comes behind each failed connection, which has been told.
            Some(RDKafkaErrorCode::AllBrokersDown) => tracing::debug!("kafka client: {reason}"),
            _ => tracing::warn!(%error, "kafka client: {reason}"),
        }
        self.hear(&error, reason);
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// A consumer as this service uses it.
pub type Client = BaseConsumer<Context>;

/// Listens for a moment to what a client that has no partitions tells of its connections.
pub fn listen(client: &Client) -> Option<Told> {
    let watch = Stopwatch::start();
    while let Some(left) = LISTEN.checked_sub(watch.elapsed()) {
        // The queue has records and errors too; here there are none that are not told as well.
        let _ = client.poll(left);
    }
    client.context().told()
}

/// What every client has in common.
pub fn common(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in &kafka.properties {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    config.set("client.id", peer_name::of_client(kafka));
    if let Some(rack) = &kafka.rack {
        config.set("client.rack", rack);
    }
    let security = &kafka.security;
    config.set("security.protocol", security.protocol.as_str());
    if let Some(sasl) = &security.sasl {
        config.set("sasl.mechanism", sasl.mechanism);
        config.set("sasl.username", &sasl.username);
        config.set("sasl.password", sasl.password.reveal());
    }
    if let Some(file) = &security.ca_file {
        config.set("ssl.ca.location", file.display().to_string());
    }
    if let Some(client) = &security.client {
        config.set("ssl.certificate.location", client.certificate_file.display().to_string());
        config.set("ssl.key.location", client.key_file.display().to_string());
        if let Some(password) = &client.key_password {
            config.set("ssl.key.password", password.reveal());
        }
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// What every consumer has in common: nothing is committed or skipped behind our back.
fn consumer(kafka: &Kafka) -> ClientConfig {
    let mut config = common(kafka);
    config
        .set("group.id", &kafka.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "5")
        .set("isolation.level", "read_committed");
    config
}

/// The member of the group that is given partitions.
pub fn member(config: &Config) -> KafkaResult<Client> {
    of_member(config).create_with_context(Context::default())
}

fn of_member(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut member = consumer(kafka);
    member
        .set("group.instance.id", &kafka.instance_id)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", kafka.session_timeout.as_millis().to_string());
    member
}

/// What the client says of one of its properties.
///
/// # Errors
/// It has none of this name, or not with this value.
pub fn check_property(name: &str, value: &str) -> Result<(), String> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let known = native::properties();
            let meant = nearest(name, known.iter().map(String::as_str));
            let meant = meant.map_or_else(String::new, |it| format!("; did you mean `{it}`?"));
            Err(format!("the Kafka client has no such property{meant}"))
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => Err(format!("the Kafka client says: {why}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes a client of each kind that the service has, with no broker to talk to.
///
/// # Errors
/// What the client refuses about the settings as a whole.
pub fn check_clients(config: &Config) -> Result<(), String> {
    let made = |error: KafkaError| explain(&error, "making a Kafka client");
    for mut consumer in [of_member(config), consumer(&config.kafka)] {
        let alone = consumer.remove("bootstrap.servers");
        let client: Client = alone.create_with_context(Context::default()).map_err(made)?;
        native::end_without_closing(client);
    }
    let mut producer = sink::of_producer(&config.kafka);
    let alone = producer.remove("bootstrap.servers");
    alone.create_with_context(Context::default()).map(|_: BaseProducer<Context>| ()).map_err(made)
}

/// A consumer that is told what to read: for restores. It commits nothing and joins nothing. There are
/// as many at a time as partitions are restored, so each holds little in advance.
pub fn reader(kafka: &Kafka) -> KafkaResult<Client> {
    let context = Context { admin: administrator(kafka), ..Context::default() };
    let mut reader = consumer(kafka);
    for (property, size) in AHEAD {
        if !kafka.properties.contains_key(property) {
            reader.set(property, size);
        }
    }
    reader.create_with_context(context)
}

/// A consumer that asks for end offsets as a reader of uncommitted data: the last stable offset
/// would lie while an input transaction is open.
pub fn asker(kafka: &Kafka) -> KafkaResult<Client> {
    consumer(kafka)
        .set("isolation.level", "read_uncommitted")
        .create_with_context(Context::default())
}

/// End offsets of partitions of a topic in one batched request.
pub fn end_offsets(
    asker: &Client,
    topic: &str,
    partitions: &[i32],
) -> KafkaResult<Vec<(i32, i64)>> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, *partition, Offset::End)?;
    }
    let answer = asker.offsets_for_times(list, REQUEST)?;
    let mut ends = Vec::with_capacity(partitions.len());
    for element in answer.elements() {
        element.error()?;
        if let Offset::Offset(end) = element.offset() {
            ends.push((element.partition(), end));
        }
    }
    Ok(ends)
}

/// Number of partitions of a topic.
pub fn partition_count(client: &Client, topic: &str) -> KafkaResult<usize> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    };
    match found.error() {
        Some(error) => Err(KafkaError::MetadataFetch(error.into())),
        None => Ok(found.partitions().len()),
    }
}

/// How long a broker may take to say which topic it is; it is asked again.
const IDENTITY: Duration = Duration::from_secs(3);

/// A topic as the broker has it now.
pub struct Identity {
    /// Its identity; `None`: the broker does not tell.
    pub id: Option<String>,
    /// Its partitions.
    pub partitions: i32,
}

/// Which topic it is; `None`: the broker does not tell.
pub fn identity<C: ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &str,
) -> KafkaResult<Option<Identity>> {
    let found = describe::topics(client, &[topic], IDENTITY)?;
    match found.into_iter().next() {
        Some((_, Ok(topic))) => {
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            Ok(Some(Identity { id: topic.id, partitions }))
        }
        Some((_, Err(code))) => Err(KafkaError::MetadataFetch(code)),
        None => Ok(None),
    }
}

/// How many brokers there are.
pub fn brokers<C: ClientContext>(client: &rdkafka::client::Client<C>) -> KafkaResult<usize> {
    Ok(client.fetch_metadata(None, REQUEST)?.brokers().len())
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A right is missing: no retry mends it.
    Forbidden,
    /// The login failed or TLS did not come about.
    NotTrusted,
    /// The topic is not there.
    NoSuchTopic,
    /// The broker cannot be reached or is not ready.
    Unreachable,
    /// Anything else.
    Other,
}

/// What an error code means.
pub fn meaning(code: RDKafkaErrorCode) -> Meaning {
    use RDKafkaErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Meaning::Forbidden,
        Code::SaslAuthenticationFailed | Code::Authentication | Code::SSL => Meaning::NotTrusted,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Meaning::NoSuchTopic
        }
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::RequestTimedOut
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::WaitingForCoordinator => Meaning::Unreachable,
        _ => Meaning::Other,
    }
}

/// The code of an error, where it has one.
pub fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// The same for work on a topic that needs this right.
pub fn explain_on_topic(error: &KafkaError, doing: &str, right: Operation) -> String {
    match code(error) {
        Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
            format!("{doing}: the user lacks the right {} on the topic ({code})", right.as_str())
        }
        _ => explain(error, doing),
    }
}

/// The same for work that goes by the group's and the producer's names.
pub fn explain_as(kafka: &Kafka, error: &KafkaError, doing: &str, right: Operation) -> String {
    match code(error) {
        Some(code @ RDKafkaErrorCode::GroupAuthorizationFailed) => format!(
            "{doing}: the user lacks the right Read on the consumer group {} ({code})",
            kafka.group_id
        ),
        Some(code @ RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => format!(
            "{doing}: the user lacks the right Write on the transactional id {} ({code})",
            transactional_id(kafka)
        ),
        _ => explain_on_topic(error, doing, right),
    }
}

/// The transactional id of this instance.
pub fn transactional_id(kafka: &Kafka) -> String {
    format!("{}/{}", kafka.group_id, kafka.instance_id)
}

/// An error in words that name the right that is missing, where it is one.
pub fn explain(error: &KafkaError, doing: &str) -> String {
    let Some(code) = code(error) else {
        return format!("{doing}: {error}");
    };
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            format!("{doing}: the user lacks the right to this topic ({code})")
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            format!("{doing}: the user lacks the right Read on the consumer group ({code})")
        }
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            format!("{doing}: the user lacks the right Write on the transactional id ({code})")
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            format!("{doing}: the user lacks the right IdempotentWrite on the cluster ({code})")
        }
        code => format!("{doing}: {error} ({code:?})"),
    }
}
