//! What a running service holds, and its lives as a member of the group, one after the other.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::clock::Stopwatch;
use super::engine::{Ended, Engine, Lost};
use super::evidence::Asker;
use super::kafka::{self, Client, Meaning};
use super::listener::Listener;
use super::member::Member;
use super::misrouted::Misrouted;
use super::native::describe;
use super::policies;
use super::questions::{Question, Questions};
use super::reach::{Waiting, reach};
use super::rights::Operation;
use super::schemas::{self, WatchError};
use super::sink::Sink;
use super::worker::{Tools, Worker};
use super::{ServiceError, Shared, Shutdown, admin, probes};
use crate::wire::scan::ScanDecoder;

/// How long the broker is waited for at a time.
const SLICE: Duration = Duration::from_secs(5);
/// Pause before the group is joined again, and as much more for each short life before.
const PAUSE: Duration = Duration::from_secs(1);
/// A life that a fence ends sooner, the broker being there all along, was short.
const SHORT: Duration = Duration::from_secs(60);
/// So many short lives one after the other are the end.
const SEVERAL: u32 = 3;

/// See the module's head. Dropped in this order.
pub struct Running {
    shared: Arc<Shared>,
    member: Option<Member>,
    workers: Vec<Worker>,
    sink: Option<Sink>,
    asker: Option<Asker>,
    client: Option<Client>,
    watch: Option<policies::Watch>,
    schemas: Option<schemas::Watch>,
    listeners: Vec<Listener>,
}

impl Running {
    /// Holds nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            member: None,
            workers: Vec::new(),
            sink: None,
            asker: None,
            client: None,
            watch: None,
            schemas: None,
            listeners: Vec::new(),
        }
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// As [`super::Service::run`].
    pub fn run(&mut self, shutdown: &Shutdown) -> Result<(), ServiceError> {
        let ended = self.begin(shutdown).and_then(|begun| match begun {
            true => self.lives(shutdown),
            false => Ok(()),
        });
        if ended.is_err()
            && let Some(keeping) = &self.shared.keeping
        {
            keeping.finish(Duration::ZERO);
        }
        tracing::info!("stopped");
        ended
    }

    /// Makes everything but the membership; false when told to stop meanwhile.
    fn begin(&mut self, shutdown: &Shutdown) -> Result<bool, ServiceError> {
        let shared = self.shared.clone();
        shared.pulse_all();
        let decoders: Vec<ScanDecoder> =
            (0..shared.config.engine.workers).map(|_| shared.decoder()).collect();
        let (ask, questions) = Questions::new(decoders.len());
        self.listeners.push(probes::start(shared.clone())?);
        self.listeners.push(admin::start(shared.clone(), ask.clone())?);
        self.watch = shared.config.policies.watch.then(|| shared.policies.watch()).transpose()?;
        self.schemas = Some(shared.schemas.watch().map_err(|error| match error {
            WatchError::System(error) => ServiceError::System(error),
            WatchError::Client(error) => ServiceError::Registry(error.to_string()),
        })?);
        let client = self.client.insert(kafka::asker(&shared.config.kafka)?);
        if !reach(&shared, client, shutdown)? {
            return Ok(false);
        }
        self.workers = workers(&shared, decoders, questions)?;
        ask.open_for_all();
        if let Some(client) = self.client.take() {
            let (topic, interval) = (shared.input.to_string(), shared.guards.evidence_interval);
            let time = (shared.time.clone(), shared.clock_margin_ms(Some(true)));
            let status = (shared.status.clone(), shared.metrics.clone());
            self.asker = Some(Asker::start(client, topic, time, status, interval)?);
        }
        Ok(true)
    }

    /// Joins the group, works as its member until that is over, and joins again.
    fn lives(&mut self, shutdown: &Shutdown) -> Result<(), ServiceError> {
        let (mut patience, mut short) = (Some(self.shared.config.kafka.patience), 0);
        while self.open_sink(patience, shutdown)? {
            patience = None;
            let shared = self.shared.clone();
            let member = self.member.insert(Member::join(&shared.config, &shared.input)?);
            let (Some(sink), Some(asker)) = (&mut self.sink, &self.asker) else { return Ok(()) };
            let ended = Engine::new(shared, member, sink, &self.workers, asker).run(shutdown)?;
            let Ended::Lost(lost) = ended else { return Ok(()) };
            self.member = None;
            short = if lost.lasted < SHORT && !lost.outage { short + 1 } else { 0 };
            if short == SEVERAL {
                return Err(ServiceError::Broker(self.no_life(&lost)));
            }
            tracing::warn!(
                "{}; the group is joined again, and what was held is restored from what is durable",
                lost.why
            );
            self.pause(PAUSE * (short + 1), shutdown);
        }
        Ok(())
    }

    /// A producer that has settled what was open under its name; false when told to stop meanwhile.
    /// Once the service has worked, nothing is too long.
    fn open_sink(
        &mut self,
        patience: Option<Duration>,
        shutdown: &Shutdown,
    ) -> Result<bool, ServiceError> {
        let shared = self.shared.clone();
        let kafka = &shared.config.kafka;
        let mut memory = self.sink.take().map(|sink| sink.memory).unwrap_or_default();
        shared.status.set_producer_ready(false);
        let (waiting, mut sink) = (Waiting::begin(patience), None);
        while !shutdown.requested() {
            shared.status.pulse(0);
            let mut made = match sink.take() {
                Some(made) => made,
                None => {
                    let (open, time) = (shared.topics.open.clone(), shared.time.clone());
                    let new = Sink::new(kafka, &shared.input, open, time)?;
                    new.knowing(std::mem::take(&mut memory))
                }
            };
            let begun = made.begin(waiting.left(SLICE));
            let begun = begun.and_then(|()| made.end_what_hangs(&shared));
            let Err(error) = begun else {
                shared.status.set_producer_ready(true);
                self.sink = Some(made);
                return Ok(true);
            };
            let why = kafka::explain_as(kafka, &error, "beginning transactions", Operation::Write);
            if is_hopeless(&error) {
                return Err(ServiceError::Broker(why));
            }
            waiting.again(&why)?;
            match is_retriable(&error) {
                true => sink = Some(made),
                false => {
                    memory = made.memory;
                    self.pause(PAUSE, shutdown);
                }
            }
        }
        Ok(false)
    }

    fn pause(&self, length: Duration, shutdown: &Shutdown) {
        let watch = Stopwatch::start();
        while watch.elapsed() < length && !shutdown.requested() {
            self.shared.status.pulse(0);
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Why there is no life as a member of the group.
    fn no_life(&self, lost: &Lost) -> String {
        let why = &lost.why;
        if !lost.fenced {
            return format!("{why}; so it ended {SEVERAL} times, within a minute of joining");
        }
        let kafka = &self.shared.config.kafka;
        let (group, instance) = (&kafka.group_id, &kafka.instance_id);
        let other = match kafka::reader(kafka)
            .and_then(|client| describe::group(client.client(), group, kafka::REQUEST))
        {
            Ok(found) => {
                found.members.into_iter().find(|it| it.instance.as_ref() == Some(instance))
            }
            Err(_) => None,
        };
        let other = other.map_or_else(String::new, |other| {
            format!(", and the broker has client {} at {} as its member", other.client, other.host)
        });
        format!(
            "two processes use kafka.instance_id = \"{instance}\" in group {group}: {SEVERAL} times another one took this one's place within a minute of joining{other}; give each process an instance_id of its own ({why})"
        )
    }
}

/// Whether no retry mends it.
fn is_hopeless(error: &KafkaError) -> bool {
    let code = kafka::code(error);
    let refused = [RDKafkaErrorCode::InvalidTransactionTimeout];
    code.map(kafka::meaning) == Some(Meaning::Forbidden)
        || code.is_some_and(|code| refused.contains(&code))
}

/// Whether the same producer may try again.
fn is_retriable(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_retriable())
}

fn workers(
    shared: &Arc<Shared>,
    decoders: Vec<ScanDecoder>,
    questions: Vec<Receiver<Question>>,
) -> Result<Vec<Worker>, ServiceError> {
    let tools = Tools {
        time: shared.time.clone(),
        stamper: shared.stamper.clone(),
        metrics: shared.metrics.clone(),
        policies: shared.policies.clone(),
        status: shared.status.clone(),
        misrouted: Arc::new(Misrouted::default()),
        unread: shared.unread.clone(),
        schemas: shared.schemas.clone(),
        tracking_numbers: shared.config.log.tracking_numbers,
        max_future_skew_ms: shared.max_future_skew_ms(),
        on_reject: shared.config.input.on_reject,
        keeping: shared.keeping.clone(),
    };
    let start =
        |(index, (decoder, questions))| Worker::start(index, decoder, questions, tools.clone());
    Ok(decoders.into_iter().zip(questions).enumerate().map(start).collect::<Result<_, _>>()?)
}
