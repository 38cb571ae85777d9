//! What comes in and is not read: records that are no scans, and texts that are none of their
//! vocabulary. A feed of which nothing is read looks as well as one of which everything is, so the
//! first of each kind is said in the log with its place and what to do, and then how many there are,
//! once a minute. The same counts stand on the page, in `top` and in the metrics.

mod ledger;
mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Stopwatch;
use super::telemetry::Metrics;
use crate::config::{Config, OnReject};
use crate::wire::reject::Rejected;
use crate::wire::scan::unknown::UnknownTexts;
pub use ledger::Unreads;
use ledger::{Ledger, Place};
use lines::Feed;
pub use lines::remedy;

/// Seconds between two lines that tell how many there were.
const TELL_EVERY: u64 = 60;

/// See the module's head. Shared by all workers.
pub struct Unread {
    ledger: Mutex<Ledger>,
    metrics: Arc<Metrics>,
    feed: Feed,
    since: Stopwatch,
    /// Minutes that are over and have been told.
    minutes: AtomicU64,
}

impl Unread {
    /// Of the input that this configuration names.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Arc<Self> {
        let becomes = match config.input.on_reject {
            OnReject::DeadLetter => format!("it goes to {} as it came", config.output.dead_letter),
            OnReject::Skip => "it is left out".to_owned(),
            OnReject::Halt => "its partition halts".to_owned(),
        };
        let topic = config.input.topics.first().cloned().unwrap_or_default();
        Arc::new(Self {
            ledger: Mutex::default(),
            metrics,
            feed: Feed { topic, becomes },
            since: Stopwatch::start(),
            minutes: AtomicU64::new(0),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many records were looked at, scans or not.
    pub fn looked_at(&self, records: usize) {
        self.ledger().read(records as u64);
    }

    /// A record is no scan.
    pub fn rejected(&self, partition: i32, offset: i64, rejected: &Rejected) {
        self.metrics.rejected(rejected.reason);
        let place = Place { partition, offset };
        if self.ledger().rejected(place, rejected) {
            self.feed.first_rejected(place, rejected);
        }
    }

    /// A scan of this carrier has texts that are none of their vocabulary.
    pub fn unknown(&self, partition: i32, offset: i64, carrier: &str, texts: UnknownTexts<'_>) {
        let place = Place { partition, offset };
        for (field, text) in texts.each() {
            let noted = self.ledger().unknown(place, carrier, field, text);
            self.metrics.unknown_text(&noted.text, noted.is_counted);
            if noted.is_first {
                self.feed.first_unknown(place, &noted.text);
            }
        }
    }

    /// Called again and again by all workers: one of them tells what there was when a minute is over.
    pub fn turn(&self) {
        let minutes = self.since.elapsed().as_secs() / TELL_EVERY;
        let before = self.minutes.fetch_max(minutes, Ordering::Relaxed);
        if before < minutes {
            let over = usize::try_from(minutes - before).unwrap_or(usize::MAX);
            let minute = self.ledger().turn(over);
            self.feed.minute(&minute);
        }
    }

    /// What there was, for those who ask.
    pub fn counts(&self) -> Unreads {
        self.ledger().counts()
    }
}
