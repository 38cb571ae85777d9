//! Partitions that halted for want of room for packages, and go on once there is some.

use std::time::Duration;

use super::batching::Wait;
use super::{Engine, worker_of};
use crate::service::clock::Stopwatch;
use crate::service::worker::Job;

/// How often room is looked for.
const LOOK: Duration = Duration::from_secs(1);

impl Engine<'_> {
    /// Lets one partition go on, if there is room enough for it. One at a time, as it may need all
    /// the room there is.
    pub(super) fn go_on_where_there_is_room(&mut self) {
        if self.last_look_for_room.elapsed() < LOOK {
            return;
        }
        self.last_look_for_room = Stopwatch::start();
        let free = self.shared.room.free();
        let Some((partition, wait)) = self.waiting(free) else {
            return;
        };
        let Some(epoch) = self.lanes.get(&partition).map(|lane| lane.epoch) else {
            return;
        };
        tracing::info!(partition, free, "there is room for packages again: the partition goes on");
        if wait.restored {
            worker_of(&self.workers, partition).tell(Job::Resume(partition, epoch));
            self.go_live(partition);
        } else {
            self.begin_restore(partition, epoch);
        }
    }

    /// A partition that needs no more than this. While any is being restored, what that takes is
    /// not known, and a restore that failed does not begin again.
    fn waiting(&self, free: usize) -> Option<(i32, Wait)> {
        let restoring = self.lanes.values().any(super::Lane::is_restoring);
        self.lanes
            .iter()
            .filter_map(|(&partition, lane)| Some((partition, lane.wait?)))
            .find(|(_, wait)| wait.places <= free && (wait.restored || !restoring))
    }
}
