//! The loop that carries: records to the workers, evidence to the frontiers, cuts to the broker.
//!
//! It has the member of the group and the producer at hand, so that a revocation can be answered by a
//! commit before the partition is given back. It lives as long as the member does.

mod commit;
mod rebalance;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::clock::Stopwatch;
use super::evidence::{Answer, Asker, Word};
use super::kafka::{self, Client, Meaning};
use super::native::{Event, EventQueue, RecordView};
use super::restore::{OtherGroup, Restored};
use super::rights::Operation;
use super::sink::Sink;
use super::spans;
use super::worker::{DeadLetter, Job, Worker};
use super::{ServiceError, Shared, Shutdown};
use crate::protocol::evidence::Hold;
use crate::protocol::keeper::Keeper;
use crate::protocol::ownership::Epoch;
use crate::protocol::rules::Rules;
use batching::Carried;
use budget::Budget;
use heartbeat::Heartbeat;
use others::Foreign;
use stalled::Stable;
use unassigned::Unassigned;
use waiting::Looked;

mod batching;
mod budget;
mod halts;
mod heartbeat;
mod others;
mod stalled;
mod unassigned;
mod waiting;

/// How long an idle loop waits for the next event.
const WAIT: Duration = Duration::from_millis(5);
/// Events taken before batches go to the workers.
const BURST: usize = 10_000;
/// Bytes under way to workers at which consumption pauses, and at half of which it goes on.
pub(super) const BYTES_IN_FLIGHT: usize = 64 << 20;

/// How the work of an engine ended.
pub enum Ended {
    /// It was told to stop, and everything is committed.
    Stopped,
    /// The membership is over: nothing is held any more.
    Lost(Lost),
}

/// Why a membership is over.
pub struct Lost {
    /// What the client says.
    pub why: String,
    /// Another member has taken its place in the group.
    pub fenced: bool,
    /// How long it lasted; zero where the group has assigned nothing.
    pub lasted: Duration,
    /// Whether the broker was out of reach meanwhile.
    pub outage: bool,
}

/// The engine of one member of the group.
pub struct Engine<'m> {
    shared: Arc<Shared>,
    member: &'m Client,
    sink: &'m mut Sink,
    workers: &'m [Worker],
    asker: &'m Asker,
    keeper: Keeper<DeadLetter>,
    carried: BTreeMap<i32, Carried>,
    restored: (Sender<Restored>, Receiver<Restored>),
    /// Since the cycle under way began, and its present attempt.
    cycle: Stopwatch,
    sending: Stopwatch,
    budget: Budget,
    /// The last attempt failed after so long that it may have been too large.
    too_large: bool,
    /// More is to be said than the last cuts held.
    is_full: bool,
    commit: spans::Commit,
    last_commit: Stopwatch,
    heartbeat: Heartbeat,
    last_look_for_room: Stopwatch,
    last_look_for_stalls: Stopwatch,
    stable: (Sender<Stable>, Receiver<Stable>),
    /// Cuts of others that have been found between ours.
    foreign: (Sender<Foreign>, Receiver<Foreign>),
    /// Looks at partitions that have halted.
    looks: (Sender<Looked>, Receiver<Looked>),
    /// Partitions that are given to nobody, and are this member's to give out.
    to_give_out: (Sender<Vec<i32>>, Receiver<Vec<i32>>),
    unassigned: Unassigned,
    /// Last stable offsets are being asked for.
    stable_is_due: bool,
    asked_for_stable: Option<Stopwatch>,
    /// Since the broker last said where the log ends.
    last_answer: Stopwatch,
    paused: bool,
    failure: Option<ServiceError>,
    /// Since the group has assigned something, be it nothing.
    joined: Option<Stopwatch>,
    /// The broker has been out of reach.
    outage: bool,
    /// The client is of no more use, and says why.
    lost: Option<String>,
}

/// A rebalance that the event loop has seen and not answered yet.
enum Rebalance {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

impl<'m> Engine<'m> {
    /// An engine that holds nothing yet.
    pub fn new(
        shared: Arc<Shared>,
        member: &'m Client,
        sink: &'m mut Sink,
        workers: &'m [Worker],
        asker: &'m Asker,
    ) -> Self {
        Self {
            keeper: Keeper::new(shared.owner.clone(), Rules::ALL),
            shared,
            member,
            sink,
            workers,
            asker,
            carried: BTreeMap::new(),
            restored: unbounded(),
            cycle: Stopwatch::start(),
            sending: Stopwatch::start(),
            budget: Budget::default(),
            too_large: false,
            is_full: false,
            commit: spans::Commit::none(),
            last_commit: Stopwatch::start(),
            heartbeat: Heartbeat::start(),
            last_look_for_room: Stopwatch::start(),
            last_look_for_stalls: Stopwatch::start(),
            stable: unbounded(),
            foreign: unbounded(),
            looks: unbounded(),
            to_give_out: unbounded(),
            unassigned: Unassigned::default(),
            stable_is_due: false,
            asked_for_stable: None,
            last_answer: Stopwatch::start(),
            paused: false,
            failure: None,
            joined: None,
            outage: false,
            lost: None,
        }
    }

    /// Works until told to stop, then commits what has been done; or until the membership is over.
    pub fn run(&mut self, shutdown: &Shutdown) -> Result<Ended, ServiceError> {
        let queue = EventQueue::of(self.member);
        while !shutdown.requested() {
            self.shared.status.pulse(0);
            self.take_events(&queue);
            self.flush();
            self.take_restored();
            self.take_evidence();
            self.go_on_where_there_is_room();
            self.look_for_answers();
            self.take_looks();
            self.take_others();
            self.look_at_what_stands_still();
            self.look_for_unassigned();
            self.hold_back();
            let interval = self.shared.config.output.commit_interval;
            if self.is_full || self.last_commit.elapsed() >= interval {
                self.commit_round()?;
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if let Some(why) = self.lost.take() {
                return Ok(Ended::Lost(self.let_go(why)));
            }
        }
        self.drain().map(|()| Ended::Stopped)
    }

    fn take_events(&mut self, queue: &EventQueue<'_>) {
        let mut wait = WAIT;
        for _ in 0..BURST {
            let mut rebalance = None;
            let came = queue.poll(wait, |event| rebalance = self.take(event));
            match rebalance {
                Some(Rebalance::Assigned(partitions)) => self.assigned(&partitions),
                Some(Rebalance::Revoked(partitions)) => self.revoked(&partitions),
                None => {}
            }
            if !came {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    fn take(&mut self, event: Event<'_>) -> Option<Rebalance> {
        match event {
            Event::Record(record) => self.record(&record),
            Event::EndOfPartition { partition, offset } => {
                if let Some(lane) = self.keeper.lane_mut(partition) {
                    lane.passed(offset);
                }
            }
            Event::Assigned(partitions) => return Some(Rebalance::Assigned(partitions)),
            Event::Revoked(partitions) => return Some(Rebalance::Revoked(partitions)),
            Event::Error { partition, code, text, fatal } => {
                self.error(partition, code, &text, fatal)
            }
        }
        None
    }

    fn record(&mut self, record: &RecordView<'_>) {
        let lane = self.keeper.lane_mut(record.partition);
        if lane.is_some_and(|lane| lane.takes(record.offset, record.log_append_time))
            && let Some(carried) = self.carried.get_mut(&record.partition)
        {
            carried.batch.push(record);
        }
    }

    fn error(
        &mut self,
        partition: Option<i32>,
        code: rdkafka::error::RDKafkaErrorCode,
        text: &str,
        fatal: bool,
    ) {
        let error = rdkafka::error::KafkaError::MessageConsumption(code);
        let doing = format!("reading topic {}", self.shared.input);
        let of = &self.shared.config.kafka;
        let message = format!("{}: {text}", kafka::explain_as(of, &error, &doing, Operation::Read));
        match (kafka::meaning(code), partition) {
            _ if fatal => self.lost = Some(message),
            (Meaning::Forbidden, _) => self.failure = Some(ServiceError::Broker(message)),
            (Meaning::Unreachable | Meaning::NotTrusted, _) => {
                self.outage = true;
                tracing::warn!("{message}");
            }
            (_, Some(partition))
                if code == rdkafka::error::RDKafkaErrorCode::AutoOffsetReset
                    || code == rdkafka::error::RDKafkaErrorCode::OffsetOutOfRange =>
            {
                let lane = self.keeper.lane(partition);
                if lane.is_some_and(|lane| lane.is_live() || lane.is_backfilling()) {
                    let why =
                        "records were deleted before they were read, or the topic was recreated";
                    self.rebuild(partition, &format!("{message}; {why}"));
                }
            }
            _ => tracing::warn!("{message}"),
        }
    }

    /// Hands what has been read to the workers.
    fn flush(&mut self) {
        let Self { keeper, carried, workers, shared, .. } = self;
        for (&partition, carried) in carried.iter_mut() {
            let Some(lane) = keeper.lane_mut(partition) else { continue };
            let worker = worker_of(workers, partition);
            let batch = std::mem::take(&mut carried.batch);
            if !batch.is_empty() {
                shared.metrics.consumed(&shared.input, batch.len());
                shared.status.bytes_sent(batch.size());
                worker.tell(Job::Apply(partition, lane.epoch, batch));
            }
            if let Some(offset) = lane.take_passed() {
                worker.tell(Job::Pass(partition, lane.epoch, offset));
            }
            let position = lane.evidence.position();
            let hold = match keeper.hold(partition) {
                Some(Hold::Behind) if carried.waits_at.is_some() => Some(Hold::OpenTransaction),
                hold => hold,
            };
            shared.status.update(partition, |status| {
                status.position = position;
                status.hold = status.waits.or(hold);
            });
        }
    }

    fn take_evidence(&mut self) {
        while let Ok(word) = self.asker.words.try_recv() {
            match word {
                Word::Asked(partitions) => {
                    partitions.into_iter().for_each(|partition| self.keeper.asked(partition));
                }
                Word::Answered(answer) => self.answered(answer),
                Word::OutOfReach => self.outage = true,
            }
        }
        for (partition, epoch, frontier) in self.keeper.advances() {
            worker_of(self.workers, partition).tell(Job::Advance(partition, epoch, frontier));
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.last_answer = Stopwatch::start();
        for (partition, end) in answer.ends {
            self.shared.status.update(partition, |status| status.end = Some(end));
            let log_append_time = self.keeper.lane(partition).and_then(|lane| lane.log_append_time);
            let margin = self.shared.clock_margin_ms(log_append_time);
            self.keeper.answered(partition, answer.asked_at, margin, end);
        }
    }

    /// Pauses consumption while the workers or the broker are behind.
    fn hold_back(&mut self) {
        let in_flight = self.shared.status.bytes_in_flight();
        let commit_waits = self.keeper.is_committing();
        let pause = commit_waits
            || in_flight > if self.paused { BYTES_IN_FLIGHT / 2 } else { BYTES_IN_FLIGHT };
        if pause != self.paused {
            self.paused = pause;
            self.keeper.set_paused(pause);
            let lanes = self.keeper.lanes();
            let live = lanes.filter(|(_, lane)| lane.is_live()).map(|(partition, _)| partition);
            let is_paused = |at: &i32| self.carried.get(at).is_some_and(|it| it.is_paused);
            let live: Vec<i32> = live.filter(|at| !is_paused(at)).collect();
            self.set_paused(&live, pause);
        }
        self.hold_back_what_waits();
    }

    /// Pauses partitions that wait for somebody, so that what is under way to workers is of the others.
    fn hold_back_what_waits(&mut self) {
        let (mut waiting, mut going_on) = (Vec::new(), Vec::new());
        for (&partition, carried) in &mut self.carried {
            let live = self.keeper.lane(partition).is_some_and(|lane| lane.is_live());
            let status = self.shared.status.partitions.get(&partition);
            let waits = status.and_then(|status| status.waits).is_some_and(Hold::lasts);
            if live && waits != carried.is_paused {
                carried.is_paused = waits;
                if waits { &mut waiting } else { &mut going_on }.push(partition);
            }
        }
        if !waiting.is_empty() {
            self.set_paused(&waiting, true);
        }
        if !going_on.is_empty() && !self.paused {
            self.set_paused(&going_on, false);
        }
    }

    /// Commits what has been done; gives up at the deadline.
    fn drain(&mut self) -> Result<(), ServiceError> {
        let watch = Stopwatch::start();
        let deadline = self.shared.config.shutdown.deadline;
        tracing::info!("stopping: committing what has been done");
        self.flush();
        loop {
            self.shared.status.pulse(0);
            if self.commit_all()? {
                break;
            }
            if watch.elapsed() > deadline {
                return Err(ServiceError::Deadline(deadline));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        for carried in self.carried.values() {
            carried.cancel();
        }
        self.leave_snapshots(deadline.saturating_sub(watch.elapsed()));
        Ok(())
    }

    /// Everything is committed: the state of every partition is kept, so that whoever comes next
    /// reads nothing again. What is not in place in time is left out.
    fn leave_snapshots(&self, at_most: Duration) {
        let Some(keeping) = &self.shared.keeping else { return };
        let watch = Stopwatch::start();
        self.keeper.lanes().for_each(|(partition, _)| self.keep_state(partition));
        // Once they answer, the workers have handed over what they held.
        self.cuts();
        let in_time = keeping.finish(at_most.saturating_sub(watch.elapsed()));
        if in_time && !keeping.leaves_store_alone() {
            return;
        }
        let store = keeping.store().url();
        let why = match in_time {
            true => "the store fails",
            false => "shutdown.deadline is reached, and the store has not taken them",
        };
        tracing::warn!(
            store,
            "snapshots are left out: {why}; nothing is lost, the next start reads more of the log"
        );
    }
}

fn worker_of(workers: &[Worker], partition: i32) -> &Worker {
    &workers[partition.unsigned_abs() as usize % workers.len()]
}

/// Starts a restore on a thread of its own.
fn start_restore(
    shared: Arc<Shared>,
    partition: i32,
    epoch: Epoch,
    other: Option<OtherGroup>,
    done: Sender<Restored>,
) -> std::io::Result<Arc<AtomicBool>> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    std::thread::Builder::new().name(format!("restore-{partition}")).spawn(move || {
        if let Some(restored) = super::restore::restore(&shared, (partition, epoch), other, &flag) {
            let _ = done.send(restored);
        }
    })?;
    Ok(cancelled)
}
