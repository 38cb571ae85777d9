//! A restore against the broker, each read a step of its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::{Retention, Shard};
use stallwatch::protocol::agree::{Accept, Durable, OtherGroup};
use stallwatch::protocol::held::Ready;
use stallwatch::protocol::open_sum::OpenSum;
use stallwatch::protocol::ownership::Epoch;
use stallwatch::protocol::plain::Plain;
use stallwatch::protocol::restore::{
    Ask, Failed, FirstStart, OnInconsistency, Restore, Setup, SnapshotMeta, Taken,
};

use super::time::Time;
use super::{Around, Fault, Process, Reading};
use crate::world::broker::OpenRead;
use crate::world::store::Snapshot;

type Machine = Restore<Plain, Box<dyn Fn(bool) -> Plain>>;

/// A restore under way, on a thread of its own.
pub struct Rebuild {
    pub partition: i32,
    epoch: Epoch,
    machine: Option<Machine>,
    ask: Ask,
    /// The end of the `open` partition that is read up to, then what was read, and when.
    open_end: Option<i64>,
    open: Option<(OpenRead, i64)>,
    /// The rows of the `open` table.
    rows: BTreeMap<String, Arc<ExceptionEvent>>,
    /// The end of the log: trusted time when it was asked for, and when it was known.
    end: Option<(i64, i64, i64)>,
    /// Where the next record is read.
    at: Option<i64>,
    listed: Vec<usize>,
    lossy: bool,
    disagrees: bool,
    other: Option<OtherGroup>,
    open_read: i64,
    reading: Reading,
}

/// A restore that is done.
pub struct Completed {
    pub partition: i32,
    pub epoch: Epoch,
    pub result: Result<Ready<Plain>, String>,
    /// Records that it would have needed are deleted.
    pub lossy: bool,
    /// How far the open topic was read.
    pub open_end: i64,
    /// Offset and cut did not belong together, and nobody has accepted that.
    pub disagrees: bool,
}

impl Rebuild {
    pub fn begin(partition: i32, epoch: Epoch, process: &Process, around: &Around<'_>) -> Self {
        let policies = process.policies.clone();
        let setup = Setup {
            topic: "scans".to_owned(),
            partition,
            source: around.source(),
            today: Retention::of(&policies),
            first_start: match around.options.silent_start {
                true => FirstStart::Silent,
                false => FirstStart::Publish,
            },
            on_inconsistency: OnInconsistency::Halt,
            max_future_skew_ms: around.options.max_future_skew_ms,
            rules: around.rules,
        };
        let work = around.options.work;
        let make: Box<dyn Fn(bool) -> Plain> = Box::new(move |awake| {
            let mut shard = match awake {
                true => Shard::new(policies.clone()),
                false => Shard::rebuilding(policies.clone()),
            };
            shard.set_work_per_call(work);
            Plain(shard)
        });
        let (machine, ask) = Restore::begin(setup, make);
        Self {
            partition,
            epoch,
            machine: Some(machine),
            ask,
            open_end: None,
            open: None,
            rows: BTreeMap::new(),
            end: None,
            at: None,
            listed: Vec::new(),
            lossy: false,
            disagrees: false,
            open_read: 0,
            other: process.others.get(&partition).cloned(),
            reading: process.reading.clone(),
        }
    }

    /// One read. The result, once there is one.
    fn step(
        &mut self,
        time: &mut Time,
        around: &mut Around<'_>,
    ) -> Option<Result<Ready<Plain>, String>> {
        let machine = self.machine.as_mut()?;
        let topics = around.broker.of(self.partition);
        let next = match self.ask.clone() {
            Ask::Durable => {
                let Some(end) = self.open_end else {
                    self.open_end = Some(match around.rules.pending_waited_for {
                        true => topics.open.high_watermark(),
                        false => topics.open.last_stable_offset(),
                    });
                    return None;
                };
                let Some((open, read)) = &self.open else {
                    if topics.open.last_stable_offset() >= end {
                        let read = around.broker.read_open(self.partition);
                        self.open = Some((read, time.mono(around)));
                    }
                    return None;
                };
                let group = match around.broker.group.stable_offset(self.partition) {
                    Some(group) => group,
                    None if around.rules.pending_waited_for => return None,
                    None => around.broker.group.offsets.get(&self.partition).cloned(),
                };
                let mono = time.mono(around);
                let Some(now_ms) = time.now(around).known_since(*read, mono) else {
                    time.want_stamp(self.partition);
                    return None;
                };
                let durable = Durable {
                    now_ms,
                    margin_ms: around.options.margin_ms,
                    cut: open.cut.as_deref().cloned(),
                    group,
                    log_start: topics.input.start(),
                    log_end: topics.input.high_watermark(),
                    answer: open.answer.clone(),
                    other: self.other.clone(),
                };
                self.rows = open.open.clone();
                self.disagrees = durable.group.as_ref().is_some_and(|(offset, metadata)| {
                    let of_cut = durable.cut.as_ref().map(|cut| (cut.offset, cut.metadata()));
                    of_cut != Some((*offset, metadata.clone()))
                }) && !Accept::ALL.iter().any(|accept| durable.accepts(*accept));
                self.open_read = self.open_end.unwrap_or_default();
                (self.open_end, self.open) = (None, None);
                machine.durable(durable, OpenSum::of(self.rows.values().map(|row| &**row)))
            }
            Ask::Start => machine.start(topics.input.start()),
            Ask::End => {
                let mono = time.mono(around);
                let Some((asked_at_ms, end, known)) = self.end else {
                    let asked_at = time.now(around).evidence(mono, around.options.margin_ms);
                    match asked_at {
                        Err(_) => time.want_stamp(self.partition),
                        Ok(it) => self.end = Some((it, topics.input.high_watermark(), mono)),
                    }
                    return None;
                };
                let Some(stamp_ms) = time.now(around).known_since(known, mono) else {
                    time.want_stamp(self.partition);
                    return None;
                };
                machine.end(asked_at_ms, end, stamp_ms)
            }
            Ask::Probe(offset) => {
                let found = topics.input.committed(offset).next();
                let found = found.filter(|(entry, _)| entry.offset == offset);
                let found = found.map(|(entry, input)| input.last(entry.offset));
                let next = machine.probed(found);
                self.is_lossy(&next, around);
                next
            }
            Ask::Snapshots => {
                let visible = |at: &usize| {
                    let snapshot = &around.store[*at];
                    snapshot.visible_at_ms <= around.now_ms && !snapshot.gone
                };
                self.listed = (0..around.store.len()).filter(visible).collect();
                let metas: Vec<SnapshotMeta> =
                    self.listed.iter().map(|at| around.store[*at].meta.clone()).collect();
                let next = machine.snapshots(metas);
                self.is_lossy(&next, around);
                next
            }
            Ask::Load(index) => {
                let snapshot = &around.store[self.listed[index]];
                let loaded = match snapshot {
                    Snapshot { gone: true, .. } => Err("it is gone".to_owned()),
                    Snapshot { corrupt: true, .. } => Err("its checksum is wrong".to_owned()),
                    whole => Ok(whole),
                };
                let loaded = loaded.map(|snapshot| {
                    let mut plain = machine.blank();
                    snapshot.load(&mut plain);
                    plain
                });
                let next = machine.loaded(loaded);
                self.is_lossy(&next, around);
                next
            }
            Ask::Records { from, to } => return self.read(from, to, around),
            Ask::Rows => {
                // They come in the order of the log, which is any order of keys.
                for row in std::mem::take(&mut self.rows).into_values().rev() {
                    if let Err(failed) = machine.row((*row).clone()) {
                        return Some(Err(told(failed)));
                    }
                }
                let next = machine.rows_end();
                self.is_lossy(&next, around);
                next
            }
            Ask::Done => {
                let machine = self.machine.take()?;
                return Some(machine.finish(around.options.margin_ms).map_err(told));
            }
            Ask::Halt(reason) => return Some(Err(reason.to_string())),
        };
        self.ask = next;
        None
    }

    fn is_lossy(&mut self, next: &Ask, around: &Around<'_>) {
        let input = &around.broker.of(self.partition).input;
        if let Ask::Records { from, to } = *next {
            let first = input.history(0, to).next().map(|(entry, _)| entry.offset);
            self.lossy |= first.is_some_and(|first| first < from)
                && from <= input.start()
                && input.start() > 0;
        }
    }

    fn read(
        &mut self,
        from: i64,
        to: i64,
        around: &mut Around<'_>,
    ) -> Option<Result<Ready<Plain>, String>> {
        let machine = self.machine.as_mut()?;
        let input = &around.broker.of(self.partition).input;
        let at = *self.at.get_or_insert(from);
        if input.high_watermark() < to || at < input.start() && at < to {
            // What was to be read is deleted: all is begun again.
            return Some(Err(AGAIN.to_owned()));
        }
        let most = around.random.between(1, 12) as usize;
        let mut reached = at;
        let mut count = 0;
        let (mut records, mut offsets, mut last) = (Vec::new(), Vec::new(), None);
        for (entry, record) in input.committed(at) {
            if entry.offset >= to || count == most {
                break;
            }
            count += 1;
            reached = entry.offset + 1;
            match machine.takes(entry.offset, Some(record.time_ms), record.by_broker) {
                Taken::LeftOut => {}
                Taken::Waits => return Some(Err(AGAIN.to_owned())),
                Taken::Applied => {
                    let decoded = self.reading.read(self.partition, entry.offset, record);
                    if matches!(decoded, Record::Rejected { .. }) {
                        machine.rejected(entry.offset);
                    }
                    records.push(decoded);
                    offsets.push(entry.offset);
                    last = Some(record.last(entry.offset));
                }
            }
        }
        if let Some(last) = last {
            machine.apply(&records, |at| offsets[at], last).expect("there is room");
        }
        if count < most {
            reached = reached.max(input.last_stable_offset().min(to));
        }
        self.at = Some(reached);
        if reached >= to {
            self.ask = machine.records_end();
        }
        None
    }
}

/// What a halt says of a restore that came to no good end.
fn told(failed: Failed<Infallible>) -> String {
    match failed {
        Failed::NoRoomForRecord(_, never) | Failed::NoRoomForOpen(_, never) => match never {},
        Failed::Inconsistent(inconsistent) => {
            format!("{inconsistent}: {}", Accept::TrustLog.command())
        }
        Failed::OpenDiffers(differs) => format!("{differs:?}: {}", Accept::OpenTable.command()),
    }
}

/// Says that a restore is begun again.
const AGAIN: &str = "again";

impl Process {
    pub(super) fn restore_step(&mut self, at: usize, around: &mut Around<'_>) {
        if around.strikes(Fault::CrashInRestore, 4) {
            self.alive = false;
            around.say(|| format!("{} crashes in a restore", self.owner));
            return;
        }
        let Some(restore) = self.restores.get_mut(at) else { return };
        let Some(result) = restore.step(&mut self.time, around) else { return };
        let (partition, epoch) = (restore.partition, restore.epoch);
        let (lossy, disagrees, open_end) = (restore.lossy, restore.disagrees, restore.open_read);
        self.restores.remove(at);
        if matches!(&result, Err(why) if why == AGAIN) {
            let again = Rebuild::begin(partition, epoch, self, around);
            self.restores.push(again);
            return;
        }
        self.completed.push_back(Completed {
            partition,
            epoch,
            result,
            lossy,
            open_end,
            disagrees,
        });
    }
}
