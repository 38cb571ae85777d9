//! Writes records for their stamps alone, and words of halts, which are stamped as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::Time;
use crate::config::Kafka;
use crate::protocol::halt::HALT_KEY;
use crate::protocol::trusted_time::TIME_KEY;
use crate::service::kafka;

/// How long a record may be under way; another is handed over then.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// Pause between two looks at what is wanted and what has come.
const LOOK: Duration = Duration::from_millis(5);

/// The thread that writes them. It ends when this is dropped.
pub struct Stamper {
    wanted: Sender<Wanted>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Words of halts, by partition.
type Words = BTreeMap<i32, Vec<u8>>;

enum Wanted {
    Stamp(i32),
    Word(i32, Vec<u8>),
}

/// What a record is under way for.
pub struct UnderWay {
    sent: i64,
    word: Option<(i32, Vec<u8>)>,
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
        let lost = Arc::new(Mutex::new(Words::new()));
        let context = Acknowledgements { time: time.clone(), lost: lost.clone() };
        let producer: BaseProducer<Acknowledgements> = kafka::common(kafka)
            .set("acks", "all")
            .set("message.timeout.ms", UNDER_WAY.as_millis().to_string())
            .set("linger.ms", "0")
            .create_with_context(context)?;
        let (wanted, want) = bounded(1024);
        let (topic, owner) = (open.to_owned(), owner.into_bytes());
        let run = move || Writing { producer, time, topic, owner, lost }.run(&want);
        let thread = std::thread::Builder::new().name("stamps".to_owned()).spawn(run);
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { wanted, thread: Some(thread) })
    }

    /// A stamp is wanted of a record of this partition that is handed over from now on.
    pub fn want(&self, partition: i32) {
        // A full queue has this partition in it, or whoever wants it asks again.
        let _ = self.wanted.try_send(Wanted::Stamp(partition));
    }

    /// Leaves the word of a halt in this partition, for as long as it takes the broker to take it.
    pub fn tell(&self, partition: i32, word: Vec<u8>) {
        // The thread takes whatever comes, and ends after this.
        let _ = self.wanted.send(Wanted::Word(partition, word));
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
    /// Words that the broker did not take.
    lost: Arc<Mutex<Words>>,
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
    type DeliveryOpaque = Box<UnderWay>;

    fn delivery(&self, result: &DeliveryResult<'_>, under_way: Box<UnderWay>) {
        self.time.acknowledged(result, under_way.sent);
        if let (Err(_), Some((partition, word))) = (result, under_way.word) {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, word);
        }
    }
}

struct Writing {
    producer: BaseProducer<Acknowledgements>,
    time: Arc<Time>,
    topic: String,
    owner: Vec<u8>,
    lost: Arc<Mutex<Words>>,
}

impl Writing {
    /// Hands a record over for each partition that is wanted, once those before have come.
    fn run(&self, want: &Receiver<Wanted>) {
        let (mut stamps, mut words) = (BTreeSet::new(), Words::new());
        loop {
            let under_way = self.producer.in_flight_count() > 0;
            let idle = match under_way || !stamps.is_empty() || !words.is_empty() {
                true => Duration::ZERO,
                false => UNDER_WAY,
            };
            let first = match want.recv_timeout(idle) {
                Ok(wanted) => Some(wanted),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            for wanted in first.into_iter().chain(want.try_iter()) {
                match wanted {
                    Wanted::Stamp(partition) => drop(stamps.insert(partition)),
                    Wanted::Word(partition, word) => drop(words.insert(partition, word)),
                }
            }
            if under_way {
                self.producer.poll(LOOK);
                continue;
            }
            for (partition, word) in self.take_lost() {
                words.entry(partition).or_insert(word);
            }
            for (partition, word) in std::mem::take(&mut words) {
                self.write(partition, Some(word));
                stamps.remove(&partition);
            }
            std::mem::take(&mut stamps).into_iter().for_each(|it| self.write(it, None));
        }
    }

    fn take_lost(&self) -> Words {
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, partition: i32, word: Option<Vec<u8>>) {
        let (key, value) = match &word {
            Some(word) => (HALT_KEY, word.clone()),
            None => (TIME_KEY, self.owner.clone()),
        };
        let word = word.map(|word| (partition, word));
        let under_way = Box::new(UnderWay { sent: self.time.mono(), word });
        let record = BaseRecord::with_opaque_to(&self.topic, under_way)
            .partition(partition)
            .key(key)
            .payload(&value);
        if let Err((error, record)) = self.producer.send(record) {
            self.lost
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(record.delivery_opaque.word);
            tracing::debug!(
                partition,
                "{}",
                kafka::explain(&error, "writing a record for its stamp")
            );
        }
    }
}
