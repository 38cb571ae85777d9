//! Threads that own shards: decode, apply, cut. One shard per partition, one thread per shard.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};

use super::batch::Batch;
use super::misrouted::Misrouted;
use super::policies::Policies;
use super::questions::{Ear, Question};
use super::room::BoundedShard;
use super::schemas::Schemas;
use super::snapshots::{Keeping, Timer};
use super::status::Status;
use super::telemetry::{Metrics, ScanCounts};
use super::time::{Stamper, Time};
use super::unread::Unread;
use crate::config::{OnReject, TrackingNumbers};
use crate::detector::time::Frontier;
use crate::protocol::held::{self, Held};
use crate::protocol::ownership::Epoch;
use crate::wire::reject::Rejected;
use crate::wire::scan::ScanDecoder;
use inbox::{Inbox, Work};

mod apply;
mod inbox;

/// Jobs that may wait for one worker.
const QUEUE: usize = 1024;
/// How long an idle worker waits before it shows that it is alive.
const IDLE: std::time::Duration = std::time::Duration::from_secs(1);
/// How long it waits before it looks again whether what waits may go on.
const RETRY: std::time::Duration = std::time::Duration::from_millis(20);

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
    /// Take a cut of every partition; the next may hold so many records of each.
    Cut(Sender<Vec<Cut>>, usize),
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
    /// What time it is by the brokers, for refusals of records from the future.
    pub time: Arc<Time>,
    /// Has records stamped where that is not known.
    pub stamper: Arc<Stamper>,
    /// Shared numbers.
    pub metrics: Arc<Metrics>,
    /// The policies of today.
    pub policies: Arc<Policies>,
    /// Shared state.
    pub status: Arc<Status>,
    /// Packages seen in two partitions.
    pub misrouted: Arc<Misrouted>,
    /// What comes in and is not read.
    pub unread: Arc<Unread>,
    /// The writer schemas that are known.
    pub schemas: Arc<Schemas>,
    /// How tracking numbers are shown in the log.
    pub tracking_numbers: TrackingNumbers,
    /// How far a log time may lie ahead of the brokers' clock, in milliseconds.
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
                Loop { decoder, schemas: 0, tools, counts, held }.run(
                    index + 1,
                    &queue,
                    Ear::new(questions),
                );
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
    /// Which state of the schemas it was given.
    schemas: u64,
    tools: Tools,
    counts: ScanCounts,
    held: Vec<Owned>,
}

/// A partition, what is to be done for it, and when its state is to be kept next.
struct Owned {
    held: Partition,
    inbox: Inbox,
    timer: Option<Timer>,
}

impl Loop {
    /// Works until nobody hands over jobs any more. A job goes first; questions are answered between
    /// two jobs.
    fn run(&mut self, pulse: usize, queue: &Receiver<Job>, mut ear: Ear) {
        while let Some(next) = next(queue, &mut ear, if self.waits() { RETRY } else { IDLE }) {
            self.tools.schemas.renew(&mut self.decoder, &mut self.schemas);
            self.go_on();
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
            self.tools.unread.turn();
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
                self.held.push(Owned { held: *held, inbox: Inbox::default(), timer });
            }
            Job::Apply(partition, epoch, batch) => match find(&mut self.held, partition, epoch) {
                Some(_) => {
                    self.do_for(partition, epoch, Work::records(batch, self.tools.time.mono()))
                }
                None => self.tools.status.bytes_applied(batch.size()),
            },
            Job::Pass(partition, epoch, offset) => {
                self.do_for(partition, epoch, Work::Pass(offset));
            }
            Job::Advance(partition, epoch, to) => {
                self.do_for(partition, epoch, Work::Advance(to));
            }
            Job::Resume(partition, epoch) => {
                if let Some(owned) = find(&mut self.held, partition, epoch) {
                    owned.held.resume();
                }
            }
            Job::Cut(reply, budget) => {
                let today = self.tools.policies.get();
                let cuts = self.held.iter_mut().map(|owned| owned.held.cut(&today, budget));
                let _ = reply.send(cuts.collect());
                self.go_on();
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

    /// Puts something to be done behind what waits, and does what need not wait.
    fn do_for(&mut self, partition: i32, epoch: Epoch, work: Work) {
        let Self { decoder, tools, counts, held, .. } = self;
        if let Some(owned) = find(held, partition, epoch) {
            owned.inbox.push(work);
            owned.work_off(decoder, tools, counts);
        }
    }

    /// Looks whether what waits need not wait any more.
    fn go_on(&mut self) {
        let Self { decoder, tools, counts, held, .. } = self;
        for owned in held.iter_mut().filter(|owned| !owned.inbox.is_empty()) {
            owned.work_off(decoder, tools, counts);
        }
    }

    /// Whether something waits.
    fn waits(&self) -> bool {
        self.held.iter().any(|owned| !owned.inbox.is_empty())
    }

    fn remove(&mut self, partition: i32, epoch: Epoch) -> Option<Partition> {
        let at = self.held.iter().position(|owned| owned.held.is(partition, epoch))?;
        let Owned { held, inbox, .. } = self.held.remove(at);
        self.tools.status.bytes_applied(inbox.bytes());
        self.tools.schemas.goes_on(partition);
        Some(held)
    }

    /// Takes the images that are due, between two pieces of work.
    fn take_images(&mut self) {
        let Some(keeping) = &self.tools.keeping else { return };
        for Owned { held, timer, .. } in &mut self.held {
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
fn next(queue: &Receiver<Job>, ear: &mut Ear, at_most: std::time::Duration) -> Option<Next> {
    match queue.try_recv() {
        Ok(job) => return Some(Next::Job(job)),
        Err(TryRecvError::Disconnected) => return None,
        Err(TryRecvError::Empty) => {}
    }
    let (questions, wait) = ear.questions(at_most);
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

fn find(held: &mut [Owned], partition: i32, epoch: Epoch) -> Option<&mut Owned> {
    held.iter_mut().find(|owned| owned.held.is(partition, epoch))
}
