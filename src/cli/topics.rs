//! `topics`: the topics that the service needs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stallwatch::config::Config;
use stallwatch::service::topics::{self, Created, Plan, Sizes};

use super::{Failure, Report, print};

/// Prints or creates the four topics
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the topics and their settings as lines for kafka-topics.sh, or JSON
    Print(Of),
    /// Create the topics that are missing; those that exist are left as they are, and where they
    /// differ is told
    Create(Of),
}

#[derive(Args)]
struct Of {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Partitions of each topic; by default those of the scans where they exist, else 12
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100_000))]
    partitions: Option<i32>,
    /// Replicas of each partition
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=100))]
    replication_factor: i32,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (Verb::Print(of) | Verb::Create(of)) = &arguments.verb;
    let config = super::load(&of.config)?;
    let policies = config.load_policies().map_err(Failure::Configuration)?;
    let sizes = Sizes { partitions: of.partitions, replication_factor: of.replication_factor };
    let forget_after = policies.defaults().forget_after;
    match arguments.verb {
        Verb::Print(_) => {
            let plans = topics::plan(&config, forget_after, sizes);
            print::say(printed(&plans, &config, of.report))
        }
        Verb::Create(_) => {
            let created = topics::create(&config, forget_after, sizes).map_err(Failure::Failed)?;
            print::say(match of.report {
                Report::Text => lines(created.iter().map(ToString::to_string)),
                Report::Json => format!(
                    "{:#}",
                    created.iter().map(Created::to_json).collect::<serde_json::Value>()
                ),
            })?;
            match created.iter().filter(|one| one.failed()).count() {
                0 => Ok(()),
                count => Err(Failure::Failed(format!("{count} topics could not be created"))),
            }
        }
    }
}

fn printed(plans: &[Plan], config: &Config, report: Report) -> String {
    let admin = topics::administrator(&config.kafka);
    match report {
        Report::Text => lines(plans.iter().map(|plan| plan.command(&admin))),
        Report::Json => {
            format!("{:#}", plans.iter().map(Plan::to_json).collect::<serde_json::Value>())
        }
    }
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
