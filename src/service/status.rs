//! What this instance knows of its partitions at the moment: shared by the engine, the workers, the
//! evidence thread and the listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use super::clock::Stopwatch;
use crate::detector::shard::Stats;
use crate::protocol::evidence::Hold;
pub use crate::protocol::halt::Halt;

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its state is being rebuilt.
    Restoring,
    /// What was open at a first start is being published.
    Backfilling,
    /// Records are applied as they come.
    Live,
    /// Stopped and named.
    Halted,
}

impl Stage {
    /// The name used on the status page and as a reason for a held frontier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::Backfilling => "backfilling",
            Self::Live => "live",
            Self::Halted => "halted",
        }
    }
}

/// One partition of the input that this instance holds.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    /// Where it stands.
    pub stage: Stage,
    /// Why it halted.
    pub halted: Option<Halt>,
    /// Why its frontier does not follow trusted time.
    pub hold: Option<Hold>,
    /// Why its worker applies nothing at present, or its restore.
    pub waits: Option<Hold>,
    /// What it waits for where somebody has to bring it: the record, and what it lacks.
    pub waits_for: Option<String>,
    /// Next offset to read.
    pub position: i64,
    /// End offset, when last asked for.
    pub end: Option<i64>,
    /// Offset of the last commit.
    pub committed: Option<i64>,
    /// Log clock, in seconds since 1970 UTC.
    pub log_clock: Option<i64>,
    /// Frontier, in seconds since 1970 UTC.
    pub frontier: Option<i64>,
    /// Everything that came out up to this frontier is committed, in seconds since 1970 UTC.
    pub settled: Option<i64>,
    /// The earliest deadline of a step that came due and is not committed yet, in seconds since 1970
    /// UTC.
    pub oldest_due: Option<i64>,
    /// What its shard held when it was last cut.
    pub stats: Stats,
    /// Hash of the policies that its last cut was reached under.
    pub policies: Option<Arc<str>>,
}

impl PartitionStatus {
    /// A partition that has just been assigned.
    pub fn restoring() -> Self {
        Self {
            stage: Stage::Restoring,
            halted: None,
            hold: Some(Hold::Restoring),
            waits: None,
            waits_for: None,
            position: 0,
            end: None,
            committed: None,
            log_clock: None,
            frontier: None,
            settled: None,
            oldest_due: None,
            stats: Stats::default(),
            policies: None,
        }
    }

    /// Records between the position and the end.
    pub fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end - self.position).max(0))
    }
}

/// The state of the whole instance.
pub struct Status {
    /// By partition.
    pub partitions: DashMap<i32, PartitionStatus>,
    ever_joined: AtomicBool,
    joined: AtomicBool,
    producer_ready: AtomicBool,
    bytes_in_flight: AtomicUsize,
    started: Stopwatch,
    pulses: Vec<Pulse>,
}

/// When a loop last ran, and how long it may take to run again.
struct Pulse {
    name: String,
    at_ms: AtomicI64,
    limit: Duration,
}

/// A worker that has not run for this long is taken for dead: it waits for nobody.
const WORKER_LIMIT: Duration = Duration::from_secs(30);
/// The engine waits for the broker while it commits; an outage must not look like its death.
const ENGINE_LIMIT: Duration = Duration::from_secs(300);

impl Status {
    /// For one engine loop and this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        let pulse = |name, limit| Pulse { name, at_ms: AtomicI64::new(0), limit };
        let pulses = std::iter::once(pulse("engine".to_owned(), ENGINE_LIMIT))
            .chain((0..workers).map(|worker| pulse(format!("worker {worker}"), WORKER_LIMIT)))
            .collect();
        Arc::new(Self {
            partitions: DashMap::new(),
            ever_joined: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            producer_ready: AtomicBool::new(false),
            bytes_in_flight: AtomicUsize::new(0),
            started: Stopwatch::start(),
            pulses,
        })
    }

    /// The group has answered with an assignment, be it empty.
    pub fn set_joined(&self) {
        self.ever_joined.store(true, Ordering::Relaxed);
        self.joined.store(true, Ordering::Relaxed);
    }

    /// The membership is over, and with it everything that was held.
    pub fn set_left(&self) {
        self.joined.store(false, Ordering::Relaxed);
        self.partitions.clear();
    }

    /// The producer can or cannot commit.
    pub fn set_producer_ready(&self, ready: bool) {
        self.producer_ready.store(ready, Ordering::Relaxed);
    }

    /// Loop 0 is the engine, loop 1 the first worker.
    pub fn pulse(&self, index: usize) {
        let now = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.pulses[index].at_ms.store(now, Ordering::Relaxed);
    }

    /// Bytes handed to workers and not yet applied.
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes_in_flight.load(Ordering::Relaxed)
    }

    /// More bytes are under way to a worker.
    pub fn bytes_sent(&self, bytes: usize) {
        self.bytes_in_flight.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A worker has applied these bytes.
    pub fn bytes_applied(&self, bytes: usize) {
        self.bytes_in_flight.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Changes what is known of a partition that is held.
    pub fn update(&self, partition: i32, change: impl FnOnce(&mut PartitionStatus)) {
        if let Some(mut status) = self.partitions.get_mut(&partition) {
            change(&mut status);
        }
    }

    /// Names a loop that has stopped turning; `None` when all is well.
    pub fn dead_loop(&self) -> Option<&str> {
        let now = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let overdue = |pulse: &Pulse| {
            now - pulse.at_ms.load(Ordering::Relaxed) > pulse.limit.as_millis() as i64
        };
        self.pulses.iter().find(|pulse| overdue(pulse)).map(|pulse| pulse.name.as_str())
    }

    /// How long ago the loop of the slowest worker ran.
    pub fn slowest_worker(&self) -> Duration {
        let now = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let workers = self.pulses.iter().skip(1).map(|pulse| pulse.at_ms.load(Ordering::Relaxed));
        let since = workers.min().map_or(0, |oldest| (now - oldest).max(0));
        Duration::from_millis(since.unsigned_abs())
    }

    /// What is missing before the start is over; `None` ever after.
    pub fn not_started(&self) -> Option<&'static str> {
        let joined = self.ever_joined.load(Ordering::Relaxed);
        (!joined).then_some("the consumer group has not assigned partitions yet")
    }

    /// What is still missing before this instance does its work; `None` when it does.
    pub fn not_ready(&self) -> Option<String> {
        if let Some(why) = self.not_started() {
            return Some(why.to_owned());
        }
        if !self.joined.load(Ordering::Relaxed) {
            return Some("the consumer group is being joined again".to_owned());
        }
        if !self.producer_ready.load(Ordering::Relaxed) {
            return Some("the producer cannot commit".to_owned());
        }
        let is_not =
            |status: &PartitionStatus| status.stage != Stage::Live || status.waits_for.is_some();
        let waiting = self.partitions.iter().find(|status| is_not(status))?;
        let (partition, stage) = (waiting.key(), waiting.stage.as_str());
        Some(match (&waiting.halted, &waiting.waits_for) {
            (Some(halt), _) => format!("partition {partition} is {stage}: {}", halt.message),
            (None, Some(what)) => format!("partition {partition} is {stage} and waits at {what}"),
            (None, None) => format!("partition {partition} is {stage}"),
        })
    }
}
