//! Writes records for their stamps alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::Time;
use crate::config::Kafka;
use crate::protocol::trusted_time::TIME_KEY;
use crate::service::kafka;

/// How long a record may be under way; another is handed over then.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Pause between two looks at what is wanted and what has come.
const LOOK: Duration = Duration::from_millis(5);

/// The thread that writes them. It ends when this is dropped.
pub struct Stamper {
    wanted: Sender<i32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stamper {
    /// Starts it. `owner` stands in the records, for whoever looks at them.
    ///
    /// # Errors
    /// When the client or the thread cannot be made.
    pub fn start(
        kafka: &Kafka,
        open: &str,
        owner: String,
        time: Arc<Time>,
    ) -> Result<Self, KafkaError> {
        let context = Acknowledgements { time: time.clone() };
        let producer: BaseProducer<Acknowledgements> = kafka::common(kafka)
            .set("acks", "all")
            .set("message.timeout.ms", UNDER_WAY.as_millis().to_string())
            .set("linger.ms", "0")
            .create_with_context(context)?;
        let (wanted, want) = bounded(1024);
        let (topic, owner) = (open.to_owned(), owner.into_bytes());
        let run = move || Writing { producer, time, topic, owner }.run(&want);
        let thread = std::thread::Builder::new().name("stamps".to_owned()).spawn(run);
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { wanted, thread: Some(thread) })
    }

    /// A stamp is wanted of a record of this partition that is handed over from now on.
    pub fn want(&self, partition: i32) {
        // A full queue has this partition in it, or whoever wants it asks again.
        let _ = self.wanted.try_send(partition);
    }
}

impl Drop for Stamper {
    fn drop(&mut self) {
        let (closed, _) = bounded(0);
        self.wanted = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Acknowledgements {
    time: Arc<Time>,
}

/// What befalls this client befalls those of the commits too, which tell of it.
impl ClientContext for Acknowledgements {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka client: {reason}");
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<i64>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<i64>) {
        self.time.acknowledged(result, *sent);
    }
}

struct Writing {
    producer: BaseProducer<Acknowledgements>,
    time: Arc<Time>,
    topic: String,
    owner: Vec<u8>,
}

impl Writing {
    /// Hands a record over for each partition that is wanted, once those before have come.
    fn run(&self, want: &Receiver<i32>) {
        let mut wanted = BTreeSet::new();
        loop {
            let under_way = self.producer.in_flight_count() > 0;
            let idle = if under_way || !wanted.is_empty() { Duration::ZERO } else { UNDER_WAY };
            match want.recv_timeout(idle) {
                Ok(partition) => drop(wanted.insert(partition)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            wanted.extend(want.try_iter());
            match under_way {
                true => self.producer.poll(LOOK),
                false => std::mem::take(&mut wanted).into_iter().for_each(|it| self.write(it)),
            }
        }
    }

    fn write(&self, partition: i32) {
        let sent = Box::new(self.time.mono());
        let record = BaseRecord::with_opaque_to(&self.topic, sent)
            .partition(partition)
            .key(TIME_KEY)
            .payload(&self.owner);
        if let Err((error, _)) = self.producer.send(record) {
            tracing::debug!(
                partition,
                "{}",
                kafka::explain(&error, "writing a record for its stamp")
            );
        }
    }
}
