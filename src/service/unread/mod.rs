//! What comes in and is not read: records that are no scans, and texts that are none of their
//! vocabulary. A feed of which nothing is read looks as well as one of which everything is, so the
//! first of each kind is said in the log with its place and what to do, and then how many there are,
//! once a minute. The same counts stand on the page, in `top` and in the metrics.

mod ledger;
mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Stopwatch;
use super::telemetry::Metrics;
use crate::config::{Config, OnReject};
use crate::wire::reject::Rejected;
use crate::wire::scan::unknown::UnknownTexts;
pub use ledger::Unreads;
use ledger::{Ledger, Place};
use lines::Feed;
pub use lines::remedy;

/// Pause between two lines that tell how many there were.
const MINUTE: Duration = Duration::from_secs(60);

/// See the module's head. Shared by all workers.
pub struct Unread {
    ledger: Mutex<Ledger>,
    metrics: Arc<Metrics>,
    feed: Feed,
    since: Stopwatch,
    minute: Duration,
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
        Arc::new(Self::of(Feed { topic, becomes }, metrics, MINUTE))
    }

    fn of(feed: Feed, metrics: Arc<Metrics>, minute: Duration) -> Self {
        Self {
            ledger: Mutex::default(),
            metrics,
            feed,
            since: Stopwatch::start(),
            minute,
            minutes: AtomicU64::new(0),
        }
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
        let minutes = self.since.elapsed().as_millis() / self.minute.as_millis();
        let minutes = u64::try_from(minutes).unwrap_or(u64::MAX);
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::wire::policy_file;
    use crate::wire::reject::Reason;

    /// What is written to the log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_flood_is_one_line_at_its_beginning_and_one_a_minute() {
        let policies = "version = 1\n[[policy]]\nid = \"all\"\n\
            no_movement = [ { after = \"2d\", severity = \"warning\" } ]\n";
        let policies = Arc::new(policy_file::parse("policies.toml", policies).unwrap());
        let metrics = Metrics::new(&policies, None).unwrap();
        let feed = Feed { topic: "scans".to_owned(), becomes: "it is left out".to_owned() };
        let unread = Unread::of(feed, metrics, Duration::from_millis(20));
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(lines.finish(), || {
            unread.looked_at(5_000);
            for offset in 0..5_000 {
                unread.rejected(3, offset, &Rejected::new(Reason::NotJson, "expected value"));
            }
            while log.lines().len() < 2 {
                unread.turn();
                std::thread::yield_now();
            }
            let later = unread.since.elapsed() + 3 * unread.minute;
            while unread.since.elapsed() < later {
                unread.turn();
                std::thread::yield_now();
            }
        });
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "a minute without one is not told: {lines:#?}");
        for part in ["WARN", "topic=\"scans\" partition=3 offset=0 reason=\"not_json\"", "left out"]
        {
            assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
        }
        assert!(
            lines[1].contains("of 5000 records of the last minute 5000 are no scans (100.0 %)")
        );
    }
}
