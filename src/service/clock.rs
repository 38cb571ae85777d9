//! The only reader of the wall clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A wall clock and a monotonic one. The service asks the system's; the demo brings some that run
/// faster.
pub trait Clock: Send + Sync {
    /// Wall time, in milliseconds since 1970 UTC.
    fn now_ms(&self) -> i64;

    /// Monotonic time, in milliseconds since some moment of this process.
    fn monotonic_ms(&self) -> i64;

    /// The time that people are shown.
    fn shown_ms(&self) -> i64 {
        self.now_ms()
    }

    /// Whether it runs at another pace than time.
    fn is_simulated(&self) -> bool {
        false
    }
}

/// When this process first asked for monotonic time.
static BEGINNING: OnceLock<Stopwatch> = OnceLock::new();

/// The system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this file is the only reader of the wall clock")]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic_ms(&self) -> i64 {
        let since = BEGINNING.get_or_init(Stopwatch::start).elapsed();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A stopwatch for pauses, patience and durations; it never enters a decision about a stall.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(clippy::disallowed_methods, reason = "this file is the only reader of clocks")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
