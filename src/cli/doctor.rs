//! `doctor`: looks whether everything around the service is as it should be.

use std::path::PathBuf;

use clap::Args;
use stallwatch::service::doctor::examine;

use super::{Failure, Report, print};

/// Checks what the service depends on: broker, TLS, login, rights, topics, clock, snapshot store,
/// group
///
/// One line for each check: ok, warn or FAIL, with the remedy; skip where something cannot be told
/// without harm, and why. Nothing is changed: no record is written, no running instance is disturbed.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.config)?;
    let policies = config.load_policies().map_err(Failure::Configuration)?;
    let report = examine(&config, &policies).map_err(Failure::Failed)?;
    print::say(match arguments.report {
        Report::Text => report.to_string(),
        Report::Json => format!("{:#}", report.to_json()),
    })?;
    match report.has_problems() {
        true => Err(Failure::Problems),
        false => Ok(()),
    }
}
