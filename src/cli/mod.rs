//! The verbs, a file each. What they do lives in the library; here it meets the terminal.

#[cfg(feature = "kafka")]
mod acls;
#[cfg(feature = "kafka")]
mod client;
mod config;
#[cfg(feature = "kafka")]
mod demo;
#[cfg(feature = "kafka")]
mod doctor;
#[cfg(feature = "kafka")]
mod get;
mod healthcheck;
mod interrupt;
#[cfg(feature = "kafka")]
mod logging;
mod print;
#[cfg(feature = "kafka")]
mod recover;
mod replay;
#[cfg(feature = "kafka")]
mod run;
#[cfg(feature = "kafka")]
mod tap;
#[cfg(feature = "kafka")]
mod top;
#[cfg(feature = "kafka")]
mod topics;
mod unbuilt;
mod validate;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
#[cfg(feature = "kafka")]
use stallwatch::config::Config;
use stallwatch::config::Environment;
use stallwatch::wire::toml_reader::Problem;

/// Notices parcels that went silent: carrier scans in, stall exceptions out, exactly once.
#[derive(Parser)]
#[command(version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 doctor found problems, 78 bad configuration."
)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[cfg(feature = "kafka")]
    Demo(demo::Arguments),
    #[cfg(feature = "kafka")]
    Run(run::Arguments),
    #[cfg(feature = "kafka")]
    Recover(recover::Arguments),
    #[cfg(feature = "kafka")]
    Doctor(doctor::Arguments),
    #[cfg(feature = "kafka")]
    Topics(topics::Arguments),
    #[cfg(feature = "kafka")]
    Acls(acls::Arguments),
    Config(config::Arguments),
    Replay(replay::Arguments),
    Validate(validate::Arguments),
    #[cfg(feature = "kafka")]
    Get(get::Arguments),
    #[cfg(feature = "kafka")]
    Top(top::Arguments),
    #[cfg(feature = "kafka")]
    Tap(tap::Arguments),
    #[command(hide = true)]
    Healthcheck(healthcheck::Arguments),
    #[command(flatten)]
    Unbuilt(unbuilt::Verb),
}

/// Whom a report is for.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Report {
    /// For a person.
    #[default]
    Text,
    /// For a script.
    Json,
}

/// Why a verb did not succeed. Each has its exit code.
enum Failure {
    /// 1: it was asked for rightly and did not work out.
    Failed(String),
    /// 1: what was looked for is not there, and that has been told.
    #[cfg(feature = "kafka")]
    NotFound,
    /// 2: it was asked for wrongly, or is not built yet.
    Usage(String),
    /// 3: problems were found, and told.
    #[cfg(feature = "kafka")]
    Problems,
    /// 78: configuration or policies have problems.
    Configuration(Vec<Problem>),
    /// 78, and everything has been said.
    Reported,
    /// 0: nobody reads on.
    ClosedPipe,
}

impl Failure {
    /// A failure to write, unless the reader has simply gone.
    fn of_output(name: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            io::ErrorKind::StorageFull => {
                Self::Failed(format!("{name} cannot be written: the disk is full; free some space"))
            }
            _ => Self::Failed(format!("{name} cannot be written: {error}")),
        }
    }
}

/// The configuration that a verb works with.
#[cfg(feature = "kafka")]
fn load(file: &std::path::Path) -> Result<Config, Failure> {
    Config::load(file, &environment(false)).map_err(Failure::Configuration)
}

/// What configurations draw on here; variables are not looked at where they are to be ignored.
fn environment(ignored: bool) -> Environment {
    let environment = if ignored { Environment::ignored() } else { Environment::of_process() };
    #[cfg(feature = "kafka")]
    let environment = environment.with_client(stallwatch::service::check_property);
    environment
}

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    let verb = CommandLine::parse().verb;
    #[cfg(feature = "kafka")]
    if let Verb::Run(arguments) = &verb {
        run::end(told(run::run(arguments)));
    }
    ExitCode::from(told(work(verb)))
}

fn work(verb: Verb) -> Result<(), Failure> {
    match verb {
        #[cfg(feature = "kafka")]
        Verb::Demo(arguments) => demo::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Recover(arguments) => recover::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Doctor(arguments) => doctor::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Topics(arguments) => topics::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Acls(arguments) => acls::run(&arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Replay(arguments) => replay::run(arguments),
        Verb::Validate(arguments) => validate::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Get(arguments) => get::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Top(arguments) => top::run(&arguments),
        #[cfg(feature = "kafka")]
        Verb::Tap(arguments) => tap::run(&arguments),
        Verb::Healthcheck(arguments) => healthcheck::run(&arguments),
        Verb::Unbuilt(verb) => unbuilt::run(&verb),
    }
}

/// Says what went wrong; the exit code.
fn told(result: Result<(), Failure>) -> u8 {
    match result {
        Ok(()) | Err(Failure::ClosedPipe) => 0,
        Err(Failure::Failed(message)) => failed(1, [message]),
        #[cfg(feature = "kafka")]
        Err(Failure::NotFound) => 1,
        Err(Failure::Usage(message)) => failed(2, [message]),
        #[cfg(feature = "kafka")]
        Err(Failure::Problems) => 3,
        Err(Failure::Configuration(problems)) => failed(78, problems),
        Err(Failure::Reported) => 78,
    }
}

fn failed<M: std::fmt::Display>(code: u8, messages: impl IntoIterator<Item = M>) -> u8 {
    for message in messages {
        print::complain("error", message);
    }
    code
}
