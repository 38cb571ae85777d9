//! A broker that has what bites: generation fencing per member and not per partition, commits
//! without a generation that nobody fences, transactions that end late or with nobody knowing how,
//! control records, truncation, compaction, offsets that expire and that somebody resets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::scan::Record;
use stallwatch::protocol::agree::Answer;
use stallwatch::protocol::cut::{CutRecord, LastRecord};

use super::group::{Group, Membership};
use super::log::{Log, Writer};

/// A record of the input.
#[derive(Clone, Debug)]
pub struct Input {
    /// With the offset 0: its own is not known when it is made.
    pub record: Record<'static>,
    /// Its timestamp, in milliseconds.
    pub time_ms: i64,
    /// When the broker got it, in milliseconds.
    pub appended_ms: i64,
    /// The broker set the timestamp.
    pub by_broker: bool,
    /// Stands for its bytes.
    pub hash: u64,
}

impl Input {
    /// The record as it is decoded from its place in the log.
    pub fn at(&self, offset: i64) -> Record<'static> {
        let mut record = self.record.clone();
        if let Record::Scan(scan) = &mut record {
            scan.offset = offset;
        }
        record
    }

    pub fn last(&self, offset: i64) -> LastRecord {
        LastRecord { offset, time_ms: Some(self.time_ms), hash: self.hash }
    }
}

/// A record of the `open` topic.
#[derive(Clone, Debug)]
pub enum Open {
    /// The last event of an open exception; a tombstone where it is closed.
    Entry {
        key: String,
        event: Option<Arc<ExceptionEvent>>,
    },
    Cut(Arc<CutRecord>),
    Answer(Answer),
    /// The same cut with a frontier ahead of time.
    LedAstray(Arc<CutRecord>),
    /// The cut of another group.
    NotOurs(Arc<CutRecord>),
    /// As `Entry`, by somebody else.
    Touched {
        key: String,
        event: Option<Arc<ExceptionEvent>>,
    },
    /// Written for the stamp that its acknowledgement bears.
    Time,
}

impl Open {
    fn key(&self) -> String {
        match self {
            Self::Entry { key, .. } | Self::Touched { key, .. } => key.clone(),
            Self::Cut(_) | Self::LedAstray(_) | Self::NotOurs(_) => {
                stallwatch::protocol::cut::CUT_KEY.to_owned()
            }
            Self::Answer(_) => stallwatch::protocol::agree::ANSWER_KEY.to_owned(),
            Self::Time => stallwatch::protocol::trusted_time::TIME_KEY.to_owned(),
        }
    }
}

/// A rejected record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub offset: i64,
    pub from_the_future: bool,
}

/// The topics of one partition of the input.
#[derive(Default)]
pub struct Topics {
    pub input: Log<Input>,
    pub open: Log<Open>,
    pub exceptions: Log<Arc<ExceptionEvent>>,
    pub dead: Log<Letter>,
}

/// What is written in a transaction.
pub enum Out {
    Open(Open),
    Exception(Arc<ExceptionEvent>),
    Dead(Letter),
}

/// Offset and metadata of a partition, on their way with a transaction.
pub type Offsets = Vec<(i32, i64, String)>;

/// Why the broker does not do what a producer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The producer is of no more use.
    Fenced,
    /// The group does not know this member or generation: the transaction must be aborted.
    NotThisGeneration,
}

#[derive(Default)]
struct Coordinator {
    epoch: u32,
    transaction: u64,
    ongoing: Option<Ongoing>,
    /// What a transaction that failed has still on its way, by partition.
    on_the_way: Vec<(i32, Out)>,
}

struct Ongoing {
    since_ms: i64,
    partitions: BTreeSet<i32>,
    offsets: Offsets,
    /// The commit is decided and takes effect at this time.
    decided: Option<i64>,
}

/// The broker.
pub struct Broker {
    pub topics: Vec<Topics>,
    pub group: Group,
    producers: BTreeMap<String, Coordinator>,
    names: Vec<String>,
    transaction_timeout_ms: i64,
    /// How often the input topic has been made anew.
    pub topic: u32,
}

impl Broker {
    pub fn new(partitions: usize, session_timeout_ms: i64, transaction_timeout_ms: i64) -> Self {
        Self {
            topics: (0..partitions).map(|_| Topics::default()).collect(),
            group: Group::new(partitions as i32, session_timeout_ms),
            producers: BTreeMap::new(),
            names: Vec::new(),
            transaction_timeout_ms,
            topic: 0,
        }
    }

    pub fn of(&self, partition: i32) -> &Topics {
        &self.topics[partition as usize]
    }

    pub fn of_mut(&mut self, partition: i32) -> &mut Topics {
        &mut self.topics[partition as usize]
    }

    /// What happens by the mere passing of time.
    pub fn tick(&mut self, now_ms: i64) {
        self.group.tick(now_ms);
        for name in self.names.clone() {
            let coordinator = &self.producers[&name];
            let Some(ongoing) = &coordinator.ongoing else { continue };
            match ongoing.decided {
                Some(at) if at <= now_ms => self.settle(&name, true),
                None if now_ms - ongoing.since_ms > self.transaction_timeout_ms => {
                    self.settle(&name, false);
                    self.producers.entry(name).or_default().epoch += 1;
                }
                _ => {}
            }
        }
    }

    // ---- transactions

    /// A new producer with this transactional id: it fences those before it and settles whatever
    /// transaction they left. Returns its epoch.
    pub fn init_producer(&mut self, name: &str) -> u32 {
        if !self.producers.contains_key(name) {
            self.producers.insert(name.to_owned(), Coordinator::default());
            self.names.push(name.to_owned());
        }
        if let Some(ongoing) = &self.producers[name].ongoing {
            let commit = ongoing.decided.is_some();
            self.settle(name, commit);
        }
        let coordinator = self.producers.entry(name.to_owned()).or_default();
        coordinator.epoch += 1;
        coordinator.on_the_way.clear();
        coordinator.epoch
    }

    /// A record is on its way to the broker, which will get it with the next transaction of this
    /// producer, if that has the same epoch.
    pub fn delay(&mut self, (name, epoch): (&str, u32), partition: i32, out: Out) {
        if let Some(coordinator) = self.producers.get_mut(name).filter(|it| it.epoch == epoch) {
            coordinator.on_the_way.push((partition, out));
        }
    }

    /// Writes as part of the producer's transaction, which begins with the first record.
    pub fn write(
        &mut self,
        (name, epoch): (&str, u32),
        partition: i32,
        out: Out,
        now_ms: i64,
    ) -> Result<(), Refused> {
        let writer = self.begin(name, epoch, now_ms)?;
        let late = self.producers.get_mut(name).map(|it| std::mem::take(&mut it.on_the_way));
        for (partition, out) in late.unwrap_or_default() {
            self.append(name, writer, partition, out);
        }
        self.append(name, writer, partition, out);
        Ok(())
    }

    fn append(&mut self, name: &str, writer: Writer, partition: i32, out: Out) {
        self.ongoing(name).partitions.insert(partition);
        let topics = self.of_mut(partition);
        match out {
            Out::Open(record) => topics.open.append(Some(writer), record),
            Out::Exception(event) => topics.exceptions.append(Some(writer), event),
            Out::Dead(letter) => topics.dead.append(Some(writer), letter),
        };
    }

    /// Sends offsets with the transaction. The group checks the member, not what it holds; and
    /// nothing at all where no member is named.
    pub fn send_offsets(
        &mut self,
        (name, epoch): (&str, u32),
        member: &Membership,
        offsets: Offsets,
        now_ms: i64,
    ) -> Result<(), Refused> {
        self.begin(name, epoch, now_ms)?;
        if !self.group.accepts(member) {
            return Err(Refused::NotThisGeneration);
        }
        for (partition, ..) in &offsets {
            self.group.pending.entry(*partition).or_default().insert(name.to_owned());
        }
        self.ongoing(name).offsets = offsets;
        Ok(())
    }

    /// Decides to commit; it takes effect after this time.
    pub fn commit(
        &mut self,
        (name, epoch): (&str, u32),
        now_ms: i64,
        delay_ms: i64,
    ) -> Result<(), Refused> {
        self.check(name, epoch)?;
        if self.producers[name].ongoing.is_none() {
            return Ok(());
        }
        self.ongoing(name).decided = Some(now_ms + delay_ms);
        if delay_ms == 0 {
            self.settle(name, true);
        }
        Ok(())
    }

    pub fn abort(&mut self, (name, epoch): (&str, u32)) -> Result<(), Refused> {
        self.check(name, epoch)?;
        match self.producers[name].ongoing.as_ref().map(|ongoing| ongoing.decided) {
            Some(Some(_)) => Err(Refused::Fenced),
            Some(None) => {
                self.settle(name, false);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn check(&self, name: &str, epoch: u32) -> Result<(), Refused> {
        match self.producers.get(name) {
            Some(coordinator) if coordinator.epoch == epoch => Ok(()),
            _ => Err(Refused::Fenced),
        }
    }

    fn begin(&mut self, name: &str, epoch: u32, now_ms: i64) -> Result<Writer, Refused> {
        self.check(name, epoch)?;
        let id = self.names.iter().position(|known| known == name).unwrap_or(0) as u32;
        let coordinator = self.producers.get_mut(name).ok_or(Refused::Fenced)?;
        if coordinator.ongoing.as_ref().is_some_and(|ongoing| ongoing.decided.is_some()) {
            return Err(Refused::Fenced);
        }
        if coordinator.ongoing.is_none() {
            coordinator.transaction += 1;
            coordinator.ongoing = Some(Ongoing {
                since_ms: now_ms,
                partitions: BTreeSet::new(),
                offsets: Vec::new(),
                decided: None,
            });
        }
        Ok((id, coordinator.transaction))
    }

    fn ongoing(&mut self, name: &str) -> &mut Ongoing {
        let coordinator = self.producers.get_mut(name).expect("it has begun");
        coordinator.ongoing.as_mut().expect("it has begun")
    }

    /// Ends the transaction: control records, and offsets where it commits.
    fn settle(&mut self, name: &str, commit: bool) {
        let id = self.names.iter().position(|known| known == name).unwrap_or(0) as u32;
        let Some(coordinator) = self.producers.get_mut(name) else { return };
        let Some(ongoing) = coordinator.ongoing.take() else { return };
        let writer = (id, coordinator.transaction);
        for partition in ongoing.partitions {
            let topics = self.of_mut(partition);
            topics.exceptions.end_transaction(writer, commit);
            topics.dead.end_transaction(writer, commit);
            topics.open.end_transaction(writer, commit);
        }
        for (partition, offset, metadata) in ongoing.offsets {
            if let Some(pending) = self.group.pending.get_mut(&partition) {
                pending.remove(name);
            }
            if commit {
                self.group.offsets.insert(partition, (offset, metadata));
            }
        }
    }

    /// The identity of the input topic.
    pub fn topic_id(&self) -> String {
        format!("topic {}", self.topic)
    }

    // ---- readers

    /// What a reader of committed data finds in the `open` partition up to an end.
    pub fn read_open(&self, partition: i32) -> OpenRead {
        let mut read = OpenRead::default();
        for (_, record) in self.of(partition).open.committed(0) {
            match record {
                Open::Cut(cut) | Open::LedAstray(cut) | Open::NotOurs(cut) => {
                    read.cut = Some(cut.clone());
                }
                Open::Answer(answer) => read.answer = Some(answer.clone()),
                Open::Time => {}
                Open::Entry { key, event: Some(event) }
                | Open::Touched { key, event: Some(event) } => {
                    read.open.insert(key.clone(), event.clone());
                }
                Open::Entry { key, event: None } | Open::Touched { key, event: None } => {
                    read.open.remove(key);
                }
            }
        }
        read
    }

    /// Compacts an `open` partition.
    pub fn compact(&mut self, partition: i32, keep_tombstones_from: i64, end: i64) {
        let is_tombstone = |record: &Open| {
            matches!(record, Open::Entry { event: None, .. } | Open::Touched { event: None, .. })
        };
        let open = &mut self.of_mut(partition).open;
        open.compact(Open::key, is_tombstone, keep_tombstones_from, end);
    }
}

/// What an `open` partition holds.
#[derive(Clone, Debug, Default)]
pub struct OpenRead {
    pub cut: Option<Arc<CutRecord>>,
    pub answer: Option<Answer>,
    pub open: BTreeMap<String, Arc<ExceptionEvent>>,
}
