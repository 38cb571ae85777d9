//! What an instance holds, and what it commits.
//!
//! ```text
//!  assigned ─► restoring ─► (backfilling ─►) live ─► lost
//!                 │              │            │
//!                 └──────────────┴────────────┴─► halted
//!
//!  cuts ─► begin ─► action, its end, next action, … ─► Finish
//! ```
//!
//! Everything that the broker or a worker says is told here, and what to do next is asked here. The
//! service and the simulation drive the same machine.

use std::collections::BTreeMap;

use super::commit_cycle::{Action, CommitCycle, Sent, Stamp, Stored};
use super::cut::{Backfill, CutRecord, Source, VERSION, VERSION_WITH_CURSOR};
use super::evidence::{Evidence, Hold};
use super::held::{Cut, Ready};
use super::lane::{Lane, Wait};
use super::ownership::{Epoch, Ownership};
use super::refusals::Refusals;
use super::rules::Rules;
use crate::detector::time::{Frontier, LogTime};

/// Even with nothing to say a commit happens this often. Milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;

/// A commit cycle under way.
struct Pending<L> {
    cycle: CommitCycle,
    next: Action,
    cuts: BTreeMap<i32, Cut<L>>,
}

/// What became of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// It was begun under an assignment that is over.
    Stale,
    /// What was open at a first start is to be published first.
    Backfilling,
    /// Records are to be read from the position on.
    Live,
}

/// How this process stands with the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the member that everything was assigned to.
    Holds,
    /// It is no member at present.
    Waits,
    /// It is another member than what it holds was assigned to: the group had taken it out, and all
    /// that it holds is lost.
    Expelled,
}

/// What the end of a cycle means.
#[derive(Debug)]
pub struct Finished<L> {
    /// What is committed now.
    pub committed: Vec<Cut<L>>,
    /// Partitions that somebody else owns: they are halted.
    pub given_up: Vec<i32>,
    /// Partitions whose backfill is out: they are live, and read from the position on.
    pub live: Vec<i32>,
}

/// See the module's head. `L` is a rejected record on its way.
pub struct Keeper<L> {
    owner: String,
    rules: Rules,
    ownership: Ownership,
    /// The member that the lanes were assigned to, as the group names it.
    member: Option<String>,
    lanes: BTreeMap<i32, Lane>,
    pending: Option<Pending<L>>,
    paused: bool,
    /// Why nobody knows what time it is.
    untimed: Option<Hold>,
}

impl<L> Keeper<L> {
    /// Holds nothing yet. `owner`: instance and start of this process.
    pub fn new(owner: String, rules: Rules) -> Self {
        Self {
            owner,
            rules,
            ownership: Ownership::default(),
            member: None,
            lanes: BTreeMap::new(),
            pending: None,
            paused: false,
            untimed: None,
        }
    }

    // ---- partitions

    /// The group assigns partitions to this member.
    pub fn joined_as(&mut self, member: &str) -> Standing {
        if self.lanes.is_empty() {
            self.member = Some(member.to_owned());
        }
        self.standing(Some(member))
    }

    /// The member that everything was assigned to.
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// How the process stands with the group, given the member that it is now.
    pub fn standing(&self, member: Option<&str>) -> Standing {
        match member {
            None if self.rules.members_only => Standing::Waits,
            Some(_) if self.lanes.is_empty() || !self.rules.one_membership => Standing::Holds,
            Some(_) if self.member.as_deref() != member => Standing::Expelled,
            _ => Standing::Holds,
        }
    }

    /// The partition has been assigned: its state must be restored for this epoch.
    pub fn assigned(&mut self, partition: i32) -> Epoch {
        let epoch = self.ownership.assigned(partition);
        self.lanes.insert(partition, Lane::restoring(epoch));
        epoch
    }

    /// The restore of a partition that halted is begun again.
    pub fn restoring_again(&mut self, partition: i32) -> Option<Epoch> {
        let epoch = self.ownership.epoch(partition)?;
        self.lanes.insert(partition, Lane::restoring(epoch));
        Some(epoch)
    }

    /// A restore has come to its end.
    pub fn restored<S>(&mut self, partition: i32, epoch: Epoch, ready: &Ready<S>) -> TakenOver {
        let current = self.ownership.holds(partition, epoch);
        let Some(lane) = self.lanes.get_mut(&partition) else { return TakenOver::Stale };
        if (!current && self.rules.epochs_kept_apart) || !lane.is_restoring() {
            return TakenOver::Stale;
        }
        lane.evidence = Evidence::starting_at(ready.offset).under(self.rules);
        lane.last = ready.stamp.clone();
        lane.topic_id = ready.topic_id.clone();
        lane.partitions = Some(ready.partitions);
        if ready.backfill == Backfill::Pending && self.rules.records_wait_for_backfill {
            lane.begin_backfill();
            return TakenOver::Backfilling;
        }
        lane.go_live();
        TakenOver::Live
    }

    /// The partition has been taken away: its state and its contents are dropped for good. Returns
    /// the epoch that is over.
    pub fn lost(&mut self, partition: i32) -> Option<Epoch> {
        self.ownership.ended(partition);
        self.drop_contents(partition);
        self.lanes.remove(&partition).map(|lane| lane.epoch)
    }

    /// The partition stops: for good, or until so many places for packages are free.
    pub fn halt(&mut self, partition: i32, places: Option<usize>) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.halt(places);
        }
    }

    /// The partition stopped before the record at this offset.
    pub fn halt_at(&mut self, partition: i32, offset: i64, places: Option<usize>) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.evidence = Evidence::starting_at(offset).under(self.rules);
            lane.halt(places);
        }
    }

    /// Something that no retry mends concerns this partition: it stops, its contents are dropped.
    pub fn hopeless(&mut self, partition: i32) {
        self.halt(partition, None);
        self.ownership.ended(partition);
        if let Some(pending) = &mut self.pending {
            pending.cuts.remove(&partition);
            pending.next = pending.cycle.lost(partition).unwrap_or(Action::ReplaceProducer);
        }
    }

    /// The partition reads on.
    pub fn go_live(&mut self, partition: i32) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.go_live();
        }
    }

    /// The partitions held.
    pub fn lanes(&self) -> impl Iterator<Item = (i32, &Lane)> {
        self.lanes.iter().map(|(partition, lane)| (*partition, lane))
    }

    /// A partition that is held.
    pub fn lane(&self, partition: i32) -> Option<&Lane> {
        self.lanes.get(&partition)
    }

    /// A partition that is held.
    pub fn lane_mut(&mut self, partition: i32) -> Option<&mut Lane> {
        self.lanes.get_mut(&partition)
    }

    /// A partition that halted for want of room and needs no more than this. While any is being
    /// restored, what that takes is not known, and a restore that failed does not begin again.
    pub fn waiting(&self, free: usize) -> Option<(i32, Wait)> {
        let restoring = self.lanes.values().any(Lane::is_restoring);
        self.lanes
            .iter()
            .filter_map(|(&partition, lane)| Some((partition, lane.wait?)))
            .find(|(_, wait)| wait.places <= free && (wait.restored || !restoring))
    }

    /// Partitions that are live and of another topic than the one of this name that there is now.
    pub fn of_another_topic(&self, topic_id: &str) -> Vec<(i32, String)> {
        let other = |lane: &Lane| lane.topic_id.clone().filter(|then| then != topic_id);
        let live = self.lanes().filter(|(_, lane)| lane.is_live() || lane.is_backfilling());
        live.filter_map(|(partition, lane)| Some((partition, other(lane)?)))
            .filter(|_| self.rules.topic_in_cut)
            .collect()
    }

    /// Partitions that are live and were restored when the topic had another number of partitions
    /// than now, with that number.
    pub fn of_another_number(&self, partitions: i32) -> Vec<(i32, i32)> {
        let other = |lane: &Lane| lane.partitions.filter(|then| *then != partitions);
        let live = self.lanes().filter(|(_, lane)| lane.is_live() || lane.is_backfilling());
        live.filter_map(|(partition, lane)| Some((partition, other(lane)?))).collect()
    }

    // ---- evidence

    /// Consumption is paused, or goes on.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The ends of the live partitions are being asked for.
    pub fn asked(&mut self, partition: i32) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.evidence.asked();
        }
    }

    /// The end of a partition, asked for at a trusted time in milliseconds, or at a time that nobody
    /// knows: then it proves nothing.
    pub fn answered(
        &mut self,
        partition: i32,
        asked_at: Result<i64, Hold>,
        margin_ms: i64,
        end: i64,
    ) {
        self.untimed = asked_at.err();
        let Some(lane) = self.lanes.get_mut(&partition).filter(|lane| lane.is_live()) else {
            return;
        };
        match asked_at {
            Ok(asked_at_ms) => lane.evidence.answered(asked_at_ms, margin_ms, end),
            Err(_) => lane.evidence.answered_at_no_time(),
        }
    }

    /// How far frontiers may go by what has been proven since the last call.
    pub fn advances(&mut self) -> Vec<(i32, Epoch, Frontier)> {
        if self.paused {
            return Vec::new();
        }
        let live = self.lanes.iter_mut().filter(|(_, lane)| lane.is_live());
        live.filter_map(|(&partition, lane)| Some((partition, lane.epoch, lane.evidence.take()?)))
            .collect()
    }

    /// Why the frontier of a partition does not follow trusted time.
    pub fn hold(&self, partition: i32) -> Option<Hold> {
        let lane = self.lanes.get(&partition)?;
        match lane.hold() {
            None | Some(Hold::Behind) if self.paused => Some(Hold::Paused),
            None => self.untimed,
            hold => hold,
        }
    }

    // ---- commits

    /// Whether a cycle is under way: its contents are not known to be committed.
    pub fn is_committing(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether cuts are wanted for a new cycle.
    pub fn wants_cuts(&self) -> bool {
        self.pending.is_none() || !self.rules.contents_kept_apart
    }

    /// Begins a commit with those of these cuts that have something to say; with `heartbeat` with
    /// all. Returns the cuts that say nothing: what came out up to their frontier is committed.
    pub fn begin(&mut self, cuts: Vec<Cut<L>>, heartbeat: bool) -> Vec<Cut<L>> {
        if let Some(pending) = &mut self.pending {
            pending.mix(cuts);
            return Vec::new();
        }
        let mut says = BTreeMap::new();
        let mut silent = Vec::new();
        for cut in cuts {
            let Some(lane) = self.lanes.get(&cut.partition) else { continue };
            if !self.ownership.holds(cut.partition, cut.epoch) {
                continue;
            }
            // An answer to a halt is about the last commit: no other must come between.
            if heartbeat && !lane.is_halted() || speaks(&cut, lane) {
                says.insert(cut.partition, cut);
            } else {
                silent.push(cut);
            }
        }
        if !says.is_empty() {
            let stamps = says.values().map(|cut| (cut.partition, self.stamp(cut))).collect();
            let (cycle, next) = CommitCycle::begin(stamps, self.rules);
            self.pending = Some(Pending { cycle, next, cuts: says });
        }
        silent
    }

    /// What the cycle under way needs next.
    pub fn next(&self) -> Option<&Action> {
        self.pending.as_ref().map(|pending| &pending.next)
    }

    /// What is to be sent of these partitions, each with its cut record.
    pub fn contents(&self, partitions: &[i32], source: &Source) -> Vec<(&Cut<L>, CutRecord)> {
        let Some(pending) = &self.pending else { return Vec::new() };
        let cuts = partitions.iter().filter_map(|partition| pending.cuts.get(partition));
        cuts.map(|cut| (cut, self.record(cut, source))).collect()
    }

    /// An attempt to send and commit ended.
    pub fn sent(&mut self, sent: Sent) {
        if let Some(pending) = &mut self.pending {
            pending.next = pending.cycle.sent(sent);
            if sent == Sent::Abortable && !self.rules.kept_until_committed {
                self.pending = None;
            }
        }
    }

    /// An abort succeeded or not.
    pub fn aborted(&mut self, done: bool) {
        if let Some(pending) = &mut self.pending {
            pending.next = pending.cycle.aborted(done);
        }
    }

    /// A new producer has taken the place of the old one.
    pub fn replaced(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.next = pending.cycle.replaced();
        }
    }

    /// The stored cuts have been read.
    pub fn cuts_read(&mut self, stored: &BTreeMap<i32, Option<Stored>>) {
        if let Some(pending) = &mut self.pending {
            pending.next = pending.cycle.cuts_read(stored);
        }
    }

    /// The cycle's end, once its next action is [`Action::Finish`].
    pub fn finish(&mut self) -> Option<Finished<L>> {
        if !matches!(self.next(), Some(Action::Finish { .. })) {
            return None;
        }
        let Pending { next, mut cuts, .. } = self.pending.take()?;
        let Action::Finish { committed, given_up } = next else { return None };
        // One that was lost meanwhile may have come back: what ends concerns it no more.
        let given_up = given_up.into_iter().filter(|partition| cuts.contains_key(partition));
        let given_up = given_up.collect();
        let mut finished = Finished { committed: Vec::new(), given_up, live: Vec::new() };
        for cut in committed.iter().filter_map(|partition| cuts.remove(partition)) {
            let stamp = self.stamp(&cut);
            if let Some(lane) = self.lanes.get_mut(&cut.partition) {
                lane.last = Some((stamp.owner, stamp.commit));
                lane.committed = Some(cut.offset);
                if lane.is_backfilling() && cut.backfill != Backfill::Pending {
                    lane.go_live();
                    finished.live.push(cut.partition);
                }
            }
            finished.committed.push(cut);
        }
        for &partition in &finished.given_up {
            self.ownership.ended(partition);
            self.halt(partition, None);
        }
        Some(finished)
    }

    fn drop_contents(&mut self, partition: i32) {
        if !self.rules.lost_is_dropped {
            return;
        }
        if let Some(pending) = &mut self.pending {
            pending.cuts.remove(&partition);
            if let Some(action) = pending.cycle.lost(partition) {
                pending.next = action;
            }
        }
    }

    fn stamp(&self, cut: &Cut<L>) -> Stamp {
        let before = self.lanes.get(&cut.partition).and_then(|lane| lane.last.clone());
        let commit = before.as_ref().map_or(1, |(_, commit)| commit + 1);
        let (epoch, offset) = (cut.epoch, cut.offset);
        Stamp { epoch, owner: self.owner.clone(), commit, offset, before }
    }

    fn record(&self, cut: &Cut<L>, source: &Source) -> CutRecord {
        let mut decisions = cut.decisions.clone();
        if !self.rules.refusals_are_durable {
            decisions.refused = Refusals::default();
        }
        let lane = self.lanes.get(&cut.partition);
        let partitions = lane.and_then(|lane| lane.partitions).unwrap_or(source.partitions);
        CutRecord {
            version: if cut.cursor.is_some() { VERSION_WITH_CURSOR } else { VERSION },
            cursor: cut.cursor.clone().map(Box::new),
            offset: cut.offset,
            frontier: cut.frontier.map(Frontier::secs),
            log_clock: cut.log_clock.map(LogTime::secs),
            commit: self.stamp(cut).commit,
            owner: self.owner.clone(),
            policies: cut.policies.to_string(),
            backfill: cut.backfill,
            decisions,
            partitions: Some(partitions),
            group: Some(source.group.clone()),
            topic_id: lane.and_then(|lane| lane.topic_id.clone()),
            open: Some(cut.open),
            last: cut.last,
        }
    }
}

/// Whether a cut has to be committed.
fn speaks<L>(cut: &Cut<L>, lane: &Lane) -> bool {
    !cut.events.is_empty()
        || !cut.rows.is_empty()
        || !cut.dead_letters.is_empty()
        || cut.policies_change
        || lane.committed != Some(cut.offset)
        || lane.is_backfilling()
}

impl<L> Pending<L> {
    /// What must not be: newer contents join those that are under way.
    fn mix(&mut self, cuts: Vec<Cut<L>>) {
        for mut cut in cuts {
            let Some(under_way) = self.cuts.get_mut(&cut.partition) else { continue };
            let mut events = std::mem::take(&mut under_way.events);
            events.append(&mut cut.events);
            let mut letters = std::mem::take(&mut under_way.dead_letters);
            letters.append(&mut cut.dead_letters);
            let mut rows = std::mem::take(&mut under_way.rows);
            rows.append(&mut cut.rows);
            *under_way = Cut { events, rows, dead_letters: letters, ..cut };
        }
    }
}

#[cfg(test)]
mod tests;
