//! Others that write to our output topics. Between what we commit to a partition of the `open` topic and
//! what we committed before stands nothing but our markers; where something does, it is looked at: the
//! cut of another group means that everything is published twice.

use std::sync::Arc;

use super::Engine;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, REQUEST};
use crate::service::restore::{Failure, OtherGroup, read};

/// A cut that is not ours.
pub struct Foreign {
    partition: i32,
    cut: CutRecord,
}

impl Engine<'_> {
    /// Looks at what stands between our records of this commit and of the one before.
    pub(super) fn look_for_others(&mut self) {
        for (partition, stretch) in self.sink.take_written() {
            let Some(carried) = self.carried.get_mut(&partition) else { continue };
            let before = carried.open_end.replace(stretch.end());
            if let Some(gap) = stretch.gap(before) {
                self.read_between(partition, gap);
            }
        }
    }

    /// Reads on a thread of its own.
    fn read_between(&self, partition: i32, gap: (i64, i64)) {
        let (shared, found) = (Arc::clone(&self.shared), self.foreign.0.clone());
        let read = move || match foreign_cut(&shared, partition, gap) {
            Ok(Some(cut)) => drop(found.send(Foreign { partition, cut })),
            Ok(None) => tracing::debug!(partition, ?gap, "no cut of others is between ours"),
            Err(failure) => {
                tracing::warn!(partition, "reading the open topic between our records: {failure}");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("others".to_owned()).spawn(read) {
            tracing::warn!(partition, %error, "the open topic is not looked at for others");
        }
    }

    /// A partition to which others have committed is rebuilt, and halts where they are another group.
    pub(super) fn take_others(&mut self) {
        while let Ok(Foreign { partition, cut }) = self.foreign.1.try_recv() {
            if self.keeper.lane(partition).is_none_or(|lane| lane.is_restoring()) {
                continue;
            }
            let ours = &self.shared.config.kafka.group_id;
            let theirs = cut.group.filter(|theirs| theirs != ours);
            let of = theirs.as_deref().unwrap_or(ours);
            let why = format!("{} of group {of} has committed beside this instance", cut.owner);
            let other = theirs.map(|group| OtherGroup { group, owner: cut.owner });
            self.rebuild_beside(partition, &why, other);
        }
    }
}

/// The last cut of somebody else in a stretch of the `open` topic.
fn foreign_cut(
    shared: &Shared,
    partition: i32,
    (from, to): (i64, i64),
) -> Result<Option<CutRecord>, Failure> {
    let reader = kafka::reader(&shared.config.kafka)?;
    let (mut found, watch) = (None, Stopwatch::start());
    let late = || watch.elapsed() > REQUEST;
    read(&reader, &shared.topics.open, partition, from, to + 1, late, |record| {
        let value = record.value.filter(|_| record.key == Some(CUT_KEY.as_bytes()));
        let cut = value.and_then(|value| CutRecord::from_bytes(value).ok());
        found = cut.filter(|cut| cut.owner != shared.owner).or(found.take());
        Ok(())
    })?;
    Ok(found)
}
