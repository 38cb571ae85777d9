//! How long single calls take: the longest, and nearly all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::thread_time;

/// Lengths of single calls, in microseconds of processor time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Calls {
    /// The longest.
    pub max_us: f64,
    /// All but one in ten thousand are shorter.
    pub p9999_us: f64,
}

/// How long calls were: the longest, and a histogram whose buckets are an eighth of a power of two.
pub struct Lengths {
    longest: Duration,
    buckets: [u64; 8 * 64],
}

impl Default for Lengths {
    fn default() -> Self {
        Self { longest: Duration::ZERO, buckets: [0; 8 * 64] }
    }
}

impl Lengths {
    /// Adds a call.
    pub fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = thread_time();
        let result = call();
        self.add(thread_time().saturating_sub(start));
        result
    }

    /// Adds a call that took so long.
    pub fn add(&mut self, length: Duration) {
        self.longest = self.longest.max(length);
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(8);
        let power = nanos.ilog2();
        let eighth = (nanos >> (power - 3)) as usize & 7;
        self.buckets[power as usize * 8 + eighth] += 1;
    }

    /// The longest, and how long nearly all were.
    pub fn summary(&self) -> Calls {
        let calls: u64 = self.buckets.iter().sum();
        let mut above = calls / 10_000;
        let mut bucket = self.buckets.len() - 1;
        while bucket > 0 && above >= self.buckets[bucket] {
            above -= self.buckets[bucket];
            bucket -= 1;
        }
        let end_of_bucket = ((bucket % 8 + 9) as f64 / 8.0) * 2f64.powi(bucket as i32 / 8);
        let max_us = self.longest.as_nanos() as f64 / 1_000.0;
        Calls { max_us, p9999_us: (end_of_bucket / 1_000.0).min(max_us) }
    }
}
