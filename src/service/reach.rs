//! Waiting for a broker: at the start, until it answers and every topic is there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::clock::Stopwatch;
use super::kafka::{self, Client, Meaning};
use super::{ServiceError, Shared, Shutdown, allowed, commands, rights, settings};
use crate::config::{Config, OnReject};

/// Pause between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// A wait that has an end, unless the service has worked before.
pub struct Waiting {
    patience: Option<Duration>,
    watch: Stopwatch,
}

impl Waiting {
    /// Begins now.
    pub fn begin(patience: Option<Duration>) -> Self {
        Self { patience, watch: Stopwatch::start() }
    }

    /// What is left of it, and no more than this.
    pub fn left(&self, most: Duration) -> Duration {
        let left = |patience: Duration| patience.saturating_sub(self.watch.elapsed());
        self.patience.map_or(most, |patience| left(patience).min(most))
    }

    /// An attempt has failed.
    ///
    /// # Errors
    /// When it was the last one.
    pub fn again(&self, why: &str) -> Result<(), ServiceError> {
        let Some(patience) = self.patience else {
            tracing::warn!("{why}; trying again");
            return Ok(());
        };
        let left = self.left(patience);
        if left.is_zero() {
            let patience = patience.as_secs_f64();
            let why = format!("{why}; given up after kafka.patience ({patience} s)");
            return Err(ServiceError::Broker(why));
        }
        tracing::warn!("{why}; trying again for {} s", left.as_secs());
        Ok(())
    }
}

/// Waits until the broker answers and every topic is there; false when told to stop meanwhile.
pub fn reach(shared: &Shared, client: &Client, shutdown: &Shutdown) -> Result<bool, ServiceError> {
    let waiting = Waiting::begin(Some(shared.config.kafka.patience));
    let mut told = None;
    while !shutdown.requested() {
        shared.pulse_all();
        let (why, hopeless) = match check_topics(shared, client) {
            Ok(()) if shared.guards.embedded => return Ok(true),
            Ok(()) => match allowed::check(shared).and_then(|()| settings::check(shared)) {
                Ok(()) => return Ok(true),
                Err(why) => (why, true),
            },
            Err(why) => why,
        };
        if hopeless {
            return Err(ServiceError::Broker(why));
        }
        told = kafka::listen(client).or(told);
        waiting.again(&match &told {
            Some(told) => format!("{why}: {told}"),
            None => why,
        })?;
        std::thread::park_timeout(waiting.left(RETRY));
    }
    Ok(false)
}

/// What is wrong with the topics, and whether waiting cannot help.
fn check_topics(shared: &Shared, client: &Client) -> Result<(), (String, bool)> {
    let config = &shared.config;
    let (input, open) = input_and_open(config, client)?;
    let partitions = i32::try_from(input).unwrap_or(i32::MAX);
    shared.input_partitions.store(partitions, Ordering::Relaxed);
    count(config, client, &shared.topics.exceptions, "the exceptions")?;
    if config.input.on_reject == OnReject::DeadLetter {
        count(config, client, &shared.topics.dead_letter, "the dead letter")?;
    }
    as_many(config, input, open)
}

/// What is wrong with the input and the open topic, if they are not there with as many partitions.
pub fn check_input_and_open(config: &Config, client: &Client) -> Result<(), String> {
    let checked = input_and_open(config, client);
    checked.and_then(|(input, open)| as_many(config, input, open)).map_err(|(says, _)| says)
}

/// How many partitions the input and the open topic have.
fn input_and_open(config: &Config, client: &Client) -> Result<(usize, usize), (String, bool)> {
    let input = config.input.topics.first().map_or("", String::as_str);
    let input = count(config, client, input, "the input")?;
    Ok((input, count(config, client, &config.output.open, "the open")?))
}

fn as_many(config: &Config, input: usize, open: usize) -> Result<(), (String, bool)> {
    let equal = settings::as_many(config, input, open);
    equal.map_err(|(says, remedy)| (format!("{says}; {remedy}"), true))
}

/// How many partitions a topic has; else what is wrong, and whether waiting cannot help.
fn count(
    config: &Config,
    client: &Client,
    topic: &str,
    what: &str,
) -> Result<usize, (String, bool)> {
    kafka::partition_count(client, topic).map_err(|error| {
        let doing = format!("{what} topic {topic} at {}", config.kafka.bootstrap_servers);
        let meaning = kafka::code(&error).map(kafka::meaning);
        let why = match meaning {
            Some(Meaning::NoSuchTopic) => {
                let brokers = kafka::brokers(client.client()).unwrap_or_default();
                let create = commands::create_topics(config, brokers);
                format!("{doing} does not exist; create it: {create}")
            }
            Some(Meaning::Unreachable) => {
                format!("{doing}: the broker cannot be reached ({error})")
            }
            Some(Meaning::Forbidden) => {
                let rights = rights::to_see(config, topic);
                let print = commands::ours(config, "acls print");
                format!(
                    "{doing}: the user lacks the right {rights} on the topic ({error}); to see what grants it: {print}"
                )
            }
            _ => kafka::explain(&error, &doing),
        };
        (why, meaning == Some(Meaning::Forbidden))
    })
}
