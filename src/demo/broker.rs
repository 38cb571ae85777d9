//! The broker that librdkafka embeds, and how the demo speaks with it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ProducerContext, ThreadedProducer};

use super::show::DemoError;
use crate::service::trace::TRACEPARENT;

/// The topics of the demo, by the default names of the service.
pub const SCANS: &str = "carrier.scans.v1";
/// Every event of an exception.
pub const EXCEPTIONS: &str = "tracking.exceptions.v1";
/// What is open.
pub const OPEN: &str = "tracking.exceptions.open.v1";
/// Scans that were rejected.
pub const DEAD_LETTERS: &str = "tracking.scans.dlq.v1";

/// How long the embedded broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Kafka broker inside this process, on a free loopback port, alive as long as this value.
///
/// It keeps about 5 MiB of a partition's end, and it fakes transactions: aborted records stay
/// visible and commits of the fenced are taken.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl EmbeddedBroker {
    /// Starts it and creates the demo's topics.
    pub fn start(partitions: i32) -> Result<Self, DemoError> {
        let cluster = MockCluster::new(1)?;
        for topic in [SCANS, EXCEPTIONS, OPEN, DEAD_LETTERS] {
            cluster.create_topic(topic, partitions, 1)?;
        }
        Ok(Self { cluster })
    }

    /// `host:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// How far deliveries have come.
#[derive(Clone, Default)]
struct Receipts(Arc<(Mutex<Delivered>, Condvar)>);

#[derive(Default)]
struct Delivered {
    count: u64,
    failure: Option<KafkaError>,
}

impl Receipts {
    fn lock(&self) -> MutexGuard<'_, Delivered> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this many have arrived or failed. False if that takes too long.
    fn wait_for(&self, count: u64) -> bool {
        let waiting = self.0.1.wait_timeout_while(self.lock(), PATIENCE, |got| got.count < count);
        !waiting.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.lock();
        delivered.count += 1;
        if let Err((error, _)) = result {
            delivered.failure.get_or_insert_with(|| error.clone());
        }
        self.0.1.notify_one();
    }
}

/// Writes scans to their partitions, in order, and knows which have arrived.
pub struct ScanWriter {
    producer: ThreadedProducer<Receipts>,
    receipts: Receipts,
    sent: u64,
}

impl ScanWriter {
    /// A writer to this broker.
    pub fn connect(bootstrap_servers: &str) -> Result<Self, DemoError> {
        let receipts = Receipts::default();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("client.id", "stallwatch-demo-network")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "1")
            // One batch a partition and step: the embedded broker searches them one by one.
            .set("linger.ms", "5")
            .create_with_context(receipts.clone())?;
        Ok(Self { producer, receipts, sent: 0 })
    }

    /// Sends a scan of this log time, in milliseconds since 1970, with its trace context if it has one.
    pub fn send(
        &mut self,
        partition: i32,
        key: &str,
        logged_ms: i64,
        payload: &[u8],
        context: Option<&str>,
    ) -> Result<(), DemoError> {
        let record = BaseRecord::to(SCANS).partition(partition).key(key).payload(payload);
        let mut record = record.timestamp(logged_ms);
        if context.is_some() {
            let header = Header { key: TRACEPARENT, value: context };
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.receipts.wait_for(self.sent);
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits until the broker has everything that was sent.
    pub fn settle(&mut self) -> Result<(), DemoError> {
        if !self.receipts.wait_for(self.sent) {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut).into());
        }
        match self.receipts.lock().failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Scans sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}
