//! When a partition's state is kept, and under which header: what a worker and the engine ask for.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use super::store::SnapshotStore;
use super::writer::{Outcome, SnapshotWriter};
use crate::detector::shard::Shard;
use crate::protocol::cut;
use crate::protocol::decisions::{self, StateSettings};
use crate::protocol::held::{Held, Packages};
use crate::protocol::rejections::Rejections;
use crate::protocol::restore::SnapshotMeta;
use crate::service::clock::Stopwatch;
use crate::wire::snapshot::{self as header, Decisions, Header, LastRecord, Settings};

/// Store and writer of one service, and what its snapshots have in common.
pub struct Keeping {
    store: Arc<SnapshotStore>,
    writer: SnapshotWriter,
    topic: Arc<str>,
    /// Partitions of the topic, when last asked for.
    partitions: Arc<AtomicI32>,
    interval: Duration,
}

impl Keeping {
    /// Keeps snapshots of a topic's partitions, one of each every `interval`.
    pub fn new(
        store: Arc<SnapshotStore>,
        writer: SnapshotWriter,
        (topic, partitions): (Arc<str>, Arc<AtomicI32>),
        interval: Duration,
    ) -> Self {
        // Nothing has been saved, and nothing has been missed yet either.
        writer.nothing_new();
        Self { store, writer, topic, partitions, interval }
    }

    /// Where they stand.
    pub fn store(&self) -> &SnapshotStore {
        &self.store
    }

    /// When the images of a partition are due that has just been taken over.
    pub fn timer(&self, partition: i32) -> Timer {
        Timer {
            since: Stopwatch::start(),
            pause: self.interval.mul_f64(phase_of(partition)),
            taken: None,
            failed: Arc::default(),
        }
    }

    /// Takes an image of a partition if one is due and can be taken now; else it is asked for again
    /// after the next piece of work. The copy is all that it waits for.
    pub fn look<S: Packages, L>(&self, held: &Held<S, L>, timer: &mut Timer) {
        // The log clock of a partition without room is already that of the record it waits at.
        if held.is_halted() {
            return;
        }
        if !timer.is_due(held.offset()) {
            if timer.has_nothing_new(held.offset()) {
                self.writer.nothing_new();
                timer.since = Stopwatch::start();
            }
            return;
        }
        let Some(header) = self.header(held) else { return };
        let slots = held.packages().slots();
        let Some(mut image) = self.writer.ready(slots) else { return };
        if held.packages().image(&mut image).is_err() {
            self.writer.give_back(image, slots);
            return;
        }
        let failed = timer.taken(held.offset(), self.interval);
        self.writer.submit(image, header, move |outcome| {
            failed.store(matches!(outcome, Outcome::Failed(_)), Ordering::Relaxed);
        });
    }

    /// Has the state of a partition written that is given away. A store that is being left alone
    /// after a failure is not tried: whatever waited for it would keep its memory.
    pub fn hand_over<S, L>(&self, held: Held<S, L>)
    where
        S: Packages + Deref<Target = Shard> + Send + 'static,
    {
        if held.is_halted() || self.leaves_store_alone() {
            return;
        }
        let Some(header) = self.header(&held) else { return };
        self.writer.submit_shard(held.into_packages(), header, |_| ());
    }

    /// Whether the store is left alone after a failure, so that nothing is handed over to it.
    pub fn leaves_store_alone(&self) -> bool {
        self.writer.leaves_store_alone()
    }

    /// Waits until everything is in place or has failed, at most so long; returns whether it is. If
    /// not, what is missing is given up.
    pub fn finish(&self, at_most: Duration) -> bool {
        let done = self.writer.wait(at_most);
        if !done {
            self.writer.give_up();
        }
        done
    }

    /// `None` in the midst of a look.
    fn header<S: Packages, L>(&self, held: &Held<S, L>) -> Option<Header> {
        held.snapshot(&self.topic, self.partitions.load(Ordering::Relaxed)).map(header_of)
    }
}

/// When the next image of a partition is due.
pub struct Timer {
    since: Stopwatch,
    pause: Duration,
    /// The offset of the last image.
    taken: Option<i64>,
    /// Whether the last image did not become a snapshot.
    failed: Arc<AtomicBool>,
}

impl Timer {
    fn is_due(&self, offset: i64) -> bool {
        let failed = self.failed.load(Ordering::Relaxed);
        failed || (self.since.elapsed() >= self.pause && self.taken != Some(offset))
    }

    /// An image would be due, were there a record behind the last one.
    fn has_nothing_new(&self, offset: i64) -> bool {
        let failed = self.failed.load(Ordering::Relaxed);
        !failed && self.since.elapsed() >= self.pause && self.taken == Some(offset)
    }

    fn taken(&mut self, offset: i64, interval: Duration) -> Arc<AtomicBool> {
        (self.since, self.pause) = (Stopwatch::start(), interval);
        self.taken = Some(offset);
        self.failed.store(false, Ordering::Relaxed);
        self.failed.clone()
    }
}

/// The part of an interval after which a partition's first image is due: steps of the golden ratio
/// lie apart, however many partitions an instance holds.
fn phase_of(partition: i32) -> f64 {
    const GOLDEN: u32 = 0x9e37_79b9;
    let turned = partition.unsigned_abs().wrapping_add(1).wrapping_mul(GOLDEN);
    f64::from(turned) / f64::from(u32::MAX)
}

/// What a snapshot says of itself, as it is written.
pub fn header_of(meta: SnapshotMeta) -> Header {
    let SnapshotMeta { topic, topic_id, partition, partitions, offset, decisions, last } = meta;
    let settings = |line: &StateSettings| Settings {
        from: line.from,
        forget_after: line.forget_after,
        settled_retention: line.settled_retention,
    };
    Header {
        topic,
        topic_id,
        partition,
        partitions,
        offset,
        decisions: Decisions {
            start: decisions.start,
            settings: decisions.settings.iter().map(settings).collect(),
            refused: decisions.refused.ranges().collect(),
            rejected: decisions.rejected.map(|rejected| {
                let (from, bits, blocks) = rejected.parts();
                header::Rejections { from, bits, blocks }
            }),
            dropped_below: decisions.dropped_below,
            dropped: decisions.dropped,
        },
        last: last.map(|cut::LastRecord { offset, time_ms, hash }| LastRecord {
            offset,
            time_ms,
            hash,
        }),
    }
}

/// What a snapshot says of itself, as a restore asks for it.
pub fn meta_of(header: &Header) -> SnapshotMeta {
    let settings = |line: &Settings| StateSettings {
        from: line.from,
        forget_after: line.forget_after,
        settled_retention: line.settled_retention,
    };
    SnapshotMeta {
        topic: header.topic.clone(),
        topic_id: header.topic_id.clone(),
        partition: header.partition,
        partitions: header.partitions,
        offset: header.offset,
        decisions: decisions::Decisions {
            start: header.decisions.start,
            refused: header.decisions.refused.iter().copied().collect(),
            rejected: header.decisions.rejected.clone().map(|rejected| {
                let header::Rejections { from, bits, blocks } = rejected;
                Rejections::of_parts(from, bits, blocks)
            }),
            settings: header.decisions.settings.iter().map(settings).collect(),
            dropped_below: header.decisions.dropped_below,
            dropped: header.decisions.dropped,
        },
        last: header.last.map(|LastRecord { offset, time_ms, hash }| cut::LastRecord {
            offset,
            time_ms,
            hash,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_snapshot_says_of_itself_comes_back_as_it_was() {
        let line = StateSettings { from: 3, forget_after: 60, settled_retention: 7 };
        let meta = SnapshotMeta {
            topic: "carrier.scans.v1".to_owned(),
            topic_id: Some("Zx3".to_owned()),
            partition: 7,
            partitions: 12,
            offset: 1_000,
            decisions: decisions::Decisions {
                start: 3,
                refused: [(50, 50), (60, 64)].into_iter().collect(),
                rejected: Some(Rejections::of_parts(0, 16, vec![(0, 2, u64::MAX)])),
                settings: vec![line, StateSettings { from: 40, forget_after: 90, ..line }],
                dropped_below: 20,
                dropped: 9,
            },
            last: Some(cut::LastRecord { offset: 998, time_ms: Some(5), hash: u64::MAX }),
        };
        assert_eq!(meta_of(&header_of(meta.clone())), meta);
        let without = SnapshotMeta { last: None, topic_id: None, ..meta };
        assert_eq!(meta_of(&header_of(without.clone())), without);
    }

    #[test]
    fn the_first_images_of_partitions_lie_apart() {
        let mut phases: Vec<f64> = (0..24).map(phase_of).collect();
        phases.sort_by(f64::total_cmp);
        assert!(phases.iter().all(|phase| (0.0..1.0).contains(phase)), "{phases:?}");
        let least = phases.windows(2).map(|pair| pair[1] - pair[0]).fold(1.0, f64::min);
        assert!(least > 0.3 / 24.0, "{phases:?}");
    }
}
