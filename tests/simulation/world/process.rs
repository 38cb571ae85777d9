//! One process of the service: the real machines, and a driver that carries what they say to the
//! fake broker, a step at a time.

mod commit;
mod engine;
mod inbox;
mod rebuild;
mod time;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use stallwatch::detector::policy::PolicySet;
use stallwatch::detector::scan::Record;
use stallwatch::protocol::agree::OtherGroup;
use stallwatch::protocol::cut::Source;
use stallwatch::protocol::evidence::Hold;
use stallwatch::protocol::held::Held;
use stallwatch::protocol::keeper::Keeper;
use stallwatch::protocol::plain::Plain;
use stallwatch::protocol::rules::Rules;

use super::broker::{Broker, Input, Letter};
use super::group::{Heard, Membership};
use super::options::{Fault, Options};
use super::oracle::{AtCut, Oracle, Schedule};
use super::store::Snapshot;
use super::tell::Tell;
use crate::generate::Random;
use commit::Cycle;
use inbox::Inbox;
use rebuild::{Completed, Rebuild};
use time::Time;

/// Everything outside a process.
pub struct Around<'o> {
    pub options: &'o Options,
    pub rules: Rules,
    pub now_ms: i64,
    pub random: Random,
    pub broker: Broker,
    pub store: Vec<Snapshot>,
    pub oracle: Oracle<'o>,
    pub tell: Tell,
    /// Faults strike.
    pub troubled: bool,
}

impl Around<'_> {
    /// Whether a fault comes about here; it is counted.
    pub fn strikes(&mut self, fault: Fault, per_thousand: u64) -> bool {
        let strikes = self.troubled && self.options.strikes(fault, per_thousand, &mut self.random);
        if strikes {
            self.tell.fault(fault);
        }
        strikes
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        self.tell.say(self.now_ms, line);
    }

    /// Our group, and what the input is now.
    pub fn source(&self) -> Source {
        Source {
            group: "ours".to_owned(),
            topic_id: Some(self.broker.topic_id()),
            partitions: self.options.partitions as i32,
        }
    }
}

/// How a process reads records that were read before.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// By partition the cut's offset, and whether its record is out in part. A third of the records
    /// before it is rejected, and the record at it where it is out in part.
    pub rejects: BTreeMap<i32, (i64, bool)>,
    /// The record at this offset would be refused if it was judged.
    pub refuses: BTreeMap<i32, i64>,
    /// Of those that it rejects, only the record at the cut.
    pub last_only: bool,
}

impl Reading {
    /// A record as this process reads it.
    pub fn read(&self, partition: i32, offset: i64, input: &Input) -> Record<'static> {
        let rejects = self.rejects.get(&partition).is_some_and(|&(cut, amid_look)| {
            let before = offset < cut && input.hash.is_multiple_of(3) && !self.last_only;
            before || offset == cut && amid_look
        });
        if rejects { Record::Rejected { log_time: None } } else { input.at(offset) }
    }
}

/// What the client tells the engine.
enum News {
    Assigned(BTreeSet<i32>),
    /// Partitions are to be given back; they are lost already where `true`.
    Revoked(BTreeSet<i32>, bool),
}

/// The member of the group, with a thread of its own.
struct Client {
    id: Option<u64>,
    generation: i64,
    owned: BTreeSet<i32>,
    news: VecDeque<News>,
    /// Something has been given back: the group must hear of it.
    joins_again: bool,
    /// It has joined without having heard that it lost what it holds.
    untold: bool,
    fatal: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            id: None,
            generation: -1,
            owned: BTreeSet::new(),
            news: VecDeque::new(),
            joins_again: false,
            untold: false,
            fatal: false,
        }
    }
}

impl Client {
    /// Its member, as the group names it.
    fn member(&self) -> Option<String> {
        self.id.filter(|_| self.generation >= 0).map(|id| id.to_string())
    }

    fn membership(&self) -> Membership {
        match self.id {
            Some(_) => Membership { member: self.id, generation: self.generation },
            None => Membership::NONE,
        }
    }
}

/// A question for end offsets.
struct Question {
    asked_at: Result<i64, Hold>,
    partitions: Vec<i32>,
    ends: Option<Vec<(i32, i64)>>,
}

/// See the module's head.
pub struct Process {
    /// Which of the instances.
    pub instance: usize,
    pub alive: bool,
    /// It stands still up to this time.
    pub still_until_ms: i64,
    pub time: Time,
    name: String,
    owner: String,
    policies: Arc<PolicySet>,
    client: Client,
    producer: u32,
    keeper: Keeper<Letter>,
    held: BTreeMap<i32, Held<Plain, Letter>>,
    inboxes: BTreeMap<i32, Inbox>,
    schedules: BTreeMap<i32, Schedule>,
    at_cuts: BTreeMap<i32, AtCut>,
    stalled: BTreeMap<i32, i64>,
    restores: Vec<Rebuild>,
    completed: VecDeque<Completed>,
    /// Partitions that halted, why, and when they look again.
    pub halted: BTreeMap<i32, (String, i64)>,
    pub reading: Reading,
    /// Groups that have committed beside ours, by partition.
    pub others: BTreeMap<i32, OtherGroup>,
    /// The end of the open topic behind our last commit.
    open_end: BTreeMap<i32, i64>,
    question: Option<Question>,
    last_asked_ms: i64,
    last_commit_ms: i64,
    last_heartbeat_ms: i64,
    cycle: Option<Cycle>,
    /// The membership as it was at the last assignment.
    stale: Membership,
}

/// What a process can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Engine,
    Client,
    Asker,
    Time,
    Restore(usize),
}

impl Process {
    /// A process starts: its producer first, which settles whatever an earlier one left.
    pub fn start(
        instance: usize,
        policies: Arc<PolicySet>,
        reading: Reading,
        skew_ms: i64,
        around: &mut Around<'_>,
    ) -> Self {
        let name = format!("i{instance}");
        let producer = around.broker.init_producer(&name);
        let owner = format!("{name}/{}", around.now_ms);
        around.say(|| format!("{owner} starts and reads {reading:?}"));
        Self {
            instance,
            alive: true,
            still_until_ms: 0,
            time: Time::new(skew_ms, around),
            client: Client::default(),
            producer,
            keeper: Keeper::new(owner.clone(), around.rules),
            name,
            owner,
            policies,
            held: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            schedules: BTreeMap::new(),
            at_cuts: BTreeMap::new(),
            stalled: BTreeMap::new(),
            restores: Vec::new(),
            completed: VecDeque::new(),
            halted: BTreeMap::new(),
            reading,
            others: BTreeMap::new(),
            open_end: BTreeMap::new(),
            question: None,
            last_asked_ms: around.now_ms,
            last_commit_ms: around.now_ms,
            last_heartbeat_ms: around.now_ms,
            cycle: None,
            stale: Membership::NONE,
        }
    }

    /// It stands still up to this time, or for as long as it does already.
    pub fn stand_still(&mut self, until_ms: i64) {
        self.still_until_ms = self.still_until_ms.max(until_ms);
    }

    pub fn runs(&self, now_ms: i64) -> bool {
        self.alive && self.still_until_ms <= now_ms
    }

    /// Whether a transaction is under way, or its outcome is not known.
    pub fn is_committing(&self) -> bool {
        self.keeper.is_committing()
    }

    /// Whether what was open at a first start is still being published.
    pub fn is_backfilling(&self) -> bool {
        self.keeper.lanes().any(|(_, lane)| lane.is_backfilling())
    }

    /// Other policies are to be in force.
    pub fn reload(&mut self, policies: Arc<PolicySet>) {
        self.policies = policies;
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it can do, some of it more than once: a choice among these is a fair one.
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks = vec![Task::Engine; 3];
        tasks.extend([Task::Client, Task::Asker]);
        tasks.extend(self.time.has_something_to_do().then_some(Task::Time));
        for at in 0..self.restores.len() {
            tasks.extend([Task::Restore(at); 4]);
        }
        tasks
    }

    pub fn step(&mut self, task: Task, around: &mut Around<'_>) -> Result<(), String> {
        match task {
            Task::Client => self.client_step(around),
            Task::Asker => self.asker_step(around),
            Task::Time => self.time.happen(around),
            Task::Restore(at) => self.restore_step(at, around),
            Task::Engine => return self.engine_step(around),
        }
        Ok(())
    }

    /// The group had taken this member out, and the client has not said so: everything begins anew.
    fn expelled(&mut self, around: &mut Around<'_>) {
        around.say(|| format!("{} was taken out by the group", self.owner));
        let held: BTreeSet<i32> = self.keeper.lanes().map(|(partition, _)| partition).collect();
        self.give_back(&held);
        self.keeper = Keeper::new(self.owner.clone(), around.rules);
        self.client = Client::default();
        (self.restores, self.completed, self.question) = (Vec::new(), VecDeque::new(), None);
        self.producer = around.broker.init_producer(&self.name);
    }

    // ---- the member's own thread

    fn client_step(&mut self, around: &mut Around<'_>) {
        let (now_ms, group) = (around.now_ms, &mut around.broker.group);
        let client = &mut self.client;
        if client.fatal {
            return;
        }
        let Some(id) = client.id else {
            if client.news.is_empty() && (client.owned.is_empty() || client.untold) {
                client.untold = false;
                client.id = Some(group.join(&self.name, now_ms));
            }
            return;
        };
        let busy = !client.news.is_empty();
        match group.heartbeat(id, now_ms) {
            Heard::Fine if client.joins_again && !busy => {
                client.joins_again = false;
                group.join_again(id, &client.owned, now_ms);
            }
            Heard::Fine => {}
            Heard::JoinAgain if busy => {}
            Heard::JoinAgain => {
                client.joins_again = false;
                group.join_again(id, &client.owned, now_ms);
            }
            Heard::Assigned(generation, assigned) => {
                client.generation = generation;
                let gone: BTreeSet<i32> = client.owned.difference(&assigned).copied().collect();
                let new: BTreeSet<i32> = assigned.difference(&client.owned).copied().collect();
                if !gone.is_empty() {
                    client.news.push_back(News::Revoked(gone, false));
                }
                if !new.is_empty() {
                    client.news.push_back(News::Assigned(new));
                }
            }
            Heard::Unknown => {
                client.id = None;
                client.generation = -1;
                client.joins_again = false;
                client.news.clear();
                client.untold = around.strikes(Fault::Untold, 400);
                if !client.owned.is_empty() && !client.untold {
                    client.news.push_back(News::Revoked(client.owned.clone(), true));
                }
                let owner = &self.owner;
                around.tell.say(now_ms, || format!("{owner} is no member any more"));
            }
            Heard::Fenced => client.fatal = true,
        }
    }

    // ---- the thread that asks for end offsets

    fn asker_step(&mut self, around: &mut Around<'_>) {
        self.ask(around);
        if around.random.chance(50) {
            self.ask(around);
        }
    }

    fn ask(&mut self, around: &mut Around<'_>) {
        if around.options.no_evidence && around.troubled {
            return;
        }
        let now_ms = around.now_ms;
        match &mut self.question {
            Some(question) if question.ends.is_none() => {
                if around.strikes(Fault::NoAnswer, 100) {
                    self.question = None;
                    return;
                }
                let end = |partition: i32| {
                    let input = &around.broker.of(partition).input;
                    match around.rules.uncommitted_end {
                        true => input.high_watermark(),
                        false => input.last_stable_offset(),
                    }
                };
                question.ends = Some(question.partitions.iter().map(|&it| (it, end(it))).collect());
            }
            Some(_) => {}
            None if now_ms - self.last_asked_ms >= 1_000 => {
                self.last_asked_ms = now_ms;
                let live = self.keeper.lanes().filter(|(_, lane)| lane.is_live());
                let partitions: Vec<i32> = live.map(|(partition, _)| partition).collect();
                for &partition in &partitions {
                    self.keeper.asked(partition);
                }
                let mono = self.time.mono(around);
                let asked_at = self.time.now(around).evidence(mono, around.options.margin_ms);
                self.question = Some(Question { asked_at, partitions, ends: None });
            }
            None => {}
        }
    }
}
