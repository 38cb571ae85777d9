//! The detector itself as a contestant, alone and two of them at once.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use stallwatch::detector::exception::{Change, ExceptionEvent, Severity};
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::memory::BLOCK;
use stallwatch::detector::policy::{CATCH_UP_GRACE, Defaults, Policy, PolicySet, Step};
use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::{Shard, Stop};
use stallwatch::prefault::ReadyBlocks;

use crate::bound;
use crate::contest::{BATCH, CALL, Contestant, Plan, SEGMENTS, Stream, Tally, median};
use crate::lengths::{Calls, Lengths};
use crate::log::{Event, RETENTION};
use crate::numbers::fingerprint;
use crate::records::Texts;

/// Seconds of silence until an exception opens.
pub const SILENCE: u32 = 48 * 3_600;
const DAY: i64 = 86_400;

/// A shard and the records for it.
pub struct Ours<'t> {
    shard: Shard,
    texts: &'t Texts,
    records: Vec<Record<'t>>,
    applied: usize,
    outcomes: Vec<Option<stallwatch::detector::scan::Outcome>>,
    events: Vec<ExceptionEvent>,
    offset: i64,
    last: Option<(i64, PackageKey)>,
}

impl<'t> Ours<'t> {
    /// An empty shard, with memory that is ready before it is needed.
    pub fn new(texts: &'t Texts, memory: &Arc<ReadyBlocks>) -> Self {
        Self {
            shard: Shard::with_memory(policies(), memory.clone()),
            texts,
            records: Vec::with_capacity(BATCH),
            applied: 0,
            outcomes: Vec::with_capacity(BATCH),
            events: Vec::new(),
            offset: 0,
            last: None,
        }
    }
}

impl Contestant for Ours<'_> {
    fn prepare(&mut self, events: &[Event]) {
        self.records.clear();
        self.outcomes.clear();
        self.applied = 0;
        let offsets = self.offset..;
        let records = events.iter().zip(offsets);
        self.records.extend(records.map(|(event, offset)| self.texts.record(event, offset)));
        self.offset += events.len() as i64;
    }

    fn apply(&mut self) -> bool {
        let applied = self.shard.apply(&self.records[self.applied..], &mut self.outcomes);
        self.applied += applied.records;
        self.events.append(&mut self.shard.take_outbox());
        match applied.stop {
            Stop::End => true,
            Stop::Busy => false,
            Stop::Full => unreachable!("no limit was set"),
        }
    }

    fn tell(&mut self, tally: &mut Tally) {
        for event in self.events.drain(..).filter(|event| event.change == Change::Opened) {
            let due = event.deadline.secs().max(event.anchor_set_at.secs() + CATCH_UP_GRACE);
            let now = (due, event.key);
            let in_order = self.last.as_ref().is_none_or(|last| *last < now);
            assert!(in_order, "{} came out of order", now.1);
            tally.add(due, fingerprint(&now.1));
            self.last = Some(now);
        }
    }

    fn known(&self) -> usize {
        self.shard.len()
    }
}

fn policies() -> Arc<PolicySet> {
    let step = |name: &str, after, severity| Step { after, severity, name: name.into() };
    let stalled = || step("stalled", i64::from(SILENCE), Severity::Warning);
    let everything = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![stalled()],
        no_movement: vec![stalled(), step("lost", 7 * DAY, Severity::Critical)],
    };
    let defaults = Defaults { settled_retention: i64::from(RETENTION), ..Defaults::default() };
    let set = PolicySet::new(defaults, BTreeMap::new(), vec![everything]);
    Arc::new(set.expect("the policies are sound"))
}

/// Lengths of the calls that grow a shard whose memory is all ready, and of others that do nothing of
/// the kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// Calls of 32 events.
    pub calls: Calls,
    /// Calls of about 4 µs of arithmetic: what the machine itself takes away.
    pub machine: Calls,
    /// Calls of about 4 µs on random lines of as many records, for as long: what it takes away where
    /// memory is used.
    pub memory: Calls,
}

/// Fills a shard from nothing, with more memory ready than it will need.
pub fn growth(plan: &Plan) -> io::Result<Growth> {
    const BYTES_AT_MOST: usize = 64;
    let texts = Texts::new(plan.bare);
    let blocks = plan.packages * BYTES_AT_MOST / BLOCK + 32;
    let memory = Arc::new(ReadyBlocks::start_with(blocks)?);
    memory.wait();
    let mut idle = Lengths::default();
    for call in 0..(plan.packages / CALL) as u64 {
        idle.time(|| (0..4_000).fold(call, |all, n| black_box(all.rotate_left(5) ^ n)));
    }
    let mut stream = Stream::new(plan);
    let start = Instant::now();
    let lengths = stream.fill(&mut Ours::new(&texts, &memory), CALL);
    let lasted = start.elapsed();
    drop(memory);
    let touching = bound::calls(plan.packages, lasted, plan.seed)?;
    Ok(Growth { calls: lengths.summary(), machine: idle.summary(), memory: touching.summary() })
}

/// What two shards of half as many packages each do on two threads.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TwoShards {
    /// Nanoseconds an event of one of them, the other standing still.
    pub alone_ns: f64,
    /// Nanoseconds an event of each, both at work.
    pub together_ns: [f64; 2],
}

impl TwoShards {
    /// Throughput of both at work by that of one alone.
    pub fn speedup(&self) -> f64 {
        self.together_ns.iter().map(|ns| self.alone_ns / ns).sum()
    }
}

/// Measures two shards on two threads, each with a log of its own.
pub fn two_shards(plan: &Plan) -> io::Result<TwoShards> {
    let texts = Texts::new(plan.bare);
    let memory = Arc::new(ReadyBlocks::start()?);
    memory.wait();
    let step = Barrier::new(2);
    let half = |seed| Plan { packages: plan.packages / 2, seed, ..*plan };
    let run = |plan: Plan, goes_alone| {
        let mut stream = Stream::new(&plan);
        let mut ours = Ours::new(&texts, &memory);
        stream.fill(&mut ours, BATCH);
        let mut segments = || {
            let segments = 0..SEGMENTS;
            median(segments.map(|_| stream.segment(&mut ours, plan.events / SEGMENTS)).collect())
        };
        step.wait();
        let alone = if goes_alone { segments() } else { 0.0 };
        step.wait();
        (alone, segments())
    };
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| run(half(plan.seed + 1), false));
        (run(half(plan.seed), true), second.join())
    });
    let (_, second) = second.map_err(|_| io::Error::other("the second shard's thread panicked"))?;
    Ok(TwoShards { alone_ns: first.0, together_ns: [first.1, second] })
}
