//! Partitions halt, and a word of it is left in the open topic for whoever is to answer.

use std::collections::BTreeMap;

use super::Engine;
use crate::protocol::commit_cycle::Stored;
use crate::protocol::halt::{About, Halt, HaltRecord};
use crate::service::batch::Batch;
use crate::service::rights::quote;
use crate::service::status::Stage;

impl Engine<'_> {
    /// The partition halts.
    pub(super) fn halt(&mut self, partition: i32, halt: Halt) {
        self.keeper.halt(partition, halt.places_needed);
        self.halted(partition, halt);
    }

    /// The partition has halted: nothing more is read, and it is told once.
    pub(super) fn halted(&mut self, partition: i32, halt: Halt) {
        let halt = halt.of_partition(&quote(&self.shared.config.file), partition);
        self.set_paused(&[partition], true);
        if let Some(carried) = self.carried.get_mut(&partition) {
            carried.batch = Batch::default();
        }
        self.leave_word(partition, &halt);
        self.shared.status.update(partition, |status| {
            if status.halted.as_ref() != Some(&halt) {
                tracing::error!(partition, "the partition is halted: {}", halt.message);
            }
            status.stage = Stage::Halted;
            status.halted = Some(halt);
        });
    }

    /// Leaves a word of the halt, unless the same one is there.
    fn leave_word(&mut self, partition: i32, halt: &Halt) {
        let now_ms = self.shared.now_ms();
        let Some(carried) = self.carried.get_mut(&partition) else { return };
        let since_ms = match &carried.told {
            Some(told) if told.message == halt.message => told.since_ms,
            _ => now_ms,
        };
        let word = HaltRecord::new(halt, carried.stored.clone(), since_ms);
        if carried.told.as_ref() != Some(&word) {
            self.shared.stamper.tell(partition, word.to_bytes());
            carried.told = Some(word);
        }
    }

    /// A commit of the partition is stored: where it is halted all the same, that is about this one now.
    pub(super) fn is_stored(&mut self, partition: i32) {
        let Some(lane) = self.keeper.lane(partition) else { return };
        let stored = About { cut: lane.last().cloned(), group: lane.committed() };
        self.now_stored(partition, stored);
    }

    /// These commits were found stored, be they ours or another's.
    pub(super) fn are_stored(&mut self, stored: &BTreeMap<i32, Option<Stored>>) {
        for (&partition, stored) in stored {
            let Some(Stored { owner, commit, offset }) = stored.clone() else { continue };
            self.now_stored(partition, About { cut: Some((owner, commit)), group: Some(offset) });
        }
    }

    fn now_stored(&mut self, partition: i32, stored: About) {
        let Some(carried) = self.carried.get_mut(&partition) else { return };
        carried.stored = stored;
        let halted = self.shared.status.partitions.get(&partition).and_then(|it| it.halted.clone());
        if let Some(halt) = halted {
            self.leave_word(partition, &halt);
        }
    }
}
