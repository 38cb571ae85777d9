//! Looks whether everything around the service is as it should be, and says what to do where it is
//! not. Nothing is changed by it but a transactional id of its own and an object in the snapshot
//! store, which is taken away again; no running instance is disturbed.

mod broker;
pub mod certificates;
mod clock;
pub(super) mod group;
mod records;
mod report;
mod rights;
mod store;
pub(super) mod topics;

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::clock::Stopwatch;
use super::kafka::{self, Client, Meaning, REQUEST};
use super::native::describe;
use super::settings::Settings;
use crate::config::Config;
use crate::detector::policy::PolicySet;

pub use report::Report;

/// How long the broker is tried.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two questions to a coordinator that is not ready.
const AGAIN: Duration = Duration::from_millis(500);
/// Checks that need a broker.
const AT_THE_BROKER: [&str; 5] = ["rights", "topics", "group", "records", "clock"];

/// Makes every check.
///
/// # Errors
/// When they cannot be made, for want of a thread or a client.
pub fn examine(config: &Config, policies: &PolicySet) -> Result<Report, String> {
    let mut report = Report::default();
    let (count, file) = (policies.policies().len(), config.policies.file.display());
    report.ok("configuration", format!("it is readable; {count} policies in {file}"));
    certificates::check(config, &mut report);
    if broker::check(config, &mut report) {
        at_the_broker(config, policies, &mut report)?;
    } else {
        for check in AT_THE_BROKER {
            report.skip(check, "the broker is out of reach");
        }
    }
    store::check(config, &mut report);
    Ok(report)
}

fn at_the_broker(config: &Config, policies: &PolicySet, report: &mut Report) -> Result<(), String> {
    let made = |error: KafkaError| kafka::explain(&error, "making a client");
    let reader = kafka::reader(&config.kafka).map_err(made)?;
    let settings = Settings::new(&config.kafka).map_err(made)?;
    let found = topics::find(config, reader.client());
    let group = group_of(&reader, &config.kafka.group_id);
    let found = found.unwrap_or_else(|error| {
        let why = kafka::explain(&error, "asking for the topics");
        report.fail("topics", why, "look at the broker's log");
        Vec::new()
    });
    let trusted = rights::check(config, &found, &group, report);
    topics::check(config, policies, &found, &settings, report);
    group::check(config, &group, trusted, report);
    records::check(config, report);
    clock::check(config, report);
    Ok(())
}

/// A coordinator may just be starting.
fn group_of(client: &Client, name: &str) -> Result<describe::Group, KafkaError> {
    let watch = Stopwatch::start();
    loop {
        match describe::group(client.client(), name, REQUEST) {
            Err(error)
                if kafka::code(&error).map(kafka::meaning) == Some(Meaning::Unreachable)
                    && watch.elapsed() < PATIENCE =>
            {
                std::thread::park_timeout(AGAIN);
            }
            answer => return answer,
        }
    }
}
