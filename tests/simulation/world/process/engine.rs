//! The loop: rebalances, records, evidence, restores that are done, commits when they are due.

use std::collections::BTreeSet;

use stallwatch::protocol::agree::OtherGroup;
use stallwatch::protocol::held::Held;
use stallwatch::protocol::keeper::{HEARTBEAT_MS, Standing, TakenOver};

use super::inbox::{Work, work_off};
use super::rebuild::{Completed, Rebuild};
use super::{Around, Fault, News, Process};
use crate::world::broker::Open;
use crate::world::oracle::Restored;
use crate::world::store::Snapshot;
use stallwatch::detector::shard::Shard;

/// After this a partition that halted looks whether an operator has answered.
pub const LOOK_AGAIN_MS: i64 = 3_000;

impl Process {
    pub(super) fn engine_step(&mut self, around: &mut Around<'_>) -> Result<(), String> {
        if self.cycle.is_some() {
            self.commit_step(around);
            return Ok(());
        }
        if self.client.fatal {
            around.say(|| format!("{} ends: another took its place", self.owner));
            self.alive = false;
            return Ok(());
        }
        if let Some(news) = self.client.news.pop_front() {
            self.rebalance(news, around);
            return Ok(());
        }
        match around.random.below(6) {
            0 | 1 => self.fetch(around),
            2 => self.take_evidence(around),
            3 => return self.take_completed(around),
            4 => self.commit_if_due(around),
            _ => {
                self.go_on_with_what_waited(around);
                self.snapshot(around);
                self.look_again(around);
            }
        }
        Ok(())
    }

    // ---- partitions come and go

    fn rebalance(&mut self, news: News, around: &mut Around<'_>) {
        match news {
            News::Assigned(partitions) => {
                around.say(|| format!("{} is given {partitions:?}", self.owner));
                self.stale = self.client.membership();
                let member = self.client.member().unwrap_or_default();
                if self.keeper.joined_as(&member) == Standing::Expelled {
                    self.expelled(around);
                    return;
                }
                self.client.owned.extend(&partitions);
                for partition in partitions {
                    let epoch = self.keeper.assigned(partition);
                    self.restores.push(Rebuild::begin(partition, epoch, self, around));
                }
            }
            News::Revoked(partitions, true) => {
                around.say(|| format!("{} has lost {partitions:?}", self.owner));
                self.give_back(&partitions);
            }
            News::Revoked(partitions, false) => {
                around.say(|| format!("{} gives back {partitions:?}", self.owner));
                self.begin_cycle(Some(partitions), around);
            }
        }
    }

    /// State and contents of these partitions are dropped.
    pub(super) fn give_back(&mut self, partitions: &BTreeSet<i32>) {
        for &partition in partitions {
            self.keeper.lost(partition);
            self.held.remove(&partition);
            self.inboxes.remove(&partition);
            self.halted.remove(&partition);
            self.restores.retain(|restore| restore.partition != partition);
            self.client.owned.remove(&partition);
        }
        self.client.joins_again = true;
    }

    /// The state of a partition is of no more use: it is rebuilt from what is durable.
    pub(super) fn rebuild(&mut self, partition: i32, around: &Around<'_>) {
        self.keeper.lost(partition);
        self.held.remove(&partition);
        self.inboxes.remove(&partition);
        self.halted.remove(&partition);
        self.restores.retain(|restore| restore.partition != partition);
        let epoch = self.keeper.assigned(partition);
        self.restores.push(Rebuild::begin(partition, epoch, self, around));
    }

    /// Looks for the cut of another group between our commit of a partition and the one before.
    pub(super) fn look_for_others(&mut self, partition: i32, around: &mut Around<'_>) {
        let open = &around.broker.of(partition).open;
        let is_ours = |record: &Open| matches!(record, Open::Cut(cut) if cut.owner == self.owner);
        let ours = open.history(0, i64::MAX).filter(|(_, record)| is_ours(record)).last();
        let Some(end) = ours.map(|(cut, _)| cut.offset + 1) else { return };
        let Some(before) = self.open_end.insert(partition, end) else { return };
        let theirs = open.history(before, end).find_map(|(_, record)| match record {
            Open::NotOurs(cut) => Some(cut.clone()),
            _ => None,
        });
        if let Some(cut) = theirs.filter(|_| around.rules.group_in_cut) {
            around.say(|| format!("{}: another group has committed to {partition}", self.owner));
            let group = cut.group.clone().unwrap_or_default();
            self.others.insert(partition, OtherGroup { group, owner: cut.owner.clone() });
            self.rebuild(partition, around);
        }
    }

    fn take_completed(&mut self, around: &mut Around<'_>) -> Result<(), String> {
        let Some(Completed { partition, epoch, result, lossy, open_end, disagrees }) =
            self.completed.pop_front()
        else {
            return Ok(());
        };
        around.oracle.loose |= lossy;
        let ready = match result {
            Ok(ready) => ready,
            Err(why) => {
                if self.keeper.lane(partition).is_some_and(|lane| lane.epoch == epoch) {
                    around.say(|| format!("{}: {partition} halts: {why}", self.owner));
                    self.keeper.halt(partition, None);
                    self.halted.insert(partition, (why, around.now_ms + LOOK_AGAIN_MS));
                }
                return Ok(());
            }
        };
        let taken_over = self.keeper.restored(partition, epoch, &ready);
        around.say(|| {
            format!("{}: {partition} is restored at {} {taken_over:?}", self.owner, ready.offset)
        });
        if taken_over == TakenOver::Stale {
            return Ok(());
        }
        if disagrees {
            return Err(format!("partition {partition} goes on though its offset was set by hand"));
        }
        around.tell.restores += 1;
        around.oracle.restored(&Restored {
            partition,
            stamp: ready.stamp.clone(),
            backfill: ready.backfill,
            shard: &ready.packages,
        })?;
        self.halted.remove(&partition);
        self.others.remove(&partition);
        self.open_end.insert(partition, open_end);
        self.schedules.insert(partition, Vec::new());
        self.inboxes.remove(&partition);
        let held = Held::new(partition, epoch, ready, around.options.budget).under(around.rules);
        self.held.insert(partition, held);
        Ok(())
    }

    /// A partition that halted reads anew what is durable: an operator may have answered.
    fn look_again(&mut self, around: &mut Around<'_>) {
        let due = self.halted.iter().find(|(_, (_, at))| *at <= around.now_ms);
        let Some(partition) = due.map(|(partition, _)| *partition) else { return };
        self.halted.remove(&partition);
        // What it still has to say goes with its state.
        if self.held.contains_key(&partition) {
            self.rebuild(partition, around);
        } else if let Some(epoch) = self.keeper.restoring_again(partition) {
            self.restores.push(Rebuild::begin(partition, epoch, self, around));
        }
    }

    // ---- records

    fn live(&self) -> Vec<i32> {
        self.keeper
            .lanes()
            .filter(|(_, lane)| lane.is_live())
            .map(|(partition, _)| partition)
            .collect()
    }

    fn fetch(&mut self, around: &mut Around<'_>) {
        let live = self.live();
        // While the outcome of a commit is open consumption is paused, but some are on the way.
        if live.is_empty() || self.keeper.is_committing() && around.random.chance(70) {
            return;
        }
        let partition = around.random.pick(&live);
        if around.strikes(Fault::StalledFetch, 40) {
            let until = around.now_ms + around.random.between(500, 6_000);
            self.stalled.insert(partition, until);
        }
        if self.stalled.get(&partition).is_some_and(|until| *until > around.now_ms) {
            return;
        }
        let most = around.random.between(1, 6) as usize;
        let Some(lane) = self.keeper.lane_mut(partition) else { return };
        let inbox = self.inboxes.entry(partition).or_default();
        let log = &around.broker.of(partition).input;
        let read = self.time.mono(around);
        let mut fetched = 0;
        for (entry, input) in log.committed(lane.evidence.position()).take(most) {
            if lane.takes(entry.offset, input.by_broker) {
                inbox.push_back(Work::Record(entry.offset, Box::new(input.clone()), read));
                fetched += 1;
            }
        }
        let at_the_end = log.committed(lane.evidence.position()).next().is_none();
        if at_the_end && around.rules.control_records_passed {
            lane.passed(log.last_stable_offset());
        }
        let passed = lane.take_passed();
        inbox.extend(passed.map(Work::Pass));
        self.work(partition, around);
        if fetched > 0 || passed.is_some() {
            let offset = self.held.get(&partition).map(Held::offset);
            around.say(|| {
                format!("{}: {partition} read {fetched} records, is at {offset:?}", self.owner)
            });
        }
    }

    /// Does what does not have to wait for a partition.
    fn work(&mut self, partition: i32, around: &Around<'_>) {
        if let (Some(inbox), Some(held)) =
            (self.inboxes.get_mut(&partition), self.held.get_mut(&partition))
        {
            let schedule = self.schedules.entry(partition).or_default();
            work_off(inbox, held, schedule, (&mut self.time, &self.reading), around);
        }
    }

    // ---- evidence

    fn take_evidence(&mut self, around: &mut Around<'_>) {
        if self.question.as_ref().is_some_and(|question| question.ends.is_some())
            && let Some(question) = self.question.take()
        {
            for (partition, end) in question.ends.into_iter().flatten() {
                let margin_ms = around.options.margin_ms;
                self.keeper.answered(partition, question.asked_at, margin_ms, end);
            }
        }
        self.keeper.set_paused(self.keeper.is_committing());
        for (partition, epoch, frontier) in self.keeper.advances() {
            if !self.held.get(&partition).is_some_and(|held| held.is(partition, epoch)) {
                continue;
            }
            self.inboxes.entry(partition).or_default().push_back(Work::Advance(frontier));
            self.work(partition, around);
            let at = self.held.get(&partition).map(Held::offset);
            around.say(|| {
                format!("{}: {partition} may go to {} at {at:?}", self.owner, frontier.secs())
            });
        }
    }

    fn go_on_with_what_waited(&mut self, around: &Around<'_>) {
        for partition in self.held.keys().copied().collect::<Vec<_>>() {
            self.work(partition, around);
        }
    }

    // ---- commits and snapshots

    fn commit_if_due(&mut self, around: &mut Around<'_>) {
        let is_full = self.held.values().any(Held::is_full);
        if is_full || around.now_ms - self.last_commit_ms >= around.options.commit_interval_ms {
            self.begin_cycle(None, around);
        }
    }

    /// Whether even partitions with nothing to say are committed.
    pub(super) fn heartbeat(&mut self, around: &Around<'_>) -> bool {
        let due = (around.now_ms - self.last_heartbeat_ms) as u64 >= HEARTBEAT_MS;
        if due {
            self.last_heartbeat_ms = around.now_ms;
        }
        due
    }

    fn snapshot(&mut self, around: &mut Around<'_>) {
        let held: Vec<i32> = self.held.keys().copied().collect();
        if held.is_empty() || !around.strikes(Fault::Snapshot, 300) {
            return;
        }
        let partition = around.random.pick(&held);
        let held = &self.held[&partition];
        let Some(meta) = held.snapshot("scans", around.options.partitions as i32) else { return };
        let mut snapshot = Snapshot::of(meta, held.packages(), around.now_ms);
        if around.strikes(Fault::CorruptSnapshot, 200) {
            snapshot.corrupt = true;
        }
        if around.strikes(Fault::MissingSnapshot, 200) {
            snapshot.visible_at_ms += around.random.between(1_000, 60_000);
        }
        if around.strikes(Fault::ForeignSnapshot, 350) {
            match around.random.below(4) {
                0 => snapshot.meta.topic = "other".to_owned(),
                1 => snapshot.meta.partitions += 1,
                _ => self.decide_otherwise(&mut snapshot, around),
            }
        }
        around
            .say(|| format!("{}: snapshot of {partition} at {}", self.owner, snapshot.meta.offset));
        around.store.push(snapshot);
    }
}

impl Process {
    /// As if it had been made by somebody who refused one more record.
    fn decide_otherwise(&self, snapshot: &mut Snapshot, around: &mut Around<'_>) {
        let decisions = &mut snapshot.meta.decisions;
        let (start, end) = (decisions.start.max(decisions.dropped_below), snapshot.meta.offset);
        if start >= end {
            return;
        }
        let refused = around.random.between(start, end - 1);
        if decisions.is_refused(refused) {
            return;
        }
        decisions.refuse(refused);
        let mut shard = Shard::rebuilding(self.policies.clone());
        let input = &around.broker.of(snapshot.meta.partition).input;
        for (entry, record) in input.history(start, end) {
            if !decisions.is_refused(entry.offset) {
                let record = record.at(entry.offset);
                while shard.apply(std::slice::from_ref(&record), &mut Vec::new()).records == 0 {}
            }
        }
        *snapshot = Snapshot::of(snapshot.meta.clone(), &shard, snapshot.visible_at_ms);
    }
}
