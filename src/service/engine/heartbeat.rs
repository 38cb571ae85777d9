//! When every partition is committed, whether it has something to say or not.

use crate::protocol::keeper::HEARTBEAT_MS;
use crate::service::clock::Stopwatch;

/// See the module's head.
pub struct Heartbeat {
    last: Stopwatch,
    at_once: bool,
}

impl Heartbeat {
    /// The first is due after as long as any other.
    pub fn start() -> Self {
        Self { last: Stopwatch::start(), at_once: false }
    }

    /// A partition goes on that may have been halted: with the next commit the word of that means nothing.
    pub fn at_once(&mut self) {
        self.at_once = true;
    }

    /// Whether one is due; then the next is due after a while.
    pub fn is_due(&mut self) -> bool {
        let is_due = self.at_once || self.last.elapsed().as_millis() >= u128::from(HEARTBEAT_MS);
        if is_due {
            *self = Self::start();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_goes_on_is_committed_at_once_and_the_next_time_after_a_while() {
        let mut heartbeat = Heartbeat::start();
        assert!(!heartbeat.is_due());
        heartbeat.at_once();
        assert!(heartbeat.is_due());
        assert!(!heartbeat.is_due());
    }
}
