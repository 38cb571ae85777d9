//! What a worker has to do for a partition and has not done: in the order in which it came.

use std::collections::VecDeque;

use super::apply::apply;
use super::{Owned, Tools};
use crate::detector::time::Frontier;
use crate::protocol::evidence::Hold;
use crate::service::batch::Batch;
use crate::service::clock::Stopwatch;
use crate::service::telemetry::ScanCounts;
use crate::wire::scan::ScanDecoder;

/// How long a partition waits before it is told in the log.
const TOLD_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Something to do for a partition.
pub enum Work {
    /// Records to apply.
    Records(Reading),
    /// Control records up to this offset have been passed.
    Pass(i64),
    /// The log is complete up to here, by evidence.
    Advance(Frontier),
}

impl Work {
    /// Records that were read at this time, on our monotonic clock in milliseconds.
    pub fn records(batch: Batch, read: i64) -> Self {
        Self::Records(Reading { batch, read, done: 0 })
    }
}

/// Records, and how many of them are applied.
pub struct Reading {
    /// The records.
    pub batch: Batch,
    /// When they had been read, on our monotonic clock in milliseconds.
    pub read: i64,
    /// So many are applied.
    pub done: usize,
}

/// See the module's head.
#[derive(Default)]
pub struct Inbox {
    work: VecDeque<Work>,
    waits: Option<Waits>,
}

/// Why nothing is done, since when, and whether that has been told.
struct Waits {
    hold: Hold,
    since: Stopwatch,
    told: bool,
}

impl Inbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// Puts it behind what waits. Of evidence only the latest counts.
    pub fn push(&mut self, work: Work) {
        match (self.work.back_mut(), work) {
            (Some(Work::Advance(before)), Work::Advance(to)) => *before = to.max(*before),
            (_, work) => self.work.push_back(work),
        }
    }

    /// Bytes of the records that wait, those of a batch that is begun included.
    pub fn bytes(&self) -> usize {
        let bytes = |work: &Work| match work {
            Work::Records(reading) => reading.batch.size(),
            Work::Pass(_) | Work::Advance(_) => 0,
        };
        self.work.iter().map(bytes).sum()
    }

    /// Nothing is done for this reason, or something again.
    fn waits(&mut self, partition: i32, hold: Option<Hold>) {
        match (&mut self.waits, hold) {
            (Some(waits), Some(hold)) if waits.hold == hold => {
                if !waits.told && waits.since.elapsed() >= TOLD_AFTER {
                    waits.told = true;
                    tracing::warn!(partition, reason = hold.as_str(), "{}", hold.remedy());
                }
            }
            (_, Some(hold)) => {
                // A schema that is not known is told with the record that lacks it.
                let told = hold == Hold::UnknownSchema;
                self.waits = Some(Waits { hold, since: Stopwatch::start(), told });
            }
            (waits, None) => {
                if waits.take().is_some_and(|waits| waits.told) {
                    tracing::info!(partition, "the partition goes on");
                }
            }
        }
    }
}

impl Owned {
    /// Does what need not wait.
    pub fn work_off(&mut self, decoder: &mut ScanDecoder, tools: &Tools, counts: &mut ScanCounts) {
        let Self { held, inbox, .. } = self;
        let partition = held.partition();
        let mut hold = None;
        while let Some(work) = inbox.work.front_mut() {
            match work {
                Work::Records(reading) => {
                    hold = apply(held, decoder, tools, reading, counts);
                    if hold.is_some() {
                        break;
                    }
                    tools.status.bytes_applied(reading.batch.size());
                }
                Work::Pass(offset) => held.pass(*offset),
                Work::Advance(to) => {
                    if !held.advance(*to) && !held.is_halted() {
                        hold = Some(Hold::Publishing);
                        break;
                    }
                }
            }
            inbox.work.pop_front();
        }
        if hold.is_some_and(|hold| !matches!(hold, Hold::Publishing | Hold::UnknownSchema)) {
            tools.stamper.want(partition);
        }
        let before = inbox.waits.as_ref().map(|waits| waits.hold);
        inbox.waits(partition, hold);
        if before != hold {
            if before == Some(Hold::UnknownSchema) {
                tools.schemas.goes_on(partition);
            }
            tools.status.update(partition, |status| status.waits = hold);
        }
    }
}
