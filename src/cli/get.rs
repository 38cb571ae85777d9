//! `get package`: what running instances know of one package.

use std::fmt::Write;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stallwatch::demo::time::display_span;

use super::client::{Client, Connection, Coverage, Unanswered, block_on, nobody};
use super::print::{harmless, say};
use super::{Failure, Report};

/// Ask running instances what they know
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Package(Package),
}

/// State, policy and every deadline of a package, and why it is or is not open
///
/// All addresses are asked at once. An answer that does not cover every partition says so. A package
/// that is not known ends it with 1.
#[derive(Args)]
struct Package {
    /// The carrier
    carrier: String,
    /// The tracking number; spaces, dashes and lower case do not matter
    number: String,
    #[command(flatten)]
    connection: Connection,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

pub fn run(Arguments { what: What::Package(package) }: &Arguments) -> Result<(), Failure> {
    let client = Client::new(&package.connection)?;
    let path = ["packages", package.carrier.as_str(), package.number.as_str()];
    let answers = block_on(async { Ok(client.ask_all::<Answer>(&path, &[]).await) })?;
    let addresses = client.instances().iter().map(|instance| instance.address.clone());
    let merged = Merged::of(addresses.zip(answers))?;
    say(match package.report {
        Report::Text => harmless(&merged.text()),
        Report::Json => serde_json::to_string_pretty(&merged)
            .map_err(|error| Failure::Failed(format!("the answer cannot be written: {error}")))?,
    })?;
    match merged.packages.is_empty() {
        true => Err(Failure::NotFound),
        false => Ok(()),
    }
}

/// What one instance answers, itself and for those that it asked.
#[derive(Deserialize)]
struct Answer {
    carrier: String,
    tracking_number: String,
    packages: Vec<Value>,
    #[serde(default)]
    instances: Vec<Asked>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// An instance that was asked, and why it did not answer if it did not.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Asked {
    address: String,
    error: Option<String>,
}

/// What all know together; as JSON the form of a single answer.
#[derive(Serialize)]
struct Merged {
    carrier: String,
    tracking_number: String,
    packages: Vec<Value>,
    instances: Vec<Asked>,
    #[serde(flatten)]
    coverage: Coverage,
}

impl Merged {
    fn of(
        answers: impl Iterator<Item = (String, Result<Answer, Unanswered>)>,
    ) -> Result<Self, Failure> {
        let mut merged: Option<Self> = None;
        let mut instances = Vec::new();
        let mut unanswered = Vec::new();
        for (address, answer) in answers {
            let error = answer.as_ref().err().map(ToString::to_string);
            note(&mut instances, Asked { address, error });
            match answer {
                Ok(answer) => {
                    for asked in &answer.instances {
                        note(&mut instances, asked.clone());
                    }
                    merged.get_or_insert_with(|| Self::begun(&answer)).add(answer);
                }
                Err(error) => unanswered.push(error),
            }
        }
        let mut merged = merged.ok_or_else(|| nobody(&unanswered))?;
        merged.instances = instances;
        Ok(merged)
    }

    fn begun(answer: &Answer) -> Self {
        Self {
            carrier: answer.carrier.clone(),
            tracking_number: answer.tracking_number.clone(),
            packages: Vec::new(),
            instances: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// A partition has one owner; two that name it have asked the same one.
    fn add(&mut self, answer: Answer) {
        self.coverage.add(&answer.coverage);
        for package in answer.packages {
            let same = |known: &Value| known["partition"] == package["partition"];
            if !self.packages.iter().any(same) {
                self.packages.push(package);
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let name = format!("{} {}", self.carrier, self.tracking_number);
        for package in &self.packages {
            match serde_json::from_value::<Known>(package.clone()) {
                Ok(known) => text.push_str(&known.text(&name)),
                Err(_) => {
                    let _ = writeln!(text, "{name}   {package}");
                }
            }
            text.push('\n');
        }
        if self.packages.is_empty() {
            let _ = writeln!(text, "{name} is not known\n");
        }
        if !self.coverage.complete {
            let _ = writeln!(
                text,
                "Not complete: {} answered. Name the other instances with --address.",
                self.coverage.text()
            );
        }
        for asked in &self.instances {
            if let Some(error) = &asked.error {
                let _ = writeln!(text, "  {}", told(&asked.address, error));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// An instance that two have asked stands there once, as one that answered if it did.
fn note(instances: &mut Vec<Asked>, asked: Asked) {
    match instances.iter_mut().find(|known| known.address == asked.address) {
        Some(known) if known.error.is_some() => *known = asked,
        Some(_) => {}
        None => instances.push(asked),
    }
}

fn told(address: &str, error: &str) -> String {
    match error.starts_with(address) {
        true => error.to_owned(),
        false => format!("{address}: {error}"),
    }
}

#[derive(Deserialize)]
struct Known {
    partition: i32,
    phase: String,
    last_milestone: String,
    last_facility: Option<String>,
    last_country: Option<String>,
    anchor_time: String,
    silent_for_s: Option<i64>,
    policy_id: Option<String>,
    deadlines: Vec<Deadline>,
    forgotten_at: Option<String>,
    frontier: Option<String>,
    open: Vec<Open>,
    why: String,
}

#[derive(Deserialize)]
struct Deadline {
    step_name: String,
    severity: String,
    after_s: i64,
    deadline: String,
    due: String,
    state: String,
}

#[derive(Deserialize)]
struct Open {
    exception_id: String,
    sequence: u32,
    kind: String,
    severity: String,
    step_name: String,
    opened_deadline: String,
}

impl Known {
    fn text(&self, name: &str) -> String {
        let mut text =
            format!("{name}   {} (partition {})\n  {}\n\n", self.phase, self.partition, self.why);
        let mut line = |label: &str, value: &str| {
            let _ = writeln!(text, "  {label:<14}{value}");
        };
        let place = [self.last_facility.as_deref(), self.last_country.as_deref()];
        let seen = std::iter::once(self.last_milestone.as_str()).chain(place.into_iter().flatten());
        line("last seen", &seen.collect::<Vec<_>>().join(", "));
        let silent = self.silent_for_s.map(|seconds| format!("{}, ", display_span(seconds)));
        line("silent for", &format!("{}since {}", silent.unwrap_or_default(), self.anchor_time));
        line("policy", self.policy_id.as_deref().unwrap_or("none"));
        for open in &self.open {
            let Open { kind, step_name, severity, opened_deadline, exception_id, sequence } = open;
            line("open", &format!("{kind}: {step_name} ({severity}) since {opened_deadline}"));
            line("", &format!("{exception_id}:{sequence}"));
        }
        line("frontier", self.frontier.as_deref().unwrap_or("none yet"));
        line("forgotten at", self.forgotten_at.as_deref().unwrap_or("never"));
        if !self.deadlines.is_empty() {
            let _ = writeln!(text, "\n{}", self.deadlines());
        }
        text
    }

    fn deadlines(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(["", "step", "severity", "after", "deadline", "looked at"]);
        for deadline in &self.deadlines {
            let Deadline { step_name, severity, after_s, deadline, due, state } = deadline;
            let after = display_span(*after_s);
            table.add_row([state, step_name, severity, &after, deadline, due]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(partitions: &[i32], packages: Value, instances: Value) -> Answer {
        serde_json::from_value(json!({
            "carrier": "ups", "tracking_number": "1Z999AA10123456784", "packages": packages,
            "instances": instances, "partitions": partitions, "input_partitions": 4,
            "complete": false,
        }))
        .unwrap()
    }

    fn package(partition: i32) -> Value {
        json!({
            "partition": partition, "phase": "moving", "last_milestone": "arrived",
            "last_facility": "Köln", "last_country": null, "anchor_time": "2026-03-02T08:00:00Z",
            "silent_for_s": 187_200, "policy_id": "ground", "forgotten_at": "2026-05-01T08:00:00Z",
            "frontier": "2026-03-04T12:00:00Z", "why": "It has awaited movement.",
            "deadlines": [{ "kind": "no_movement", "step": 0, "step_name": "stalled",
                "severity": "warning", "after_s": 172_800, "deadline": "2026-03-04T08:00:00Z",
                "due": "2026-03-04T08:10:00Z", "state": "past" }],
            "open": [{ "exception_id": "58292d14", "sequence": 0, "kind": "no_movement",
                "severity": "warning", "step": 0, "step_name": "stalled",
                "opened_deadline": "2026-03-04T08:00:00Z", "deadline": "2026-03-04T08:00:00Z" }],
        })
    }

    fn merged(answers: Vec<(&str, Result<Answer, Unanswered>)>) -> Result<Merged, Failure> {
        Merged::of(answers.into_iter().map(|(address, answer)| (address.to_owned(), answer)))
    }

    fn silent(address: &str) -> Unanswered {
        Unanswered::Silent { address: address.to_owned(), why: "connection refused".to_owned() }
    }

    #[test]
    fn a_package_that_two_instances_tell_of_stands_there_once() {
        let asked = json!([{ "address": "b:1", "error": null }]);
        let first = answer(&[0, 1, 2, 3], json!([package(3)]), asked);
        let second = answer(&[2, 3], json!([package(3)]), json!([]));
        let both = merged(vec![("a:1", Ok(first)), ("b:1", Ok(second))]).ok().unwrap();
        assert_eq!(both.packages.len(), 1);
        assert_eq!(both.instances.len(), 2);
        assert!(both.coverage.complete);
        let text = both.text();
        assert!(text.contains("ups 1Z999AA10123456784   moving (partition 3)"), "{text}");
        assert!(text.contains("arrived, Köln"), "{text}");
        assert!(text.contains("2d 4h, since 2026-03-02T08:00:00Z"), "{text}");
        assert!(
            text.contains("no_movement: stalled (warning) since 2026-03-04T08:00:00Z"),
            "{text}"
        );
        assert!(text.contains("past"), "{text}");
        assert!(!text.contains("Not complete"), "{text}");
    }

    #[test]
    fn an_answer_that_is_not_complete_says_who_did_not_answer() {
        let one = answer(&[0, 1], json!([]), json!([]));
        let half = merged(vec![("a:1", Ok(one)), ("b:1", Err(silent("b:1")))]).ok().unwrap();
        let text = half.text();
        assert!(text.starts_with("ups 1Z999AA10123456784 is not known"), "{text}");
        assert!(text.contains("Not complete: 2 of 4 partitions answered"), "{text}");
        assert!(text.ends_with("b:1 did not answer: connection refused"), "{text}");
    }

    #[test]
    fn nobody_who_answers_is_a_failure() {
        match merged(vec![("a:1", Err(silent("a:1")))]) {
            Err(Failure::Failed(message)) => assert!(message.contains("a:1 did not answer")),
            _ => panic!("it must fail"),
        }
    }
}
