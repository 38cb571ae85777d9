//! When the frontier of a partition may follow trusted time: only once the log is empty by proof.
//!
//! The service notes trusted time w, asks for the end offset H as a reader of uncommitted data and
//! tells both. Every record at or past H has a log time of at least w − margin, so once the
//! partition's position (records handed on for applying, control records passed) has reached H, the
//! log is complete up to floor(w − margin). While no answer comes or the position is behind, the
//! frontier stands still: lag and outage delay alarms and never invent them.

use std::collections::VecDeque;

use super::rules::Rules;
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
    /// Questions since the last answer.
    unanswered: u32,
    rules: Rules,
}

/// Why a frontier stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Its state is being rebuilt.
    Restoring,
    /// What was open at a first start is not all out.
    Backfilling,
    /// It is being given back.
    Revoking,
    /// It is halted, and an operator decides.
    Halted,
    /// It is halted until there is room for packages.
    MaxPackages,
    /// Consumption is paused.
    Paused,
    /// The broker does not say where the log ends.
    NoAnswer,
    /// Records up to the end that the broker named are still to come.
    Behind,
    /// No broker has stamped a record lately, so nobody knows what time it is.
    NoTrustedTime,
    /// The clocks of two brokers are further apart than `clock_margin`.
    BrokersDisagree,
    /// Our own clock stands in for the brokers', and it has stepped.
    ClockStepped,
    /// The next record was stamped by a broker with a time far ahead of the brokers' stamps.
    LogTimeAhead,
    /// The cut has room for no more refused records: the next one waits until its time has come.
    TooManyRefused,
    /// The next record was written with a schema that neither a file nor the registry has.
    UnknownSchema,
    /// More is due than one transaction takes; the rest follows commit by commit.
    Publishing,
    /// A transaction on the input is open: what comes behind its beginning is given to nobody.
    OpenTransaction,
}

impl Hold {
    /// The label of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::Backfilling => "backfilling",
            Self::Revoking => "revoking",
            Self::Halted => "halted",
            Self::MaxPackages => "max_packages",
            Self::Paused => "paused",
            Self::NoAnswer => "no_answer",
            Self::Behind => "behind",
            Self::OpenTransaction => "open_transaction",
            Self::NoTrustedTime => "no_trusted_time",
            Self::BrokersDisagree => "brokers_disagree",
            Self::ClockStepped => "clock_stepped",
            Self::LogTimeAhead => "log_time_ahead",
            Self::TooManyRefused => "too_many_refused",
            Self::UnknownSchema => "unknown_schema",
            Self::Publishing => "publishing",
        }
    }

    /// What it means where it lasts, and what to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Restoring => "its state is being rebuilt; it goes on by itself",
            Self::Backfilling => {
                "what was open at a first start is being published; it goes on by itself"
            }
            Self::Revoking => "the partition is being given back",
            Self::Halted => "the partition is halted; its message names the answer",
            Self::MaxPackages => {
                "there is no room for more packages; raise engine.max_packages or add instances"
            }
            Self::Paused => {
                "the broker or the workers are behind; reading goes on once they are not"
            }
            Self::NoAnswer => "the broker does not say where the log ends; look at the broker",
            Self::Behind => "records up to the end of the log are still to come",
            Self::OpenTransaction => {
                "a transaction on the input is open, and what comes behind its beginning is given to nobody; it goes on once that ends, and the log names the command that ends one that hangs"
            }
            Self::NoTrustedTime => {
                "no broker has stamped a record of the open topic lately, so nobody knows what time it is: look at the brokers, and at whether this instance can write to the open topic"
            }
            Self::BrokersDisagree => {
                "the clocks of two brokers are further apart than input.clock_margin; let NTP set them"
            }
            Self::ClockStepped => {
                "the clock of this machine has stepped, and the open topic is not stamped by its brokers: it goes on a minute after the last step; set message.timestamp.type=LogAppendTime on the open topic"
            }
            Self::TooManyRefused => {
                "the next record is to be refused, for its log time ahead of the brokers' clock or for a schema that nobody has, and so many have been already that the cut has no room for more: correct the producer's clock, or give its schema; the partition goes on once the record's time has come or its schema is known"
            }
            Self::UnknownSchema => {
                "the next record was written with a schema that neither a file nor the registry has; give it in input.schema_files or input.schemas and have them read anew: it goes on by itself"
            }
            Self::Publishing => {
                "more is due than one transaction takes; the rest is published commit by commit"
            }
            Self::LogTimeAhead => {
                "the next record was stamped by its broker far ahead of the other brokers' time: their clocks disagree; let NTP set them, the partition goes on once they agree"
            }
        }
    }
}

impl Hold {
    /// Whether it lasts until somebody outside of this instance does something: nothing of the
    /// partition is read meanwhile, for the sake of the others.
    pub const fn lasts(self) -> bool {
        matches!(self, Self::UnknownSchema | Self::LogTimeAhead | Self::TooManyRefused)
    }
}

/// Questions without an answer after which the broker is taken to be silent.
const SILENCE: u32 = 2;

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

    /// The same under these rules.
    pub fn under(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The end offset has been asked for.
    pub fn asked(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Why the frontier cannot follow trusted time, as far as this evidence goes.
    pub fn hold(&self) -> Option<Hold> {
        if self.unanswered >= SILENCE {
            return Some(Hold::NoAnswer);
        }
        self.is_behind().then_some(Hold::Behind)
    }

    /// The broker has answered, and nobody knows when it was asked.
    pub fn answered_at_no_time(&mut self) {
        self.unanswered = 0;
    }

    /// The end offset asked for at a trusted time was this. Milliseconds.
    pub fn answered(&mut self, asked_at_ms: i64, margin_ms: i64, end: i64) {
        self.unanswered = 0;
        let margin_ms = if self.rules.margin_is_kept { margin_ms } else { 0 };
        let complete_to = Frontier::from_secs(floor_to_seconds(asked_at_ms - margin_ms));
        // What says more and is reached no later takes the place of what was said before: the log may have
        // become shorter, and an end that it had is then never reached.
        while self.pending.back().is_some_and(|last| last.end >= end) {
            self.pending.pop_back();
        }
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
            if answer.end > self.position && self.rules.position_reaches_end {
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
    fn an_idle_partition_advances_to_trusted_time_less_the_margin() {
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
    fn an_end_that_the_log_no_longer_has_is_not_waited_for() {
        let mut evidence = Evidence::starting_at(5);
        evidence.answered(10_000, 2_000, 45);
        evidence.answered(12_000, 2_000, 5);
        assert_eq!(evidence.take(), Some(Frontier::from_secs(10)));
        assert!(!evidence.is_behind());
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
