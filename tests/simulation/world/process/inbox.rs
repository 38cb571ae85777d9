//! What has been read of a partition and not been applied: records, and how far the log is complete.

use std::collections::VecDeque;

use stallwatch::detector::scan::Record;
use stallwatch::detector::time::Frontier;
use stallwatch::protocol::held::Held;
use stallwatch::protocol::plain::Plain;
use stallwatch::protocol::trusted_time::{Guard, LogTimeRead};

use super::time::Time;
use super::{Around, Letter, Reading};
use crate::world::broker::Input;
use crate::world::oracle::Schedule;

/// A piece of work for a partition.
pub enum Work {
    /// A record at this offset, read at this time of the monotonic clock.
    Record(i64, Box<Input>, i64),
    /// Control records up to here are passed.
    Pass(i64),
    /// The log is complete up to here.
    Advance(Frontier),
}

/// In the order in which it came.
pub type Inbox = VecDeque<Work>;

/// Does what does not have to wait.
pub fn work_off(
    inbox: &mut Inbox,
    held: &mut Held<Plain, Letter>,
    schedule: &mut Schedule,
    (time, reading): (&mut Time, &Reading),
    around: &Around<'_>,
) {
    while let Some(work) = inbox.front() {
        match work {
            Work::Record(offset, input, read) => {
                let mono = time.mono(around);
                let (time_ms, by_broker) = (input.time_ms, input.by_broker);
                let log = LogTimeRead { time_ms, by_broker, read: *read };
                let skew_ms = match reading.refuses.get(&held.partition()) == Some(offset) {
                    true => i64::MIN / 4,
                    false => around.options.max_future_skew_ms,
                };
                let refused = match time.now(around).guard(log, mono, skew_ms) {
                    _ if held.is_amid_record() => false,
                    Guard::Wait(_) => return time.want_stamp(held.partition()),
                    guard => guard != Guard::Pass,
                };
                if !apply(held, (*offset, input), reading, refused) {
                    return;
                }
            }
            Work::Pass(offset) => held.pass(*offset),
            Work::Advance(frontier) => {
                let is_done = held.advance(*frontier);
                let (finished, _) = held.packages().settled_clocks();
                schedule.extend(finished.map(|finished| (held.offset(), finished.secs())));
                if !is_done {
                    return;
                }
            }
        }
        inbox.pop_front();
    }
}

/// Applies a record as a worker does: a refused one is noted, a rejected one goes to the dead letters.
/// False where more is due than one transaction takes: the record waits.
fn apply(
    held: &mut Held<Plain, Letter>,
    (offset, input): (i64, &Input),
    reading: &Reading,
    refused: bool,
) -> bool {
    if held.is_halted() {
        return true;
    }
    if held.is_full() {
        return false;
    }
    let record = match refused {
        true => Record::Rejected { log_time: None },
        false => reading.read(held.partition(), offset, input),
    };
    let mut outcomes = Vec::new();
    let applied = held.apply(std::slice::from_ref(&record), |_| offset, &mut outcomes);
    applied.1.expect("there is room");
    if applied.0 == 0 {
        return held.is_halted();
    }
    if refused {
        held.refused(offset);
    }
    if matches!(record, Record::Rejected { .. }) {
        if !refused {
            held.rejected(offset);
        }
        held.dead_letter(Letter { offset, from_the_future: refused });
    }
    held.applied_last(input.last(offset));
    held.settle();
    true
}
