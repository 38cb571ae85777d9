//! The group: members, generations, cooperative rebalances, and committed offsets.

use std::collections::{BTreeMap, BTreeSet};

/// As a client sends it: number and generation; without a membership nothing and −1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub member: Option<u64>,
    pub generation: i64,
}

impl Membership {
    pub const NONE: Self = Self { member: None, generation: -1 };
}

/// What a member hears when it says that it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing new.
    Fine,
    /// A rebalance is under way: join again.
    JoinAgain,
    /// A new generation, and what the member holds in it.
    Assigned(i64, BTreeSet<i32>),
    /// The group does not know this member any more.
    Unknown,
    /// Another process has taken the place of this static member.
    Fenced,
}

struct Member {
    instance: String,
    last_seen_ms: i64,
    joined: bool,
    owned: BTreeSet<i32>,
    /// What it has not heard of yet.
    news: Option<BTreeSet<i32>>,
}

impl Member {
    fn holds(&self) -> usize {
        self.news.as_ref().unwrap_or(&self.owned).len()
    }
}

/// The group of one topic.
pub struct Group {
    partitions: i32,
    session_timeout_ms: i64,
    generation: i64,
    next: u64,
    members: BTreeMap<u64, Member>,
    fenced: BTreeSet<u64>,
    /// Since when members are being waited for.
    preparing: Option<i64>,
    /// Committed offsets with their metadata.
    pub offsets: BTreeMap<i32, (i64, String)>,
    /// Transactions that have offsets of a partition pending.
    pub pending: BTreeMap<i32, BTreeSet<String>>,
    pub rebalances: u64,
}

impl Group {
    pub fn new(partitions: i32, session_timeout_ms: i64) -> Self {
        Self {
            partitions,
            session_timeout_ms,
            generation: 0,
            next: 0,
            members: BTreeMap::new(),
            fenced: BTreeSet::new(),
            preparing: None,
            offsets: BTreeMap::new(),
            pending: BTreeMap::new(),
            rebalances: 0,
        }
    }

    /// Whether offsets of this member are accepted: by generation and member, not by what it holds.
    pub fn accepts(&self, member: &Membership) -> bool {
        match member.member {
            None => member.generation < 0,
            Some(id) => self.members.contains_key(&id) && member.generation == self.generation,
        }
    }

    /// The committed offset, unless a transaction has one pending.
    pub fn stable_offset(&self, partition: i32) -> Option<Option<(i64, String)>> {
        let pending = self.pending.get(&partition).is_some_and(|names| !names.is_empty());
        (!pending).then(|| self.offsets.get(&partition).cloned())
    }

    /// A process joins under its static name; one that bore it before is fenced.
    pub fn join(&mut self, instance: &str, now_ms: i64) -> u64 {
        self.next += 1;
        let id = self.next;
        let before = self.members.iter().find(|(_, member)| member.instance == instance);
        let before = before.map(|(id, _)| *id);
        let mut member = Member {
            instance: instance.to_owned(),
            last_seen_ms: now_ms,
            joined: true,
            owned: BTreeSet::new(),
            news: None,
        };
        match before.and_then(|before| Some((before, self.members.remove(&before)?))) {
            Some((old, before)) => {
                // A static member that comes back is given what it had, without a rebalance.
                self.fenced.insert(old);
                let holds = before.news.unwrap_or(before.owned);
                member.owned = holds.clone();
                member.news = Some(holds);
                member.joined = false;
                self.members.insert(id, member);
                // What its predecessor was to let go of is nobody's: another round gives it away.
                let held: usize = self.members.values().map(Member::holds).sum();
                if held < self.partitions as usize {
                    self.prepare(now_ms);
                }
            }
            None => {
                self.members.insert(id, member);
                self.prepare(now_ms);
            }
        }
        id
    }

    /// A member lives, and holds these partitions.
    pub fn heartbeat(&mut self, id: u64, now_ms: i64) -> Heard {
        if self.fenced.contains(&id) {
            return Heard::Fenced;
        }
        let Some(member) = self.members.get_mut(&id) else { return Heard::Unknown };
        member.last_seen_ms = now_ms;
        if let Some(news) = member.news.take() {
            member.owned = news.clone();
            return Heard::Assigned(self.generation, news);
        }
        if self.preparing.is_some() && !member.joined {
            return Heard::JoinAgain;
        }
        Heard::Fine
    }

    /// A member joins again and keeps what it holds meanwhile.
    pub fn join_again(&mut self, id: u64, owned: &BTreeSet<i32>, now_ms: i64) {
        if let Some(member) = self.members.get_mut(&id) {
            member.last_seen_ms = now_ms;
            member.owned = owned.clone();
            member.joined = true;
            self.prepare(now_ms);
        }
        self.complete(now_ms);
    }

    /// A member that does not come back for long.
    pub fn tick(&mut self, now_ms: i64) {
        let timeout = self.session_timeout_ms;
        let late = self.preparing.is_some_and(|since| now_ms - since > timeout);
        let before = self.members.len();
        self.members.retain(|_, member| {
            now_ms - member.last_seen_ms <= timeout && (member.joined || !late)
        });
        if self.members.len() < before {
            self.prepare(now_ms);
        }
        self.complete(now_ms);
    }

    fn prepare(&mut self, now_ms: i64) {
        self.preparing.get_or_insert(now_ms);
    }

    /// Begins the next generation once everybody has joined.
    fn complete(&mut self, _now_ms: i64) {
        if self.preparing.is_none() || self.members.values().any(|member| !member.joined) {
            return;
        }
        self.preparing = None;
        self.generation += 1;
        self.rebalances += 1;
        for (id, assigned) in self.assignment() {
            if let Some(member) = self.members.get_mut(&id) {
                member.joined = false;
                member.news = Some(assigned);
            }
        }
    }

    /// Cooperative and sticky: members keep what they have up to their share, and what two of them
    /// say to have none; what is to move is given to nobody before its holder has let go.
    fn assignment(&self) -> BTreeMap<u64, BTreeSet<i32>> {
        let mut assignment: BTreeMap<u64, BTreeSet<i32>> = BTreeMap::new();
        if self.members.is_empty() {
            return assignment;
        }
        let share = (self.partitions as usize).div_ceil(self.members.len());
        let mut held = BTreeSet::new();
        for (id, member) in &self.members {
            held.extend(member.owned.iter().copied());
            let others = || self.members.iter().filter(|(other, _)| *other != id);
            let alone = |it: &i32| !others().any(|(_, other)| other.owned.contains(it));
            let kept = member.owned.iter().copied().filter(alone).take(share).collect();
            assignment.insert(*id, kept);
        }
        for partition in (0..self.partitions).filter(|partition| !held.contains(partition)) {
            let least = assignment.iter().min_by_key(|(_, held)| held.len()).map(|(id, _)| *id);
            if let Some(held) = least.and_then(|id| assignment.get_mut(&id)) {
                held.insert(partition);
            }
        }
        assignment
    }
}
