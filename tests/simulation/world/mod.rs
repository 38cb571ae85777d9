//! A whole run from one seed: feed, broker, processes, faults, and the oracle that looks on.

mod broker;
mod feed;
mod group;
mod log;
mod misuse;
pub mod options;
mod oracle;
mod process;
mod store;
mod tell;

use std::collections::BTreeSet;
use std::sync::Arc;

use stallwatch::protocol::agree::{Accept, Answer, Durable};
use stallwatch::protocol::cut::CutRecord;
use stallwatch::protocol::rules::Rules;

use crate::generate::Random;
use broker::{Broker, Open};
use feed::Feed;
use options::{BEHIND_MS, Fault, Options};
use oracle::Oracle;
use process::{Around, Process, Reading, Task};
use tell::Tell;

/// 2026-03-02T08:00:00Z, in milliseconds.
const BEGINNING_MS: i64 = 1_772_438_400_000;
/// So much later everything must have settled once all is mended.
const PATIENCE_MS: i64 = 480_000;

/// What came of a run.
pub struct Run {
    /// What was wrong, if anything.
    pub verdict: Result<(), String>,
    pub faults: Vec<u64>,
    pub restores: u64,
    pub commits: u64,
    pub events: u64,
    pub trace: Vec<String>,
}

/// Runs a seed under these rules.
pub fn run(seed: u64, rules: Rules, traced: bool) -> Run {
    let options = Options::of(seed);
    let mut world = World::new(&options, rules, traced);
    let verdict = world.run();
    let tell = &mut world.around.tell;
    Run {
        verdict,
        faults: std::mem::take(&mut tell.faults),
        restores: tell.restores,
        commits: tell.commits,
        events: tell.events,
        trace: tell.lines(),
    }
}

struct World<'o> {
    around: Around<'o>,
    feed: Feed,
    processes: Vec<Process>,
    /// Instances that are to run.
    wanted: BTreeSet<usize>,
    /// Index of the policies that a process starts with.
    set: usize,
    /// What an operator will accept, since it has been brought about.
    acceptable: BTreeSet<&'static str>,
}

impl<'o> World<'o> {
    fn new(options: &'o Options, rules: Rules, traced: bool) -> Self {
        let mut random = Random::new(options.seed ^ 0x5eed);
        let broker = Broker::new(
            options.partitions,
            options.session_timeout_ms,
            options.transaction_timeout_ms,
        );
        let feed = Feed::new(options, &mut random);
        let around = Around {
            options,
            rules,
            now_ms: BEGINNING_MS + random.between(0, 999),
            random,
            broker,
            store: Vec::new(),
            oracle: Oracle::new(options),
            tell: Tell::new(traced),
            troubled: true,
        };
        let wanted = (0..options.instances).collect();
        Self { around, feed, processes: Vec::new(), wanted, set: 0, acceptable: BTreeSet::new() }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.around.options.history {
            self.produce();
            self.around.now_ms += self.around.random.between(0, 2_500);
        }
        if self.around.options.history > 0 {
            self.around.now_ms += self.around.random.between(0, 12_000);
        }
        self.start_wanted();
        for _ in 0..self.around.options.steps {
            self.step()?;
            self.look()?;
        }
        self.mend()?;
        self.around.oracle.finished(&self.around.broker)
    }

    fn look(&mut self) -> Result<(), String> {
        let (commits, events) = self.around.oracle.look(&self.around.broker, self.around.now_ms)?;
        self.around.tell.commits += commits;
        self.around.tell.events += events;
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        match self.around.random.below(100) {
            0..=14 => {
                let ms = self.around.random.between(0, 900);
                self.pass(ms);
            }
            15..=16 => self.rest()?,
            17..=28 => self.produce(),
            29..=32 => self.end_input_transactions(false),
            33..=37 => self.trouble(),
            38..=39 => self.operate()?,
            40..=43 => self.start_wanted(),
            _ => self.work()?,
        }
        Ok(())
    }

    fn pass(&mut self, ms: i64) {
        self.around.now_ms += ms;
        self.around.broker.tick(self.around.now_ms);
    }

    fn produce(&mut self) {
        let Around { options, broker, now_ms, random, tell, .. } = &mut self.around;
        self.feed.produce(options, broker, *now_ms, random, tell);
    }

    fn end_input_transactions(&mut self, all: bool) {
        let Around { options, broker, now_ms, random, tell, .. } = &mut self.around;
        self.feed.end_transactions(options, broker, *now_ms, random, tell, all);
    }

    /// One step of one process.
    fn work(&mut self) -> Result<(), String> {
        let now_ms = self.around.now_ms;
        let running: Vec<usize> =
            (0..self.processes.len()).filter(|&at| self.processes[at].runs(now_ms)).collect();
        if running.is_empty() {
            return Ok(());
        }
        let at = self.around.random.pick(&running);
        let tasks = self.processes[at].tasks();
        let task = self.around.random.pick(&tasks);
        self.processes[at].step(task, &mut self.around)
    }

    /// Some quiet time in which every process gets on, often up to a moment in which something may
    /// happen.
    fn rest(&mut self) -> Result<(), String> {
        let now_ms = self.around.now_ms;
        let Around { options, random, .. } = &mut self.around;
        let mark = self.feed.next_mark(options, now_ms, random).filter(|at| at - now_ms < 20_000);
        let longest_ms = if options.no_evidence { 40_000 } else { 8_000 };
        let until = mark.unwrap_or_else(|| now_ms + random.between(500, longest_ms));
        while self.around.now_ms < until {
            let ms = (until - self.around.now_ms).min(self.around.random.between(300, 2_000));
            self.pass(ms);
            self.all_get_on(6)?;
            self.look()?;
        }
        Ok(())
    }

    fn all_get_on(&mut self, steps: usize) -> Result<(), String> {
        for process in &mut self.processes {
            if !process.runs(self.around.now_ms) {
                continue;
            }
            process.step(Task::Client, &mut self.around)?;
            for _ in 0..steps {
                if process.runs(self.around.now_ms) {
                    let tasks = process.tasks();
                    let task = self.around.random.pick(&tasks);
                    process.step(task, &mut self.around)?;
                }
            }
        }
        Ok(())
    }

    // ---- processes

    fn start_wanted(&mut self) {
        self.processes.retain(|process| process.alive);
        for instance in self.wanted.clone() {
            if !self.processes.iter().any(|process| process.instance == instance) {
                self.start(instance);
            }
        }
    }

    fn start(&mut self, instance: usize) {
        if self.around.options.sets.len() > 1 && self.around.strikes(Fault::NewPolicies, 300) {
            self.set = self.around.random.below(self.around.options.sets.len());
        }
        let policies = self.around.options.sets[self.set].1.clone();
        let skew_ms = self.skew();
        // No process has instance and start in common with another.
        self.around.now_ms += 1;
        let reading = self.reading();
        let process = Process::start(instance, policies, reading, skew_ms, &mut self.around);
        self.processes.push(process);
    }

    fn skew(&mut self) -> i64 {
        let ahead_ms = self.around.options.ahead_ms;
        let least = if self.around.random.chance(30) { -BEHIND_MS } else { 0 };
        self.around.random.between(least, ahead_ms)
    }

    fn any(&mut self) -> Option<usize> {
        let alive: Vec<usize> =
            (0..self.processes.len()).filter(|&at| self.processes[at].alive).collect();
        (!alive.is_empty()).then(|| self.around.random.pick(&alive))
    }

    // ---- what goes wrong

    fn trouble(&mut self) {
        let Some(at) = self.any() else { return };
        let (committing, now_ms) = (self.processes[at].is_committing(), self.around.now_ms);
        let partitions = 0..self.around.options.partitions as i32;
        let cut = |partition| self.around.oracle.cut(partition);
        let amid_look = partitions.filter_map(cut).any(|cut| cut.cursor.is_some());
        let midway = amid_look || self.processes[at].is_backfilling();
        if self.around.strikes(Fault::Crash, if midway { 400 } else { 120 })
            || committing && self.around.strikes(Fault::CrashInCommit, 400)
        {
            let owner = self.processes[at].owner();
            self.around.tell.say(now_ms, || format!("{owner} crashes"));
            self.processes[at].alive = false;
        }
        if self.around.strikes(Fault::Zombie, if committing { 400 } else { 100 }) {
            let until = now_ms + self.around.random.between(2_000, 40_000);
            self.processes[at].stand_still(until);
            let owner = self.processes[at].owner();
            self.around.tell.say(now_ms, || format!("{owner} stands still until {until}"));
        }
        if self.around.strikes(Fault::Replaced, 60) {
            let until = now_ms + self.around.random.between(500, 20_000);
            self.processes[at].stand_still(until);
            let instance = self.processes[at].instance;
            self.start(instance);
        }
        if self.around.strikes(Fault::Scale, 120) {
            self.scale();
        }
        if self.around.strikes(Fault::ClockJump, 120) {
            self.processes[at].time.step(&mut self.around);
        }
        if self.around.strikes(Fault::MachinePause, 80) {
            let ms = self.around.random.between(1_000, 30_000);
            self.processes[at].time.pause(ms, &self.around);
            self.processes[at].stand_still(now_ms + ms);
            let owner = self.processes[at].owner();
            self.around
                .tell
                .say(now_ms, || format!("the machine of {owner} stands still for {ms}"));
        }
        if self.around.options.sets.len() > 1 && self.around.strikes(Fault::Reload, 250) {
            self.set = self.around.random.below(self.around.options.sets.len());
            let (owner, set) = (self.processes[at].owner(), self.set);
            self.around.tell.say(now_ms, || format!("{owner} is to use policies {set}"));
            let policies = self.around.options.sets[self.set].1.clone();
            self.processes[at].reload(policies);
        }
        self.trouble_at_the_broker();
        self.misuse();
    }

    fn scale(&mut self) {
        let instance = self.around.random.below(3);
        if self.wanted.contains(&instance) && self.wanted.len() > 1 {
            self.wanted.remove(&instance);
            for process in self.processes.iter_mut().filter(|it| it.instance == instance) {
                process.alive = false;
            }
        } else if self.wanted.insert(instance) {
            self.start(instance);
        }
    }

    fn trouble_at_the_broker(&mut self) {
        let partition = self.around.random.below(self.around.options.partitions) as i32;
        let now_ms = self.around.now_ms;
        if self.around.strikes(Fault::Compaction, 200) {
            // A subscriber that keeps up sees a tombstone before it goes (`delete.retention.ms`), and
            // the oracle every cut before another takes its place (`min.compaction.lag.ms`).
            let seen = self.around.oracle.open_seen(partition);
            // What is young is left alone.
            let open = &self.around.broker.of(partition).open;
            let not_ours = open.history(0, seen).filter(|(_, it)| matches!(it, Open::NotOurs(_)));
            let seen = not_ours.last().map_or(seen, |(entry, _)| entry.offset.min(seen));
            let from = self.around.random.between(0, seen);
            self.around.broker.compact(partition, from, seen);
        }
        let pending = self.around.broker.group.stable_offset(partition).is_none();
        if !pending && self.around.strikes(Fault::OffsetsExpired, 100) {
            self.around.broker.group.offsets.remove(&partition);
            self.around.tell.say(now_ms, || format!("the offset of {partition} expires"));
        }
        if !pending && self.around.strikes(Fault::OffsetReset, 60) {
            let end = self.around.broker.of(partition).input.high_watermark();
            let offset = self.around.random.between(0, end);
            self.around.broker.group.offsets.insert(partition, (offset, String::new()));
            self.acceptable.extend([Accept::Cut.as_str(), Accept::FirstStart.as_str()]);
            self.around
                .tell
                .say(now_ms, || format!("the offset of {partition} is reset to {offset}"));
        }
        let pruned = self.around.random.below(self.around.store.len() + 1);
        if pruned < self.around.store.len() && self.around.strikes(Fault::MissingSnapshot, 100) {
            self.around.store[pruned].gone = true;
        }
        if self.around.strikes(Fault::FrontierAhead, 6) {
            self.store_a_frontier_ahead(partition);
        }
        if self.around.strikes(Fault::Truncation, 60) {
            self.truncate(partition);
        }
    }

    /// As a process left it that went by a clock that ran ahead. Its owner is no more.
    fn store_a_frontier_ahead(&mut self, partition: i32) {
        let broker = &mut self.around.broker;
        let open = &broker.of(partition).open;
        let pending = open.last_stable_offset() < open.high_watermark()
            || broker.group.stable_offset(partition).is_none();
        let Some(cut) = broker.read_open(partition).cut.filter(|_| !pending) else { return };
        let ahead_s = self.around.random.pick(&[60, 3_600, 1_000_000_000]);
        let frontier = Some(self.around.now_ms / 1_000 + ahead_s);
        let cut = CutRecord { frontier, ..(*cut).clone() };
        let offset = (cut.offset, cut.metadata());
        broker.of_mut(partition).open.append(None, Open::LedAstray(Arc::new(cut)));
        broker.group.offsets.insert(partition, offset);
        self.processes.iter_mut().for_each(|process| process.alive = false);
        self.around.oracle.loose = true;
        self.acceptable.insert(Accept::Frontier.as_str());
        let now_ms = self.around.now_ms;
        self.around
            .tell
            .say(now_ms, || format!("the frontier of {partition} is {ahead_s} s ahead"));
    }

    fn truncate(&mut self, partition: i32) {
        let cut = self.around.oracle.cut(partition).map_or(0, |cut| cut.offset);
        let input = &self.around.broker.of(partition).input;
        let least = self.around.oracle.cut(partition).map_or(0, |cut| cut.decisions.start);
        let beyond = self.around.random.chance(20);
        let stable = input.last_stable_offset();
        let most = if beyond { stable } else { cut.min(stable) };
        let start = self.around.random.between(least.min(most), most);
        self.around.oracle.loose |= start > cut || self.around.oracle.cut(partition).is_none();
        self.acceptable.extend([Accept::Gap.as_str(), Accept::TrustLog.as_str()]);
        self.around.broker.of_mut(partition).input.truncate(start);
        self.around.oracle.deleted(partition);
        let now_ms = self.around.now_ms;
        self.around.tell.say(now_ms, || format!("{partition} begins at {start} now"));
    }

    // ---- the operator

    /// Answers every halt that has been brought about; any other is a fault of the protocol.
    fn operate(&mut self) -> Result<(), String> {
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            for (&partition, (why, _)) in &process.halted {
                let accept = Accept::ALL
                    .iter()
                    .find(|it| why.contains(&format!("--accept {}", it.as_str())))
                    .filter(|it| self.acceptable.contains(it.as_str()));
                let Some(accept) = accept else {
                    if self.around.oracle.loose {
                        continue;
                    }
                    return Err(format!("partition {partition} halts: {why}"));
                };
                if *accept == Accept::Rejections && self.around.random.chance(50) {
                    // A setting is put back.
                    process.reading = Reading::default();
                    continue;
                }
                let topics = self.around.broker.of(partition);
                let Some(group) = self.around.broker.group.stable_offset(partition) else {
                    continue;
                };
                let read = self.around.broker.read_open(partition);
                let durable = Durable {
                    now_ms: self.around.now_ms,
                    margin_ms: self.around.options.margin_ms,
                    cut: read.cut.as_deref().cloned(),
                    group,
                    log_start: topics.input.start(),
                    log_end: topics.input.high_watermark(),
                    answer: read.answer.clone(),
                    other: process.others.get(&partition).cloned(),
                };
                let answer = Answer::to(&durable, *accept);
                if read.answer.as_ref() != Some(&answer) {
                    let now_ms = self.around.now_ms;
                    self.around.tell.say(now_ms, || format!("the operator answers {answer:?}"));
                    self.around.broker.of_mut(partition).open.append(None, Open::Answer(answer));
                    let lost = [Accept::Gap, Accept::NewLog].map(Accept::as_str);
                    let lost = lost.iter().any(|it| self.acceptable.contains(it));
                    let known = why.contains("proven: true") && !lost;
                    self.around.oracle.accepted(partition, *accept, known);
                }
            }
        }
        Ok(())
    }

    // ---- the end

    /// Nothing goes wrong any more, and no record comes: all must settle.
    fn mend(&mut self) -> Result<(), String> {
        self.around.troubled = false;
        let mended_ms = self.around.now_ms;
        self.around.tell.say(mended_ms, || "all is mended".to_owned());
        self.end_input_transactions(true);
        for snapshot in &mut self.around.store {
            snapshot.visible_at_ms = snapshot.visible_at_ms.min(mended_ms);
        }
        for process in &mut self.processes {
            process.still_until_ms = mended_ms;
            process.reading = Reading::default();
            process.time.wake(mended_ms);
        }
        let target = (mended_ms + self.around.random.between(3_000, 25_000)) / 1_000;
        while self.around.now_ms < mended_ms + PATIENCE_MS {
            let ms = self.around.random.between(400, 1_200);
            self.pass(ms);
            self.start_wanted();
            self.operate()?;
            self.all_get_on(10)?;
            self.look()?;
            if self.has_settled(target) {
                return Ok(());
            }
        }
        Err(format!("it does not settle: {}", self.where_it_stands(target)))
    }

    fn has_settled(&self, target: i64) -> bool {
        (0..self.around.options.partitions as i32).all(|partition| {
            let topics = self.around.broker.of(partition);
            let end = topics.input.high_watermark();
            let in_sight = topics.open.last_stable_offset() == topics.open.high_watermark();
            self.around.oracle.cut(partition).is_some_and(|cut| {
                in_sight
                    && !self.around.oracle.is_amid_look(partition)
                    && cut.offset == end
                    && cut.frontier.is_some_and(|frontier| frontier >= target)
            })
        })
    }

    fn where_it_stands(&self, target: i64) -> String {
        let stand = |partition: i32| {
            let end = self.around.broker.of(partition).input.high_watermark();
            let cut = self.around.oracle.cut(partition);
            let cut = cut.map(|cut| (cut.offset, cut.frontier));
            format!("partition {partition}: cut {cut:?}, end {end}, target {target}")
        };
        let parts: Vec<String> = (0..self.around.options.partitions as i32).map(stand).collect();
        parts.join("; ")
    }
}
