//! What came out of the detector, as an onlooker counts it.

use std::collections::{BTreeMap, VecDeque};

use super::compare::Detected;
use crate::detector::exception::{Change, ExceptionEvent, Kind};

/// How many of the latest exceptions are remembered whole.
const LATEST: usize = 24;

/// Everything read from the topic of exceptions so far.
#[derive(Debug, Default)]
pub struct Findings {
    said: Vec<Detected>,
    changes: BTreeMap<(Kind, Change), u64>,
    open: BTreeMap<(String, Kind), i64>,
    latest: VecDeque<ExceptionEvent>,
}

impl Findings {
    /// Adds an event with its wall clock time of detection, in milliseconds since 1970.
    pub fn add(&mut self, event: ExceptionEvent, detected_ms: Option<i64>) {
        let at = detected_ms.map(|ms| ms.div_euclid(1000));
        let (key, kind, change) = (event.key.clone(), event.kind, event.change);
        self.said.push(Detected { key, kind, change, at });
        *self.changes.entry((event.kind, event.change)).or_default() += 1;
        let open = self.open.entry((event.key.carrier().to_owned(), event.kind)).or_default();
        *open += match event.change {
            Change::Opened => 1,
            Change::Escalated => 0,
            Change::Resolved | Change::Retracted | Change::Expired => -1,
        };
        if self.latest.len() == LATEST {
            self.latest.pop_back();
        }
        self.latest.push_front(event);
    }

    /// Every event, in the order of reading.
    pub fn said(&self) -> &[Detected] {
        &self.said
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

    /// The latest events, newest first.
    pub fn latest(&self) -> impl Iterator<Item = &ExceptionEvent> {
        self.latest.iter()
    }
}
