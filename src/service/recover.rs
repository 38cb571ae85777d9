//! An operator's answer to a partition that has halted, written where the partition looks for it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::clock::{Stopwatch, SystemClock};
use super::clock_margin_ms;
use super::contents::ExceptionCodec;
use super::kafka::{self, REQUEST};
use super::restore::{OpenTopic, durable_of, read_open, source_of};
use super::time::{Stamper, Time};
use crate::config::Config;
use crate::protocol::agree::{ANSWER_KEY, Accept, Answer, Decision, Durable, decide, of_partition};
use crate::protocol::cut::Source;
use crate::protocol::rules::Rules;

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
    /// Nothing halts the partition that this would answer.
    #[error("partition {partition} does not halt for that: {why}")]
    NotAsked {
        /// The partition.
        partition: i32,
        /// How it stands.
        why: String,
    },
}

/// Accepts something for a partition. Safe at any time and as often as wanted: the answer names the
/// stored cut and the group's offset that it is about, and means nothing once these are others.
///
/// # Errors
/// When the broker does not answer, or the partition does not halt for what is accepted.
pub fn recover(config: &Config, partition: i32, accept: Accept) -> Result<Recovered, RecoverError> {
    let broker = |doing: &'static str| {
        move |error: KafkaError| RecoverError::Broker(kafka::explain(&error, doing))
    };
    let reader = kafka::reader(&config.kafka).map_err(broker("making a client"))?;
    let asker = kafka::asker(&config.kafka).map_err(broker("making a client"))?;
    let input = config.input.topics.first().map_or("", String::as_str);
    let source = source_of(config, &reader).map_err(broker("asking for the input"))?;
    let codec = ExceptionCodec::new(config.output.format);
    let topic = OpenTopic { name: &config.output.open, codec: &codec, partition };
    let stored = read_open(&topic, &reader, &asker, || false)
        .map_err(|failure| RecoverError::Broker(failure.to_string()))?;
    let margin_ms = clock_margin_ms(config, None);
    let now_ms =
        stamp(config, partition, margin_ms).map_err(broker("writing to the open topic"))?;
    let (durable, _) = durable_of((input, partition), &reader, stored, (now_ms, margin_ms))
        .map_err(broker("asking for the group's offset"))?;
    if durable.accepts(accept) {
        return Ok(Recovered::AlreadyAnswered);
    }
    asked(&durable, &source, accept).map_err(|why| {
        let why = of_partition(&why, partition);
        RecoverError::NotAsked { partition, why }
    })?;
    write(config, partition, &Answer::to(&durable, accept))?;
    Ok(Recovered::Answered(Box::new(durable)))
}

/// The brokers' clock at some moment from now on, in milliseconds.
fn stamp(config: &Config, partition: i32, margin_ms: i64) -> Result<i64, KafkaError> {
    let time = Time::new(Arc::new(SystemClock), margin_ms);
    let (kafka, open, owner) = (&config.kafka, &config.output.open, "recover".to_owned());
    let stamper = Stamper::start(kafka, open, owner, time.clone())?;
    let (patience, since) = (Stopwatch::start(), time.mono());
    loop {
        if let Some(now_ms) = time.next_stamp(&stamper, partition, since) {
            return Ok(now_ms);
        }
        if patience.elapsed() > REQUEST {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
        }
    }
}

/// Whether the partition halts, or may halt, for what is accepted.
fn asked(durable: &Durable, source: &Source, accept: Accept) -> Result<(), String> {
    // These only show while package state is rebuilt.
    let later =
        [Accept::Gap, Accept::NewLog, Accept::TrustLog, Accept::Rejections, Accept::OpenTable];
    let later = later.contains(&accept);
    match decide(durable, source, true, Rules::ALL) {
        Decision::Halt(reason) if reason.accepted_by() == accept => Ok(()),
        Decision::Halt(reason) => Err(reason.to_string()),
        Decision::Continue(_) if later => Ok(()),
        Decision::Continue(cut) => Err(format!("it goes on at offset {}", cut.offset)),
        Decision::FirstStart | Decision::ReadAgain => Err("nobody has worked on it yet".to_owned()),
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
