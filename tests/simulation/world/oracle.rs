//! What must be true at every moment: a subscriber sees no contradiction, each commit holds what the
//! naive model gives for its records, the open table is what is open, and a restored state is that
//! of the owner that committed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::Shard;
use stallwatch::protocol::agree::Accept;
use stallwatch::protocol::cut::{Backfill, CutRecord};
use stallwatch::wire::exception::open_key;

use super::broker::{Broker, Letter, Open};
use super::log::Writer;
use super::misuse::THEIRS;
use super::options::Options;
use crate::model::Model;

/// What a shard holds, whatever its slots: packages, and what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    pub packages: u64,
    pub open: u64,
    pub log_clock: Option<i64>,
    pub frontier: Option<i64>,
}

impl Digest {
    pub fn of(shard: &Shard) -> Self {
        let hash = foldhash::fast::FixedState::with_seed(7);
        let (mut packages, mut open) = (0u64, 0u64);
        for (key, view) in shard.packages() {
            let mut hasher = hash.build_hasher();
            key.hash(&mut hasher);
            let package = &view.package;
            (package.phase as u8, package.milestone as u8, package.tendered).hash(&mut hasher);
            (package.anchor.secs(), package.set_at.secs()).hash(&mut hasher);
            let known = &view.attributes;
            for text in [
                &known.service,
                &known.direction,
                &known.destination_country,
                &known.shipper,
                &known.value_tier,
                &known.facility,
                &known.country,
            ] {
                text.hash(&mut hasher);
            }
            packages = packages.wrapping_add(hasher.finish());
            let Some(its) = view.open else { continue };
            let mut hasher = hash.build_hasher();
            key.hash(&mut hasher);
            (its.kind as u8, its.severity as u8, its.step, its.sequence).hash(&mut hasher);
            (its.anchor.secs(), its.set_at.secs()).hash(&mut hasher);
            (its.opened_deadline.secs(), its.deadline.secs()).hash(&mut hasher);
            (&its.step_name, &its.policy_id, &its.policy_set).hash(&mut hasher);
            open = open.wrapping_add(hasher.finish());
        }
        Self {
            packages,
            open,
            log_clock: shard.log_clock().map(|clock| clock.secs()),
            frontier: shard.frontier().map(|frontier| frontier.secs()),
        }
    }
}

/// What its owner did between two cuts: how far it had applied when the frontier moved by evidence.
pub type Schedule = Vec<(i64, i64)>;

/// A state at a cut, as its owner had it.
#[derive(Clone, Debug)]
pub struct AtCut {
    pub digest: Digest,
    pub schedule: Schedule,
    /// A look was under way, or one is to be carried on: what is published may be ahead of the clocks.
    pub amid_look: bool,
    /// The cut says how far a record's look is out.
    pub has_cursor: bool,
}

/// A restore that has come to its end.
pub struct Restored<'a> {
    pub partition: i32,
    /// Owner and number of the cut that it goes on at; none at a first start.
    pub stamp: Option<(String, u64)>,
    pub backfill: Backfill,
    pub shard: &'a Shard,
}

#[derive(Default)]
struct Part<'o> {
    /// How far the logs have been looked at.
    open_at: i64,
    exceptions_at: i64,
    dead_at: i64,
    exceptions: BTreeMap<Writer, Vec<Arc<ExceptionEvent>>>,
    letters: BTreeMap<Writer, Vec<Letter>>,
    table: BTreeMap<String, Arc<ExceptionEvent>>,
    cut: Option<Arc<CutRecord>>,
    model: Option<Model<'o>>,
    /// The set of policies that the model is under.
    set: usize,
    published: Vec<Arc<ExceptionEvent>>,
    refused: BTreeSet<i64>,
    /// More than one set of policies has been in force, or what is published began silently.
    mixed: bool,
    states: BTreeMap<(String, u64), AtCut>,
    /// Policies changed in the midst of a look: what comes of it is no longer followed.
    lost_track: bool,
    /// By exception: its last sequence, and whether it is open; by package: what is open.
    exceptions_seen: BTreeMap<uuid::Uuid, (u32, bool)>,
    open_now: BTreeMap<String, uuid::Uuid>,
    /// What is open by the commits, and the last sequence of each.
    committed_open: BTreeMap<uuid::Uuid, u32>,
    /// What somebody made of the open table is accepted: it may differ, and events may come again.
    touched: bool,
    /// Commits since another group has committed.
    beside_another: Option<u32>,
    /// The end of the log before the topic was made anew.
    old_end: Option<i64>,
    /// What has been accepted since the last commit.
    accepted: BTreeSet<&'static str>,
}

/// Events that one package may bring at once, and a record beside it.
const STEPS_AT_ONCE: usize = 8;

/// See the module's head.
pub struct Oracle<'o> {
    options: &'o Options,
    parts: Vec<Part<'o>>,
    now_ms: i64,
    /// History was lost to a truncation: states need not be equal any more.
    pub loose: bool,
}

/// What is wrong.
pub type Verdict = Result<(), String>;

impl<'o> Oracle<'o> {
    pub fn new(options: &'o Options) -> Self {
        let parts = (0..options.partitions).map(|_| Part::default()).collect();
        Self { options, parts, now_ms: 0, loose: false }
    }

    /// An owner sends this cut.
    pub fn sending(&mut self, partition: i32, stamp: (String, u64), at_cut: AtCut) {
        self.parts[partition as usize].states.insert(stamp, at_cut);
    }

    /// The restored state is that of the owner that committed, at its cut.
    pub fn restored(&mut self, restored: &Restored<'_>) -> Verdict {
        let part = &mut self.parts[restored.partition as usize];
        let is_ours = |(owner, _): &(String, u64)| !owner.starts_with(THEIRS);
        if restored.stamp.as_ref().is_some_and(is_ours) {
            part.beside_another = None;
        }
        let Some(stamp) = restored.stamp.as_ref().filter(|_| !self.loose) else { return Ok(()) };
        let Some(AtCut { digest: theirs, has_cursor, .. }) = part.states.get(stamp) else {
            return Err(format!("a restore at {stamp:?}, which nobody has sent"));
        };
        let ours = Digest::of(restored.shard);
        let mut theirs = *theirs;
        if restored.backfill == Backfill::Pending {
            theirs.open = ours.open;
        }
        if *has_cursor {
            // What had ended by the cursor ends once more, silently.
            theirs.packages = ours.packages;
        }
        if ours != theirs {
            return Err(format!(
                "partition {}: the state restored at {stamp:?} is not that of its owner\n  owner    {theirs:?}\n  restored {ours:?}\n  {}",
                restored.partition,
                held(restored.shard)
            ));
        }
        Ok(())
    }

    /// Another group has committed: ours may notice it with its next commit, and must.
    pub fn other_group_committed(&mut self, partition: i32) {
        let part = &mut self.parts[partition as usize];
        part.beside_another = Some(0).filter(|_| !part.has_accepted(Accept::Group));
    }

    /// The topic was made anew: its records are not those of the log that ended here.
    pub fn topic_made_anew(&mut self, partition: i32, old_end: i64) {
        self.loose = true;
        let part = &mut self.parts[partition as usize];
        let has_state = part.cut.as_ref().is_some_and(|cut| cut.offset > cut.decisions.start);
        let ends = has_state.then_some(old_end).filter(|_| !part.has_accepted(Accept::NewLog));
        part.old_end = part.old_end.max(ends);
    }

    /// An operator has accepted something: what follows is not what a replay gives. `known`: it is proven
    /// what the open table must hold.
    pub fn accepted(&mut self, partition: i32, accept: Accept, known: bool) {
        let part = &mut self.parts[partition as usize];
        part.accepted.insert(accept.as_str());
        match accept {
            Accept::OpenTable => part.touched |= !known,
            Accept::Group => part.beside_another = None,
            Accept::NewLog => part.old_end = None,
            Accept::Rejections => {}
            _ => return,
        }
        self.loose = true;
    }

    /// Records have been deleted: of what has been accepted it may no longer be proven what it was.
    pub fn deleted(&mut self, partition: i32) {
        let part = &mut self.parts[partition as usize];
        part.touched |= part.has_accepted(Accept::OpenTable);
    }

    /// Every event of a partition that is published.
    pub fn published(&self, partition: i32) -> &[Arc<ExceptionEvent>] {
        &self.parts[partition as usize].published
    }

    /// Looks at whatever has been committed since the last time. Returns how many commits and events.
    pub fn look(&mut self, broker: &Broker, now_ms: i64) -> Result<(u64, u64), String> {
        let mut seen = (0, 0);
        self.now_ms = now_ms;
        for partition in 0..self.parts.len() {
            let (commits, events) = self.look_at(partition, broker)?;
            seen = (seen.0 + commits, seen.1 + events);
        }
        Ok(seen)
    }

    /// The last cut of a partition.
    pub fn cut(&self, partition: i32) -> Option<&Arc<CutRecord>> {
        self.parts[partition as usize].cut.as_ref()
    }

    /// Whether the last cut of a partition was taken in the midst of a look.
    pub fn is_amid_look(&self, partition: i32) -> bool {
        let part = &self.parts[partition as usize];
        let stamp = part.cut.as_ref().map(|cut| (cut.owner.clone(), cut.commit));
        stamp.and_then(|stamp| part.states.get(&stamp)).is_some_and(|at| at.amid_look)
    }

    /// How far the `open` topic of a partition has been looked at.
    pub fn open_seen(&self, partition: i32) -> i64 {
        self.parts[partition as usize].open_at
    }

    fn look_at(&mut self, index: usize, broker: &Broker) -> Result<(u64, u64), String> {
        let topics = &broker.topics[index];
        let loose = self.loose;
        let part = &mut self.parts[index];
        let mut events = 0;
        let stable = topics.exceptions.last_stable_offset();
        if stable > part.exceptions_at {
            for (entry, event) in topics.exceptions.committed(part.exceptions_at) {
                part.subscriber(event, loose).map_err(|why| format!("partition {index}: {why}"))?;
                let writer = entry.writer.unwrap_or_default();
                part.exceptions.entry(writer).or_default().push(event.clone());
                part.published.push(event.clone());
                events += 1;
            }
            part.exceptions_at = stable;
        }
        let stable = topics.dead.last_stable_offset();
        if stable > part.dead_at {
            for (entry, letter) in topics.dead.committed(part.dead_at) {
                let writer = entry.writer.unwrap_or_default();
                part.letters.entry(writer).or_default().push(letter.clone());
            }
            part.dead_at = stable;
        }
        // A commit is looked at once all of it is in sight.
        let in_sight = topics.exceptions.last_stable_offset() == topics.exceptions.high_watermark()
            && topics.dead.last_stable_offset() == topics.dead.high_watermark();
        let stable = topics.open.last_stable_offset();
        if stable == part.open_at || !in_sight {
            return Ok((0, events));
        }
        let mut commits = 0;
        let from = std::mem::replace(&mut self.parts[index].open_at, stable);
        for (entry, record) in topics.open.committed(from) {
            match record {
                Open::Answer(_)
                | Open::Time
                | Open::LedAstray(_)
                | Open::NotOurs(_)
                | Open::Touched { .. } => {}
                Open::Entry { key, event: Some(event) } => {
                    self.parts[index].table.insert(key.clone(), event.clone());
                }
                Open::Entry { key, event: None } => {
                    self.parts[index].table.remove(key);
                }
                Open::Cut(cut) => {
                    commits += 1;
                    self.committed(index, cut, entry.writer.unwrap_or_default(), broker).map_err(
                        |why| {
                            format!(
                                "partition {index}, commit {} of {}: {why}",
                                cut.commit, cut.owner
                            )
                        },
                    )?;
                }
            }
        }
        Ok((commits, events))
    }

    fn committed(
        &mut self,
        index: usize,
        cut: &Arc<CutRecord>,
        writer: Writer,
        broker: &Broker,
    ) -> Verdict {
        let options = self.options;
        let loose = self.loose;
        let part = &mut self.parts[index];
        let events = part.exceptions.remove(&writer).unwrap_or_default();
        let most = (options.budget / 2).max(1) + STEPS_AT_ONCE;
        if options.work == 1 && events.len() > most {
            return Err(format!("it holds {} events, more than {most}", events.len()));
        }
        let letters = part.letters.remove(&writer).unwrap_or_default();
        let before = part.cut.replace(cut.clone());
        let number = before.as_ref().map_or(1, |before| before.commit + 1);
        if cut.commit != number {
            return Err(format!("it should have been commit {number}"));
        }
        // The record at an offset of another topic is another one.
        let same_look = |before: &&Arc<CutRecord>| {
            let same_record = before.offset == cut.offset && before.topic_id == cut.topic_id;
            before.cursor.is_some() && cut.cursor.is_some() && same_record
        };
        if let Some(before) = before.as_ref().filter(same_look)
            && before.decisions.settings.last() != cut.decisions.settings.last()
        {
            return Err("other settings hold in the midst of a look".to_owned());
        }
        if let Some(commits) = &mut part.beside_another {
            *commits += 1;
            if *commits > 2 {
                return Err("another group has committed, and this one goes on".to_owned());
            }
        }
        part.accepted.clear();
        if part.old_end.is_some_and(|end| cut.offset > end) {
            return Err(
                "records of a topic made anew are taken for those of the old one".to_owned()
            );
        }
        if let Some(before) = &before
            && (cut.offset < before.offset || cut.frontier < before.frontier)
            && cut.topic_id == before.topic_id
        {
            return Err(format!("it goes back from {} {:?}", before.offset, before.frontier));
        }
        if let Some(ahead) = self.ahead_of_time(cut) {
            return Err(format!("its frontier is {ahead} ms ahead of time"));
        }
        let part = &mut self.parts[index];
        for event in &events {
            let id = event.exception_id;
            match event.change.closes() {
                true => part.committed_open.remove(&id),
                false => part.committed_open.insert(id, event.sequence),
            };
        }
        part.table_is_what_is_open()?;
        if loose {
            return Ok(());
        }
        let from = before.as_ref().map_or(cut.decisions.start, |before| before.offset);
        part.letters_of(options, (from, cut.offset), &letters, broker, index)?;
        let set = options.sets.iter().position(|(_, set)| **set.hash() == *cut.policies);
        let set = set.ok_or("its policies are unknown")?;
        part.follow(options, before.as_deref(), cut, set, &events, broker, index)
    }

    /// By how much evidence, and not a record, has moved a frontier ahead of time.
    fn ahead_of_time(&self, cut: &CutRecord) -> Option<i64> {
        let frontier = cut.frontier.filter(|it| Some(*it) > cut.log_clock)?;
        // One that was led astray counts once time has come within the margin.
        let astray = if self.loose { self.options.margin_ms } else { 0 };
        let own_clock = if self.options.stamped { 0 } else { self.options.ahead_ms };
        let most = self.now_ms + own_clock.max(astray);
        Some(frontier * 1_000 - most).filter(|ahead| *ahead > 0)
    }

    /// At the end: every record has been applied, and what is published is what a replay of the log
    /// gives.
    pub fn finished(&self, broker: &Broker) -> Verdict {
        for (index, part) in self.parts.iter().enumerate() {
            let topics = &broker.topics[index];
            let cut = part.cut.as_ref().ok_or("nothing has been committed")?;
            if cut.offset != topics.input.high_watermark() {
                return Err(format!("partition {index} stopped at {}", cut.offset));
            }
            let group = broker.group.offsets.get(&(index as i32));
            if group.is_some_and(|(offset, metadata)| {
                *offset != cut.offset || *metadata != cut.metadata()
            }) {
                return Err(format!("partition {index}: the group's offset is {group:?}"));
            }
            if self.loose || part.mixed || !self.options.margin_holds {
                continue;
            }
            let (rules, set) = &self.options.sets[part.set];
            let mut model = Model::new(rules, set.hash().clone());
            for (entry, input) in topics.input.history(cut.decisions.start, cut.offset) {
                if !part.refused.contains(&entry.offset) {
                    model.apply(&input.at(entry.offset));
                }
            }
            if let Some(frontier) = cut.frontier {
                model.advance(frontier);
            }
            let published = part.published.iter().map(|event| (**event).clone()).collect();
            same(model.take_events(), published)
                .map_err(|why| format!("partition {index}, a replay of the whole log: {why}"))?;
        }
        Ok(())
    }
}

impl<'o> Part<'o> {
    /// What a subscriber that believes every event would find odd.
    fn subscriber(&mut self, event: &ExceptionEvent, loose: bool) -> Verdict {
        let id = event.exception_id;
        if self.touched {
            return Ok(());
        }
        let key = open_key(event);
        let package = format!("{}:{}", event.key.carrier(), event.key.number());
        let known = self.exceptions_seen.get(&id).copied();
        // Who accepts that history is lost may see a silence of that time once more.
        let known = known.filter(|(_, open)| *open || !loose);
        let what = event.change.as_str();
        match known {
            None if event.change.as_str() != "opened" => {
                return Err(format!("{what} without opened: {key}"));
            }
            None if !event.backfilled && event.sequence != 0 => {
                return Err(format!("opened with sequence {}: {key}", event.sequence));
            }
            Some((_, false)) => return Err(format!("{what} after its end: {key}")),
            Some(_) if what == "opened" => return Err(format!("opened twice: {key}")),
            Some((sequence, true)) if event.sequence != sequence + 1 => {
                return Err(format!("{what} {} after {sequence}: {key}", event.sequence));
            }
            _ => {}
        }
        if known.is_none()
            && let Some(other) = self.open_now.insert(package.clone(), id)
        {
            return Err(format!("opened while {other} is open: {key}"));
        }
        if event.change.closes() {
            self.open_now.remove(&package);
        }
        self.exceptions_seen.insert(id, (event.sequence, !event.change.closes()));
        Ok(())
    }

    fn has_accepted(&self, accept: Accept) -> bool {
        self.accepted.contains(accept.as_str())
    }

    fn table_is_what_is_open(&self) -> Verdict {
        if self.touched {
            return Ok(());
        }
        let in_table: BTreeMap<_, _> =
            self.table.values().map(|event| (event.exception_id, event.sequence)).collect();
        if in_table != self.committed_open || self.table.len() != in_table.len() {
            let open = &self.committed_open;
            return Err(format!("the open table has {in_table:?}, open is {open:?}"));
        }
        Ok(())
    }

    /// Each rejected or refused record has one dead letter, in the commit that passes it.
    fn letters_of(
        &mut self,
        options: &Options,
        (from, to): (i64, i64),
        letters: &[Letter],
        broker: &Broker,
        index: usize,
    ) -> Verdict {
        let mut expected = Vec::new();
        for (entry, input) in broker.topics[index].input.history(from, to) {
            let poison = matches!(input.record, Record::Rejected { .. });
            let future = letters
                .iter()
                .any(|letter| letter.offset == entry.offset && letter.from_the_future);
            if future {
                options.may_refuse(input)?;
                self.refused.insert(entry.offset);
            }
            if poison || future {
                expected.push(entry.offset);
            }
        }
        let first_start_refusals = letters.is_empty();
        let found: Vec<i64> = letters.iter().map(|letter| letter.offset).collect();
        if found != expected && !(first_start_refusals && self.model.is_none()) {
            return Err(format!("dead letters of {found:?}, not of {expected:?}"));
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn follow(
        &mut self,
        options: &'o Options,
        before: Option<&CutRecord>,
        cut: &CutRecord,
        set: usize,
        events: &[Arc<ExceptionEvent>],
        broker: &Broker,
        index: usize,
    ) -> Verdict {
        let (rules, policies) = &options.sets[set];
        let silent = before.is_none() && cut.backfill != Backfill::Publish;
        let stamp = (cut.owner.clone(), cut.commit);
        let schedule = self.states.get(&stamp).map(|at| at.schedule.clone()).unwrap_or_default();
        let mut model = match self.model.take() {
            Some(model) => model,
            None if silent => {
                self.mixed = true;
                for offset in cut.decisions.refused.iter() {
                    let at = broker.topics[index].input.history(offset, offset + 1).next();
                    at.map_or(Ok(()), |(_, input)| options.may_refuse(input))?;
                }
                self.refused.extend(cut.decisions.refused.iter());
                Model::asleep(rules, policies.hash().clone())
            }
            None => Model::new(rules, policies.hash().clone()),
        };
        if before.is_some_and(|before| before.cursor.is_some()) && self.set != set {
            self.lost_track = true;
        }
        if before.is_some() && self.set != set {
            model.switch(rules, policies.hash().clone());
            self.mixed = true;
        }
        self.set = set;
        let from = before.map_or(cut.decisions.start, |before| before.offset);
        let mut moves = schedule.iter().filter(|_| !options.margin_holds).peekable();
        for (entry, input) in broker.topics[index].input.history(from, cut.offset) {
            while let Some((_, to)) = moves.next_if(|(applied, _)| *applied <= entry.offset) {
                model.advance(*to);
            }
            if !self.refused.contains(&entry.offset) {
                model.apply(&input.at(entry.offset));
            }
        }
        moves.for_each(|(_, to)| model.advance(*to));
        if silent {
            model.wake(cut.frontier);
        } else if let Some(frontier) = cut.frontier {
            model.advance(frontier);
        }
        let mut expected = model.take_events();
        let backfilling = silent || before.is_some_and(|it| it.backfill == Backfill::Pending);
        if backfilling {
            let due = model.backfill();
            for event in events.iter().filter(|event| event.backfilled) {
                if let Some(its) = due.iter().find(|its| its.exception_id == event.exception_id) {
                    model.take_open(its);
                    expected.push(its.clone());
                }
            }
            if cut.backfill == Backfill::Done && !model.backfill().is_empty() {
                return Err(format!("{} open exceptions are not out", model.backfill().len()));
            }
        }
        if self.lost_track {
            self.mixed = true;
            return Ok(());
        }
        if self.states.get(&stamp).is_some_and(|at| at.amid_look) {
            let ahead = ahead(&expected, events)?;
            ahead.iter().for_each(|event| model.take_published(event));
            if let Some((cursor, position)) =
                cut.cursor.as_ref().and_then(|cursor| Some((cursor, cursor.position()?)))
            {
                model.end_up_to(cursor.second, &position.key);
            }
            self.model = Some(model);
            return Ok(());
        }
        let clocks = model.clocks();
        if clocks.1 != cut.frontier {
            return Err(format!("frontier {:?}, by the model {:?}", cut.frontier, clocks.1));
        }
        self.model = Some(model);
        same(expected, events.iter().map(|event| (**event).clone()).collect())
    }
}

/// What is published beyond what is expected, where that comes first, package by package.
fn ahead(
    expected: &[ExceptionEvent],
    published: &[Arc<ExceptionEvent>],
) -> Result<Vec<ExceptionEvent>, String> {
    let mut ahead: Vec<ExceptionEvent> = published.iter().map(|event| (**event).clone()).collect();
    for event in expected {
        match ahead.iter().position(|its| its.key == event.key) {
            Some(at) if ahead[at] == *event => drop(ahead.remove(at)),
            at => {
                let found = at.map_or("nothing".to_owned(), |at| line(&ahead[at]));
                return Err(format!("expected  {}\n  published {found}", line(event)));
            }
        }
    }
    Ok(ahead)
}

/// Both give the same, package by package.
fn same(expected: Vec<ExceptionEvent>, published: Vec<ExceptionEvent>) -> Verdict {
    let by_package = |mut events: Vec<ExceptionEvent>| {
        events.sort_by(|a, b| a.key.cmp(&b.key));
        events
    };
    let (expected, published) = (by_package(expected), by_package(published));
    let differs =
        (0..expected.len().max(published.len())).find(|&at| expected.get(at) != published.get(at));
    match differs {
        None => Ok(()),
        Some(at) => Err(format!(
            "the events differ\n  expected  {}\n  published {}",
            expected.get(at).map_or("nothing more".to_owned(), line),
            published.get(at).map_or("nothing more".to_owned(), line)
        )),
    }
}

/// An event in a report.
pub fn line(event: &ExceptionEvent) -> String {
    format!(
        "{} {} {} #{} step {} {} anchor {} set_at {} opened_deadline {} deadline {} silent {} policy {} last {}{}{}",
        event.key,
        event.kind.as_str(),
        event.change.as_str(),
        event.sequence,
        event.step,
        event.severity.as_str(),
        event.anchor.secs(),
        event.anchor_set_at.secs(),
        event.opened_deadline.secs(),
        event.deadline.secs(),
        event.silent_for_s,
        event.policy_id,
        event.last_milestone.as_str(),
        event.closed_by.as_ref().map_or(String::new(), |by| format!(
            " by {}@{}",
            by.milestone.as_str(),
            by.offset
        )),
        if event.backfilled { " backfilled" } else { "" },
    )
}

fn held(shard: &Shard) -> String {
    let mut lines: Vec<String> = shard
        .packages()
        .map(|(key, view)| format!("{key} {:?} {:?}", view.package, view.open))
        .collect();
    lines.sort();
    lines.join("\n  ")
}
