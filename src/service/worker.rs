//! Threads that own shards: decode, apply, cut. One shard per partition, one thread per shard.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::batch::{Batch, Raw};
use super::clock::Clock;
use super::room::BoundedShard;
use super::status::{Halt, Status};
use super::telemetry::{Metrics, ScanCounts};
use crate::config::OnReject;
use crate::detector::exception::ExceptionEvent;
use crate::detector::scan::{Record, Scan};
use crate::detector::shard::Stats;
use crate::detector::time::{Frontier, LogTime};
use crate::protocol::cut::{Backfill, StateSettings};
use crate::protocol::ownership::Epoch;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::{Origin, ScanDecoder};

/// Jobs that may wait for one worker.
const QUEUE: usize = 1024;
/// Records that are decoded, then applied together.
const AT_ONCE: usize = 256;
/// Events of a backfill in one transaction.
const BACKFILL_CHUNK: usize = 10_000;

/// A partition as a worker holds it.
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// The assignment it belongs to.
    pub epoch: Epoch,
    /// Its packages.
    pub shard: BoundedShard,
    /// Last applied offset + 1, control records passed.
    pub offset: i64,
    /// The offset that package state was first built from.
    pub start: i64,
    /// Offsets refused because their log time lay in the future.
    pub refused: Vec<i64>,
    /// The settings of package state by offset.
    pub settings: Vec<StateSettings>,
    /// State of a first start.
    pub backfill: Backfill,
}

/// What a worker is told.
pub enum Job {
    /// A partition has been restored and is this worker's from now on.
    Own(Box<Partition>),
    /// The next records of a partition.
    Apply(i32, Epoch, Batch),
    /// Control records up to this offset have been passed.
    Pass(i32, Epoch, i64),
    /// The log is complete up to here, by evidence.
    Advance(i32, Epoch, Frontier),
    /// There is room for packages again: a partition that halted for want of it goes on.
    Resume(i32, Epoch),
    /// Take a cut of every partition.
    Cut(Sender<Vec<Cut>>),
    /// The partition is no longer ours.
    Drop(i32, Epoch),
}

/// A rejected record on its way to the dead letter topic.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its offset in the input.
    pub offset: i64,
    /// Its key as it came.
    pub key: Option<Vec<u8>>,
    /// Its value as it came.
    pub value: Option<Vec<u8>>,
    /// Its headers as they came.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// What was wrong with it.
    pub rejected: Rejected,
}

/// A partition between two applies, with all that has come out of it up to there.
pub struct Cut {
    /// The partition.
    pub partition: i32,
    /// The assignment it was taken under.
    pub epoch: Epoch,
    /// Last applied offset + 1, control records passed.
    pub offset: i64,
    /// The last finished second of the frontier.
    pub frontier: Option<Frontier>,
    /// The greatest log time so far.
    pub log_clock: Option<LogTime>,
    /// Exceptions since the last cut.
    pub events: Vec<ExceptionEvent>,
    /// Rejected records since the last cut.
    pub dead_letters: Vec<DeadLetter>,
    /// See [`Partition::start`].
    pub start: i64,
    /// See [`Partition::refused`].
    pub refused: Vec<i64>,
    /// See [`Partition::settings`].
    pub settings: Vec<StateSettings>,
    /// Pending as long as a first start has more to publish.
    pub backfill: Backfill,
    /// What the shard holds.
    pub stats: Stats,
    /// Why it went no further: the record at `offset` stops the partition.
    pub halt: Option<Halt>,
}

/// What every worker needs beside its partitions.
#[derive(Clone)]
pub struct Tools {
    /// Reads the wall clock, for refusals of records from the future.
    pub clock: Arc<dyn Clock>,
    /// Shared numbers.
    pub metrics: Arc<Metrics>,
    /// Shared state.
    pub status: Arc<Status>,
    /// How far a log time may lie ahead of the wall clock, in milliseconds.
    pub max_future_skew_ms: i64,
    /// What becomes of rejected records.
    pub on_reject: OnReject,
}

/// The way to a worker. Its thread ends when this is dropped.
pub struct Worker {
    jobs: Sender<Job>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `index` counts from 0.
    pub fn start(index: usize, decoder: ScanDecoder, tools: Tools) -> std::io::Result<Self> {
        let (jobs, queue) = bounded(QUEUE);
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                Loop { decoder, tools, held: Vec::new() }.run(index + 1, &queue);
            })?;
        Ok(Self { jobs, thread: Some(thread) })
    }

    /// Hands a job over; waits while the queue is full. False if the thread is gone.
    pub fn tell(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (closed, _) = bounded(0);
        self.jobs = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop {
    decoder: ScanDecoder,
    tools: Tools,
    held: Vec<Held>,
}

struct Held {
    partition: Partition,
    backlog: Vec<ExceptionEvent>,
    dead_letters: Vec<DeadLetter>,
    halt: Option<Halt>,
}

impl Loop {
    fn run(&mut self, pulse: usize, queue: &Receiver<Job>) {
        use crossbeam_channel::RecvTimeoutError::{Disconnected, Timeout};
        loop {
            match queue.recv_timeout(std::time::Duration::from_secs(1)) {
                Ok(job) => self.work(job),
                Err(Timeout) => {}
                Err(Disconnected) => return,
            }
            self.tools.status.pulse(pulse);
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Own(partition) => self.held.push(Held {
                partition: *partition,
                backlog: Vec::new(),
                dead_letters: Vec::new(),
                halt: None,
            }),
            Job::Apply(partition, epoch, batch) => {
                let Self { decoder, tools, held } = self;
                if let Some(held) = find(held, partition, epoch) {
                    held.apply(decoder, tools, &batch);
                }
                tools.status.bytes_applied(batch.size());
            }
            Job::Pass(partition, epoch, offset) => {
                if let Some(held) = find(&mut self.held, partition, epoch) {
                    held.pass(offset);
                }
            }
            Job::Advance(partition, epoch, to) => {
                if let Some(held) = find(&mut self.held, partition, epoch) {
                    held.advance(to);
                }
            }
            Job::Resume(partition, epoch) => {
                if let Some(held) = find(&mut self.held, partition, epoch) {
                    held.halt = None;
                }
            }
            Job::Cut(reply) => {
                let _ = reply.send(self.held.iter_mut().map(Held::cut).collect());
            }
            Job::Drop(partition, epoch) => self.held.retain(|held| !held.is(partition, epoch)),
        }
    }
}

fn find(held: &mut [Held], partition: i32, epoch: Epoch) -> Option<&mut Held> {
    held.iter_mut().find(|held| held.is(partition, epoch))
}

impl Held {
    fn is(&self, partition: i32, epoch: Epoch) -> bool {
        self.partition.partition == partition && self.partition.epoch == epoch
    }

    fn apply(&mut self, decoder: &mut ScanDecoder, tools: &Tools, batch: &Batch) {
        let mut counts = ScanCounts::default();
        let latest = tools.clock.now_ms().saturating_add(tools.max_future_skew_ms);
        let mut raws = batch.iter().peekable();
        while self.halt.is_none() && raws.peek().is_some() {
            let scans = decoder.batch();
            let mut group = Group::default();
            for raw in raws.by_ref().take(AT_ONCE) {
                let future = raw.timestamp_ms.filter(|time| *time > latest);
                group.push(
                    raw,
                    match future {
                        Some(time) => Err(refusal(time, latest)),
                        None => {
                            let origin = Origin { log_time: raw.timestamp_ms, offset: raw.offset };
                            scans.decode(raw.value.unwrap_or_default(), origin)
                        }
                    },
                );
            }
            self.apply_group(tools, group, &mut counts);
        }
        self.partition.shard.settle();
        tools.metrics.add_scans(&counts);
    }

    /// Applies records up to the first that stops the partition, and tells of those that are no
    /// scans once everything in front of them is applied.
    fn apply_group(&mut self, tools: &Tools, group: Group<'_>, counts: &mut ScanCounts) {
        let Group { records, raws, rejected } = group;
        let mut outcomes = Vec::with_capacity(records.len());
        let stop = match tools.on_reject {
            OnReject::Halt => rejected.first().map(|(at, _)| *at),
            OnReject::Skip | OnReject::DeadLetter => None,
        };
        let wanted = &records[..stop.unwrap_or(records.len())];
        let applied = self.partition.shard.apply(wanted, &mut outcomes);
        let reached = outcomes.len();
        for (record, outcome) in records.iter().zip(&outcomes) {
            if let (Record::Scan(scan), Some(outcome)) = (record, outcome) {
                counts.add(scan.key.carrier(), scan.evidence, *outcome);
            }
        }
        for (at, why) in rejected {
            if at < reached && why.reason == Reason::FutureLogTime {
                self.partition.refused.push(raws[at].offset);
            }
            if at < reached || applied.is_ok() && Some(at) == stop {
                self.reject(tools, &raws[at], why);
            }
        }
        if let Some(last) = reached.checked_sub(1) {
            self.partition.offset = raws[last].offset + 1;
        }
        if let Err(no_room) = applied {
            self.halt = Some(no_room.before(raws[reached].offset));
        }
    }

    fn reject(&mut self, tools: &Tools, raw: &Raw<'_>, rejected: Rejected) {
        tools.metrics.rejected(rejected.reason);
        match tools.on_reject {
            OnReject::Skip => {}
            OnReject::Halt => {
                let offset = raw.offset;
                let message =
                    format!("record at offset {offset}: {rejected} (input.on_reject = \"halt\")");
                self.halt = Some(message.into());
            }
            OnReject::DeadLetter => self.dead_letters.push(DeadLetter {
                offset: raw.offset,
                key: raw.key.map(<[u8]>::to_vec),
                value: raw.value.map(<[u8]>::to_vec),
                headers: raw.headers.to_vec(),
                rejected,
            }),
        }
    }

    fn pass(&mut self, offset: i64) {
        if self.halt.is_none() {
            self.partition.offset = self.partition.offset.max(offset);
        }
    }

    fn advance(&mut self, to: Frontier) {
        if self.halt.is_none() {
            while !self.partition.shard.advance(to) {}
        }
    }

    fn cut(&mut self) -> Cut {
        let partition = &mut self.partition;
        let mut events = std::mem::take(&mut self.backlog);
        events.extend(partition.shard.take_outbox());
        let mut backfill = partition.backfill;
        if backfill == Backfill::Pending {
            self.backlog = events.split_off(events.len().min(BACKFILL_CHUNK));
            if self.backlog.is_empty() {
                backfill = Backfill::Done;
                partition.backfill = Backfill::Done;
            }
        }
        Cut {
            partition: partition.partition,
            epoch: partition.epoch,
            offset: partition.offset,
            frontier: partition.shard.frontier(),
            log_clock: partition.shard.log_clock(),
            events,
            dead_letters: std::mem::take(&mut self.dead_letters),
            start: partition.start,
            refused: partition.refused.clone(),
            settings: partition.settings.clone(),
            backfill,
            stats: partition.shard.stats(),
            halt: self.halt.clone(),
        }
    }
}

/// Records that are decoded and not applied yet.
#[derive(Default)]
struct Group<'a> {
    records: Vec<Record<'a>>,
    raws: Vec<Raw<'a>>,
    /// Those that are no scans, by their place in the group, and why.
    rejected: Vec<(usize, Rejected)>,
}

impl<'a> Group<'a> {
    fn push(&mut self, raw: Raw<'a>, scan: Result<Scan<'a>, Rejected>) {
        self.records.push(match scan {
            Ok(scan) => Record::Scan(scan),
            Err(why) => {
                let record = why.record();
                self.rejected.push((self.raws.len(), why));
                record
            }
        });
        self.raws.push(raw);
    }
}

fn refusal(timestamp_ms: i64, latest_ms: i64) -> Rejected {
    let ahead = (timestamp_ms - latest_ms) / 1000;
    Rejected::new(
        Reason::FutureLogTime,
        format!(
            "the record's timestamp lies {ahead} s further ahead of the wall clock than input.max_future_skew allows; check the producer's clock"
        ),
    )
}
