//! From the layers of a configuration to its meaning, one function a section.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::{
    Backfill, Config, Engine, Format, Input, Log, LogFormat, OnReject, OnUnknownSchema, Output,
    Policies, Shutdown, SnapshotUrl, StartFrom, State, TrackingNumbers,
};
use crate::detector::time::LogTime;
use crate::wire::moment::parse_moment;
use crate::wire::scan::NoTime;
use crate::wire::toml_reader::{self, Node, Place, Problem, Problems, Section, Value};

const DEFAULTS: &str = include_str!("default.toml");

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// More packages than any one machine has memory for.
const MOST_PACKAGES: i64 = 1_000_000_000_000;

/// The configuration as far as it could be read, and every problem. `None` is a file that is not
/// TOML. Where something is wrong or unknown a placeholder stands in the result.
pub(super) fn read(
    file_name: &str,
    text: &str,
    folder: &Path,
    environment: &Environment,
) -> (Option<Config>, Vec<Problem>) {
    let problems = Problems::default();
    let document = match layers(file_name, text, environment, &problems) {
        Ok(document) => document,
        Err(problems) => return (None, problems),
    };
    let root = Section::root(&document, &problems);
    let reader = Reader { file_name, folder, environment, problems: &problems };
    let config = reader.config(&root);
    root.finish();
    (Some(config), problems.into_sorted())
}

pub(super) fn layers(
    file_name: &str,
    text: &str,
    environment: &Environment,
    problems: &Problems,
) -> Result<Node, Vec<Problem>> {
    let mut written = toml_reader::parse(file_name, text)?;
    environment.resolve(&mut written, problems);
    let mut document = toml_reader::parse("default.toml", DEFAULTS)?;
    document.make_default(&written.place);
    if let (Value::Table(lower), Value::Table(upper)) = (&mut document.value, written.value) {
        lower.overlay(upper);
        lower.overlay(environment.overrides());
    }
    Ok(document)
}

pub(super) struct Reader<'d> {
    file_name: &'d str,
    folder: &'d Path,
    pub(super) environment: &'d Environment,
    pub(super) problems: &'d Problems,
}

impl<'d> Reader<'d> {
    fn config(&self, root: &Section<'d>) -> Config {
        let input = self.input(root.section_or_empty("input"));
        let output = root.section_or_empty("output");
        self.topics_differ(&input.topics, &output);
        Config {
            file: self.file_name.to_owned(),
            schema_registry: self.schema_registry(root.section_or_empty("schema_registry")),
            state: state(root.section_or_empty("state")),
            kafka: self.kafka(root.section_or_empty("kafka")),
            input,
            output: self.output(output),
            engine: engine(root.section_or_empty("engine")),
            policies: self.policies(root.section_or_empty("policies")),
            admin: self.admin(root.section_or_empty("admin")),
            log: self.log(root.section_or_empty("log")),
            shutdown: shutdown(root.section_or_empty("shutdown")),
        }
    }

    fn input(&self, section: Section<'d>) -> Input {
        section.not_built("mapping", "mappings of foreign feeds are");
        let format = section.choice("format", FORMATS).unwrap_or(Format::Avro);
        for key in ["schema_file", "schema_id", "schema_files", "schemas"] {
            if format == Format::Json && section.has(key) {
                let message =
                    format!("{} has no meaning with format = \"json\"", section.name(key));
                section.problem(key, message);
            }
        }
        let input = Input {
            topics: self.input_topics(&section),
            format,
            schemas: self.schemas(&section),
            start_from: start_from(&section).unwrap_or(StartFrom::Committed),
            backfill: section
                .choice("backfill", &[("silent", Backfill::Silent), ("publish", Backfill::Publish)])
                .unwrap_or(Backfill::Silent),
            on_reject: section
                .choice(
                    "on_reject",
                    &[
                        ("dead-letter", OnReject::DeadLetter),
                        ("skip", OnReject::Skip),
                        ("halt", OnReject::Halt),
                    ],
                )
                .unwrap_or(OnReject::DeadLetter),
            on_unknown_schema: section
                .choice(
                    "on_unknown_schema",
                    &[("wait", OnUnknownSchema::Wait), ("reject", OnUnknownSchema::Reject)],
                )
                .unwrap_or(OnUnknownSchema::Wait),
            max_future_skew: section.duration("max_future_skew", SECOND..=DAY).unwrap_or_default(),
            no_time: self.no_time(&section),
            clock_margin: section.duration("clock_margin", Duration::ZERO..=DAY),
        };
        section.finish();
        input
    }

    /// Each entry is read by itself, so that every problem has its place.
    fn no_time(&self, section: &Section<'d>) -> NoTime {
        let dates = section.texts("no_time").unwrap_or_default();
        let good = dates.into_iter().filter(|(node, date)| match NoTime::of([*date]) {
            Ok(_) => true,
            Err(message) => {
                self.problems.at(&node.place, format!("`input.no_time`: {message}"));
                false
            }
        });
        let good: Vec<&str> = good.map(|(_, date)| date).collect();
        NoTime::of(good).expect("each has been read by itself")
    }

    fn input_topics(&self, section: &Section<'d>) -> Vec<String> {
        let topics = section.texts("topics").unwrap_or_default();
        for (node, topic) in &topics {
            self.check_topic(&node.place, "`input.topics`", topic);
        }
        let listed = section.node("topics").map(|node| &node.value);
        match topics.len() {
            0 if matches!(listed, Some(Value::List(list)) if list.is_empty()) => {
                section.problem("topics", "`input.topics` is empty; name the topic of the scans");
            }
            0 | 1 => {}
            _ => section.problem(
                "topics",
                "`input.topics`: several topics are not built yet, as the `open` table belongs to one; run one service a topic",
            ),
        }
        topics.into_iter().map(|(_, topic)| topic.to_owned()).collect()
    }

    fn output(&self, section: Section<'d>) -> Output {
        let topic = |key| {
            let topic = section.text(key);
            if let Some(topic) = topic {
                self.check_topic(&section.place_of(key), &section.name(key), topic);
            }
            topic.unwrap_or_default().to_owned()
        };
        let output = Output {
            exceptions: topic("exceptions"),
            open: topic("open"),
            dead_letter: topic("dead_letter"),
            format: section.choice("format", FORMATS).unwrap_or(Format::Avro),
            commit_interval: section
                .duration("commit_interval", Duration::from_millis(10)..=5 * SECOND)
                .unwrap_or_default(),
        };
        section.finish();
        output
    }

    fn check_topic(&self, place: &Place, name: &str, topic: &str) {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let good = (1..=249).contains(&topic.len())
            && topic.bytes().all(legal)
            && !matches!(topic, "." | "..");
        if !good {
            self.problems.at(
                place,
                format!(
                    "{name}: \"{topic}\" is no name of a topic: 1 to 249 of A-Z, a-z, 0-9, '.', '_' and '-'"
                ),
            );
        }
    }

    /// A service that read its own output, or mixed two of its outputs, would work on nonsense.
    fn topics_differ(&self, input_topics: &[String], output: &Section<'d>) {
        let mut seen: Vec<(String, String)> = Vec::new();
        for topic in input_topics {
            seen.push((topic.clone(), "`input.topics`".to_owned()));
        }
        for key in ["exceptions", "open", "dead_letter"] {
            let Some(topic) = output.text_quietly(key) else {
                continue;
            };
            let name = output.name(key);
            if let Some((_, other)) = seen.iter().find(|(present, _)| present == topic) {
                output.problem(key, format!("{name} and {other} must be different topics"));
            }
            seen.push((topic.to_owned(), name));
        }
    }

    fn policies(&self, section: Section<'d>) -> Policies {
        section.require(&["file"]);
        let watch = section.boolean("watch").unwrap_or_default();
        let file = section.text("file");
        if file == Some("") {
            section.problem("file", "`policies.file` is empty; name the policies file");
        }
        section.finish();
        let resolve = |file| self.resolve(file);
        let file = file.filter(|file| !file.is_empty()).map(resolve).unwrap_or_default();
        Policies { file, watch }
    }

    pub(super) fn address(&self, section: &Section<'d>, key: &'static str) -> SocketAddr {
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let Some(text) = section.text(key) else {
            return placeholder;
        };
        text.parse().unwrap_or_else(|_| {
            let name = section.name(key);
            section.problem(
                key,
                format!("{name} = \"{text}\" is no address with a port, such as 127.0.0.1:9464"),
            );
            placeholder
        })
    }

    fn log(&self, section: Section<'d>) -> Log {
        let level = section.text("level").unwrap_or("info");
        if let Err(message) = check_directives(level) {
            section.problem("level", format!("`log.level`: {message}"));
        }
        let log = Log {
            format: section
                .choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])
                .unwrap_or(LogFormat::Text),
            level: level.to_owned(),
            tracking_numbers: section
                .choice(
                    "tracking_numbers",
                    &[
                        ("last4", TrackingNumbers::Last4),
                        ("plain", TrackingNumbers::Plain),
                        ("hash", TrackingNumbers::Hash),
                    ],
                )
                .unwrap_or(TrackingNumbers::Last4),
        };
        section.finish();
        log
    }

    /// A file name taken from the configuration's folder.
    pub(super) fn resolve(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// A file that belongs to the configuration and must be there wherever that is checked.
    fn readable_file(&self, section: &Section<'d>, key: &'static str) -> Option<PathBuf> {
        let path = self.resolve(section.some_text(key)?);
        if let Err(error) = std::fs::File::open(&path) {
            let name = section.name(key);
            section.problem(key, format!("{name}: {} cannot be read: {error}", path.display()));
        }
        Some(path)
    }

    /// A file that is there only where the service runs: its keys, certificates and passwords.
    pub(super) fn deployed_file(
        &self,
        section: &Section<'d>,
        key: &'static str,
    ) -> Option<PathBuf> {
        if self.environment.is_ignored() {
            return section.some_text(key).map(|file| self.resolve(file));
        }
        self.readable_file(section, key)
    }
}

const FORMATS: &[(&str, Format)] = &[("avro", Format::Avro), ("json", Format::Json)];

fn start_from(section: &Section<'_>) -> Option<StartFrom> {
    let node = section.node("start_from")?;
    let text = match &node.value {
        Value::Time(text) => text,
        _ => section.text("start_from")?,
    };
    let named = [
        ("committed", StartFrom::Committed),
        ("earliest", StartFrom::Earliest),
        ("latest", StartFrom::Latest),
    ];
    if let Some((_, named)) = named.iter().find(|(name, _)| *name == text) {
        return Some(*named);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        section.choice("start_from", &named);
        return None;
    }
    match parse_moment(text) {
        Ok(seconds) => Some(StartFrom::At(LogTime::from_secs(seconds))),
        Err(message) => {
            section.problem("start_from", format!("{}: {message}", section.name("start_from")));
            None
        }
    }
}

fn engine(section: Section<'_>) -> Engine {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let some = |key, most| {
        let number = section.integer(key, 0..=most).and_then(|n| usize::try_from(n).ok());
        number.filter(|number| *number > 0)
    };
    let workers = some("workers", 1_024).unwrap_or_else(cores);
    let max_packages = some("max_packages", MOST_PACKAGES);
    section.finish();
    Engine { workers, max_packages }
}

/// An open exception that contradicts the log halts its partition; nothing else can be chosen yet.
fn state(section: Section<'_>) -> State {
    let url = section.some_text("url").and_then(|text| match SnapshotUrl::parse(text) {
        Ok(url) => Some(url),
        Err(message) => {
            section.problem("url", format!("{} {message}", section.name("url")));
            None
        }
    });
    let snapshot_interval = section.duration("snapshot_interval", SECOND..=DAY).unwrap_or_default();
    let keep = section.integer("keep", 1..=1_000).and_then(|keep| usize::try_from(keep).ok());
    let trust_log = section.choice("on_inconsistency", &[("halt", false), ("trust-log", true)]);
    section.finish();
    State {
        url,
        snapshot_interval,
        keep: keep.unwrap_or(1),
        trust_log: trust_log.unwrap_or_default(),
    }
}

fn shutdown(section: Section<'_>) -> Shutdown {
    let deadline = section.duration("deadline", SECOND..=HOUR).unwrap_or_default();
    section.finish();
    Shutdown { deadline }
}

/// A level, or levels by target: `info,stallwatch::service=debug`.
pub(super) fn check_directives(text: &str) -> Result<(), String> {
    const LEVELS: [(&str, ()); 6] =
        [("error", ()), ("warn", ()), ("info", ()), ("debug", ()), ("trace", ()), ("off", ())];
    text.split(',').map(str::trim).try_for_each(|directive| {
        let level = match directive.split_once('=') {
            Some((target, level)) if !target.is_empty() => level,
            _ => directive,
        };
        toml_reader::choose(level, &LEVELS).map_err(|message| format!("it {message}"))
    })
}
