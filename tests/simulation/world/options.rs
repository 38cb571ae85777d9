//! What a seed decides beforehand.

use std::sync::Arc;

use stallwatch::detector::policy::PolicySet;

use super::broker::Input;
use crate::generate::{Random, Rules, marks, rules};

/// How far a clock that a process goes by may be behind the broker's.
pub const BEHIND_MS: i64 = 4_000;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What goes wrong in a run, or lies on an edge.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[$doc])* $name),* }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];
        }
    };
}

faults! {
    /// A process ends between two steps.
    Crash,
    /// A process ends while a transaction is open or its outcome is not known.
    CrashInCommit,
    /// A process ends while it restores a partition.
    CrashInRestore,
    /// A process stands still for longer than its session.
    Zombie,
    /// A member that the group has taken out joins again and is not told that it has lost anything.
    Untold,
    /// Another process takes the name of one that stands still.
    Replaced,
    /// A process joins or leaves.
    Scale,
    /// A transaction fails and can be aborted.
    Abortable,
    /// A record of a transaction that failed is still on its way.
    LateProduce,
    /// A commit takes, and nobody hears of it.
    TookUnheard,
    /// A commit does not take, and nobody hears of it.
    LostUnheard,
    /// A commit takes later.
    TookLater,
    /// A snapshot is taken.
    Snapshot,
    /// A snapshot is corrupt.
    CorruptSnapshot,
    /// A snapshot is gone, or comes into sight late.
    MissingSnapshot,
    /// A snapshot of another partition or topic lies among ours.
    ForeignSnapshot,
    /// A record of the feed lies too far in the future.
    FutureRecord,
    /// A record cannot be decoded.
    Poison,
    /// A record is logged with an earlier time than one before it.
    Late,
    /// A record is there twice.
    Doubled,
    /// Several records of one second.
    SameSecond,
    /// A producer of scans writes in a transaction.
    InputTransaction,
    /// Such a transaction is aborted.
    InputAborted,
    /// Records do not come although they are there.
    StalledFetch,
    /// The broker does not say where the log ends.
    NoAnswer,
    /// The clock of a process jumps.
    ClockJump,
    /// The machine of a process stands still, and its monotonic clock with it.
    MachinePause,
    /// A cut is stored whose frontier is ahead of time.
    FrontierAhead,
    /// Clocks of the brokers disagree about a record that one of them stamped.
    BrokerAhead,
    /// The open topic is compacted.
    Compaction,
    /// The group's offsets expire.
    OffsetsExpired,
    /// An operator sets the group's offset.
    OffsetReset,
    /// The beginning of the log is deleted.
    Truncation,
    /// Policies or settings are others after a crash.
    NewPolicies,
    /// Other policies or settings are put in force while a process runs.
    Reload,
    /// Another group commits to our output topics.
    OtherGroup,
    /// Somebody writes to the open topic or deletes from it.
    OpenTouched,
    /// The input topic is made anew.
    TopicAnew,
    /// A process reads records otherwise than they were read before.
    OtherReading,
}

/// Some seeds bring one of these about, and nothing else: what only shows where several
/// faults meet would be rare among all the others.
const FOCI: &[&[Fault]] = &[
    &[Fault::Late, Fault::SameSecond],
    &[Fault::TookLater, Fault::Zombie, Fault::Replaced, Fault::CrashInCommit],
    &[Fault::Snapshot, Fault::ForeignSnapshot, Fault::Crash],
    &[Fault::Zombie, Fault::LostUnheard, Fault::Scale],
    MANY_DUE,
    FIRST_START,
    MANY_DUE,
    &[Fault::OtherGroup, Fault::OpenTouched, Fault::OtherReading, Fault::Crash],
    MANY_DUE,
    &[Fault::TopicAnew, Fault::Zombie, Fault::Truncation],
];

/// A member that the group takes out without its knowing.
const EXPELLED: &[Fault] =
    &[Fault::Zombie, Fault::Untold, Fault::LostUnheard, Fault::TookLater, Fault::Replaced];

/// A first start that is crashed in while it publishes.
const FIRST_START: &[Fault] = &[Fault::Crash, Fault::CrashInCommit];

/// Very much is due and little of it goes into one transaction, amid crashes and other settings.
const MANY_DUE: &[Fault] = &[
    Fault::Crash,
    Fault::CrashInCommit,
    Fault::NewPolicies,
    Fault::Snapshot,
    Fault::FutureRecord,
    Fault::SameSecond,
    Fault::StalledFetch,
    Fault::OtherReading,
];

/// What a seed decides beforehand.
pub struct Options {
    pub seed: u64,
    pub partitions: usize,
    pub instances: usize,
    /// Steps before everything is mended.
    pub steps: usize,
    /// Sets of policies; the first is in force at the start.
    pub sets: Vec<(Rules, Arc<PolicySet>)>,
    /// Every span after which something may happen, of the first set. Seconds.
    pub marks: Vec<i64>,
    pub silent_start: bool,
    /// Scans that are in the log before anybody reads it.
    pub history: usize,
    pub packages: usize,
    /// Records that a partition may put into one transaction.
    pub budget: usize,
    /// How many packages a call of the detector may look at.
    pub work: u32,
    /// Nobody says where the log ends before all is mended: records alone move the frontier.
    pub no_evidence: bool,
    pub margin_ms: i64,
    pub max_future_skew_ms: i64,
    /// Brokers stamp the records of the `open` topic; else each process goes by its own clock.
    pub stamped: bool,
    /// The broker sets the timestamps of scans.
    pub by_broker: bool,
    /// How far a clock that a process goes by may be ahead of the broker's.
    pub ahead_ms: i64,
    /// How far the clock of the feed is behind the broker's.
    pub behind_ms: i64,
    /// How much earlier than it is logged a record's log time may be.
    pub lateness_ms: i64,
    /// Every record at or past an end offset asked for at wall time w has log time ≥ w − margin.
    pub margin_holds: bool,
    pub session_timeout_ms: i64,
    pub transaction_timeout_ms: i64,
    pub commit_interval_ms: i64,
    /// In thousandths, by fault.
    chances: Vec<u64>,
}

impl Options {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let unit = 1;
        let focus = match seed % 8 {
            3 | 7 => Some(FOCI[(seed / 4) as usize % FOCI.len()]),
            2 | 6 => Some(EXPELLED),
            5 => Some(MANY_DUE),
            _ => None,
        };
        let many_due = focus == Some(MANY_DUE);
        let several_sets = seed % 20 == 19 || many_due;
        let count = if random.chance(25) || several_sets { 3 } else { 1 };
        let mut sets = Vec::new();
        while sets.len() < count {
            let rules = rules(&mut random, unit);
            if let Some(set) = rules.set() {
                sets.push((rules, set));
            }
        }
        let margin_ms = random.pick(&[2_000, 2_000, 6_000]);
        let margin_holds = random.chance(90);
        let (ahead_ms, lateness_ms) = match (margin_holds, random.below(6)) {
            (true, 0) => (0, 0),
            (true, 1) => (random.between(0, margin_ms), 0),
            (true, 2) => (0, random.between(0, margin_ms)),
            (true, 3) => (margin_ms, 0),
            (true, _) => {
                let ahead = random.between(0, margin_ms);
                (ahead, random.between(0, margin_ms - ahead))
            }
            (false, _) => (random.between(0, 3 * margin_ms), random.between(0, 3 * margin_ms)),
        };
        let calm = random.chance(15);
        let (stamped, by_broker) = (random.chance(75), random.chance(40));
        // Where brokers tell the time none is ahead of them, but whoever writes may be behind.
        let (ahead_ms, behind_ms) = if stamped { (0, ahead_ms) } else { (ahead_ms, 0) };
        let first_start = focus == Some(FIRST_START);
        let chances = Fault::ALL
            .iter()
            .map(|fault| match (focus, random.below(5)) {
                (Some(focus), _) => 2_500 * u64::from(focus.contains(fault)),
                (None, _) if calm => 0,
                (None, 0 | 1) => 0,
                (None, 2) => 300,
                (None, 3) => 1_000,
                (None, _) => 2_500,
            })
            .collect();
        Self {
            seed,
            partitions: random.pick(&[1, 1, 2, 3]),
            instances: random.pick(&[1, 2, 2, 3]),
            steps: if many_due || focus == Some(EXPELLED) {
                600
            } else {
                random.pick(&[80, 150, 250, 400])
            },
            marks: marks(&sets[0].0),
            sets,
            silent_start: (random.chance(45) || first_start) && !many_due,
            history: if first_start { 40 } else { random.pick(&[0, 0, 3, 12, 25, 40]) },
            packages: if many_due || first_start { 5 } else { random.between(1, 5) as usize },
            budget: if many_due || first_start { 1 } else { random.pick(&[1, 2, 4, 10_000]) },
            no_evidence: many_due && !seed.is_multiple_of(3),
            work: if many_due { 1 } else { random.pick(&[1, 1, 64, 512]) },
            margin_ms,
            max_future_skew_ms: random.pick(&[3_000, 8_000]),
            stamped,
            by_broker,
            ahead_ms,
            behind_ms,
            lateness_ms,
            margin_holds,
            session_timeout_ms: 12_000,
            transaction_timeout_ms: 6_000,
            commit_interval_ms: random.pick(&[0, 500, 2_000]),
            chances,
        }
    }

    /// Whether a fault that is possible here comes about. `per_thousand`: where chances are plain.
    pub fn strikes(&self, fault: Fault, per_thousand: u64, random: &mut Random) -> bool {
        let chance = self.chances[fault as usize] * per_thousand;
        chance > 0 && random.next() % 1_000_000 < chance
    }

    /// Only a record is refused whose log time lay too far in the future when the broker got it, and
    /// none that the broker stamped. Where a process goes by its own clock, that may be behind.
    pub fn may_refuse(&self, input: &Input) -> Result<(), String> {
        let behind_ms = if self.stamped { 0 } else { BEHIND_MS };
        let least = input.appended_ms - behind_ms + self.max_future_skew_ms;
        if !input.by_broker && input.time_ms > least {
            return Ok(());
        }
        Err(format!("a record of {} is refused that came at {}", input.time_ms, input.appended_ms))
    }

    /// One line, for a report.
    pub fn line(&self) -> String {
        let faults: Vec<String> = Fault::NAMES
            .iter()
            .zip(&self.chances)
            .filter(|(_, chance)| **chance > 0)
            .map(|(name, chance)| format!("{name}×{}", *chance as f64 / 1_000.0))
            .collect();
        format!(
            "seed {}: {} partitions, {} instances, {} steps, {} packages, history {}, {} start, {} policy sets, {}, ahead {} ms, behind {} ms, late {} ms (margin {} ms {}), faults: {}",
            self.seed,
            self.partitions,
            self.instances,
            self.steps,
            self.packages,
            self.history,
            if self.silent_start { "silent" } else { "publishing" },
            self.sets.len(),
            if self.stamped { "stamped" } else { "not stamped" },
            self.ahead_ms,
            self.behind_ms,
            self.lateness_ms,
            self.margin_ms,
            if self.margin_holds { "holds" } else { "is broken" },
            if faults.is_empty() { "none".to_owned() } else { faults.join(" ") }
        )
    }
}
