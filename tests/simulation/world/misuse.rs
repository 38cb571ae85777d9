//! What people do to the topics: another group on the same output, rows of the open table that somebody
//! writes or deletes, an input topic that is made anew, another reading of the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use stallwatch::protocol::agree::Accept;
use stallwatch::protocol::cut::CutRecord;
use stallwatch::wire::exception::open_key;

use super::World;
use super::broker::Open;
use super::options::Fault;
use super::process::Reading;

/// The group that is not ours.
pub const THEIRS: &str = "theirs";

impl World<'_> {
    pub(super) fn misuse(&mut self) {
        let partition = self.around.random.below(self.around.options.partitions) as i32;
        if self.around.strikes(Fault::OtherGroup, 30) {
            self.commit_as_another_group(partition);
        }
        if self.around.strikes(Fault::OpenTouched, 30) {
            self.touch_the_open_table(partition);
        }
        if self.around.strikes(Fault::TopicAnew, 30) {
            self.make_the_topic_anew();
        }
    }

    /// Another group commits to this partition, and is gone.
    fn commit_as_another_group(&mut self, partition: i32) {
        let Some(cut) = self.settled_cut(partition) else { return };
        let (group, owner) = (Some(THEIRS.to_owned()), format!("{THEIRS}/1"));
        let cut = CutRecord { group, owner, ..(*cut).clone() };
        self.around.broker.of_mut(partition).open.append(None, Open::NotOurs(Arc::new(cut)));
        self.around.oracle.other_group_committed(partition);
        self.acceptable.insert(Accept::Group.as_str());
        let now_ms = self.around.now_ms;
        self.around.tell.say(now_ms, || format!("another group commits to {partition}"));
    }

    /// A row of the open table goes, or one of before comes back. Nobody is looking.
    fn touch_the_open_table(&mut self, partition: i32) {
        if self.settled_cut(partition).is_none() {
            return;
        }
        let rows: Vec<_> = self.around.broker.read_open(partition).open.into_iter().collect();
        let published = self.around.oracle.published(partition);
        let row = if !rows.is_empty() && self.around.random.chance(50) {
            (rows[self.around.random.below(rows.len())].0.clone(), None)
        } else if !published.is_empty() {
            let event = published[self.around.random.below(published.len())].clone();
            let key = open_key(&event);
            let is_there = rows.iter().any(|(its, row)| *its == key && *row == event);
            if event.change.closes() || is_there {
                return;
            }
            (key, Some(event))
        } else {
            return;
        };
        let (key, event) = row;
        let now_ms = self.around.now_ms;
        self.around.tell.say(now_ms, || format!("row {key} of {partition} is touched: {event:?}"));
        self.around.broker.of_mut(partition).open.append(None, Open::Touched { key, event });
        self.processes.iter_mut().for_each(|process| process.alive = false);
        self.acceptable.insert(Accept::OpenTable.as_str());
    }

    /// The stored cut, where nothing is under way in its partition.
    fn settled_cut(&self, partition: i32) -> Option<Arc<CutRecord>> {
        let broker = &self.around.broker;
        let open = &broker.of(partition).open;
        let pending = open.last_stable_offset() < open.high_watermark()
            || broker.group.stable_offset(partition).is_none();
        broker.read_open(partition).cut.filter(|_| !pending)
    }

    /// The input topic is deleted and made anew, with some records; a process may stand still meanwhile.
    fn make_the_topic_anew(&mut self) {
        self.end_input_transactions(true);
        let broker = &mut self.around.broker;
        for partition in 0..self.around.options.partitions as i32 {
            let before = std::mem::take(&mut broker.of_mut(partition).input);
            self.around.oracle.topic_made_anew(partition, before.high_watermark());
        }
        broker.topic += 1;
        self.acceptable.insert(Accept::NewLog.as_str());
        let now_ms = self.around.now_ms;
        self.around.tell.say(now_ms, || "the input topic is made anew".to_owned());
        if self.around.random.chance(70) {
            let until_ms = now_ms + self.around.random.between(2_000, 40_000);
            self.processes.iter_mut().for_each(|process| process.stand_still(until_ms));
        }
        for _ in 0..self.around.random.between(0, 40) {
            self.produce();
        }
    }

    /// A process that starts may read records otherwise that were read already.
    pub(super) fn reading(&mut self) -> Reading {
        if !self.around.strikes(Fault::OtherReading, 400) {
            return Reading::default();
        }
        let partitions = 0..self.around.options.partitions as i32;
        let oracle = &self.around.oracle;
        let known = |partition| {
            let cut = oracle.cut(partition)?;
            Some((partition, (cut.offset, cut.cursor.is_some())))
        };
        let known: BTreeMap<_, _> = partitions.filter_map(known).collect();
        let refuses_only = self.around.options.seed % 16 < 8;
        let kind = if refuses_only { 1 } else { self.around.random.below(3) };
        if kind != 1 {
            self.acceptable.insert(Accept::Rejections.as_str());
        }
        match kind {
            0 => Reading { rejects: known, ..Reading::default() },
            1 => {
                let amid_look = known.into_iter().filter(|(_, (_, amid_look))| *amid_look);
                let at = amid_look.map(|(partition, (offset, _))| (partition, offset));
                Reading { refuses: at.collect(), ..Reading::default() }
            }
            _ => Reading { rejects: known, last_only: true, ..Reading::default() },
        }
    }
}
