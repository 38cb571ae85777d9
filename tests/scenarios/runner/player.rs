//! Steps in, lines out: a scenario through one real shard.

use std::path::Path;
use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::Shard;
use stallwatch::detector::time::{Frontier, LogTime};
use stallwatch::wire::policy_file;
use stallwatch::wire::reject::Rejected;
use stallwatch::wire::scan::{JsonScans, Origin, ScanBatch, ScanDecoder};

use super::replayed::Life;
use super::script::{Action, LogRecord, Script};
use super::text;

/// How a scenario is cut into calls. The outcome must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Step by step.
    AsWritten,
    /// Records that follow each other in one batch.
    OneBatch,
    /// The frontier goes to each record's log time before the record, and half way first.
    ManyAdvances,
}

/// What the detector said.
pub struct Played {
    /// The lines to stand under each `----`; of use only as written.
    pub blocks: Vec<Vec<String>>,
    /// Package and exception in full, in order; then package and outcome, in order.
    told: Vec<(String, String)>,
    /// Where a replay of the same records tells another story.
    pub replays_differ: Vec<String>,
}

impl Played {
    /// Every exception in full and in order, then every outcome.
    pub fn told(&self) -> Vec<String> {
        self.told.iter().map(|(_, line)| line.clone()).collect()
    }

    /// The same, package by package.
    pub fn told_by_package(&self) -> Vec<String> {
        let mut told: Vec<&(String, String)> = self.told.iter().collect();
        told.sort_by_key(|(package, _)| package);
        told.into_iter().map(|(_, line)| line.clone()).collect()
    }
}

/// Plays a scenario from its beginning.
pub fn play(script: &Script, pace: Pace) -> Result<Played, String> {
    let mut player = Player::new(pace);
    let mut blocks = Vec::new();
    for block in &script.blocks {
        let mut lines = Vec::new();
        for step in &block.steps {
            let said = player.step(&step.action);
            lines.extend(said.map_err(|problem| format!("line {}: {problem}", step.line))?);
        }
        blocks.push(lines);
    }
    player.flush()?;
    player.end()?;
    let told = player.exceptions.into_iter().chain(player.outcomes).collect();
    Ok(Played { blocks, told, replays_differ: player.replays_differ })
}

struct Player<'a> {
    pace: Pace,
    alive: Option<(Shard, Life)>,
    policies: Option<Arc<str>>,
    until: Option<LogTime>,
    shown: Vec<text::Field>,
    waiting: Vec<&'a LogRecord>,
    /// Offset of the first record that waits.
    offset: i64,
    exceptions: Vec<(String, String)>,
    outcomes: Vec<(String, String)>,
    replays_differ: Vec<String>,
}

impl<'a> Player<'a> {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            alive: None,
            policies: None,
            until: None,
            shown: Vec::new(),
            waiting: Vec::new(),
            offset: 0,
            exceptions: Vec::new(),
            outcomes: Vec::new(),
            replays_differ: Vec::new(),
        }
    }

    fn step(&mut self, action: &'a Action) -> Result<Vec<String>, String> {
        if let Action::Record(record) = action {
            self.waiting.push(record);
            return if self.pace == Pace::OneBatch { Ok(Vec::new()) } else { self.flush() };
        }
        self.flush()?;
        match action {
            Action::Record(_) => unreachable!("handled above"),
            Action::PoliciesFrom(name) => self.begin(name, &policy_text(name)?),
            Action::Policies(text) => self.begin("inline", text),
            Action::Frontier(to) => {
                let to = Frontier::from_millis(*to);
                self.advance(to)?;
                self.life()?.evidence(to);
                self.events()
            }
            Action::Until(until) => {
                self.until = Some(LogTime::from_millis(*until));
                self.life()?.until(Frontier::from_millis(*until));
                Ok(Vec::new())
            }
            Action::Finish(until) => self.finish(*until),
            Action::Show(fields) => {
                self.shown.clone_from(fields);
                Ok(Vec::new())
            }
            Action::Package(key) => {
                let view = self.shard()?.package(key);
                Ok(vec![view.map_or("unknown".to_owned(), |view| text::package(&view))])
            }
            Action::Count => self.count(),
            Action::Clocks => self.clocks(),
        }
    }

    fn begin(&mut self, name: &str, text: &str) -> Result<Vec<String>, String> {
        self.end()?;
        match policy_file::parse(name, text) {
            Ok(policies) => {
                let policies = Arc::new(policies);
                self.policies = Some(policies.hash().clone());
                self.alive = Some((Shard::new(policies.clone()), Life::new(policies)));
                Ok(vec!["ok".to_owned()])
            }
            Err(problems) => Ok(problems.iter().map(ToString::to_string).collect()),
        }
    }

    /// The last look of a replay, which scenarios need not write down, and the replay itself.
    fn end(&mut self) -> Result<(), String> {
        if self.alive.is_none() {
            return Ok(());
        }
        let until = self.until.take().map(Frontier::at);
        while !self.shard()?.finish(until) {}
        self.events()?;
        if let Some((shard, life)) = self.alive.take()
            && let Some(difference) = life.difference(shard.frontier())?
        {
            self.replays_differ.push(difference);
        }
        Ok(())
    }

    fn shard(&mut self) -> Result<&mut Shard, String> {
        let alive = self.alive.as_mut().map(|(shard, _)| shard);
        alive.ok_or_else(|| "no policies are in force yet".to_owned())
    }

    fn life(&mut self) -> Result<&mut Life, String> {
        let alive = self.alive.as_mut().map(|(_, life)| life);
        alive.ok_or_else(|| "no policies are in force yet".to_owned())
    }

    fn advance(&mut self, to: Frontier) -> Result<(), String> {
        let many = self.pace == Pace::ManyAdvances;
        let shard = self.shard()?;
        if let (true, Some(from)) = (many, shard.frontier()) {
            let half = Frontier::from_secs((from.secs() + to.secs()) / 2);
            while !shard.advance(half) {}
        }
        while !shard.advance(to) {}
        Ok(())
    }

    fn finish(&mut self, until: Option<i64>) -> Result<Vec<String>, String> {
        let until = until.map(Frontier::from_millis).or(self.until.map(Frontier::at));
        if let Some(until) = until {
            self.life()?.evidence(until);
        }
        let shard = self.shard()?;
        while !shard.finish(until) {}
        self.events()
    }

    fn count(&mut self) -> Result<Vec<String>, String> {
        let stats = self.shard()?.stats();
        let [awaiting, moving, settled] = stats.packages;
        let open: usize = stats.open.values().sum();
        Ok(vec![format!("awaiting={awaiting} moving={moving} settled={settled} open={open}")])
    }

    fn clocks(&mut self) -> Result<Vec<String>, String> {
        let shard = self.shard()?;
        let or_none = |time: Option<i64>| time.map_or("none".to_owned(), text::time);
        Ok(vec![format!(
            "log_clock={} frontier={}",
            or_none(shard.log_clock().map(LogTime::secs)),
            or_none(shard.frontier().map(Frontier::secs))
        )])
    }

    /// The exceptions since the last call.
    fn events(&mut self) -> Result<Vec<String>, String> {
        let events = self.shard()?.take_outbox();
        self.life()?.tell(&events);
        for event in &events {
            if Some(&event.policy_set) != self.policies.as_ref() {
                return Err(format!("an exception names the policy set {}", event.policy_set));
            }
            self.exceptions.push((event.key.to_string(), format!("{event:?}")));
        }
        Ok(events
            .iter()
            .map(|event: &ExceptionEvent| text::exception(event, &self.shown))
            .collect())
    }

    /// Applies the records that wait, as one batch.
    fn flush(&mut self) -> Result<Vec<String>, String> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let first = self.offset;
        self.offset += waiting.len() as i64;
        let mut decoder = ScanDecoder::Json(JsonScans::new());
        let batch = decoder.batch();
        let read: Vec<Read<'_>> = waiting
            .iter()
            .zip(first..)
            .map(|(record, offset)| Read::new(record, batch, offset, self.until))
            .collect();
        let life = self.life()?;
        for ((record, offset), read) in waiting.iter().zip(first..).zip(&read) {
            life.record(record, offset, read.log_time);
        }
        let outcomes = self.apply(&read)?;
        let mut lines = self.events()?;
        for (read, outcome) in read.iter().zip(outcomes) {
            lines.extend(outcome.clone());
            self.outcomes.push((read.package(), outcome.unwrap_or_default()));
        }
        Ok(lines)
    }

    /// What became of each record, in its words; `None` for what was rejected unread.
    fn apply(&mut self, read: &[Read<'_>]) -> Result<Vec<Option<String>>, String> {
        if self.pace == Pace::ManyAdvances {
            for log_time in
                read.iter().filter(|read| !read.skipped).filter_map(|read| read.log_time)
            {
                self.advance(Frontier::at(log_time))?;
            }
        }
        let shard = self.shard()?;
        let batch: Vec<Record<'_>> =
            read.iter().filter(|read| !read.skipped).map(|read| read.record.clone()).collect();
        let mut outcomes = Vec::new();
        let mut applied = 0;
        while applied < batch.len() {
            applied += shard.apply(&batch[applied..], &mut outcomes).records;
        }
        let mut outcomes = outcomes.into_iter();
        let word_of = |read: &Read<'_>| {
            if read.skipped {
                return Some("skipped".to_owned());
            }
            let outcome = outcomes.next().expect("every record has an outcome");
            outcome.map(|outcome| outcome.as_str().to_owned()).or_else(|| read.rejected.clone())
        };
        Ok(read.iter().map(word_of).collect())
    }
}

/// One record of a scenario, decoded.
struct Read<'a> {
    record: Record<'a>,
    log_time: Option<LogTime>,
    /// Why it was rejected, if it was read.
    rejected: Option<String>,
    /// Logged after `until`.
    skipped: bool,
}

impl<'a> Read<'a> {
    fn new(
        record: &'a LogRecord,
        decoder: ScanBatch<'a>,
        offset: i64,
        until: Option<LogTime>,
    ) -> Self {
        let origin = Origin { log_time: record.log_time, offset };
        let decoded = match &record.payload {
            Some(payload) => decoder
                .decode(payload.as_bytes(), origin)
                .map_err(Rejected::from)
                .map_err(|no| (no.log_time, Some(format!("rejected: {}", no.reason.as_str())))),
            None => Err((record.log_time.map(LogTime::from_millis), None)),
        };
        let (record, log_time, rejected) = match decoded {
            Ok(scan) => {
                let log_time = scan.log_time;
                (Record::Scan(scan), Some(log_time), None)
            }
            Err((log_time, rejected)) => (Record::Rejected { log_time }, log_time, rejected),
        };
        let skipped = log_time.is_some_and(|time| until.is_some_and(|until| time > until));
        Self { record, log_time, rejected, skipped }
    }

    fn package(&self) -> String {
        match &self.record {
            Record::Scan(scan) => scan.key.to_string(),
            Record::Rejected { .. } => String::new(),
        }
    }
}

fn policy_text(name: &str) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if name.starts_with("deploy/") {
        root.join(name)
    } else {
        root.join("tests/scenarios/policies").join(name)
    };
    std::fs::read_to_string(&path).map_err(|error| format!("the policies `{name}`: {error}"))
}
