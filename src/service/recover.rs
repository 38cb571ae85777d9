//! An operator's answer to a partition that has halted, written where the partition looks for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::clock::{Stopwatch, SystemClock};
use super::clock_margin_ms;
use super::kafka::{self, Client, REQUEST};
use super::reach::check_input_and_open;
use super::restore::source_of;
use super::standing::{Place, Standing};
use super::time::{Stamper, Time};
use crate::config::Config;
use crate::protocol::agree::{ANSWER_KEY, Accept, Answer, Durable};
use crate::protocol::cut::Source;

pub use super::standing::Halted;

/// A halt that has just been said may not be written yet: how long it is looked for.
const JUST_SAID: Duration = Duration::from_secs(3);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// What became of an answer.
#[derive(Debug)]
pub enum Recovered {
    /// It is written: the partition finds it within seconds, or at the next start.
    Answered(Box<Durable>),
    /// It had been given before.
    AlreadyAnswered,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The broker could not be asked or told.
    #[error("{0}")]
    Broker(String),
    /// There is no such partition.
    #[error("there is no partition {0}: the input has {1}")]
    NoPartition(i32, i32),
    /// Nothing halts the partition that this would answer.
    #[error("partition {partition} does not halt for that: {why}")]
    NotAsked {
        /// The partition.
        partition: i32,
        /// How it stands.
        why: String,
    },
    /// Nothing halts any partition that this would answer.
    #[error("no partition halts for that: {0}")]
    NothingAsked(String),
    /// Partitions halt for several reasons that this would answer.
    #[error("partitions halt for several reasons that this answers, {0}: name one with --reason")]
    Several(String),
}

/// Whom an answer is for.
#[derive(Clone, Debug)]
pub enum Whom {
    /// One partition.
    Partition(i32),
    /// All that halt for the same reason, this one if there are several that are answered so.
    All {
        /// Its name.
        reason: Option<String>,
    },
}

/// Asks how partitions stand, and answers.
pub struct Desk<'c> {
    config: &'c Config,
    reader: Client,
    asker: Client,
    source: Source,
    time: Arc<Time>,
    stamper: Stamper,
}

impl<'c> Desk<'c> {
    /// Reaches the broker.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn open(config: &'c Config) -> Result<Self, RecoverError> {
        let broker = |doing: &'static str| {
            move |error: KafkaError| RecoverError::Broker(kafka::explain(&error, doing))
        };
        let client = broker("making a client");
        let reader = kafka::reader(&config.kafka).map_err(client)?;
        let asker = kafka::asker(&config.kafka).map_err(client)?;
        check_input_and_open(config, &asker).map_err(RecoverError::Broker)?;
        let source = source_of(config, &reader).map_err(broker("asking for the input"))?;
        let time = Time::new(Arc::new(SystemClock), clock_margin_ms(config, None));
        let (open, owner) = (&config.output.open, "recover".to_owned());
        let stamper = Stamper::start(&config.kafka, open, owner, time.clone()).map_err(client)?;
        Ok(Self { config, reader, asker, source, time, stamper })
    }

    /// Partitions of the input.
    pub fn partitions(&self) -> i32 {
        self.source.partitions
    }

    /// The partitions that halt, or would at the next start; of all, or whether this one does.
    ///
    /// # Errors
    /// When the broker does not answer, or there is no such partition.
    pub fn halted(&self, partition: Option<i32>) -> Result<Vec<Halted>, RecoverError> {
        let mut halted = Vec::new();
        for partition in partition.map_or(0..self.partitions(), |one| one..one.saturating_add(1)) {
            if let (_, Standing::Halts(found)) = self.look(partition)? {
                halted.push(found);
            }
        }
        Ok(halted)
    }

    /// Accepts something, for one partition or several. Safe at any time and as often as wanted: an
    /// answer names the stored cut and the group's offset that it is about, and means nothing once
    /// these are others.
    ///
    /// # Errors
    /// When the broker does not answer, or no partition halts for what is accepted.
    pub fn answer(
        &self,
        whom: &Whom,
        accept: Accept,
    ) -> Result<Vec<(i32, Recovered)>, RecoverError> {
        let whom = match whom {
            Whom::Partition(partition) => vec![*partition],
            Whom::All { reason } => self.all(accept, reason.as_deref())?,
        };
        let one = |partition| Ok((partition, self.answer_one(partition, accept)?));
        whom.into_iter().map(one).collect()
    }

    /// The partitions that halt for the one reason which this answers.
    fn all(&self, accept: Accept, reason: Option<&str>) -> Result<Vec<i32>, RecoverError> {
        let halted = self.halted(None)?;
        let mut by_reason: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for one in halted.iter().filter(|one| one.answers.contains(&accept)) {
            by_reason.entry(&one.reason).or_default().push(one.partition);
        }
        by_reason.retain(|name, _| reason.is_none_or(|reason| reason == *name));
        let named = |(name, of): (&&str, &Vec<i32>)| format!("{name} ({} partitions)", of.len());
        if by_reason.len() > 1 {
            let names: Vec<_> = by_reason.iter().map(named).collect();
            return Err(RecoverError::Several(names.join(", ")));
        }
        by_reason.into_values().next().ok_or_else(|| {
            let other = halted.iter().map(|one| format!("{} for {}", one.partition, one.reason));
            let other: Vec<_> = other.collect();
            RecoverError::NothingAsked(match other.is_empty() {
                true => "none is halted".to_owned(),
                false => format!("halted are {}", other.join(", ")),
            })
        })
    }

    fn answer_one(&self, partition: i32, accept: Accept) -> Result<Recovered, RecoverError> {
        let watch = Stopwatch::start();
        loop {
            let (durable, standing) = self.look(partition)?;
            if durable.as_ref().is_some_and(|durable| durable.accepts(accept)) {
                return Ok(Recovered::AlreadyAnswered);
            }
            let why = match (durable, standing) {
                (Some(durable), Standing::Halts(halted)) if halted.answers.contains(&accept) => {
                    write(self.config, partition, &Answer::to(&durable, accept))?;
                    return Ok(Recovered::Answered(Box::new(durable)));
                }
                (_, Standing::Halts(halted)) => {
                    let Halted { reason, message, answers, accepted, .. } = halted;
                    let why = format!("it halts for {reason}: {message}");
                    // One thing accepted may show another that must be.
                    if !answers.iter().any(|answer| accepted.contains(answer)) {
                        return Err(RecoverError::NotAsked { partition, why });
                    }
                    why
                }
                (_, Standing::GoesOn(offset)) => format!("it goes on at offset {offset}"),
                (_, Standing::First) => "nobody has worked on it yet".to_owned(),
            };
            if watch.elapsed() > JUST_SAID {
                return Err(RecoverError::NotAsked { partition, why });
            }
            std::thread::park_timeout(LOOK);
        }
    }

    fn look(&self, partition: i32) -> Result<(Option<Durable>, Standing), RecoverError> {
        if !(0..self.partitions()).contains(&partition) {
            return Err(RecoverError::NoPartition(partition, self.partitions()));
        }
        let Self { config, reader, asker, source, .. } = self;
        let place = Place { config, reader, asker, source };
        let looked = place.look(partition, || self.now(partition), || false);
        looked.map_err(RecoverError::Broker)
    }

    /// The brokers' clock at some moment from now on, and by how much clocks may differ, in
    /// milliseconds.
    fn now(&self, partition: i32) -> Result<(i64, i64), KafkaError> {
        let (patience, since) = (Stopwatch::start(), self.time.mono());
        loop {
            if let Some(now_ms) = self.time.next_stamp(&self.stamper, partition, since) {
                return Ok((now_ms, clock_margin_ms(self.config, None)));
            }
            if patience.elapsed() > REQUEST {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
            }
        }
    }
}

fn write(config: &Config, partition: i32, answer: &Answer) -> Result<(), RecoverError> {
    let failed = |error: &KafkaError| {
        RecoverError::Broker(kafka::explain(error, "writing to the open topic"))
    };
    let producer: BaseProducer = kafka::common(&config.kafka)
        .set("enable.idempotence", "true")
        .create()
        .map_err(|error| failed(&error))?;
    let value = answer.to_bytes();
    let record = BaseRecord::to(&config.output.open)
        .partition(partition)
        .key(ANSWER_KEY.as_bytes())
        .payload(value.as_slice());
    producer.send(record).map_err(|(error, _)| failed(&error))?;
    producer.flush(REQUEST + Duration::from_secs(5)).map_err(|error| failed(&error))
}
