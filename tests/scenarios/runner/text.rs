//! How times, durations, words and exceptions are written in a scenario.

use std::sync::Arc;

use jiff::Timestamp;
use stallwatch::detector::exception::{Change, ExceptionEvent};
use stallwatch::detector::package::Phase;
use stallwatch::detector::scan::Attributes;
use stallwatch::detector::shard::PackageView;

/// Milliseconds since 1970 of an RFC 3339 time.
pub fn parse_time(text: &str) -> Result<i64, String> {
    text.parse::<Timestamp>()
        .map(|time| time.as_millisecond())
        .map_err(|error| format!("`{text}` is no time like 2026-03-02T08:00:00Z: {error}"))
}

/// RFC 3339 UTC with seconds.
pub fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).expect("a time of the detector can be written").to_string()
}

/// Hours, minutes and seconds; what is zero is left out.
pub fn duration(seconds: i64) -> String {
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String =
        parts.iter().filter(|part| part.0 != 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The word itself, in quotes where it needs them.
pub fn word(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains([' ', '\t', '"', '\\']);
    if plain { text.to_owned() } else { format!("{text:?}") }
}

/// The words of a line. Quotes keep spaces; inside them `\"`, `\\` and `\t` are what they are in Rust.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&next) = chars.peek() {
        if next == ' ' {
            chars.next();
            continue;
        }
        let mut word = String::new();
        let mut quoted = false;
        while let Some(char) = chars.next_if(|char| quoted || *char != ' ') {
            match char {
                '"' => quoted = !quoted,
                '\\' if quoted => match chars.next() {
                    Some('t') => word.push('\t'),
                    Some(escaped @ ('"' | '\\')) => word.push(escaped),
                    _ => return Err("only \\\", \\\\ and \\t may be escaped".to_owned()),
                },
                char => word.push(char),
            }
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        words.push(word);
    }
    Ok(words)
}

/// What `show` adds to the lines of exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Sequence,
    Id,
    Anchor,
    SetAt,
    OpenedDeadline,
    Last,
    Attributes,
    Repeated,
    ClosedBy,
}

impl Field {
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "sequence" => Self::Sequence,
            "id" => Self::Id,
            "anchor" => Self::Anchor,
            "set_at" => Self::SetAt,
            "opened_deadline" => Self::OpenedDeadline,
            "last" => Self::Last,
            "attributes" => Self::Attributes,
            "repeated" => Self::Repeated,
            "closed_by" => Self::ClosedBy,
            _ => return Err(format!("`{word}` is nothing that can be shown")),
        })
    }

    fn of(self, event: &ExceptionEvent) -> Vec<String> {
        match self {
            Self::Sequence => vec![format!("sequence={}", event.sequence)],
            Self::Id => vec![format!("id={}", event.exception_id)],
            Self::Anchor => vec![format!("anchor={}", time(event.anchor.secs()))],
            Self::SetAt => vec![format!("set_at={}", time(event.anchor_set_at.secs()))],
            Self::OpenedDeadline => {
                vec![format!("opened_deadline={}", time(event.opened_deadline.secs()))]
            }
            Self::Last => vec![format!("last={}", event.last_milestone.as_str())],
            Self::Attributes => attributes(&event.attributes),
            Self::Repeated if event.change.closes() => step(event),
            Self::Repeated => Vec::new(),
            Self::ClosedBy => closed_by(event),
        }
    }
}

fn attributes(attributes: &Attributes<Arc<str>>) -> Vec<String> {
    [
        ("service", &attributes.service),
        ("direction", &attributes.direction),
        ("destination_country", &attributes.destination_country),
        ("shipper", &attributes.shipper),
        ("value_tier", &attributes.value_tier),
        ("facility", &attributes.facility),
        ("country", &attributes.country),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", word(value))))
    .collect()
}

fn closed_by(event: &ExceptionEvent) -> Vec<String> {
    let Some(scan) = &event.closed_by else {
        return Vec::new();
    };
    let event_time = scan.event_time.map_or("none".to_owned(), |event| time(event.secs()));
    vec![
        format!("event={event_time}"),
        format!("effective={}", time(scan.effective_time.secs())),
        format!("logged={}", time(scan.log_time.secs())),
        format!("record={}", scan.offset),
    ]
}

/// Severity aside, what the step of an event is.
fn step(event: &ExceptionEvent) -> Vec<String> {
    vec![
        format!("step={}", event.step),
        word(&event.step_name),
        format!("deadline={}", time(event.deadline.secs())),
        format!("policy={}", word(&event.policy_id)),
    ]
}

/// One exception event as a line.
pub fn exception(event: &ExceptionEvent, shown: &[Field]) -> String {
    let silent = format!("silent={}", duration(event.silent_for_s));
    let mut words: Vec<String> = [
        event.change.as_str(),
        event.kind.as_str(),
        event.key.carrier(),
        &event.key.number(),
        event.severity.as_str(),
    ]
    .map(str::to_owned)
    .into();
    match event.change {
        Change::Opened | Change::Escalated => {
            words.extend(step(event));
            words.insert(7, silent);
        }
        Change::Resolved | Change::Retracted | Change::Expired => words.push(silent),
    }
    if let Some(scan) = &event.closed_by {
        words.push(format!("by={}", scan.milestone.as_str()));
    }
    words.extend(shown.iter().flat_map(|field| field.of(event)));
    words.join(" ")
}

/// What is known of a package as a line.
pub fn package(view: &PackageView) -> String {
    let package = &view.package;
    let mut words = vec![
        package.phase.as_str().to_owned(),
        package.milestone.as_str().to_owned(),
        format!("since={}", time(package.anchor.secs())),
        format!("set_at={}", time(package.set_at.secs())),
    ];
    if package.phase != Phase::Settled {
        words.push(format!("policy={}", word(&view.policy_id)));
    }
    words.extend(view.open.iter().map(|open| format!("open={}", open.severity.as_str())));
    words.extend(attributes(&view.attributes));
    words.join(" ")
}
