//! Whether the broker can be reached, and lets the user in.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{PATIENCE, Report};
use crate::config::{Config, Kafka};
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Meaning};

/// Keeps what the client says of its connections: an error that is returned says only that there is
/// none.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Vec<(Option<RDKafkaErrorCode>, String)>>>);

impl Ears {
    fn note(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((code, reason.to_owned()));
    }

    /// Why the broker does not let us in, if it said so; else the last that was heard.
    fn cause(&self) -> Option<(bool, String)> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |(code, _): &&(Option<RDKafkaErrorCode>, String)| {
            code.map(kafka::meaning) == Some(Meaning::NotTrusted)
        };
        let down = Some(RDKafkaErrorCode::AllBrokersDown);
        match heard.iter().find(refused) {
            Some((_, reason)) => Some((true, reason.clone())),
            None => {
                heard.iter().rfind(|(code, _)| *code != down).map(|(_, it)| (false, it.clone()))
            }
        }
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Error as i32 {
            self.note(None, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for Ears {}

/// True when the other checks can be made.
pub(super) fn check(config: &Config, report: &mut Report) -> Result<bool, String> {
    let kafka = &config.kafka;
    let servers = &kafka.bootstrap_servers;
    let topic = config.input.topics.first().map_or("", String::as_str);
    let ears = Ears::default();
    let client: BaseConsumer<Ears> = kafka::consumer(kafka)
        .create_with_context(ears.clone())
        .map_err(|error| kafka::explain(&error, "making a client"))?;
    match reach(&client, &ears, topic) {
        Ok(brokers) => {
            report.ok("broker", format!("{servers} answers; {brokers} brokers"));
            report.ok("login", login(kafka));
            Ok(true)
        }
        Err(error) => {
            match ears.cause() {
                Some((true, why)) => {
                    let why = format!("{servers} lets {} not in: {why}", user(kafka));
                    report.fail("login", why, remedy(kafka));
                }
                cause => {
                    let why = cause.map_or_else(|| error.to_string(), |(_, why)| why);
                    let why = format!("{servers} cannot be reached: {why}");
                    report.fail("broker", why, "check kafka.bootstrap_servers, kafka.security.protocol, the network and whether the broker runs");
                }
            }
            Ok(false)
        }
    }
}

fn reach(client: &BaseConsumer<Ears>, ears: &Ears, topic: &str) -> Result<usize, KafkaError> {
    let watch = Stopwatch::start();
    loop {
        let answer = client.fetch_metadata(Some(topic), Duration::from_secs(2));
        // What is told of connections comes by the queue of events.
        while client.poll(Duration::from_millis(100)).is_some() {}
        match answer {
            Ok(metadata) => return Ok(metadata.brokers().len()),
            Err(error) => {
                let refused = matches!(ears.cause(), Some((true, _)));
                if refused || watch.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
        }
    }
}

fn user(kafka: &Kafka) -> String {
    match (&kafka.security.sasl, &kafka.security.client) {
        (Some(sasl), _) => format!("user {}", sasl.username),
        (None, Some(client)) => format!("the certificate {}", client.certificate_file.display()),
        (None, None) => "us".to_owned(),
    }
}

fn login(kafka: &Kafka) -> String {
    let security = &kafka.security;
    let protocol = security.protocol.as_str();
    match (&security.sasl, &security.client) {
        (Some(sasl), _) => {
            format!("user {} by {} over {protocol}", sasl.username, sasl.mechanism)
        }
        (None, Some(_)) => format!("{} over {protocol}", user(kafka)),
        (None, None) => format!("none is asked for ({protocol}): the broker knows no user"),
    }
}

fn remedy(kafka: &Kafka) -> &'static str {
    match (&kafka.security.sasl, &kafka.security.client) {
        (Some(_), _) => {
            "check username, mechanism and password_file of kafka.security, ca_file for TLS, and that the broker has the user"
        }
        (None, Some(_)) => {
            "check that the certificate is valid, that the broker trusts its issuer, and that ca_file is the broker's"
        }
        (None, None) => {
            "check kafka.security.ca_file and whether the broker asks for a certificate"
        }
    }
}
