//! How every contestant is measured: the same log, the same stretches, the same questions.
//!
//! Times are the thread's processor time: what waits for memory counts, what others on the machine
//! take does not.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bound::{self, Bound};
use crate::dice::mix;
use crate::lengths::{Calls, Lengths};
use crate::log::{Event, Log};
use crate::machine::{resident, thread_time};

/// Events handed over at once.
pub const BATCH: usize = 512;
/// Events of a call whose length is looked at.
pub const CALL: usize = 32;
/// Stretches of the steady state of which the median counts.
pub const SEGMENTS: usize = 8;

/// What is asked of a contestant.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Packages known in the steady state.
    pub packages: usize,
    /// Events of the steady state.
    pub events: usize,
    /// Of the log.
    pub seed: u64,
    /// Scans have no attributes.
    pub bare: bool,
}

/// Something that finds silences in the log.
pub trait Contestant {
    /// Makes the events ready to be applied. Not timed.
    fn prepare(&mut self, events: &[Event]);
    /// Applies what is ready, and gives up what has expired. Returns false to be called again.
    fn apply(&mut self) -> bool;
    /// Adds what has expired since the last call. Not timed.
    fn tell(&mut self, tally: &mut Tally);
    /// How many packages it knows.
    fn known(&self) -> usize;
}

/// What has expired so far. The order of seconds counts, not that within one.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    expiries: u64,
    checksum: u64,
    second: i64,
    of_second: u64,
}

impl Tally {
    /// Adds a package by its fingerprint, in order of seconds.
    pub fn add(&mut self, second: i64, fingerprint: u64) {
        if second != self.second {
            self.checksum = self.whole();
            self.second = second;
            self.of_second = 0;
        }
        self.expiries += 1;
        self.of_second = self.of_second.wrapping_add(mix(fingerprint, 31));
    }

    fn whole(&self) -> u64 {
        mix(self.checksum ^ self.of_second, self.second.unsigned_abs())
    }
}

/// Where a contestant stands after a segment. From one log all stand at the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Packages known.
    pub known: usize,
    /// Exceptions opened since the beginning of the log.
    pub expiries: u64,
    /// Of which, and in which order.
    pub checksum: u64,
}

/// What was measured of one contestant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Median over the segments, in nanoseconds of processor time.
    pub ns_per_event: f64,
    /// Growth of the resident memory by packages known at the end, in bytes.
    pub bytes_per_package: f64,
    /// Events of the steady state that were timed.
    pub events: usize,
    /// After each segment.
    pub checkpoints: Vec<Checkpoint>,
    /// Calls of 32 events in the steady state, where asked for.
    pub steady: Option<Calls>,
    /// The machine's memory before and after.
    pub bounds: Vec<Bound>,
}

/// Measures a contestant over so many segments, and the lengths of its calls if asked for.
pub fn measure<C: Contestant>(
    plan: &Plan,
    segments: usize,
    calls: bool,
    contestant: impl FnOnce() -> C,
) -> io::Result<Measured> {
    let mut bounds = bound::measure(plan.packages, plan.seed)?;
    let mut stream = Stream::new(plan);
    let before = resident();
    let mut contestant = contestant();
    stream.fill(&mut contestant, BATCH);
    let mut times = Vec::new();
    let mut checkpoints = Vec::new();
    for _ in 0..segments {
        times.push(stream.segment(&mut contestant, plan.events / SEGMENTS));
        checkpoints.push(stream.checkpoint(&contestant));
    }
    let grown = resident().saturating_sub(before);
    let known = contestant.known();
    let steady = calls.then(|| stream.calls(&mut contestant, plan.events / 2));
    drop(contestant);
    bounds.extend(bound::measure(plan.packages, plan.seed)?);
    Ok(Measured {
        ns_per_event: median(times),
        bytes_per_package: grown as f64 / known.max(1) as f64,
        events: plan.events / SEGMENTS * segments,
        checkpoints,
        steady: steady.map(|calls| calls.summary()),
        bounds,
    })
}

/// The log on its way into one contestant.
pub struct Stream {
    log: Log,
    events: Vec<Event>,
    tally: Tally,
}

impl Stream {
    /// At the beginning of the log; its memory is in use from now on.
    pub fn new(plan: &Plan) -> Self {
        let log = Log::new(plan.packages, plan.seed);
        Self { log, events: Vec::with_capacity(BATCH), tally: Tally::default() }
    }

    /// Brings the contestant into the steady state; gives the lengths of the calls.
    pub fn fill(&mut self, contestant: &mut impl Contestant, at_once: usize) -> Lengths {
        let mut lengths = Lengths::default();
        loop {
            self.log.fill(at_once, &mut self.events);
            if self.events.is_empty() {
                return lengths;
            }
            self.call(contestant, &mut lengths);
        }
    }

    /// Applies events of the steady state; gives nanoseconds of processor time an event.
    pub fn segment(&mut self, contestant: &mut impl Contestant, events: usize) -> f64 {
        let mut spent = Duration::ZERO;
        let batches = events.div_ceil(BATCH);
        for _ in 0..batches {
            self.log.steady(BATCH, &mut self.events);
            contestant.prepare(&self.events);
            let start = thread_time();
            while !contestant.apply() {}
            spent += thread_time().saturating_sub(start);
            contestant.tell(&mut self.tally);
        }
        spent.as_nanos() as f64 / (batches * BATCH).max(1) as f64
    }

    fn calls(&mut self, contestant: &mut impl Contestant, events: usize) -> Lengths {
        let mut lengths = Lengths::default();
        for _ in 0..events.div_ceil(CALL) {
            self.log.steady(CALL, &mut self.events);
            self.call(contestant, &mut lengths);
        }
        lengths
    }

    fn call(&mut self, contestant: &mut impl Contestant, lengths: &mut Lengths) {
        contestant.prepare(&self.events);
        let mut done = false;
        while !done {
            done = lengths.time(|| contestant.apply());
        }
        contestant.tell(&mut self.tally);
    }

    fn checkpoint(&self, contestant: &impl Contestant) -> Checkpoint {
        Checkpoint {
            known: contestant.known(),
            expiries: self.tally.expiries,
            checksum: self.tally.whole(),
        }
    }
}

/// The one in the middle; of none 0.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
