//! Whether the broker can be reached, and lets the user in.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::{PATIENCE, Report};
use crate::config::{Config, Kafka};
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Client, Told};

/// True when the other checks can be made.
pub(super) fn check(config: &Config, report: &mut Report) -> bool {
    let kafka = &config.kafka;
    let servers = &kafka.bootstrap_servers;
    let topic = config.input.topics.first().map_or("", String::as_str);
    let client = match kafka::reader(kafka) {
        Ok(client) => client,
        Err(error) => {
            let why = kafka::explain(&error, "no client can be made");
            report.fail("broker", why, "check the files of kafka.security, and kafka.properties");
            return false;
        }
    };
    let Err((error, told)) = reach(&client, topic) else {
        report.ok("broker", format!("{servers} answers"));
        report.ok("login", login(kafka));
        return true;
    };
    match told {
        Some(Told::Refused(why)) => {
            let why = format!("{servers} lets {} not in: {why}", user(kafka));
            report.fail("login", why, remedy(kafka));
        }
        told => {
            let why = told.map_or_else(|| error.to_string(), |told| told.to_string());
            let why = format!("{servers} cannot be reached: {why}");
            report.fail("broker", why, "check kafka.bootstrap_servers, kafka.security.protocol, the network and whether the broker runs");
        }
    }
    false
}

fn reach(client: &Client, topic: &str) -> Result<(), (KafkaError, Option<Told>)> {
    let watch = Stopwatch::start();
    let mut last = None;
    loop {
        let answer = client.fetch_metadata(Some(topic), Duration::from_secs(2));
        let Err(error) = answer else { return Ok(()) };
        last = kafka::listen(client).or(last);
        if matches!(last, Some(Told::Refused(_))) || watch.elapsed() > PATIENCE {
            return Err((error, last));
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
