//! `acls`: the rights that the service's user needs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stallwatch::config::Kafka;
use stallwatch::service::doctor::certificates;
use stallwatch::service::rights::{self, StrimziLogin};
use stallwatch::service::topics::administrator;

use super::{Failure, Report};

/// Prints the rights that the service's user needs at the broker
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the least rights that the service needs, as lines for kafka-acls.sh, JSON or a Strimzi
    /// KafkaUser
    Print(Print),
}

#[derive(Args)]
struct Print {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The user; by default that of kafka.security, or the subject of its certificate
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Also what `stallwatch doctor` needs to check the settings of every topic
    #[arg(long)]
    doctor: bool,
    /// A KafkaUser for Strimzi
    #[arg(long, conflicts_with = "report")]
    strimzi: bool,
    /// The Kafka cluster's name in Strimzi
    #[arg(long, value_name = "NAME", default_value = "kafka", requires = "strimzi")]
    cluster: String,
    /// How to print
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Verb::Print(print) = &arguments.verb;
    let config = super::load(&print.config)?;
    let user = match &print.user {
        Some(user) => user.clone(),
        None => user_of(&config.kafka)?,
    };
    let mut rights = rights::needed(&config);
    if print.doctor {
        rights.extend(rights::needed_by_doctor(&config));
    }
    let principal = format!("User:{user}");
    let text = match (print.strimzi, print.report) {
        (true, _) => {
            let login = match config.kafka.security.sasl {
                Some(_) => StrimziLogin::ScramSha512,
                None => StrimziLogin::Tls,
            };
            // Strimzi names a user of TLS by the common name alone.
            let user = user.strip_prefix("CN=").unwrap_or(&user);
            rights::strimzi(&rights, user, &print.cluster, login).trim_end().to_owned()
        }
        (false, Report::Text) => {
            rights::commands(&rights, &principal, &administrator(&config.kafka)).join("\n")
        }
        (false, Report::Json) => format!("{:#}", rights::to_json(&rights, &principal)),
    };
    super::print::say(text)
}

/// Whom the broker takes the service for.
fn user_of(kafka: &Kafka) -> Result<String, Failure> {
    let unknown = || {
        Failure::Usage(
            "with neither SASL nor a client certificate the broker knows no user; name one with --user"
                .to_owned(),
        )
    };
    certificates::user(kafka).map_err(Failure::Failed)?.ok_or_else(unknown)
}
