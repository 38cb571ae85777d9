//! What a replay comes to, in numbers: for a person as text, for a script as JSON.

mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use text::grouped;

use crate::detector::exception::{Change, ExceptionEvent, Kind, Severity};
use crate::detector::key::PackageKey;
use crate::detector::package::Phase;
use crate::detector::scan::{Milestone, Outcome};
use crate::detector::shard::{OpenView, Shard};
use crate::detector::time::{EffectiveTime, LogTime};
use crate::wire::moment::format_moment;
use crate::wire::reject::Reason;
use crate::wire::scan::Remarks;
use crate::wire::scan::unknown::UnknownCounts;

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
    /// Texts that are none of their vocabulary, by carrier.
    pub unknown: UnknownCounts,
    /// Scans whose event time stood for no time: their log time counted.
    pub no_time: u64,
    /// Scans by what became of them, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
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
    /// Silences shorter than this, in seconds, are none of the longest.
    long: Option<i64>,
}

/// One silence that an exception told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// How long it lasted, in seconds; where it still lasts, up to the frontier at the end.
    pub seconds: i64,
    /// How it ended; `None` where it still lasts.
    pub closed: Option<Change>,
    /// The package.
    pub key: PackageKey,
    /// Which silence.
    pub kind: Kind,
    /// The greatest severity reported.
    pub severity: Severity,
    /// Since when.
    pub anchor: EffectiveTime,
    /// The milestone before it.
    pub milestone: Milestone,
    /// The facility before it.
    pub facility: Option<Arc<str>>,
}

impl Summary {
    /// Scans that were applied, whatever became of them.
    pub fn scans(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// What became of scans, and of how many, where it became of any.
    pub(super) fn outcomes_seen(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        names.zip(self.outcomes).filter(|(_, count)| *count > 0)
    }

    /// Records that are no scans.
    pub fn rejected_in_all(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Records of which nothing could be read: it is not only a field that is wrong with them.
    pub fn unreadable(&self) -> u64 {
        let whole = self.rejected.iter().filter(|(reason, _)| reason.is_of_the_whole_record());
        whole.map(|(_, count)| count).sum()
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

    pub(super) fn count_remarks(&mut self, carrier: &str, remarks: Remarks<'_>) {
        self.no_time += u64::from(remarks.no_time);
        for (vocabulary, text) in remarks.unknown.each() {
            self.unknown.add(carrier, vocabulary, text);
        }
    }

    pub(super) fn count_outcome(&mut self, outcome: Outcome) {
        self.outcomes[outcome as usize] += 1;
    }

    pub(super) fn see(&mut self, time: LogTime) {
        let (first, last) = self.log_times.unwrap_or((time, time));
        self.log_times = Some((first.min(time), last.max(time)));
    }

    pub(super) fn count_event(&mut self, event: &ExceptionEvent) {
        *self.by_kind.entry((event.kind, event.change)).or_default() += 1;
        let carrier = event.key.carrier();
        let counts = match self.by_carrier.get_mut(carrier) {
            Some(counts) => counts,
            None => self.by_carrier.entry(carrier.to_owned()).or_default(),
        };
        *counts.entry(event.change).or_default() += 1;
        if event.change.closes() {
            self.see_silence(event.silent_for_s, || Silence::closed(event));
        }
    }

    pub(super) fn finish<'s>(&mut self, shards: impl Iterator<Item = &'s Shard>) {
        for shard in shards {
            self.partitions += 1;
            let stats = shard.stats();
            for (sum, count) in self.packages.iter_mut().zip(stats.packages) {
                *sum += count;
            }
            for ((_, kind, severity), count) in stats.open {
                *self.open.entry((kind, severity)).or_default() += count as u64;
            }
            if let Some(frontier) = shard.frontier() {
                shard.show_open(0, usize::MAX, |view| {
                    let seconds = frontier.secs() - view.open.anchor.secs();
                    self.see_silence(seconds, || Silence::open(seconds, &view));
                });
            }
        }
        self.keep_longest();
    }

    /// A silence that may be one of the longest.
    fn see_silence(&mut self, seconds: i64, silence: impl FnOnce() -> Silence) {
        if self.long.is_none_or(|long| seconds >= long) {
            self.longest.push(silence());
        }
        if self.longest.len() >= 100 * LONGEST {
            self.keep_longest();
        }
    }

    fn keep_longest(&mut self) {
        self.longest.sort_unstable_by(|a, b| {
            b.seconds
                .cmp(&a.seconds)
                .then_with(|| a.key.cmp(&b.key))
                .then_with(|| (a.anchor, a.kind).cmp(&(b.anchor, b.kind)))
        });
        self.longest.truncate(LONGEST);
        if let [.., last] = &self.longest[..]
            && self.longest.len() == LONGEST
        {
            self.long = Some(last.seconds);
        }
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
            "unknown_texts": self.unknown.texts().map(|(text, count)| {
                let (carrier, field) = (text.carrier.as_str(), text.field.as_str());
                json!({ "carrier": carrier, "field": field, "text": text.text, "count": count })
            }).collect::<Value>(),
            "unknown_texts_not_listed": self.unknown.more(),
            "no_event_time": self.no_time,
            "skipped_after_until": self.skipped,
            "partitions": self.partitions,
            "log_time": times,
            "outcomes": named(self.outcomes_seen()),
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
    fn closed(event: &ExceptionEvent) -> Self {
        Self {
            seconds: event.silent_for_s,
            closed: Some(event.change),
            key: event.key.clone(),
            kind: event.kind,
            severity: event.severity,
            anchor: event.anchor,
            milestone: event.last_milestone,
            facility: event.attributes.facility.clone(),
        }
    }

    fn open(seconds: i64, view: &OpenView<'_>) -> Self {
        Self {
            seconds,
            closed: None,
            key: view.key(),
            kind: view.open.kind,
            severity: view.open.severity,
            anchor: view.open.anchor,
            milestone: view.milestone(),
            facility: view.facility(),
        }
    }

    /// What it came to, or that it still lasts.
    pub fn end(&self) -> &'static str {
        self.closed.map_or("open", Change::as_str)
    }

    fn to_json(&self) -> Value {
        json!({
            "silent_for_s": self.seconds,
            "end": self.end(),
            "carrier": self.key.carrier(),
            "tracking_number": self.key.number().as_str(),
            "kind": self.kind.as_str(),
            "severity": self.severity.as_str(),
            "anchor_time": format_moment(self.anchor.secs()),
            "last_milestone": self.milestone.as_str(),
            "last_facility": self.facility.as_deref(),
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
