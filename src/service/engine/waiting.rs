//! Partitions that halted and go on once there is room for packages, or an operator has answered.

use std::sync::Arc;
use std::time::Duration;

use super::batching::Carried;
use super::{Engine, worker_of};
use crate::protocol::ownership::Epoch;
use crate::service::clock::Stopwatch;
use crate::service::restore::{self, Found};
use crate::service::status::PartitionStatus;
use crate::service::worker::Job;

/// How often room is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often an operator's answer is looked for.
const ANSWERS: Duration = Duration::from_secs(5);

/// A look at a partition that has halted has come to its end.
pub struct Looked {
    partition: i32,
    epoch: Epoch,
    found: Found,
}

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

    /// Partitions that halted and that somebody may answer for are looked at: an operator may have answered.
    pub(super) fn look_for_answers(&mut self) {
        let due = |carried: &Carried| {
            carried.waits_for_an_answer.as_ref().is_some_and(|since| since.elapsed() >= ANSWERS)
        };
        let waiting: Vec<i32> =
            self.carried.iter().filter(|(_, carried)| due(carried)).map(|(&it, _)| it).collect();
        for partition in waiting {
            if !self.begin_look(partition) {
                self.begin_again(partition);
            }
        }
    }

    /// Where the log was read before it halted, it is looked on a thread of its own whether that is
    /// worthwhile again. False: it is, as far as can be told.
    fn begin_look(&mut self, partition: i32) -> bool {
        let Some(epoch) = self.keeper.lane(partition).map(|lane| lane.epoch) else { return false };
        let Some(carried) = self.carried.get_mut(&partition) else { return false };
        let Some((then, from)) = carried.circumstances.clone().zip(carried.open_end) else {
            return false;
        };
        carried.waits_for_an_answer = None;
        let (shared, done) = (Arc::clone(&self.shared), self.looks.0.clone());
        let about = carried.stored.clone();
        let look = move || {
            let found = restore::look(&shared, partition, &then, &about, from);
            let _ = done.send(Looked { partition, epoch, found });
        };
        std::thread::Builder::new().name(format!("look-{partition}")).spawn(look).is_ok()
    }

    /// What looks have found.
    pub(super) fn take_looks(&mut self) {
        while let Ok(Looked { partition, epoch, found }) = self.looks.1.try_recv() {
            let lane = self.keeper.lane(partition);
            if !lane.is_some_and(|lane| lane.epoch == epoch && lane.is_halted()) {
                continue;
            }
            match (found, self.carried.get_mut(&partition)) {
                (Found::Nothing(end), Some(carried)) => {
                    carried.open_end = carried.open_end.max(Some(end));
                    carried.waits_for_an_answer = Some(Stopwatch::start());
                }
                _ => self.begin_again(partition),
            }
        }
    }

    /// The partition is restored from what is durable now.
    fn begin_again(&mut self, partition: i32) {
        if self.carried.get(&partition).is_some_and(|carried| carried.is_held) {
            return self.rebuild(partition, "an operator may have answered");
        }
        let other = self.carried.get(&partition).and_then(|carried| carried.other.clone());
        if let Some(epoch) = self.keeper.restoring_again(partition) {
            self.begin_restore(partition, epoch, other);
        }
    }
}
