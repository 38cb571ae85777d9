//! Partitions that halted and go on once there is room for packages, or an operator has answered.

use std::time::Duration;

use super::batching::Carried;
use super::{Engine, worker_of};
use crate::service::clock::Stopwatch;
use crate::service::status::PartitionStatus;
use crate::service::worker::Job;

/// How often room is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often an operator's answer is looked for.
const ANSWERS: Duration = Duration::from_secs(5);

impl Engine<'_> {
    /// Lets one partition go on, if there is room enough for it. One at a time, as it may need all
    /// the room there is.
    pub(super) fn go_on_where_there_is_room(&mut self) {
        if self.last_look_for_room.elapsed() < LOOK {
            return;
        }
        self.last_look_for_room = Stopwatch::start();
        let free = self.shared.room.free();
        let Some((partition, wait)) = self.keeper.waiting(free) else {
            return;
        };
        let Some(epoch) = self.keeper.lane(partition).map(|lane| lane.epoch) else {
            return;
        };
        tracing::info!(partition, free, "there is room for packages again: the partition goes on");
        if wait.restored {
            worker_of(self.workers, partition).tell(Job::Resume(partition, epoch));
            self.go_live(partition);
        } else if let Some(epoch) = self.keeper.restoring_again(partition) {
            self.begin_restore(partition, epoch, None);
            self.shared.status.update(partition, |status| *status = PartitionStatus::restoring());
        }
    }

    /// Partitions that halted and that somebody may answer for read anew what is durable: an operator may have answered.
    pub(super) fn look_for_answers(&mut self) {
        let due = |carried: &Carried| {
            carried.waits_for_an_answer.as_ref().is_some_and(|since| since.elapsed() >= ANSWERS)
        };
        let waiting: Vec<i32> =
            self.carried.iter().filter(|(_, carried)| due(carried)).map(|(&it, _)| it).collect();
        for partition in waiting {
            if self.carried.get(&partition).is_some_and(|carried| carried.is_held) {
                self.rebuild(partition, "an operator may have answered");
                continue;
            }
            let other = self.carried.get(&partition).and_then(|carried| carried.other.clone());
            if let Some(epoch) = self.keeper.restoring_again(partition) {
                self.begin_restore(partition, epoch, other);
            }
        }
    }
}
