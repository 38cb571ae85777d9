//! Threads that own shards: decode, apply, cut. One shard per partition, one thread per shard.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};

use super::batch::{Batch, Raw};
use super::clock::Clock;
use super::misrouted::Misrouted;
use super::policies::Policies;
use super::questions::{Ear, Question};
use super::room::BoundedShard;
use super::snapshots::{Keeping, Timer};
use super::status::Status;
use super::telemetry::{Metrics, ScanCounts};
use super::trace;
use crate::config::{OnReject, TrackingNumbers};
use crate::detector::scan::{Record, Scan};
use crate::detector::time::Frontier;
use crate::protocol::cut::LastRecord;
use crate::protocol::held::{self, Held, lies_in_the_future};
use crate::protocol::ownership::Epoch;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::{Origin, ScanDecoder};

/// Jobs that may wait for one worker.
const QUEUE: usize = 1024;
/// How long an idle worker waits before it shows that it is alive.
const IDLE: std::time::Duration = std::time::Duration::from_secs(1);
/// Records that are decoded, then applied together.
const AT_ONCE: usize = 256;
/// Events of a backfill in one transaction.
pub const BACKFILL_CHUNK: usize = 10_000;

/// A partition as a worker holds it.
pub type Partition = Held<BoundedShard, DeadLetter>;

/// A partition between two applies.
pub type Cut = held::Cut<DeadLetter>;

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
    /// The partition is given away: its state is kept if it is that of the commit at this offset.
    HandOver(i32, Epoch, i64),
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

/// What every worker needs beside its partitions.
#[derive(Clone)]
pub struct Tools {
    /// Reads the wall clock, for refusals of records from the future.
    pub clock: Arc<dyn Clock>,
    /// Shared numbers.
    pub metrics: Arc<Metrics>,
    /// The policies of today.
    pub policies: Arc<Policies>,
    /// Shared state.
    pub status: Arc<Status>,
    /// Packages seen in two partitions.
    pub misrouted: Arc<Misrouted>,
    /// How tracking numbers are shown in the log.
    pub tracking_numbers: TrackingNumbers,
    /// How far a log time may lie ahead of the wall clock, in milliseconds.
    pub max_future_skew_ms: i64,
    /// What becomes of rejected records.
    pub on_reject: OnReject,
    /// Where package state is kept.
    pub keeping: Option<Arc<Keeping>>,
}

/// The way to a worker. Its thread ends when this is dropped.
pub struct Worker {
    jobs: Sender<Job>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `index` counts from 0.
    pub fn start(
        index: usize,
        decoder: ScanDecoder,
        questions: Receiver<Question>,
        tools: Tools,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = bounded(QUEUE);
        let thread =
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                let (counts, held) = (ScanCounts::default(), Vec::new());
                Loop { decoder, tools, counts, held }.run(index + 1, &queue, Ear::new(questions));
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
    counts: ScanCounts,
    held: Vec<Owned>,
}

/// A partition, and when its state is to be kept next.
struct Owned {
    held: Partition,
    timer: Option<Timer>,
}

impl Loop {
    /// Works until nobody hands over jobs any more. A job goes first; questions are answered between
    /// two jobs.
    fn run(&mut self, pulse: usize, queue: &Receiver<Job>, mut ear: Ear) {
        while let Some(next) = next(queue, &mut ear) {
            match next {
                Next::Job(job) => {
                    self.work(job);
                    if let Some(question) = ear.take() {
                        self.answer(&mut ear, question);
                    }
                }
                Next::Question(question) => self.answer(&mut ear, question),
                Next::Nothing => {}
            }
            self.take_images();
            self.tools.status.pulse(pulse);
        }
    }

    fn answer(&self, ear: &mut Ear, question: Question) {
        ear.answer(question, self.held.iter().map(|owned| &owned.held));
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Own(held) => {
                let keeping = self.tools.keeping.as_ref();
                let timer = keeping.map(|keeping| keeping.timer(held.partition()));
                self.held.push(Owned { held: *held, timer });
            }
            Job::Apply(partition, epoch, batch) => {
                let Self { decoder, tools, counts, held } = self;
                if let Some(held) = find(held, partition, epoch) {
                    apply(held, decoder, tools, &batch, counts);
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
                    held.resume();
                }
            }
            Job::Cut(reply) => {
                let today = self.tools.policies.get();
                let cuts = self.held.iter_mut().map(|owned| owned.held.cut(&today));
                let _ = reply.send(cuts.collect());
            }
            Job::Drop(partition, epoch) => drop(self.remove(partition, epoch)),
            Job::HandOver(partition, epoch, committed) => {
                if let Some(held) = self.remove(partition, epoch)
                    && held.offset() == committed
                    && let Some(keeping) = &self.tools.keeping
                {
                    keeping.hand_over(held);
                }
            }
        }
    }

    fn remove(&mut self, partition: i32, epoch: Epoch) -> Option<Partition> {
        let at = self.held.iter().position(|owned| owned.held.is(partition, epoch))?;
        Some(self.held.remove(at).held)
    }

    /// Takes the images that are due, between two pieces of work.
    fn take_images(&mut self) {
        let Some(keeping) = &self.tools.keeping else { return };
        for Owned { held, timer } in &mut self.held {
            if let Some(timer) = timer {
                keeping.look(held, timer);
            }
        }
    }
}

/// What a worker does next.
enum Next {
    Job(Job),
    Question(Question),
    Nothing,
}

/// Waits for work; `None` when there will be none.
fn next(queue: &Receiver<Job>, ear: &mut Ear) -> Option<Next> {
    match queue.try_recv() {
        Ok(job) => return Some(Next::Job(job)),
        Err(TryRecvError::Disconnected) => return None,
        Err(TryRecvError::Empty) => {}
    }
    let (questions, wait) = ear.questions(IDLE);
    select! {
        recv(queue) -> job => job.ok().map(Next::Job),
        recv(questions) -> question => match question {
            Ok(question) => Some(Next::Question(question)),
            Err(_) => {
                ear.close();
                Some(Next::Nothing)
            }
        },
        default(wait) => Some(Next::Nothing),
    }
}

fn find(held: &mut [Owned], partition: i32, epoch: Epoch) -> Option<&mut Partition> {
    held.iter_mut().map(|owned| &mut owned.held).find(|held| held.is(partition, epoch))
}

fn apply(
    held: &mut Partition,
    decoder: &mut ScanDecoder,
    tools: &Tools,
    batch: &Batch,
    counts: &mut ScanCounts,
) {
    let now_ms = tools.clock.now_ms();
    let mut raws = batch.iter().peekable();
    while !held.is_halted() && raws.peek().is_some() {
        let scans = decoder.batch();
        let mut group = Group::default();
        for raw in raws.by_ref().take(AT_ONCE) {
            let scan = if lies_in_the_future(raw.timestamp_ms, now_ms, tools.max_future_skew_ms) {
                Err(refusal(raw.timestamp_ms, now_ms, tools.max_future_skew_ms))
            } else {
                let origin = Origin { log_time: raw.timestamp_ms, offset: raw.offset };
                scans.decode(raw.value.unwrap_or_default(), origin)
            };
            group.push(raw, scan);
        }
        apply_group(held, tools, group, counts);
    }
    held.settle();
    counts.flush(&tools.metrics);
}

/// Applies records up to the first that stops the partition, and tells of those that are no scans
/// once everything in front of them is applied.
fn apply_group(held: &mut Partition, tools: &Tools, group: Group<'_>, counts: &mut ScanCounts) {
    let Group { records, raws, rejected } = group;
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
    for (at, why) in rejected {
        if at < reached && why.reason == Reason::FutureLogTime {
            held.refused(raws[at].offset);
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
        let log_time = match record {
            Record::Scan(scan) => Some(scan.log_time),
            Record::Rejected { log_time } => *log_time,
        };
        if let Some(late) = log_time.map(Frontier::at).filter(|log_time| *log_time < proven) {
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
    tools.metrics.rejected(rejected.reason);
    match tools.on_reject {
        OnReject::Skip => {}
        OnReject::Halt => {
            let offset = raw.offset;
            let message =
                format!("record at offset {offset}: {rejected} (input.on_reject = \"halt\")");
            held.stop(message.into());
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

fn refusal(timestamp_ms: Option<i64>, now_ms: i64, max_future_skew_ms: i64) -> Rejected {
    let ahead = (timestamp_ms.unwrap_or(now_ms) - now_ms - max_future_skew_ms) / 1000;
    Rejected::new(
        Reason::FutureLogTime,
        format!(
            "the record's timestamp lies {ahead} s further ahead of the wall clock than input.max_future_skew allows; check the producer's clock"
        ),
    )
}
