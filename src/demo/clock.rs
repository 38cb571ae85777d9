//! The demo's wall clock: thousands of times as fast as the real one, and never ahead of the log.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::time::{END, START};
use crate::service::clock::{Clock, Stopwatch};

/// The most that the demo's clock moves at once, in milliseconds. A scan may be this far ahead of
/// the clock when it is read.
pub const LONGEST_STEP_MS: i64 = 40 * 60 * 1000;

/// How long after the last simulated second the clock comes to rest, in milliseconds: the service's
/// `clock_margin`, so that its frontier comes to rest at the end of the simulation.
pub const MARGIN_MS: i64 = LONGEST_STEP_MS;

/// Simulated time in milliseconds since 1970. Set to T only once every scan with a log time up to T
/// has been taken by the broker, so that what is yet to come lies after it.
#[derive(Debug)]
pub struct SimulatedClock(AtomicI64);

impl SimulatedClock {
    /// A clock that shows the first second of the simulation.
    pub fn at_the_start() -> Self {
        Self(AtomicI64::new(START * 1000))
    }

    /// Moves it on.
    pub fn set(&self, ms: i64) {
        self.0.fetch_max(ms, Ordering::Release);
    }
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }

    fn monotonic_ms(&self) -> i64 {
        self.now_ms()
    }

    /// Behind the end only the service's margin goes by, which is no part of the story.
    fn shown_ms(&self) -> i64 {
        self.now_ms().min(END * 1000)
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

/// How fast simulated time is to go by.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: Stopwatch,
    speed: f64,
}

impl Pace {
    /// Simulated seconds a real second, from now on.
    pub fn from_now(speed: f64) -> Self {
        Self { began: Stopwatch::start(), speed }
    }

    /// Where the clock should stand by now, in simulated milliseconds since 1970.
    pub fn due_ms(&self) -> i64 {
        let passed = self.began.elapsed().as_secs_f64() * self.speed * 1000.0;
        (START * 1000).saturating_add(passed as i64).min(END * 1000)
    }

    /// Real time since then.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How long simulated time of this many milliseconds lasts.
    pub fn lasts(&self, simulated_ms: i64) -> Duration {
        Duration::from_secs_f64(simulated_ms.max(0) as f64 / 1000.0 / self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_shown_no_time_behind_the_end_of_the_story() {
        let clock = SimulatedClock::at_the_start();
        assert_eq!(clock.shown_ms(), START * 1000);
        clock.set(END * 1000 + MARGIN_MS);
        assert_eq!((clock.shown_ms(), clock.now_ms()), (END * 1000, END * 1000 + MARGIN_MS));
    }
}
