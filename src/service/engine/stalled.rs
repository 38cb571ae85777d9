//! Partitions that are read no further although the broker says that there is more. Mostly a
//! transaction on the input is open: a reader of committed data gets nothing behind its beginning, the
//! last stable offset, until it ends. Else the client stands still for itself, seen after a broker's
//! restart, when it takes its leader's epoch for stale; then it is sent to the position anew.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::Engine;
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::commands;
use crate::service::kafka;
use crate::service::topics::administrator;

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How long a position may stand still before the last stable offset is asked for, and for how long the
/// answer is good.
const ASK: Duration = Duration::from_secs(5);
/// How long a position may stand still while there is more to read.
const STALLED: Duration = Duration::from_secs(20);
/// How old the broker's last answer may be, the next being asked for at once and late: without one
/// it is an outage.
const ANSWERED: Duration = Duration::from_secs(kafka::REQUEST.as_secs() + 3);
/// How long the client may take to seek.
const SEEK: Duration = Duration::from_secs(1);

/// A position at which nothing comes although there is more.
pub struct Standing {
    position: i64,
    since: Stopwatch,
    sought: Stopwatch,
}

impl Standing {
    fn at(position: i64) -> Self {
        let now = Stopwatch::start();
        Self { position, since: now, sought: now }
    }
}

/// Last stable offsets by partition; `None` where the broker did not tell.
pub type Stable = Option<Vec<(i32, i64)>>;

impl Engine<'_> {
    /// Looks at partitions that stand still. What comes twice by a seek is told by its offset.
    pub(super) fn look_at_what_stands_still(&mut self) {
        self.take_stable_offsets();
        if self.last_look_for_stalls.elapsed() < LOOK {
            return;
        }
        self.last_look_for_stalls = Stopwatch::start();
        let reachable = !self.paused && self.last_answer.elapsed() < ANSWERED;
        let (mut standing, mut stalled) = (Vec::new(), Vec::new());
        for (&partition, carried) in &mut self.carried {
            let lane = self.keeper.lane(partition).filter(|lane| lane.is_live());
            let position = lane.map(|lane| lane.evidence.position());
            if carried.waits_at.is_some() && carried.waits_at != position {
                carried.waits_at = None;
                tracing::info!(partition, "the transaction on the input has ended");
            }
            let reads = reachable && !carried.is_paused;
            let behind = lane.is_some_and(|lane| reads && lane.evidence.is_behind());
            carried.stands = match (position.filter(|_| behind), carried.stands.take()) {
                (Some(position), Some(stands)) if stands.position == position => Some(stands),
                (position, _) => position.map(Standing::at),
            };
            let Some(stands) = &mut carried.stands else { continue };
            if stands.since.elapsed() >= ASK {
                standing.push(partition);
            }
            if stands.sought.elapsed() >= STALLED && carried.waits_at.is_none() {
                stalled.push((partition, stands.position));
                stands.sought = Stopwatch::start();
            }
        }
        if !standing.is_empty() {
            self.ask_for_stable_offsets(standing);
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

    /// Asks on a thread of its own; one question at a time.
    fn ask_for_stable_offsets(&mut self, partitions: Vec<i32>) {
        if self.asked_for_stable.is_some_and(|since| since.elapsed() < ASK) || self.stable_is_due {
            return;
        }
        let (shared, answer) = (Arc::clone(&self.shared), self.stable.0.clone());
        let ask = move || {
            let told = stable_offsets(&shared, &partitions);
            let told = told.map_err(|error| {
                tracing::warn!("{}", kafka::explain(&error, "asking for last stable offsets"));
            });
            let _ = answer.send(told.ok());
        };
        let thread = std::thread::Builder::new().name("stable".to_owned()).spawn(ask);
        self.stable_is_due = thread.is_ok();
        self.asked_for_stable = Some(Stopwatch::start());
    }

    /// What stands at its last stable offset waits for a transaction, and is no fault of the client's.
    fn take_stable_offsets(&mut self) {
        while let Ok(told) = self.stable.1.try_recv() {
            self.stable_is_due = false;
            for (partition, stable) in told.into_iter().flatten() {
                let Some(carried) = self.carried.get_mut(&partition) else { continue };
                let Some(stands) = &carried.stands else { continue };
                let waits = stable <= stands.position;
                if waits && carried.waits_at.is_none() {
                    let (input, admin) =
                        (&self.shared.input, administrator(&self.shared.config.kafka));
                    let end = commands::end_transaction(&admin, input, partition, stable);
                    tracing::warn!(
                        "partition {partition}: a transaction on the input topic {input} is open from offset {stable} on: nobody who reads committed data gets what lies behind it before it ends; its producer ends it, or the broker after that producer's transaction.timeout.ms; to end one that hangs, and drop what it holds: {end}"
                    );
                }
                carried.waits_at = waits.then_some(stands.position);
            }
        }
    }
}

/// Where a reader of committed data ends.
fn stable_offsets(shared: &Shared, partitions: &[i32]) -> KafkaResult<Vec<(i32, i64)>> {
    let reader = kafka::reader(&shared.config.kafka)?;
    kafka::end_offsets(&reader, &shared.input, partitions)
}
