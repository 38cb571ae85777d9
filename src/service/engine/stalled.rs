//! Partitions that the client reads no further although the broker says that there is more: seen
//! after a broker's restart, when the client takes its leader's epoch for stale. They are sought anew.

use std::time::Duration;

use super::Engine;
use crate::service::clock::Stopwatch;
use crate::service::kafka;

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long a position may stand still while there is more to read.
const STALLED: Duration = Duration::from_secs(20);
/// How old the broker's last answer may be, the next being asked for at once and late: without one
/// it is an outage.
const ANSWERED: Duration = Duration::from_secs(kafka::REQUEST.as_secs() + 3);
/// How long the client may take to seek.
const SEEK: Duration = Duration::from_secs(1);

impl Engine<'_> {
    /// Seeks partitions that stand still. What comes twice by that is told by its offset.
    pub(super) fn seek_what_stands_still(&mut self) {
        if self.last_look_for_stalls.elapsed() < LOOK {
            return;
        }
        self.last_look_for_stalls = Stopwatch::start();
        let reachable = !self.paused && self.last_answer.elapsed() < ANSWERED;
        let mut stalled = Vec::new();
        for (&partition, carried) in &mut self.carried {
            let lane = self.keeper.lane(partition).filter(|lane| lane.is_live());
            let behind = lane.filter(|lane| reachable && lane.evidence.is_behind());
            let Some(position) = behind.map(|lane| lane.evidence.position()) else {
                carried.stands = None;
                continue;
            };
            match &carried.stands {
                Some((before, since)) if *before == position => {
                    if since.elapsed() >= STALLED {
                        stalled.push((partition, position));
                        carried.stands = None;
                    }
                }
                _ => carried.stands = Some((position, Stopwatch::start())),
            }
        }
        for (partition, position) in stalled {
            tracing::warn!(
                partition,
                position,
                "the client has read no further for {STALLED:?} although the log goes on: it is sent to the position anew"
            );
            if let Err(error) = self.seek(partition, position, SEEK) {
                tracing::warn!(partition, "{}", kafka::explain(&error, "seeking"));
            }
        }
    }
}
