//! What a replay comes to, in numbers: for a person as text, for a script as JSON.

mod text;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::detector::exception::{Change, ExceptionEvent, Kind, Severity};
use crate::detector::package::Phase;
use crate::detector::scan::Outcome;
use crate::detector::shard::Shard;
use crate::detector::time::LogTime;
use crate::wire::moment::format_moment;
use crate::wire::reject::Reason;

/// How many of the longest silences are listed.
const LONGEST: usize = 10;

/// What a replay comes to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Records read, broken ones and skipped ones included.
    pub records: u64,
    /// Records logged after the end that was asked for.
    pub skipped: u64,
    /// Records that are no scans, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Scans by what became of them.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Events by kind and change.
    pub by_kind: BTreeMap<(Kind, Change), u64>,
    /// Events by carrier and change.
    pub by_carrier: BTreeMap<String, BTreeMap<Change, u64>>,
    /// Exceptions open at the end, by kind and severity.
    pub open: BTreeMap<(Kind, Severity), u64>,
    /// Packages known at the end, by phase, in the order of [`Phase::ALL`].
    pub packages: [usize; 3],
    /// How many logs the file held.
    pub partitions: usize,
    /// The least and greatest log time.
    pub log_times: Option<(LogTime, LogTime)>,
    /// The longest silences, the longest first.
    pub longest: Vec<Silence>,
    still_open: HashMap<Uuid, (Option<i32>, Silence)>,
}

/// One silence that an exception told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How long it lasted, in seconds; where it still lasts, up to the frontier at the end.
    pub seconds: i64,
    /// The last event of its exception.
    pub event: ExceptionEvent,
}

impl Summary {
    /// Scans that were applied, whatever became of them.
    pub fn scans(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// Records that are no scans.
    pub fn rejected_in_all(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Events of one change.
    pub fn events(&self, change: Change) -> u64 {
        self.by_kind.iter().filter(|((_, of), _)| *of == change).map(|(_, count)| count).sum()
    }

    /// The share of opened exceptions that were retracted: false alarms. `None` if none opened.
    pub fn retracted_share(&self) -> Option<f64> {
        share(self.events(Change::Retracted), self.events(Change::Opened))
    }

    pub(super) fn count_rejected(&mut self, reason: Reason) {
        *self.rejected.entry(reason).or_default() += 1;
    }

    pub(super) fn count_outcome(&mut self, outcome: Outcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn see(&mut self, time: LogTime) {
        let (first, last) = self.log_times.unwrap_or((time, time));
        self.log_times = Some((first.min(time), last.max(time)));
    }

    pub(super) fn count_event(&mut self, event: &ExceptionEvent, partition: Option<i32>) {
        *self.by_kind.entry((event.kind, event.change)).or_default() += 1;
        let carrier = event.key.carrier();
        if !self.by_carrier.contains_key(carrier) {
            self.by_carrier.insert(carrier.to_owned(), BTreeMap::new());
        }
        if let Some(changes) = self.by_carrier.get_mut(carrier) {
            *changes.entry(event.change).or_default() += 1;
        }
        let silence = Silence { seconds: event.silent_for_s, event: event.clone() };
        if event.change.closes() {
            self.still_open.remove(&event.exception_id);
            self.longest.push(silence);
            if self.longest.len() >= 100 * LONGEST {
                self.keep_longest();
            }
        } else {
            self.still_open.insert(event.exception_id, (partition, silence));
        }
    }

    pub(super) fn finish(&mut self, shards: &[(Option<i32>, Shard)]) {
        self.partitions = shards.len();
        let frontiers: HashMap<_, _> = shards
            .iter()
            .filter_map(|(partition, shard)| Some((*partition, shard.frontier()?)))
            .collect();
        for (_, shard) in shards {
            for (sum, count) in self.packages.iter_mut().zip(shard.stats().packages) {
                *sum += count;
            }
        }
        for (partition, mut silence) in std::mem::take(&mut self.still_open).into_values() {
            let event = &silence.event;
            *self.open.entry((event.kind, event.severity)).or_default() += 1;
            if let Some(frontier) = frontiers.get(&partition) {
                silence.seconds = frontier.secs() - event.anchor.secs();
            }
            self.longest.push(silence);
        }
        self.keep_longest();
    }

    fn keep_longest(&mut self) {
        self.longest.sort_unstable_by(|a, b| {
            let order = |silence: &Silence| (silence.event.anchor, silence.event.exception_id);
            (b.seconds.cmp(&a.seconds))
                .then_with(|| a.event.key.cmp(&b.event.key))
                .then_with(|| order(a).cmp(&order(b)))
        });
        self.longest.truncate(LONGEST);
    }

    /// For a script: one JSON object.
    pub fn to_json(&self) -> Value {
        let times = self.log_times.map(|(first, last)| {
            json!({ "first": format_moment(first.secs()), "last": format_moment(last.secs()) })
        });
        json!({
            "records": self.records,
            "scans": self.scans(),
            "rejected": self.rejected_in_all(),
            "rejected_by_reason": named(self.rejected.iter().map(|(r, n)| (r.as_str(), *n))),
            "skipped_after_until": self.skipped,
            "partitions": self.partitions,
            "log_time": times,
            "outcomes": named(self.outcomes.iter().map(|(o, n)| (o.as_str(), *n))),
            "packages": named(Phase::ALL.iter().zip(self.packages)
                .map(|(phase, count)| (phase.as_str(), count as u64))),
            "exceptions": {
                "by_kind": named(Kind::ALL.iter().map(|kind| {
                    (kind.as_str(), changes(|change| self.by_kind.get(&(*kind, change)).copied()))
                })),
                "by_carrier": named(self.by_carrier.iter().map(|(carrier, counts)| {
                    (carrier.as_str(), changes(|change| counts.get(&change).copied()))
                })),
                "total": changes(|change| Some(self.events(change))),
                "open_at_end": named(Kind::ALL.iter().map(|kind| {
                    let of = |severity| self.open.get(&(*kind, severity)).copied().unwrap_or(0);
                    let severities = Severity::ALL.iter();
                    (kind.as_str(), named(severities.map(|s| (s.as_str(), of(*s)))))
                })),
                "retracted_share": self.retracted_share(),
            },
            "longest_silences": self.longest.iter().map(Silence::to_json).collect::<Vec<_>>(),
        })
    }

    /// For a person: a page of text, its last line without an end.
    pub fn to_text(&self) -> String {
        text::page(self)
    }
}

impl Silence {
    /// Whether it still lasts.
    pub fn is_open(&self) -> bool {
        !self.event.change.closes()
    }

    fn to_json(&self) -> Value {
        let event = &self.event;
        json!({
            "silent_for_s": self.seconds,
            "open": self.is_open(),
            "carrier": event.key.carrier(),
            "tracking_number": event.key.number(),
            "kind": event.kind.as_str(),
            "severity": event.severity.as_str(),
            "step_name": &*event.step_name,
            "anchor_time": format_moment(event.anchor.secs()),
            "last_milestone": event.last_milestone.as_str(),
            "last_facility": event.attributes.facility.as_deref(),
        })
    }
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn changes(count: impl Fn(Change) -> Option<u64>) -> Value {
    named(Change::ALL.iter().map(|change| (change.as_str(), count(*change).unwrap_or(0))))
}

fn named<'n>(values: impl Iterator<Item = (&'n str, impl Into<Value>)>) -> Value {
    Value::Object(
        values.map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>(),
    )
}
