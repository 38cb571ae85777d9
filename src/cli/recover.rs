//! `recover`: which partitions have halted, and an operator's answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde_json::{Value, json};
use stallwatch::protocol::agree::{Accept, parted};
use stallwatch::service::recover::{Desk, Halted, RecoverError, Recovered, Whom};
use stallwatch::service::rights::quote;

use super::{Failure, Report, print};

/// Lists partitions that have halted, or lets them go on by accepting what they halt for
///
/// With --list: each halt, its cause, and for each answer what subscribers will see. The answer is
/// written to the open topic. It is about what is stored at this moment: with the next commit it means
/// nothing any more, and given twice it means the same. What a partition does not halt for is refused.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Lists what halts and how to answer, and changes nothing
    #[arg(long, conflicts_with = "accept", required_unless_present = "accept")]
    list: bool,
    /// What is accepted, as the halt names it
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = PossibleValuesParser::new(Accept::ALL.iter().map(|accept| accept.as_str()))
    )]
    accept: Option<String>,
    /// The partition of the input
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Answers all partitions that halted for the same reason
    #[arg(long, conflicts_with_all = ["partition", "list"])]
    all: bool,
    /// With --all: the reason, where partitions halted for several that are answered so
    #[arg(long, value_name = "NAME", requires = "all")]
    reason: Option<String>,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.config)?;
    let failed = |error: RecoverError| match error {
        RecoverError::NoPartition(..) => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    };
    let accept = arguments.accept.as_deref().and_then(Accept::parse);
    let whom = match (arguments.partition, arguments.all) {
        (Some(partition), _) => Some(Whom::Partition(partition)),
        (None, true) => Some(Whom::All { reason: arguments.reason.clone() }),
        (None, false) => None,
    };
    if accept.is_some() && whom.is_none() {
        return Err(Failure::Usage("say for which partition: --partition P, or --all".to_owned()));
    }
    let desk = Desk::open(&config).map_err(failed)?;
    let (Some(accept), Some(whom)) = (accept, whom) else {
        let halted = desk.halted(arguments.partition).map_err(failed)?;
        let list = List { halted: &halted, partitions: desk.partitions(), config: &config.file };
        return print::say(match arguments.report {
            Report::Text => print::harmless(&list.text()),
            Report::Json => format!("{:#}", list.json()),
        });
    };
    let answered = desk.answer(&whom, accept).map_err(failed)?;
    print::say(match arguments.report {
        Report::Text => {
            let lines: Vec<_> = answered.iter().map(|(of, done)| line(*of, accept, done)).collect();
            lines.join("\n")
        }
        Report::Json => {
            let of = |(partition, done): &(i32, Recovered)| {
                let before = matches!(done, Recovered::AlreadyAnswered);
                json!({ "partition": partition, "accepted": accept.as_str(), "before": before })
            };
            format!("{:#}", answered.iter().map(of).collect::<Value>())
        }
    })
}

/// What became of one answer.
fn line(partition: i32, accept: Accept, recovered: &Recovered) -> String {
    let what = accept.as_str();
    match recovered {
        Recovered::AlreadyAnswered => format!("partition {partition}: {what} was accepted before"),
        Recovered::Answered(durable) => format!(
            "partition {partition}: {what} is accepted (log {} to {}, cut {}, group offset {}); a running instance goes on within seconds",
            durable.log_start,
            durable.log_end,
            durable.cut.as_ref().map_or("none".to_owned(), |cut| cut.offset.to_string()),
            durable.group.as_ref().map_or("none".to_owned(), |(offset, _)| offset.to_string()),
        ),
    }
}

/// The halts of the partitions that were asked about.
struct List<'l> {
    halted: &'l [Halted],
    partitions: i32,
    config: &'l str,
}

impl List<'_> {
    fn text(&self) -> String {
        if self.halted.is_empty() {
            return format!("nothing halts (the input has {} partitions)", self.partitions);
        }
        let mut text = String::new();
        for halted in self.halted {
            self.halt(&mut text, halted);
        }
        for ((reason, accept), count) in self.alike() {
            let all = self.command(accept, &format!("--all --reason {reason}"));
            let _ = write!(text, "\nall {count} that halt for {reason}:\n  {all}\n");
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn halt(&self, text: &mut String, halted: &Halted) {
        let Halted { partition, reason, message, answers, accepted, .. } = halted;
        let since = since(halted).map_or_else(String::new, |since| format!(" since {since}"));
        let (says, _) = parted(message);
        let _ = write!(text, "partition {partition} halts{since}: {reason}\n  {says}\n");
        if answers.is_empty() {
            text.push_str("  no answer lifts this: docs/OPERATING.md, Disaster recovery\n");
        }
        for accept in answers {
            let command = self.command(*accept, &format!("--partition {partition}"));
            let _ = write!(text, "  {command}\n    subscribers see: {}\n", accept.seen());
        }
        for accept in accepted {
            let accept = accept.as_str();
            let _ = writeln!(
                text,
                "  {accept} is accepted already; an instance goes on within seconds"
            );
        }
    }

    /// What several partitions halt for, with an answer, and how many they are.
    fn alike(&self) -> BTreeMap<(&str, Accept), usize> {
        let mut alike = BTreeMap::new();
        for halted in self.halted {
            for accept in &halted.answers {
                *alike.entry((halted.reason.as_str(), *accept)).or_default() += 1;
            }
        }
        alike.retain(|_, count| *count > 1);
        alike
    }

    fn command(&self, accept: Accept, whom: &str) -> String {
        let config = quote(self.config);
        format!("stallwatch recover --config {config} --accept {} {whom}", accept.as_str())
    }

    fn json(&self) -> Value {
        let answer = |partition: i32, accept: &Accept| {
            json!({
                "accept": accept.as_str(),
                "subscribers_see": accept.seen(),
                "command": self.command(*accept, &format!("--partition {partition}")),
            })
        };
        let halted = |halted: &Halted| {
            let answers = halted.answers.iter().map(|it| answer(halted.partition, it));
            json!({
                "partition": halted.partition,
                "reason": halted.reason,
                "message": halted.message,
                "since": since(halted),
                "answers": answers.collect::<Value>(),
                "accepted": halted.accepted.iter().map(|it| it.as_str()).collect::<Value>(),
            })
        };
        json!({
            "partitions": self.partitions,
            "halted": self.halted.iter().map(halted).collect::<Value>(),
        })
    }
}

fn since(halted: &Halted) -> Option<String> {
    let since = Timestamp::from_millisecond(halted.since_ms?).ok()?;
    Some(format!("{:.0}", since))
}
