//! `stallwatch validate`: every problem of a configuration and its policies at once; if there is
//! none, the memory to reckon with.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use stallwatch::config::{self, Config, State};
use stallwatch::detector::shard::BYTES_PER_PACKAGE;
use stallwatch::wire::toml_reader::{Problem, format_duration};

use super::{Failure, Report, print};

/// Check a configuration and the policies file it names; report every problem with line and column,
/// or the memory that packages will need
#[derive(Args)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Look at no environment variables and no secrets: for a place where the service does not run
    #[arg(long)]
    no_environment: bool,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let environment = super::environment(arguments.no_environment);
    let checked = config::check(&arguments.config, &environment);
    #[cfg(feature = "kafka")]
    let checked = checked.and_then(|config| match environment.is_ignored() {
        // Secrets and files of the place where the service runs are not known.
        true => Ok(config),
        false => with_clients(config, &arguments.config),
    });
    print::say(match (arguments.report, &checked) {
        (Report::Text, Ok(config)) => {
            format!("ok\n{}\n{}", memory_text(config), snapshots_text(config))
        }
        (Report::Text, Err(problems)) => text(problems),
        (Report::Json, Ok(config)) => {
            let (memory, snapshots) = (memory_json(config), snapshots_json(config));
            json!({ "ok": true, "problems": [], "memory": memory, "snapshots": snapshots })
                .to_string()
        }
        (Report::Json, Err(problems)) => json(problems),
    })?;
    checked.map(drop).map_err(|_| Failure::Reported)
}

/// The configuration, unless the Kafka client refuses it.
#[cfg(feature = "kafka")]
fn with_clients(config: Config, file: &std::path::Path) -> Result<Config, Vec<Problem>> {
    let of_file = |why| vec![Problem::of_file(&file.display().to_string(), why)];
    stallwatch::service::check_clients(&config).map_err(of_file)?;
    Ok(config)
}

fn text(problems: &[Problem]) -> String {
    let mut lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.push(match problems.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    });
    lines.join("\n")
}

fn json(problems: &[Problem]) -> String {
    let problem = |problem: &Problem| {
        let Problem { file, line, column, message } = problem;
        json!({ "file": file, "line": line, "column": column, "message": message })
    };
    let problems: Vec<_> = problems.iter().map(problem).collect();
    json!({ "ok": false, "problems": problems }).to_string()
}

fn memory_text(config: &Config) -> String {
    match config.engine.max_packages {
        Some(limit) => {
            let size = size(bytes_of(limit));
            format!("memory: about {size} for the {limit} packages that engine.max_packages allows")
        }
        None => {
            let size = size(bytes_of(1_000_000));
            format!(
                "memory: about {size} for every million packages; engine.max_packages is not set"
            )
        }
    }
}

fn memory_json(config: &Config) -> Value {
    let limit = config.engine.max_packages;
    json!({
        "max_packages": limit,
        "bytes": limit.map(bytes_of),
        "bytes_per_package": BYTES_PER_PACKAGE,
    })
}

fn snapshots_text(config: &Config) -> String {
    let State { url, snapshot_interval, keep, .. } = &config.state;
    match url {
        Some(url) => {
            let interval = format_duration(*snapshot_interval);
            format!(
                "snapshots: every {interval}, at a hand-over and at a stop to {url}, the last {keep} of a partition are kept"
            )
        }
        None => "snapshots: none; a restart reads the log from its start, as state.url is not set"
            .to_owned(),
    }
}

fn snapshots_json(config: &Config) -> Value {
    let State { url, snapshot_interval, keep, .. } = &config.state;
    json!({
        "url": url.as_ref().map(ToString::to_string),
        "interval_s": snapshot_interval.as_secs_f64(),
        "keep": keep,
    })
}

fn bytes_of(packages: usize) -> u64 {
    (packages as u64).saturating_mul(BYTES_PER_PACKAGE)
}

/// A number of bytes as people say it, in powers of 1000.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        let said = [600, 6_000, 999_600, 60_000_000, 1_500_000_000, 60_000_000_000_000];
        let said = said.map(size);
        assert_eq!(said, ["600 bytes", "6.0 kB", "1.0 MB", "60 MB", "1.5 GB", "60 TB"]);
    }
}
