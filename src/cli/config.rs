//! `config`: what is in effect.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stallwatch::config::Environment;
use stallwatch::config::show::show;

use super::{Failure, Report, print};

/// Shows the configuration in effect
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print every setting with where it comes from: the file, the environment or the default;
    /// secrets are shown as ***
    Show(Show),
}

#[derive(Args)]
struct Show {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// TOML for a person, or JSON for a script
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Verb::Show(Show { config, report }) = &arguments.verb;
    let shown = show(config, &Environment::of_process()).map_err(Failure::Configuration)?;
    print::say(match report {
        Report::Text => shown.to_toml().trim_end().to_owned(),
        Report::Json => format!("{:#}", shown.to_json()),
    })
}
