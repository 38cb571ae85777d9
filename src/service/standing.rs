//! How a partition stands by what is durable, for whoever asks beside the service: it goes on, or it
//! halts and why.

use rdkafka::error::KafkaError;

use super::contents::ExceptionCodec;
use super::kafka::{self, Client};
use super::restore::{OpenTopic, durable_of, read_open};
use super::rights::quote;
use crate::config::Config;
use crate::protocol::agree::{Accept, Decision, Durable, decide, of_partition};
use crate::protocol::cut::Source;
use crate::protocol::halt::{About, HaltRecord, Other};
use crate::protocol::rules::Rules;

/// A partition that halts, or would at the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// The partition.
    pub partition: i32,
    /// The name of the reason.
    pub reason: String,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The answers that let it go on, each of them.
    pub answers: Vec<Accept>,
    /// What has been answered already.
    pub accepted: Vec<Accept>,
    /// Since when, in milliseconds since 1970 UTC, where an instance has told.
    pub since_ms: Option<i64>,
}

/// How a partition stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nobody has worked on it before.
    First,
    /// It goes on at this offset.
    GoesOn(i64),
    /// An operator, or a change of something, is waited for.
    Halts(Halted),
}

/// Where it is looked at.
pub struct Place<'a> {
    /// Of the service.
    pub config: &'a Config,
    /// Reads.
    pub reader: &'a Client,
    /// Asks for end offsets.
    pub asker: &'a Client,
    /// Our group, and what the input is.
    pub source: &'a Source,
}

impl Place<'_> {
    /// Looks at a partition; again where a reading does not agree and a commit may have come between, as the
    /// service does.
    /// `now` tells what time it is after a reading, in milliseconds, and by how much clocks may differ.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn look(
        &self,
        partition: i32,
        now: impl Fn() -> Result<(i64, i64), KafkaError>,
        stop: impl Fn() -> bool,
    ) -> Result<(Option<Durable>, Standing), String> {
        let Self { config, reader, asker, source } = *self;
        let codec = ExceptionCodec::new(config.output.format);
        let input = config.input.topics.first().map_or("", String::as_str);
        let (name, codec) = (config.output.open.as_str(), &codec);
        let open = OpenTopic { name, codec, partition, turns: None };
        let asking = |error| kafka::explain(&error, "asking for the group's offset");
        let mut before = None;
        loop {
            let mut stored = match read_open(&open, reader, asker, &stop) {
                Ok(stored) => stored,
                Err(failure) if failure.is_for_good() => {
                    let message = format!("the open topic {}: {failure}", open.name);
                    let halted = Halted::new(partition, Other::Unreadable.name(), message);
                    return Ok((None, Standing::Halts(halted)));
                }
                Err(failure) => {
                    return Err(format!("reading {}, partition {partition}: {failure}", open.name));
                }
            };
            let word = stored.halt.take();
            let time = now().map_err(asking)?;
            let of = (input, partition);
            let durable = durable_of(of, reader, stored, time).map_err(asking)?;
            match decide(&durable, source, before.as_ref(), Rules::ALL) {
                Decision::ReadAgain if before.is_none() => before = Some(About::of(&durable)),
                decision => {
                    let standing = self.standing(partition, &durable, decision, word);
                    return Ok((Some(durable), standing));
                }
            }
        }
    }

    /// By what is durable, and by the word that an instance has left where that does not show it.
    fn standing(
        &self,
        partition: i32,
        durable: &Durable,
        decision: Decision,
        word: Option<HaltRecord>,
    ) -> Standing {
        let accepted = Accept::ALL.iter().copied().filter(|accept| durable.accepts(*accept));
        let accepted = accepted.collect();
        let word = word.filter(|word| word.concerns(durable));
        let since_ms = word.as_ref().map(|word| word.since_ms);
        let halted = match (decision, word) {
            (Decision::Halt(reason), _) => {
                let config = quote(&self.config.file);
                let message = of_partition(&reason.to_string(), &config, partition);
                let answers = reason.answers().to_vec();
                Halted { answers, ..Halted::new(partition, reason.name(), message) }
            }
            (_, Some(word)) => {
                let answers = word.known_answers();
                Halted { answers, ..Halted::new(partition, &word.reason, word.message) }
            }
            (Decision::Continue(cut), None) => return Standing::GoesOn(cut.offset),
            // Somebody has committed between two readings, and does so now.
            (Decision::ReadAgain, None) => {
                let group = durable.group.as_ref().map(|(offset, _)| *offset);
                return Standing::GoesOn(group.unwrap_or(durable.log_start));
            }
            (Decision::FirstStart, None) => return Standing::First,
        };
        Standing::Halts(Halted { accepted, since_ms, ..halted })
    }
}

impl Halted {
    fn new(partition: i32, reason: &str, message: String) -> Self {
        let (answers, accepted, since_ms) = (Vec::new(), Vec::new(), None);
        Self { partition, reason: reason.to_owned(), message, answers, accepted, since_ms }
    }
}
