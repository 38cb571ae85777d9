//! Records become scans and are applied: decoded, judged by their log time, rejected or not.

use super::inbox::Reading;
use super::{DeadLetter, Partition, Tools};
use crate::config::OnReject;
use crate::detector::scan::{Record, Scan};
use crate::detector::time::{Frontier, LogTime};
use crate::protocol::cut::LastRecord;
use crate::protocol::evidence::Hold;
use crate::protocol::halt::{Halt, Other};
use crate::protocol::trusted_time::{Guard, LogTimeRead};
use crate::service::batch::Raw;
use crate::service::schemas::Verdict;
use crate::service::telemetry::ScanCounts;
use crate::service::trace;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::{Origin, Remarks, ScanBatch, ScanDecoder, Unread, framing};

/// Records that are decoded, then applied together.
const AT_ONCE: usize = 256;

/// Applies records up to the first that has to wait, and says why it has.
pub(super) fn apply(
    held: &mut Partition,
    decoder: &mut ScanDecoder,
    tools: &Tools,
    reading: &mut Reading,
    counts: &mut ScanCounts,
) -> Option<Hold> {
    let mut wait = None;
    let guard = LogTimeGuard::new(tools, reading.read);
    let mut has_begun = held.is_amid_record();
    let mut raws = reading.batch.iter_from(reading.done).peekable();
    while !held.is_halted() && wait.is_none() && raws.peek().is_some() {
        if held.is_full() {
            wait = Some(Hold::Publishing);
            break;
        }
        let scans = decoder.batch();
        let mut group = Group::default();
        for raw in raws.by_ref().take(AT_ONCE) {
            let has_begun = std::mem::take(&mut has_begun);
            if let Err(hold) = group.take(scans, raw, &guard, held, has_begun) {
                wait = Some(hold);
                break;
            }
        }
        let wanted = group.raws.len();
        let reached = apply_group(held, tools, group, counts);
        reading.done += reached;
        if reached < wanted {
            wait = Some(Hold::Publishing);
        }
    }
    held.settle();
    counts.flush(&tools.metrics);
    wait.filter(|_| !held.is_halted())
}

/// Judges log times of records that were read at one time.
struct LogTimeGuard<'a> {
    tools: &'a Tools,
    read: i64,
    plausible_up_to: i64,
}

impl<'a> LogTimeGuard<'a> {
    fn new(tools: &'a Tools, read: i64) -> Self {
        let plausible_up_to = tools.time.plausible_up_to(tools.max_future_skew_ms);
        Self { tools, read, plausible_up_to: plausible_up_to.unwrap_or(i64::MIN) }
    }

    /// The refusal of a record from the future.
    ///
    /// # Errors
    /// Why nobody can tell yet: the record waits.
    #[inline]
    fn judge(&self, raw: &Raw<'_>, log_time: Option<LogTime>) -> Result<Option<Rejected>, Hold> {
        // The record's own time stands in milliseconds.
        let in_effect = log_time.map(|it| raw.timestamp_ms.unwrap_or(it.secs() * 1_000));
        match in_effect {
            Some(time_ms) if time_ms > self.plausible_up_to => self.judge_by_stamps(raw, time_ms),
            _ => Ok(None),
        }
    }

    fn judge_by_stamps(&self, raw: &Raw<'_>, time_ms: i64) -> Result<Option<Rejected>, Hold> {
        let log = LogTimeRead { time_ms, by_broker: raw.by_broker, read: self.read };
        let skew_ms = self.tools.max_future_skew_ms;
        match self.tools.time.guard(log, skew_ms) {
            Guard::Pass => Ok(None),
            Guard::Refuse { now_ms } => Ok(Some(refusal(time_ms - now_ms, skew_ms))),
            Guard::Wait(hold) => Err(hold),
        }
    }

    /// The rejection of a record that was not read. One whose look has begun was read before: if its
    /// schema is not known any more, it waits.
    ///
    /// # Errors
    /// Its schema is not known: the record waits.
    #[cold]
    fn unread(
        &self,
        partition: i32,
        raw: &Raw<'_>,
        why: Unread,
        has_begun: bool,
    ) -> Result<Rejected, Hold> {
        let schemas = &self.tools.schemas;
        match framing::with_headers(why, raw.header_names()) {
            Unread::Rejected(rejected) => Ok(rejected),
            Unread::UnknownSchema(unknown) => {
                match schemas.look(partition, raw.offset, unknown, !has_begun) {
                    Verdict::GivenUp(rejected) => Ok(rejected),
                    Verdict::Waits => Err(Hold::UnknownSchema),
                }
            }
        }
    }
}

/// Applies records up to the first that stops the partition or has to wait, and tells of those that are
/// no scans once everything in front of them is applied. Returns how many were applied.
fn apply_group(
    held: &mut Partition,
    tools: &Tools,
    group: Group<'_>,
    counts: &mut ScanCounts,
) -> usize {
    let Group { records, raws, rejected, remarks, .. } = group;
    let mut outcomes = Vec::with_capacity(records.len());
    let stop = match tools.on_reject {
        OnReject::Halt => rejected.first().map(|(at, _)| *at),
        OnReject::Skip | OnReject::DeadLetter => None,
    };
    let wanted = &records[..stop.unwrap_or(records.len())];
    tell_late(held, tools, wanted);
    let waiting = held.packages().waiting();
    let (reached, applied) = held.apply(wanted, |at| raws[at].offset, &mut outcomes);
    keep_traces(held, waiting, &raws);
    for (record, outcome) in records.iter().zip(&outcomes) {
        if let (Record::Scan(scan), Some(outcome)) = (record, outcome) {
            counts.add(&tools.metrics, scan, *outcome);
            look_for_another_partition(held, tools, scan);
        }
    }
    tools.unread.looked_at(reached);
    for (at, remarks) in remarks {
        if let Some(Record::Scan(scan)) = records[..reached].get(at) {
            let (carrier, unknown) = (scan.key.carrier(), remarks.unknown);
            if remarks.no_time {
                tools.metrics.no_event_time(carrier);
            }
            if !unknown.is_empty() {
                tools.unread.unknown(held.partition(), raws[at].offset, carrier, unknown);
            }
        }
    }
    for (at, why) in rejected {
        if at < reached {
            match is_refused(&why) {
                true => held.refused(raws[at].offset),
                false => held.rejected(raws[at].offset),
            }
        }
        if at < reached || applied.is_ok() && Some(at) == stop {
            reject(held, tools, &raws[at], why);
        }
    }
    if let Some(raw) = reached.checked_sub(1).map(|last| &raws[last]) {
        let hash = LastRecord::hash(raw.key, raw.value);
        held.applied_last(LastRecord { offset: raw.offset, time_ms: raw.timestamp_ms, hash });
    }
    if let Err(no_room) = applied {
        held.stop(no_room.before(raws[reached].offset));
    }
    reached
}

/// Keeps the trace contexts of scans that closed an exception: they are handed on with its event.
fn keep_traces(held: &mut Partition, waiting: usize, raws: &[Raw<'_>]) {
    let closed_by: Vec<i64> = held.packages().closed_since(waiting).collect();
    for offset in closed_by {
        let raw = raws.binary_search_by_key(&offset, |raw| raw.offset).ok().map(|at| &raws[at]);
        if let Some(context) = raw.and_then(|raw| trace::context(raw.headers)) {
            held.traced(offset, context);
        }
    }
}

/// Counts records with a log time that evidence had said could not come any more: the margin is
/// too small. Where the frontier is the log clock, they are only out of order.
fn tell_late(held: &Partition, tools: &Tools, records: &[Record<'_>]) {
    let shard = held.packages();
    let log_clock = shard.log_clock().map(Frontier::at);
    let Some(proven) = shard.frontier().filter(|frontier| Some(*frontier) > log_clock) else {
        return;
    };
    for record in records {
        if let Some(late) =
            record.log_time().map(Frontier::at).filter(|log_time| *log_time < proven)
        {
            tools.metrics.late(proven.secs() - late.secs());
        }
    }
}

fn look_for_another_partition(held: &Partition, tools: &Tools, scan: &Scan<'_>) {
    let here = held.partition();
    if let Some(before) = tools.misrouted.look(&scan.key, here) {
        let package = tools.tracking_numbers.show(&scan.key);
        if tools.metrics.misrouted() {
            tracing::warn!(
                package,
                "scans of a package come in partitions {before} and {here}: key the input topic by carrier and tracking number, for each partition sees only a part of its journey; more like it are only counted (misrouted_packages_total)"
            );
        }
    }
}

fn reject(held: &mut Partition, tools: &Tools, raw: &Raw<'_>, rejected: Rejected) {
    tools.unread.rejected(held.partition(), raw.offset, &rejected);
    match tools.on_reject {
        OnReject::Skip => {}
        OnReject::Halt => {
            let offset = raw.offset;
            let message =
                format!("record at offset {offset}: {rejected} (input.on_reject = \"halt\")");
            held.stop(Halt::new(Other::RecordRejected, message));
        }
        OnReject::DeadLetter => held.dead_letter(DeadLetter {
            offset: raw.offset,
            key: raw.key.map(<[u8]>::to_vec),
            value: raw.value.map(<[u8]>::to_vec),
            headers: raw.headers.to_vec(),
            rejected,
        }),
    }
}

/// Records that are decoded and not applied yet.
#[derive(Default)]
struct Group<'a> {
    records: Vec<Record<'a>>,
    raws: Vec<Raw<'a>>,
    /// Those that are no scans, by their place in the group, and why.
    rejected: Vec<(usize, Rejected)>,
    /// How many of them are refused.
    refused: usize,
    /// What is to be told of scans, by their place.
    remarks: Vec<(usize, Remarks<'a>)>,
}

impl<'a> Group<'a> {
    /// Decodes a record and judges it; one whose look has begun was judged before.
    ///
    /// # Errors
    /// Why it waits.
    #[inline]
    fn take(
        &mut self,
        scans: ScanBatch<'a>,
        raw: Raw<'a>,
        guard: &LogTimeGuard<'_>,
        held: &Partition,
        has_begun: bool,
    ) -> Result<(), Hold> {
        let origin = Origin { log_time: raw.timestamp_ms, offset: raw.offset };
        let mut remarks = Remarks::default();
        let payload = raw.value.unwrap_or_default();
        let read = scans.decode_telling(payload, origin, |of_scan| remarks = of_scan);
        let (mut record, mut rejected) = match read {
            Ok(scan) => (Record::Scan(scan), None),
            Err(why) => {
                let why = guard.unread(held.partition(), &raw, why, has_begun)?;
                (why.record(), Some(why))
            }
        };
        if !has_begun && let Some(refusal) = guard.judge(&raw, record.log_time())? {
            record = refusal.record();
            rejected = Some(refusal);
        }
        let at = self.raws.len();
        if let Some(why) = rejected {
            if is_refused(&why) {
                if !held.may_refuse(raw.offset, self.refused) {
                    return Err(Hold::TooManyRefused);
                }
                self.refused += 1;
            }
            self.rejected.push((at, why));
        }
        if !remarks.is_empty() {
            self.remarks.push((at, remarks));
        }
        self.records.push(record);
        self.raws.push(raw);
        Ok(())
    }
}

/// Whether it is not what a record says that speaks against it, but its log time or the want of its
/// schema: a rebuild cannot tell, so the cut does.
fn is_refused(why: &Rejected) -> bool {
    matches!(why.reason, Reason::FutureLogTime | Reason::UnknownSchema)
}

fn refusal(ahead_ms: i64, skew_ms: i64) -> Rejected {
    Rejected::new(
        Reason::FutureLogTime,
        format!(
            "the record's log time lies {} s ahead of the brokers' clock, and input.max_future_skew allows {} s; check the producer's clock",
            ahead_ms / 1_000,
            skew_ms / 1_000
        ),
    )
}
