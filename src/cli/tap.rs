//! `tap`: exceptions as they are published by running instances, a line each.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use stallwatch::demo::time::display_span;
use stallwatch::detector::exception::{Change, Kind, Severity};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{
    Client, Connection, Event, Events, Instance, Unanswered, block_on, interrupted, nobody, reason,
};
use super::print::{complain, harmless, say};
use super::{Failure, Report};

/// The longest pause between two tries to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follow exceptions as they are published, until Ctrl-C
///
/// A line each. A connection that is lost is made again; what is published meanwhile is not shown.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Only of this carrier
    #[arg(long, value_name = "CARRIER")]
    carrier: Option<String>,
    /// Only missing_first_scan, or no_movement
    #[arg(long, value_parser = |text: &str| word(Kind::read(text)))]
    kind: Option<Kind>,
    /// Only opened, escalated, resolved, retracted, or expired
    #[arg(long, value_parser = |text: &str| word(Change::read(text)))]
    change: Option<Change>,
    /// Only notice, warning, or critical
    #[arg(long, value_parser = |text: &str| word(Severity::read(text)))]
    severity: Option<Severity>,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

fn word<T>(read: Result<T, String>) -> Result<T, String> {
    read.map_err(|why| format!("it {why}"))
}

impl Arguments {
    fn query(&self) -> Vec<(&'static str, &str)> {
        let filters = [
            ("carrier", self.carrier.as_deref()),
            ("kind", self.kind.map(Kind::as_str)),
            ("change", self.change.map(Change::as_str)),
            ("severity", self.severity.map(Severity::as_str)),
        ];
        filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.connection)?;
    let query = arguments.query();
    block_on(async {
        tokio::select! {
            ended = follow_all(&client, &query, arguments.report) => ended,
            ended = interrupted() => ended,
        }
    })
}

async fn follow_all(
    client: &Client,
    query: &[(&str, &str)],
    report: Report,
) -> Result<(), Failure> {
    let first = client.each(|instance| client.follow(instance, &["tap"], query)).await;
    let refused: Vec<_> = first.iter().filter_map(|tried| tried.as_ref().err()).cloned().collect();
    if refused.len() == first.len() {
        return Err(nobody(&refused));
    }
    let (lines, told) = channel(256);
    let begun = client.instances().iter().zip(first);
    let followed = begun.map(|(instance, first)| {
        let follower = Follower { client, instance, query, lines: lines.clone() };
        follower.run(first)
    });
    let followed = futures_util::future::join_all(followed);
    let print = print(told, report);
    drop(lines);
    tokio::select! {
        printed = print => printed,
        ended = followed => Err(nobody(&ended)),
    }
}

async fn print(mut told: Receiver<Event>, report: Report) -> Result<(), Failure> {
    while let Some(Event { name, data }) = told.recv().await {
        match (name.as_str(), report) {
            ("exception", Report::Json) => say(data)?,
            ("exception", Report::Text) => say(harmless(&line(&data)))?,
            ("lagged", _) => complain("warning", lagged(&data)),
            _ => {}
        }
    }
    Ok(())
}

fn lagged(data: &str) -> String {
    let told: Value = serde_json::from_str(data).unwrap_or_default();
    format!("{} events came faster than they were read, and are not shown", told["missed"])
}

/// Follows one instance for good, or until it says that it makes no sense.
struct Follower<'a> {
    client: &'a Client,
    instance: &'a Instance,
    query: &'a [(&'a str, &'a str)],
    lines: Sender<Event>,
}

impl Follower<'_> {
    async fn run(self, first: Result<Events, Unanswered>) -> Unanswered {
        let mut tried = first;
        let mut pause = Duration::from_secs(1);
        loop {
            let lost = match tried {
                Ok(events) => {
                    pause = Duration::from_secs(1);
                    self.read(events).await
                }
                Err(error) if error.may_pass() => error.to_string(),
                Err(error) => {
                    complain("warning", &error);
                    return error;
                }
            };
            complain("warning", format_args!("{lost}; again in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            tried = self.client.follow(self.instance, &["tap"], self.query).await;
        }
    }

    /// Hands on what comes; tells why no more does.
    async fn read(&self, mut events: Events) -> String {
        let address = &self.instance.address;
        loop {
            match events.next().await {
                Ok(Some(event)) => {
                    // The other end is there as long as this runs.
                    let _ = self.lines.send(event).await;
                }
                Ok(None) => return format!("{address} ended the stream"),
                Err(error) => return format!("{address} was lost: {}", reason(&error)),
            }
        }
    }
}

/// An event as a line: when, what, which package, how long silent, where it was last.
fn line(data: &str) -> String {
    let Ok(event) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    let text = |name: &str| event[name].as_str().unwrap_or("?");
    let closed_by = &event["closed_by"];
    let when = closed_by["log_time"].as_str().unwrap_or(text("deadline"));
    let place = [event["last_facility"].as_str(), event["last_country"].as_str()];
    let seen = std::iter::once(text("last_milestone")).chain(place.into_iter().flatten());
    let mut seen = seen.collect::<Vec<_>>().join(", ");
    if let Some(milestone) = closed_by["milestone"].as_str() {
        seen.push_str(" -> ");
        seen.push_str(milestone);
    }
    format!(
        "{when}  {:<9}  {:<8}  {}/{}  {} {}  silent {}  {seen}",
        text("change"),
        text("severity"),
        text("kind"),
        text("step_name"),
        text("carrier"),
        text("tracking_number"),
        event["silent_for_s"].as_i64().map_or("?".to_owned(), display_span),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(arguments: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once(&"tap").chain(arguments))
    }

    #[test]
    fn filters_are_words_of_the_vocabulary() {
        let line = parsed(&["--carrier", "ups", "--kind", "no_movement", "--change", "opened"]);
        let line = line.unwrap();
        let query = line.arguments.query();
        assert_eq!(query, [("carrier", "ups"), ("kind", "no_movement"), ("change", "opened")]);
        let wrong = parsed(&["--severity", "bad"]).err().unwrap().to_string();
        assert!(wrong.contains("notice, warning, critical"), "{wrong}");
    }

    #[test]
    fn addresses_may_be_given_in_one_go_or_one_by_one() {
        let line = parsed(&["--address", "a:1,b:2", "--address", "c:3"]).unwrap();
        assert_eq!(line.arguments.connection.address, ["a:1", "b:2", "c:3"]);
        assert_eq!(parsed(&[]).unwrap().arguments.connection.address, ["127.0.0.1:9464"]);
        assert!(parsed(&["--cert-file", "c.pem"]).is_err());
    }

    #[test]
    fn a_line_tells_what_happened_to_which_package() {
        let opened = include_str!("../../schemas/examples/tracking-exception.opened.json");
        assert_eq!(
            line(opened),
            "2026-03-04T08:00:00Z  opened     warning   no_movement/stalled  ups 1Z999AA10123456784  silent 2d  arrived, MEM, US"
        );
        let resolved = include_str!("../../schemas/examples/tracking-exception.resolved.json");
        let told = line(resolved);
        assert!(told.starts_with("2026-03-09T11:45:00Z  resolved   critical"), "{told}");
        assert!(told.ends_with("silent 7d 3h  arrived, MEM, US -> departed"), "{told}");
    }
}
