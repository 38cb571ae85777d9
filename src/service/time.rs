//! Trusted time, shared by all threads: the brokers' stamps as they come, and our own clocks beside
//! them.
//!
//! Every acknowledgement of the `open` topic bears a stamp: those of commits, and those of `:time`
//! records, which [`Stamper`] writes where one is wanted at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::message::{DeliveryResult, Message, Timestamp};

use super::clock::Clock;
use crate::protocol::evidence::Hold;
use crate::protocol::rules::Rules;
use crate::protocol::trusted_time::{Guard, LogTimeRead, Stamp, TrustedTime};

pub use stamper::Stamper;
pub use watch::Watch;

mod stamper;
mod watch;

/// How often one that waits for a stamp looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// Our clocks are read one after the other: a thread that stood still in between reads them again.
const TOGETHER_MS: i64 = 20;

/// What is known of the time.
pub struct Time {
    clock: Arc<dyn Clock>,
    /// By how much our wall clock may drift against the monotonic one, in milliseconds.
    margin_ms: i64,
    known: Mutex<TrustedTime>,
    stamped: Condvar,
}

impl Time {
    /// Nothing but our own clocks is known yet.
    pub fn new(clock: Arc<dyn Clock>, margin_ms: i64) -> Arc<Self> {
        let time = Self {
            clock,
            margin_ms,
            known: Mutex::new(TrustedTime::under(Rules::ALL)),
            stamped: Condvar::new(),
        };
        drop(time.look());
        Arc::new(time)
    }

    /// Monotonic time, in milliseconds since some moment of this process.
    pub fn mono(&self) -> i64 {
        self.clock.monotonic_ms()
    }

    /// The wall time that evidence may take for now, in milliseconds.
    ///
    /// # Errors
    /// Why there is none.
    pub fn evidence(&self, margin_ms: i64) -> Result<i64, Hold> {
        let (known, mono) = self.look();
        known.evidence(mono, margin_ms)
    }

    /// A log time up to which no record is refused, in milliseconds; see
    /// [`TrustedTime::plausible_up_to`].
    pub fn plausible_up_to(&self, skew_ms: i64) -> Option<i64> {
        let (known, mono) = self.look();
        known.plausible_up_to(mono, skew_ms)
    }

    /// What becomes of a record of this log time.
    pub fn guard(&self, log: LogTimeRead, skew_ms: i64) -> Guard {
        let (known, mono) = self.look();
        known.guard(log, mono, skew_ms)
    }

    /// How far our wall clock is ahead of trusted time, in milliseconds.
    pub fn offset_ms(&self) -> Option<i64> {
        let (known, mono) = self.look();
        known.offset_ms(mono)
    }

    /// Waits for the brokers' clock at some moment from `since` on, in milliseconds; has records of a
    /// partition of the `open` topic stamped for it. `None` when cancelled.
    pub fn wait_for_stamp(
        &self,
        stamper: &Stamper,
        partition: i32,
        since: i64,
        cancelled: &AtomicBool,
    ) -> Option<i64> {
        while !cancelled.load(Ordering::Relaxed) {
            if let Some(now_ms) = self.next_stamp(stamper, partition, since) {
                return Some(now_ms);
            }
        }
        None
    }

    /// [`Self::wait_for_stamp`] for a moment; `None` where that was not long enough.
    pub fn next_stamp(&self, stamper: &Stamper, partition: i32, since: i64) -> Option<i64> {
        let (known, mono) = self.look();
        let now_ms = known.known_since(since, mono);
        if now_ms.is_none() {
            stamper.want(partition);
            drop(self.stamped.wait_timeout(known, LOOK));
        }
        now_ms
    }

    /// A record of the `open` topic was acknowledged that had been handed over at `sent` at the
    /// earliest, on our monotonic clock.
    pub fn acknowledged(&self, result: &DeliveryResult<'_>, sent: i64) {
        let Ok(message) = result else { return };
        let received = self.mono();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match message.timestamp() {
            // Whoever simulates the time tells it to nobody else.
            Timestamp::LogAppendTime(broker_ms) if !self.clock.is_simulated() => {
                known.stamped(message.partition(), Stamp { broker_ms, sent, received });
            }
            _ => known.acknowledged_without_stamp(),
        }
        drop(known);
        self.stamped.notify_all();
    }

    /// What is known, our own clocks as they stand.
    fn look(&self) -> (MutexGuard<'_, TrustedTime>, i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mono, wall_ms) = loop {
            let (before, wall_ms) = (self.clock.monotonic_ms(), self.clock.now_ms());
            let mono = self.clock.monotonic_ms();
            if mono - before <= TOGETHER_MS {
                break (mono, wall_ms);
            }
        };
        known.own_clock(mono, wall_ms, self.margin_ms);
        (known, mono)
    }
}
