//! `stallwatch validate`: every problem of a configuration and its policies at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stallwatch::config::{self, Environment};
use stallwatch::wire::toml_reader::Problem;

use super::{Failure, Report, print};

/// Check a configuration and the policies file it names; report every problem with line and column
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
    let environment = match arguments.no_environment {
        true => Environment::ignored(),
        false => Environment::of_process(),
    };
    let problems = config::check(&arguments.config, &environment);
    print::say(match arguments.report {
        Report::Text => text(&problems),
        Report::Json => json(&problems),
    })?;
    if problems.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}

fn text(problems: &[Problem]) -> String {
    let mut lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.push(match problems.len() {
        0 => "ok".to_owned(),
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
    json!({ "ok": problems.is_empty(), "problems": problems }).to_string()
}
