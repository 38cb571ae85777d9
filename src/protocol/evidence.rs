//! When the frontier of a partition may follow the wall clock: only once the log is empty by proof.
//!
//! The service notes the wall time w, asks for the end offset H as a reader of uncommitted data and
//! tells both. Every record at or past H has a log time of at least w − margin, so once the
//! partition's position (records handed on for applying, control records passed) has reached H, the
//! log is complete up to floor(w − margin). While no answer comes or the position is behind, the
//! frontier stands still: lag and outage delay alarms and never invent them.

use std::collections::VecDeque;

use crate::detector::time::{Frontier, floor_to_seconds};

/// Answers kept while the position is behind; further ones are dropped, so that the oldest, which
/// is reached first, still counts.
const PENDING: usize = 64;

/// The evidence about one partition.
#[derive(Debug, Default)]
pub struct Evidence {
    position: i64,
    pending: VecDeque<Answer>,
    proven: Option<Frontier>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    end: i64,
    complete_to: Frontier,
}

impl Evidence {
    /// Evidence for a partition read up to this position (the next offset to read).
    pub fn starting_at(position: i64) -> Self {
        Self { position, ..Self::default() }
    }

    /// The end offset asked for at a wall time was this. Milliseconds.
    pub fn answered(&mut self, asked_at_ms: i64, margin_ms: i64, end: i64) {
        let complete_to = Frontier::from_secs(floor_to_seconds(asked_at_ms - margin_ms));
        if self.pending.len() < PENDING {
            self.pending.push_back(Answer { end, complete_to });
        }
        self.settle();
    }

    /// Everything before this offset has been handed on.
    pub fn reached(&mut self, position: i64) {
        self.position = self.position.max(position);
        self.settle();
    }

    /// The next offset to read.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Whether an answer waits for the position.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How far the frontier may go by what has been proven since the last call.
    pub fn take(&mut self) -> Option<Frontier> {
        self.proven.take()
    }

    fn settle(&mut self) {
        while let Some(answer) = self.pending.front() {
            if answer.end > self.position {
                break;
            }
            self.proven = self.proven.max(Some(answer.complete_to));
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_partition_advances_to_the_wall_time_less_the_margin() {
        let mut evidence = Evidence::starting_at(5);
        evidence.answered(10_999, 2_000, 5);
        assert_eq!(evidence.take(), Some(Frontier::from_secs(8)));
        assert_eq!(evidence.take(), None);
    }

    #[test]
    fn a_partition_behind_its_end_proves_nothing_until_it_has_caught_up() {
        let mut evidence = Evidence::starting_at(5);
        evidence.answered(10_000, 2_000, 7);
        evidence.reached(6);
        assert_eq!(evidence.take(), None);
        assert!(evidence.is_behind());
        evidence.reached(7);
        assert_eq!(evidence.take(), Some(Frontier::from_secs(8)));
    }

    #[test]
    fn a_long_lag_keeps_the_answers_that_are_reached_first() {
        let mut evidence = Evidence::starting_at(0);
        for round in 0..1_000 {
            evidence.answered(round * 1_000, 0, 10 + round);
        }
        evidence.reached(11);
        assert_eq!(evidence.take(), Some(Frontier::from_secs(1)));
        evidence.reached(2_000);
        assert_eq!(evidence.take(), Some(Frontier::from_secs(PENDING as i64 - 1)));
    }
}
