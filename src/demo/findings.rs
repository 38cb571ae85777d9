//! What came out of the detector, as an onlooker counts it.

use std::collections::{BTreeMap, VecDeque};

use crate::detector::exception::{Change, ExceptionEvent, Kind};
use crate::detector::key::PackageKey;

/// How many of the latest exceptions are remembered whole.
const LATEST: usize = 24;

/// Everything read from the topic of exceptions so far.
#[derive(Debug, Default)]
pub struct Findings {
    said: Vec<(PackageKey, Kind, Change)>,
    changes: BTreeMap<(Kind, Change), u64>,
    open: BTreeMap<(String, Kind), i64>,
    latest: VecDeque<(ExceptionEvent, Option<i64>)>,
    delays_s: Vec<i64>,
}

impl Findings {
    /// Adds an event with its wall clock time of detection, in milliseconds since 1970.
    ///
    /// `catch_up_grace` is that of the policies, in seconds: nothing is due before it is over.
    pub fn add(&mut self, event: ExceptionEvent, detected_ms: Option<i64>, catch_up_grace: i64) {
        self.said.push((event.key.clone(), event.kind, event.change));
        *self.changes.entry((event.kind, event.change)).or_default() += 1;
        let open = self.open.entry((event.key.carrier().to_owned(), event.kind)).or_default();
        *open += match event.change {
            Change::Opened => 1,
            Change::Escalated => 0,
            Change::Resolved | Change::Retracted | Change::Expired => -1,
        };
        if let (Change::Opened, Some(detected)) = (event.change, detected_ms) {
            let due = event.deadline.secs().max(event.anchor_set_at.secs() + catch_up_grace);
            self.delays_s.push(detected.div_euclid(1000) - due);
        }
        if self.latest.len() == LATEST {
            self.latest.pop_back();
        }
        self.latest.push_front((event, detected_ms));
    }

    /// Package, kind and change of every event, in the order of reading.
    pub fn said(&self) -> impl Iterator<Item = (PackageKey, Kind, Change)> {
        self.said.iter().cloned()
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.said.len()
    }

    /// Whether nothing has come out yet.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// How often this was said of this kind of silence.
    pub fn count(&self, kind: Kind, change: Change) -> u64 {
        self.changes.get(&(kind, change)).copied().unwrap_or(0)
    }

    /// Open exceptions of a carrier and kind.
    pub fn open(&self, carrier: &str, kind: Kind) -> i64 {
        self.open.get(&(carrier.to_owned(), kind)).copied().unwrap_or(0)
    }

    /// The latest events, newest first, each with its time of detection in milliseconds.
    pub fn latest(&self) -> impl Iterator<Item = &(ExceptionEvent, Option<i64>)> {
        self.latest.iter()
    }

    /// Simulated seconds between an opening's being due and its detection: half of them took no
    /// longer than the first figure, 99 of a hundred no longer than the second.
    pub fn delays_s(&self) -> Option<(i64, i64)> {
        let mut sorted = self.delays_s.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        (!sorted.is_empty()).then(|| (*at(50).expect("not empty"), *at(99).expect("not empty")))
    }
}
