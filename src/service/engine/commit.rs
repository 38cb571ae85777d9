//! Drives the commit cycle: cuts from the workers, one transaction, and what its end means.

use std::collections::BTreeMap;

use crossbeam_channel::bounded;
use rdkafka::consumer::Consumer;

use super::{Engine, HEARTBEAT};
use crate::protocol::commit_cycle::{Action, CommitCycle, Sent, Stamp};
use crate::protocol::cut::Backfill;
use crate::protocol::evidence::Evidence;
use crate::service::ServiceError;
use crate::service::clock::Stopwatch;
use crate::service::contents::Writer;
use crate::service::kafka;
use crate::service::native;
use crate::service::restore::read_stamp;
use crate::service::sink::Hopeless;
use crate::service::worker::{Cut, Job};

/// Actions in one round; a cycle that needs more goes on in the next, so that the loop turns.
const ACTIONS: usize = 6;

/// A commit cycle under way.
pub(super) struct Pending {
    cycle: CommitCycle,
    next: Action,
    cuts: BTreeMap<i32, Cut>,
    watch: Stopwatch,
}

impl Engine<'_> {
    /// Begins a commit if there is something to say, or goes on with the one under way.
    pub(super) fn commit_round(&mut self) -> Result<(), ServiceError> {
        self.last_commit = Stopwatch::start();
        if self.pending.is_none() {
            self.pending = self.begin();
        }
        for _ in 0..ACTIONS {
            self.shared.status.pulse(0);
            let Some(pending) = self.pending.take() else {
                return Ok(());
            };
            self.pending = self.step(pending)?;
        }
        Ok(())
    }

    /// The contents of a partition that is gone must not be published.
    pub(super) fn lose_contents(&mut self, partition: i32) {
        if let Some(pending) = &mut self.pending {
            pending.cuts.remove(&partition);
            if let Some(action) = pending.cycle.lost(partition) {
                pending.next = action;
            }
        }
    }

    fn begin(&mut self) -> Option<Pending> {
        let heartbeat = self.last_heartbeat.elapsed() >= HEARTBEAT;
        let mut cuts = BTreeMap::new();
        for cut in self.cuts() {
            self.note(&cut);
            let Some(lane) = self.lanes.get(&cut.partition) else {
                continue;
            };
            let says = !cut.events.is_empty()
                || !cut.dead_letters.is_empty()
                || lane.committed != Some(cut.offset)
                || lane.is_backfilling();
            if !says {
                self.settle(&cut);
            }
            if self.ownership.holds(cut.partition, cut.epoch) && (says || heartbeat) {
                cuts.insert(cut.partition, cut);
            }
        }
        if heartbeat {
            self.last_heartbeat = Stopwatch::start();
        }
        if cuts.is_empty() {
            return None;
        }
        let stamps = cuts.values().map(|cut| (cut.partition, self.stamp(cut))).collect();
        let (cycle, next) = CommitCycle::begin(stamps);
        Some(Pending { cycle, next, cuts, watch: Stopwatch::start() })
    }

    /// A cut of every partition, from every worker.
    fn cuts(&self) -> Vec<Cut> {
        let (reply, replies) = bounded(self.workers.len());
        for worker in &self.workers {
            worker.tell(Job::Cut(reply.clone()));
        }
        drop(reply);
        replies.iter().flatten().collect()
    }

    fn note(&mut self, cut: &Cut) {
        self.shared.status.update(cut.partition, |status| {
            status.frontier = cut.frontier.map(|frontier| frontier.secs());
            status.log_clock = cut.log_clock.map(|clock| clock.secs());
            status.stats = cut.stats.clone();
        });
        if let Some(halt) = &cut.halt
            && let Some(lane) = self.lanes.get_mut(&cut.partition).filter(|lane| lane.is_live())
        {
            lane.evidence = Evidence::starting_at(cut.offset);
            self.halt(cut.partition, halt.clone());
        }
    }

    /// Nothing that came out up to this cut is uncommitted.
    fn settle(&self, cut: &Cut) {
        let settled = cut.frontier.map(|frontier| frontier.secs());
        self.shared.status.update(cut.partition, |status| status.settled = settled);
    }

    fn stamp(&self, cut: &Cut) -> Stamp {
        let before = self.lanes.get(&cut.partition).and_then(|lane| lane.last.clone());
        let commit = before.as_ref().map_or(1, |(_, commit)| commit + 1);
        Stamp { epoch: cut.epoch, owner: self.shared.owner.clone(), commit, before }
    }

    /// Does the next action of the cycle; `None` when it has come to its end.
    fn step(&mut self, mut pending: Pending) -> Result<Option<Pending>, ServiceError> {
        pending.next = match std::mem::replace(&mut pending.next, Action::Abort) {
            Action::Send(partitions) => {
                if !self.shared.guards.embedded && !native::is_member(self.member) {
                    tracing::warn!("not a member of the group: the commit waits");
                    pending.next = Action::Send(partitions);
                    return Ok(Some(pending));
                }
                match self.send(&pending, &partitions) {
                    Ok(sent) => {
                        self.count(sent, &pending);
                        pending.cycle.sent(sent)
                    }
                    Err(hopeless) => self.stop_at(&mut pending, hopeless)?,
                }
            }
            Action::Abort => {
                let done = self.sink.abort();
                pending.cycle.aborted(done)
            }
            Action::ReplaceProducer => match self.sink.replace() {
                Ok(()) => {
                    self.shared.status.set_producer_ready(true);
                    pending.cycle.replaced()
                }
                Err(error) => {
                    self.shared.status.set_producer_ready(false);
                    let message = kafka::explain(&error, "making a new producer");
                    tracing::warn!("{message}; trying again");
                    Action::ReplaceProducer
                }
            },
            Action::ReadCuts(partitions) => match self.stored(&partitions) {
                Some(stored) => pending.cycle.cuts_read(&stored),
                None => Action::ReadCuts(partitions),
            },
            Action::Finish { committed, given_up } => {
                self.finish(&mut pending, &committed, &given_up);
                return Ok(None);
            }
        };
        Ok(Some(pending))
    }

    fn send(&self, pending: &Pending, partitions: &[i32]) -> Result<Sent, Hopeless> {
        let shared = &self.shared;
        let writer = Writer {
            codec: &shared.exceptions,
            input: &shared.input,
            exceptions: &shared.topics.exceptions,
            open: &shared.topics.open,
            dead_letter: &shared.topics.dead_letter,
            group_id: &shared.config.kafka.group_id,
            owner: &shared.owner,
            policies: shared.policies.hash(),
            now_ms: shared.clock.now_ms(),
            max_bytes: shared.max_bytes,
        };
        let (mut records, mut offsets) = (Vec::new(), Vec::new());
        for cut in partitions.iter().filter_map(|partition| pending.cuts.get(partition)) {
            let commit = self.stamp(cut).commit;
            offsets.push(writer.contents(cut, commit, &mut records));
        }
        match self.member.group_metadata() {
            Some(member) => self.sink.send(&records, &offsets, &member),
            None => Err(Hopeless {
                partition: None,
                message: "the consumer has no group metadata".to_owned(),
            }),
        }
    }

    /// Something no retry mends: the partition stops, or everything does.
    fn stop_at(
        &mut self,
        pending: &mut Pending,
        hopeless: Hopeless,
    ) -> Result<Action, ServiceError> {
        let Some(partition) = hopeless.partition else {
            self.sink.abort();
            return Err(ServiceError::Broker(hopeless.message));
        };
        self.halt(partition, hopeless.message);
        pending.cuts.remove(&partition);
        self.ownership.ended(partition);
        Ok(pending.cycle.lost(partition).unwrap_or(Action::Abort))
    }

    fn count(&self, sent: Sent, pending: &Pending) {
        let outcome = match sent {
            Sent::Committed => "committed",
            Sent::Abortable => "aborted",
            Sent::Indefinite => "indefinite",
        };
        self.shared.metrics.transaction(outcome, pending.watch.elapsed().as_secs_f64());
    }

    /// Owner and number of the stored commits; `None` when the broker did not say.
    fn stored(&self, partitions: &[i32]) -> Option<BTreeMap<i32, Option<(String, u64)>>> {
        let mut stored = BTreeMap::new();
        for &partition in partitions {
            match read_stamp(&self.shared, partition) {
                Ok(stamp) => drop(stored.insert(partition, stamp)),
                Err(error) => {
                    tracing::warn!(partition, "reading the stored cut: {error}");
                    return None;
                }
            }
        }
        Some(stored)
    }

    fn finish(&mut self, pending: &mut Pending, committed: &[i32], given_up: &[i32]) {
        let now_ms = self.shared.clock.now_ms();
        for &partition in committed {
            let Some(cut) = pending.cuts.remove(&partition) else {
                continue;
            };
            self.shared.metrics.committed(&cut.events, now_ms);
            self.settle(&cut);
            let stamp = self.stamp(&cut);
            let Some(lane) = self.lanes.get_mut(&partition) else {
                continue;
            };
            lane.last = Some((stamp.owner, stamp.commit));
            lane.committed = Some(cut.offset);
            let backfilled = lane.is_backfilling() && cut.backfill != Backfill::Pending;
            self.shared.status.update(partition, |status| status.committed = Some(cut.offset));
            if backfilled {
                self.go_live(partition);
            }
        }
        for &partition in given_up {
            self.ownership.ended(partition);
            self.halt(partition, "another instance has committed for it; it is given up");
        }
    }
}
