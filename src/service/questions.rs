//! Questions to the shards: by message to the worker that owns them, answered between two jobs, so
//! that nobody ever locks what a worker works on. The queues are short, and each question is a
//! bounded piece of work; whoever finds a queue full is told so at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use super::clock::Stopwatch;
use super::worker::Partition;
use crate::detector::exception::{Kind, Severity};
use crate::detector::key::PackageKey;
use crate::detector::open::OpenException;
use crate::detector::scan::{Attributes, Milestone};
use crate::detector::shard::Outlook;
use foldhash::fast::FixedState;

/// Questions that may wait for one worker.
pub(super) const QUEUE: usize = 64;

/// Questions that a worker answers one after the other.
pub(super) const AT_ONCE: usize = 16;
/// How many times as long as its answers took a worker has no ear for further questions.
pub(super) const REST: u32 = 50;
/// No shorter than this: to be woken for a question costs more than to answer it.
pub(super) const SHORTEST_REST: Duration = Duration::from_millis(10);
/// And no longer: the machine may have been away while it answered.
pub(super) const LONGEST_REST: Duration = Duration::from_millis(20);

/// What can be asked of a worker's shards.
pub enum Question {
    /// What is known of a package, by every partition that knows it.
    Package(Arc<PackageKey>, oneshot::Sender<Asked>),
    /// Open exceptions of a partition; no answer if the worker does not hold it.
    Open(OpenQuery, oneshot::Sender<OpenPage>),
    /// Open exceptions of a partition, counted.
    Tally(Walk, oneshot::Sender<TallyPage>),
}

/// What some partitions know of a package.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Those that were looked at.
    pub partitions: Vec<i32>,
    /// Those of them that know it, and what.
    pub known: Vec<Known>,
}

/// A package as one partition knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The partition.
    pub partition: i32,
    /// The package and its deadlines.
    pub outlook: Outlook,
    /// The partition's frontier, in seconds since 1970 UTC.
    pub frontier: Option<i64>,
    /// The partition's log clock, in seconds since 1970 UTC.
    pub log_clock: Option<i64>,
}

/// A piece of the open exceptions of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// The partition.
    pub partition: i32,
    /// Where to begin: 0, or as the page before said.
    pub from: u32,
    /// About how many to look at.
    pub look_at: usize,
}

/// Which open exceptions of a partition are wanted.
#[derive(Clone, Debug)]
pub struct OpenQuery {
    /// Which piece.
    pub walk: Walk,
    /// Only those of this carrier.
    pub carrier: Option<String>,
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those of this severity.
    pub severity: Option<Severity>,
    /// Only those that were last at this facility, or at none.
    pub facility: Option<Option<String>>,
}

impl OpenQuery {
    fn wants(&self, carrier: &str, open: &OpenException) -> bool {
        self.carrier.as_deref().is_none_or(|wanted| wanted == carrier)
            && self.kind.is_none_or(|wanted| wanted == open.kind)
            && self.severity.is_none_or(|wanted| wanted == open.severity)
    }

    fn is_there(&self, facility: impl FnOnce() -> Option<Arc<str>>) -> bool {
        self.facility.as_ref().is_none_or(|wanted| wanted.as_deref() == facility().as_deref())
    }
}

/// Open exceptions, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct OpenPage {
    /// Those that were wanted.
    pub found: Vec<FoundOpen>,
    /// `None` at the partition's end.
    pub next: Option<u32>,
}

/// One open exception with its package.
#[derive(Clone, Debug)]
pub struct FoundOpen {
    /// The package.
    pub key: PackageKey,
    /// The exception as its last event left it.
    pub open: OpenException,
    /// The package's last milestone.
    pub milestone: Milestone,
    /// The package's attributes.
    pub attributes: Attributes<Arc<str>>,
}

/// Open exceptions of some packages, by carrier and facility.
pub type Tally = HashMap<(Arc<str>, Option<Arc<str>>), OpenCounts, FixedState>;

/// How many are open, by severity and by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// In the order of [`Severity::ALL`].
    pub by_severity: [u64; Severity::ALL.len()],
    /// In the order of [`Kind::ALL`].
    pub by_kind: [u64; Kind::ALL.len()],
}

impl OpenCounts {
    /// One more.
    fn add(&mut self, open: &OpenException) {
        self.by_severity[open.severity as usize] += 1;
        self.by_kind[open.kind as usize] += 1;
    }

    /// All of another count.
    pub fn add_all(&mut self, other: &Self) {
        let add = |sum: &mut [u64], more: &[u64]| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        };
        add(&mut self.by_severity, &other.by_severity);
        add(&mut self.by_kind, &other.by_kind);
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.by_severity.iter().sum()
    }
}

/// Counts, and where to go on.
#[derive(Debug, Default)]
pub struct TallyPage {
    /// By carrier and facility.
    pub tally: Tally,
    /// `None` at the partition's end.
    pub next: Option<u32>,
}

/// No worker could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// Too many questions wait already.
    #[error("too many questions wait for the shards; ask again in a second")]
    Busy,
    /// The service does not run yet, or no longer.
    #[error("no shard can be asked at the moment: the service is starting or stopping")]
    Gone,
}

/// The way to every worker for those who ask.
#[derive(Debug)]
pub struct Questions {
    workers: Vec<Sender<Question>>,
    heard: AtomicBool,
}

impl Questions {
    /// A queue for each of so many workers; the other ends are theirs.
    pub fn new(workers: usize) -> (Arc<Self>, Vec<Receiver<Question>>) {
        let (workers, answer) = (0..workers).map(|_| bounded(QUEUE)).unzip();
        (Arc::new(Self { workers, heard: AtomicBool::new(false) }), answer)
    }

    /// The workers are there: questions are heard from now on.
    pub fn open_for_all(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// What all partitions of this instance know of a package.
    ///
    /// # Errors
    /// When a worker cannot be asked now.
    pub async fn package(&self, key: PackageKey) -> Result<Asked, Unasked> {
        let key = Arc::new(key);
        let mut replies = Vec::with_capacity(self.workers.len());
        for worker in 0..self.workers.len() {
            let (reply, answer) = oneshot::channel();
            self.ask(worker, Question::Package(key.clone(), reply))?;
            replies.push(answer);
        }
        let mut asked = Asked::default();
        for reply in replies {
            let of_worker = reply.await.map_err(|_| Unasked::Gone)?;
            asked.partitions.extend(of_worker.partitions);
            asked.known.extend(of_worker.known);
        }
        Ok(asked)
    }

    /// Open exceptions of a partition; `None` if it is not held.
    ///
    /// # Errors
    /// When its worker cannot be asked now.
    pub async fn open(&self, query: OpenQuery) -> Result<Option<OpenPage>, Unasked> {
        let (reply, answer) = oneshot::channel();
        self.ask(self.worker_of(query.walk.partition), Question::Open(query, reply))?;
        Ok(answer.await.ok())
    }

    /// Open exceptions of a partition, counted; `None` if it is not held.
    ///
    /// # Errors
    /// When its worker cannot be asked now.
    pub async fn tally(&self, walk: Walk) -> Result<Option<TallyPage>, Unasked> {
        let (reply, answer) = oneshot::channel();
        self.ask(self.worker_of(walk.partition), Question::Tally(walk, reply))?;
        Ok(answer.await.ok())
    }

    fn worker_of(&self, partition: i32) -> usize {
        partition.unsigned_abs() as usize % self.workers.len().max(1)
    }

    fn ask(&self, worker: usize, question: Question) -> Result<(), Unasked> {
        if !self.heard.load(Ordering::Relaxed) {
            return Err(Unasked::Gone);
        }
        let queue = self.workers.get(worker).ok_or(Unasked::Gone)?;
        queue.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => Unasked::Busy,
            TrySendError::Disconnected(_) => Unasked::Gone,
        })
    }
}

/// A worker's end of its queue. After some answers it takes no question for [`REST`] times as long
/// as they took, so that a crowd that asks costs the scans next to nothing.
pub struct Ear {
    questions: Receiver<Question>,
    rest: Duration,
    since: Stopwatch,
}

impl Ear {
    /// Listens to this queue.
    pub fn new(questions: Receiver<Question>) -> Self {
        Self { questions, rest: Duration::ZERO, since: Stopwatch::start() }
    }

    /// Where the next question comes from, and how long to wait for anything else before looking
    /// here again: nowhere while it rests.
    pub fn questions(&self, idle: Duration) -> (Receiver<Question>, Duration) {
        let left = self.rest.saturating_sub(self.since.elapsed());
        match left.is_zero() {
            true => (self.questions.clone(), idle),
            false => (crossbeam_channel::never(), left.min(idle)),
        }
    }

    /// A question that waits, unless it rests.
    pub fn take(&self) -> Option<Question> {
        if self.since.elapsed() < self.rest {
            return None;
        }
        self.questions.try_recv().ok()
    }

    /// Nobody will ask any more.
    pub fn close(&mut self) {
        self.questions = crossbeam_channel::never();
    }

    /// Answers this question and some that wait behind it from the partitions of a worker, then
    /// rests.
    pub fn answer<'p>(
        &mut self,
        question: Question,
        held: impl Iterator<Item = &'p Partition> + Clone,
    ) {
        let watch = Stopwatch::start();
        let behind = self.questions.try_iter().take(AT_ONCE - 1);
        for question in std::iter::once(question).chain(behind) {
            question.answer(held.clone());
        }
        self.rest = (watch.elapsed() * REST).clamp(SHORTEST_REST, LONGEST_REST);
        self.since = Stopwatch::start();
    }
}

impl Question {
    /// Answers from the partitions of a worker. Whoever has gone away gets nothing.
    fn answer<'p>(self, held: impl Iterator<Item = &'p Partition>) {
        match self {
            Self::Package(key, reply) if !reply.is_closed() => {
                let mut asked = Asked::default();
                for held in held {
                    asked.partitions.push(held.partition());
                    asked.known.extend(known(held, &key));
                }
                let _ = reply.send(asked);
            }
            Self::Open(query, reply) if !reply.is_closed() => {
                if let Some(held) = find(held, query.walk.partition) {
                    let _ = reply.send(open_page(held, &query));
                }
            }
            Self::Tally(walk, reply) if !reply.is_closed() => {
                if let Some(held) = find(held, walk.partition) {
                    let _ = reply.send(tally_page(held, walk));
                }
            }
            Self::Package(..) | Self::Open(..) | Self::Tally(..) => {}
        }
    }
}

fn find<'p>(
    mut held: impl Iterator<Item = &'p Partition>,
    partition: i32,
) -> Option<&'p Partition> {
    held.find(|held| held.partition() == partition)
}

fn known(held: &Partition, key: &PackageKey) -> Option<Known> {
    let shard = held.packages();
    Some(Known {
        partition: held.partition(),
        outlook: shard.outlook(key)?,
        frontier: shard.frontier().map(|frontier| frontier.secs()),
        log_clock: shard.log_clock().map(|clock| clock.secs()),
    })
}

fn open_page(held: &Partition, query: &OpenQuery) -> OpenPage {
    let mut found = Vec::new();
    let Walk { from, look_at, .. } = query.walk;
    let next = held.packages().show_open(from, look_at, |view| {
        let is_there = || query.is_there(|| view.facility());
        if query.wants(view.carrier(), view.open) && is_there() {
            found.push(FoundOpen {
                key: view.key(),
                open: view.open.clone(),
                milestone: view.milestone(),
                attributes: view.attributes(),
            });
        }
    });
    OpenPage { found, next }
}

fn tally_page(held: &Partition, walk: Walk) -> TallyPage {
    let mut tally = Tally::default();
    let next = held.packages().show_open(walk.from, walk.look_at, |view| {
        let place = (view.carrier().clone(), view.facility());
        tally.entry(place).or_default().add(view.open);
    });
    TallyPage { tally, next }
}
