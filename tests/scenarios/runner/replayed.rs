//! The records of a scenario as a file, through `replay`. Where evidence moved the frontier no
//! further than the log then went, a replay of the log tells the same exceptions.

use std::io::{self, Cursor};
use std::sync::Arc;

use serde_json::Value;
use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::policy::PolicySet;
use stallwatch::detector::time::{Frontier, LogTime};
use stallwatch::replay::{self, Listener, Options};
use stallwatch::wire::reject::Rejected;
use stallwatch::wire::scan_file::{Place, ScanFile};

use super::compare;
use super::script::LogRecord;

/// The life of one shard in a scenario.
pub struct Life {
    policies: Arc<PolicySet>,
    lines: String,
    until: Option<Frontier>,
    /// How far evidence has moved the frontier.
    evidence: Option<Frontier>,
    /// A record came that evidence had denied: a replay would tell another story.
    denied: bool,
    exceptions: Vec<ExceptionEvent>,
}

impl Life {
    pub fn new(policies: Arc<PolicySet>) -> Self {
        Self {
            policies,
            lines: String::new(),
            until: None,
            evidence: None,
            denied: false,
            exceptions: Vec::new(),
        }
    }

    pub fn until(&mut self, until: Frontier) {
        self.until = Some(until);
    }

    pub fn evidence(&mut self, to: Frontier) {
        self.evidence = self.evidence.max(Some(to));
    }

    pub fn record(&mut self, record: &LogRecord, offset: i64, log_time: Option<LogTime>) {
        let frontier = log_time.map(Frontier::at);
        self.denied |= frontier.is_some_and(|time| Some(time) < self.evidence);
        self.lines.push_str(&line(record, offset));
        self.lines.push('\n');
    }

    pub fn tell(&mut self, events: &[ExceptionEvent]) {
        self.exceptions.extend_from_slice(events);
    }

    /// How a replay of the same records differs; `frontier` is that of the shard in the end.
    pub fn difference(&self, frontier: Option<Frontier>) -> Result<Option<String>, String> {
        if self.denied || self.until.is_some_and(|until| frontier > Some(until)) {
            return Ok(None);
        }
        let until = self.until.or(frontier);
        let options =
            Options { policies: self.policies.clone(), until, strict: false, sort: false };
        let input = Box::new(Cursor::new(self.lines.clone().into_bytes()));
        let file = ScanFile::open(input).map_err(|error| error.to_string())?;
        let mut told = Told(Vec::new());
        replay::replay(file, &options, &mut told).map_err(|error| error.to_string())?;
        let (shard, replayed) = (by_package(&self.exceptions), by_package(&told.0));
        Ok((shard != replayed).then(|| compare(&shard, &replayed)))
    }
}

fn line(record: &LogRecord, offset: i64) -> String {
    let payload = record.payload.as_deref().unwrap_or("{}");
    let Ok(Value::Object(mut fields)) = serde_json::from_str(payload) else {
        return payload.to_owned();
    };
    if let Some(log_time) = record.log_time {
        fields.insert("log_time".to_owned(), log_time.into());
    }
    fields.insert("offset".to_owned(), offset.into());
    Value::Object(fields).to_string()
}

fn by_package(events: &[ExceptionEvent]) -> Vec<String> {
    let mut events: Vec<&ExceptionEvent> = events.iter().collect();
    events.sort_by_key(|event| &event.key);
    events.into_iter().map(|event| format!("{event:?}")).collect()
}

struct Told(Vec<ExceptionEvent>);

impl Listener for Told {
    fn event(&mut self, event: &ExceptionEvent, _partition: Option<i32>) -> io::Result<()> {
        self.0.push(event.clone());
        Ok(())
    }

    fn rejected(&mut self, _place: Place, _rejected: &Rejected) {}

    fn progress(&mut self, _bytes_read: u64) {}
}
