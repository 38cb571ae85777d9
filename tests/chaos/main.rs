//! Chaos on a real Apache Kafka, and what is measured there: `./test chaos`, `latency`, `recovery`, `flood`,
//! `openlog` and `lookups` run this; `--help` says how.
#![allow(clippy::disallowed_methods, reason = "chaos takes place in real time")]
#![allow(clippy::print_stdout, reason = "what it did is its result")]

#[allow(dead_code)]
#[path = "../kafka/broker.rs"]
mod broker;
#[allow(dead_code)]
#[path = "../kafka/certificates.rs"]
mod certificates;
#[allow(dead_code)]
#[path = "../kafka/client.rs"]
mod client;
#[allow(dead_code, unused_imports)]
#[path = "../kafka/equality.rs"]
mod equality;
#[allow(dead_code, unused_imports)]
#[path = "../kafka/judge.rs"]
mod judge;
#[allow(dead_code)]
#[path = "../kafka/python.rs"]
mod python;
#[allow(dead_code)]
#[path = "../kafka/scans.rs"]
mod scans;
#[allow(dead_code)]
#[path = "../kafka/service.rs"]
mod service;
#[allow(dead_code)]
#[path = "../kafka/wait.rs"]
mod wait;

mod backlog;
mod faults;
mod feed;
mod fleet;
mod flood;
mod latency;
mod lookups;
mod open_log;
mod recovery;
mod run;
mod verdict;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use wait::now_ms;

/// Three instances of `stallwatch run` on a real broker under random faults while scans flow; at the
/// end what subscribers saw is compared with `replay` of the same log, and with what a reference makes of
/// it that shares no code with us.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// How long faults are made.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Instead for a time, until so many kill -9 of instances were made.
    #[arg(long, conflicts_with_all = ["minutes", "outage", "outages"])]
    kills: Option<u64>,
    /// The format of scans and exceptions; by the seed where it is not given.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Chooses the faults and the scans; their times are those of the machine.
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of random faults one: the broker is stopped for so long (30s, 10m).
    #[arg(long, value_parser = duration)]
    outage: Option<Duration>,
    /// Instead of random faults so many outages of 30 s to 3 min, one after the other: in turns the broker
    /// is stopped and started again, and frozen.
    #[arg(long, conflicts_with = "outage")]
    outages: Option<u64>,
    /// The producers stamp the records, and some retry late: the clock margin does not hold.
    #[arg(long)]
    create_time: bool,
    /// Whether snapshots are configured.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    snapshots: bool,
    /// A kind of fault that is to be every second one.
    #[arg(long, value_enum)]
    mostly: Option<faults::Kind>,
    /// No fault of the broker's: it is neither frozen nor started again.
    #[arg(long)]
    spare_broker: bool,
    /// Scans a second.
    #[arg(long, default_value_t = 150)]
    rate: i64,
    /// Measure the delay of exceptions instead.
    #[arg(long)]
    latency: bool,
    /// Measure a restart with so many scans behind the last snapshot instead.
    #[arg(long, value_name = "SCANS")]
    recovery: Option<usize>,
    /// Measure so many packages that fall due within one second instead.
    #[arg(long, value_name = "PACKAGES")]
    flood: Option<usize>,
    /// Measure what look-ups cost the shards instead.
    #[arg(long)]
    lookups: bool,
    /// Measure what a restart reads of a partition of the open topic instead.
    #[arg(long)]
    open_log: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Json,
    Avro,
}

fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    let (number, seconds) = found.ok_or("write seconds or minutes, such as 90s or 10m")?;
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    Ok(Duration::from_secs(number * seconds))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.latency {
        latency::measure();
        return ExitCode::SUCCESS;
    }
    if let Some(behind) = options.recovery {
        recovery::measure(behind);
        return ExitCode::SUCCESS;
    }
    if let Some(packages) = options.flood {
        flood::measure(packages);
        return ExitCode::SUCCESS;
    }
    if options.lookups {
        lookups::measure();
        return ExitCode::SUCCESS;
    }
    if options.open_log {
        open_log::measure();
        return ExitCode::SUCCESS;
    }
    let seed = options.seed.unwrap_or_else(|| now_ms().unsigned_abs() % 1_000_000);
    println!("chaos: seed {seed}, {options:?}");
    run::run(&options, seed)
}
