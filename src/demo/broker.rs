//! The broker that librdkafka embeds, and how the demo speaks with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DefaultProducerContext, Producer, ProducerContext,
};

use super::show::DemoError;

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

/// Keeps the first failure of a delivery.
#[derive(Clone, Default)]
struct Receipts(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failure = self.0.lock().expect("no holder panics");
            failure.get_or_insert_with(|| error.clone());
        }
    }
}

/// Writes scans to their partitions, in order, and knows which have arrived.
pub struct ScanWriter {
    producer: BaseProducer<Receipts>,
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
            .set("linger.ms", "1")
            .create_with_context(receipts.clone())?;
        Ok(Self { producer, receipts, sent: 0 })
    }

    /// Sends a scan of this log time, in milliseconds since 1970.
    pub fn send(
        &mut self,
        partition: i32,
        key: &str,
        logged_ms: i64,
        payload: &[u8],
    ) -> Result<(), DemoError> {
        let record = BaseRecord::to(SCANS).partition(partition).key(key).payload(payload);
        let mut record = record.timestamp(logged_ms);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(10));
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
        self.producer.flush(PATIENCE)?;
        match self.receipts.0.lock().expect("no holder panics").take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Gives the client a moment to write and to hear of what was written.
    pub fn poll(&mut self) {
        self.producer.poll(Duration::from_millis(2));
    }

    /// Scans sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}
