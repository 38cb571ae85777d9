//! Partitions come and go.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::batching::Carried;
use super::{Engine, Lost, start_restore, worker_of};
use crate::protocol::evidence::Hold;
use crate::protocol::halt::{Halt, Other};
use crate::protocol::keeper::{Standing, TakenOver};
use crate::protocol::ownership::Epoch;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, REQUEST};
use crate::service::native;
use crate::service::restore::{OtherGroup, Restored};
use crate::service::spans;
use crate::service::status::{PartitionStatus, Stage};
use crate::service::worker::{Job, Partition};

impl Engine<'_> {
    /// Takes partitions over: assigned at the committed offset and paused until they are restored.
    pub(super) fn assigned(&mut self, partitions: &[i32]) {
        tracing::info!(?partitions, "assigned");
        let _span = spans::assigned(partitions);
        self.shared.metrics.rebalanced();
        // Before anything is asked of the broker: nobody is ready between joining and restoring.
        for &partition in partitions {
            self.shared.status.partitions.insert(partition, PartitionStatus::restoring());
            self.shared.recent.taken(partition, self.shared.clock.now_ms());
        }
        self.shared.status.set_joined();
        self.joined.get_or_insert_with(Stopwatch::start);
        let member = native::member_id(self.member).unwrap_or_default();
        if self.keeper.joined_as(&member) == Standing::Expelled {
            self.expelled();
        }
        let list = self.committed(partitions);
        if let Err(error) =
            self.member.incremental_assign(&list).and_then(|()| self.member.pause(&list))
        {
            self.lost = Some(kafka::explain(&error, "taking partitions"));
            return;
        }
        for &partition in partitions {
            let epoch = self.keeper.assigned(partition);
            self.begin_restore(partition, epoch, None);
        }
    }

    /// Rebuilds the partition's state, from nothing. `other`: a group that has committed beside ours.
    pub(super) fn begin_restore(
        &mut self,
        partition: i32,
        epoch: Epoch,
        other: Option<OtherGroup>,
    ) {
        let done = self.restored.0.clone();
        match start_restore(Arc::clone(&self.shared), partition, epoch, other.clone(), done) {
            Ok(cancelled) => {
                let told = self.carried.remove(&partition).and_then(|before| before.told);
                let mut carried = Carried::new(cancelled, other);
                carried.told = told;
                self.carried.insert(partition, carried);
            }
            Err(error) => self.failure = Some(error.into()),
        }
    }

    /// The group had taken this member out, and the client has joined again without a word: what it
    /// holds may have been another's meanwhile.
    pub(super) fn expelled(&mut self) {
        // The broker was away, or this process stood still.
        self.outage = true;
        self.lost = Some("the group had taken this member out".to_owned());
    }

    /// Gives partitions back: with a commit, unless they are lost already.
    pub(super) fn revoked(&mut self, partitions: &[i32]) {
        let lost = self.member.assignment_lost();
        tracing::info!(?partitions, lost, "revoked");
        let span = spans::revoked(partitions, lost);
        self.shared.metrics.rebalanced();
        let mut committed = false;
        if !lost {
            self.flush();
            for &partition in partitions {
                self.shared.status.update(partition, |status| status.hold = Some(Hold::Revoking));
            }
            match self.commit_all() {
                Ok(all) => committed = all && self.lost.is_none(),
                Err(error) => self.failure = Some(error),
            }
        }
        for &partition in partitions {
            match committed {
                true => self.hand_over(partition),
                false => self.drop_partition(partition),
            }
        }
        spans::given_back(&span, committed);
        if let Err(error) = self.member.incremental_unassign(&self.list(partitions)) {
            tracing::warn!("{}", kafka::explain(&error, "giving partitions back"));
        }
        self.join_again();
    }

    /// The partition is given back, all of it committed: its state is kept for whoever comes next.
    fn hand_over(&mut self, partition: i32) {
        self.keep_state(partition);
        self.drop_partition(partition);
    }

    /// Has the state of a partition kept as it is committed. Its worker holds it no longer.
    pub(super) fn keep_state(&self, partition: i32) {
        if let Some(lane) = self.keeper.lane(partition)
            && let Some(committed) = lane.committed()
        {
            let job = Job::HandOver(partition, lane.epoch, committed);
            worker_of(self.workers, partition).tell(job);
        }
    }

    /// The membership is over, for a reason that the client gives: everything that was held is
    /// dropped, and rebuilt by whoever holds it next from what is durable.
    pub(super) fn let_go(&mut self, why: String) -> Lost {
        self.take_evidence();
        let held: Vec<i32> = self.keeper.lanes().map(|(partition, _)| partition).collect();
        let span = spans::revoked(&held, true);
        for &partition in &held {
            self.drop_partition(partition);
        }
        spans::given_back(&span, false);
        self.shared.metrics.rebalanced();
        self.shared.status.set_left();
        let fatal = self.member.client().fatal_error().map(|(code, _)| code);
        let fenced = fatal == Some(RDKafkaErrorCode::FencedInstanceId);
        let lasted = self.joined.map_or(Duration::ZERO, |joined| joined.elapsed());
        Lost { why, fenced, lasted, outage: self.outage }
    }

    /// Contents and state of the partition are dropped for good.
    pub(super) fn drop_partition(&mut self, partition: i32) {
        if let Some(epoch) = self.keeper.lost(partition) {
            worker_of(self.workers, partition).tell(Job::Drop(partition, epoch));
        }
        if let Some(carried) = self.carried.remove(&partition) {
            carried.cancel();
        }
        self.shared.status.partitions.remove(&partition);
        self.shared.recent.given_back(partition);
    }

    /// The state of a partition is of no more use, for this reason: it is rebuilt from what is durable.
    pub(super) fn rebuild(&mut self, partition: i32, why: &str) {
        self.rebuild_beside(partition, why, None);
    }

    /// The same, where another group has committed beside ours.
    pub(super) fn rebuild_beside(&mut self, partition: i32, why: &str, other: Option<OtherGroup>) {
        tracing::warn!(partition, "{why}: the partition is rebuilt from what is durable");
        self.set_paused(&[partition], true);
        self.drop_partition(partition);
        self.shared.status.partitions.insert(partition, PartitionStatus::restoring());
        self.shared.recent.taken(partition, self.shared.clock.now_ms());
        let epoch = self.keeper.assigned(partition);
        self.begin_restore(partition, epoch, other);
    }

    /// Partitions whose restore has come to its end.
    pub(super) fn take_restored(&mut self) {
        while let Ok(restored) = self.restored.1.try_recv() {
            let lane = self.keeper.lane(restored.partition);
            if lane.is_some_and(|lane| lane.epoch == restored.epoch) {
                self.take_over(restored);
            }
        }
    }

    fn take_over(&mut self, restored: Restored) {
        let (partition, epoch) = (restored.partition, restored.epoch);
        if let Some(carried) = self.carried.get_mut(&partition) {
            carried.stored = restored.about;
            carried.open_end = Some(restored.open_end);
            carried.circumstances = restored.circumstances;
        }
        let ready = match restored.result {
            Ok(ready) => ready,
            Err(halt) => {
                if halt.places_needed.is_none()
                    && let Some(carried) = self.carried.get_mut(&partition)
                {
                    carried.waits_for_an_answer = Some(Stopwatch::start());
                }
                return self.halt(partition, halt);
            }
        };
        let taken_over = self.keeper.restored(partition, epoch, &ready);
        if taken_over == TakenOver::Stale {
            return;
        }
        tracing::info!(
            partition,
            offset = ready.offset,
            packages = ready.packages.len(),
            seconds = restored.took.as_secs_f64(),
            "restored"
        );
        self.shared.metrics.restored(restored.took.as_secs_f64());
        if let Some(lane) = self.keeper.lane_mut(partition) {
            lane.log_append_time = restored.log_append_time;
        }
        let (offset, stats) = (ready.offset, ready.packages.stats());
        let frontier = ready.packages.frontier().map(|frontier| frontier.secs());
        let held = Partition::new(partition, epoch, *ready, self.share());
        // A predecessor that halted may still be there.
        worker_of(self.workers, partition).tell(Job::Drop(partition, epoch));
        worker_of(self.workers, partition).tell(Job::Own(Box::new(held)));
        self.shared.status.update(partition, |status| {
            status.position = offset;
            status.frontier = frontier;
            status.stats = stats;
            status.halted = None;
        });
        match taken_over {
            TakenOver::Backfilling => {
                self.shared.status.update(partition, |status| status.stage = Stage::Backfilling);
            }
            TakenOver::Live | TakenOver::Stale => self.go_live(partition),
        }
    }

    /// Reads on at the position; records count from now on.
    pub(super) fn go_live(&mut self, partition: i32) {
        let Some(lane) = self.keeper.lane(partition) else {
            return;
        };
        match self.seek(partition, lane.evidence.position(), REQUEST) {
            Ok(()) => {
                self.keeper.go_live(partition);
                self.heartbeat.at_once();
                self.shared.status.update(partition, |status| {
                    status.stage = Stage::Live;
                    status.halted = None;
                });
                if !self.paused {
                    self.set_paused(&[partition], false);
                }
            }
            Err(error) => {
                let why = kafka::explain(&error, "going on at the cut's offset");
                self.halt(partition, Halt::new(Other::NotRead, why));
            }
        }
    }

    /// Sends the client to a position.
    pub(super) fn seek(
        &self,
        partition: i32,
        position: i64,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.shared.input, partition, Offset::Offset(position))?;
        let sought = self.member.seek_partitions(list.clone(), timeout)?;
        match sought.elements().first().map_or(Ok(()), |element| element.error()) {
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) => {
                self.assign_anew(partition, &list)
            }
            done => done,
        }
    }

    /// The client has given the partition up for itself, as it does where the log begins behind what
    /// it was to read; it seeks in none that it does not read. The group keeps it assigned.
    fn assign_anew(&self, partition: i32, at: &TopicPartitionList) -> Result<(), KafkaError> {
        tracing::info!(partition, "the client reads the partition no more: it is given it anew");
        self.member.incremental_unassign(&self.list(&[partition]))?;
        self.member.incremental_assign(at)?;
        let is_paused = self.carried.get(&partition).is_some_and(|carried| carried.is_paused);
        if self.paused || is_paused { self.member.pause(at) } else { Ok(()) }
    }

    pub(super) fn set_paused(&self, partitions: &[i32], paused: bool) {
        let list = self.list(partitions);
        let done = if paused { self.member.pause(&list) } else { self.member.resume(&list) };
        if let Err(error) = done {
            tracing::warn!("{}", kafka::explain(&error, "pausing or resuming partitions"));
        }
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(&self.shared.input, partition);
        }
        list
    }

    /// The partitions at the group's offsets; without one at the beginning. All are paused, and the
    /// cut says where reading goes on.
    fn committed(&self, partitions: &[i32]) -> TopicPartitionList {
        let committed = self.member.committed_offsets(self.list(partitions), REQUEST);
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            let offset = committed
                .as_ref()
                .ok()
                .and_then(|list| list.find_partition(&self.shared.input, partition))
                .map(|element| element.offset())
                .filter(|offset| matches!(offset, Offset::Offset(_)))
                .unwrap_or(Offset::Beginning);
            if let Err(error) = list.add_partition_offset(&self.shared.input, partition, offset) {
                tracing::warn!(%error, "an offset could not be set");
            }
        }
        list
    }
}
