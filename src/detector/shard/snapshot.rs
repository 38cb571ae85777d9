//! Package state out of a shard and into one: [`crate::detector::snapshot`].

use std::sync::Arc;

use super::super::keyring::SPILLED;
use super::super::memory::BlockSource;
use super::super::policy::PolicySet;
use super::super::profile::Profiles;
use super::super::record::Record;
use super::super::snapshot::{Digest, Image};
use super::super::table::Slot;
use super::super::time::LogTime;
use super::super::{keyring::Keyring, table::Table};
use super::Shard;
use super::hang::to_wheel;

/// A look is under way: call again once [`Shard::apply`] or [`Shard::advance`] have said that they
/// are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no image of a shard that has work left of an earlier call")]
pub struct Busy;

impl Shard {
    /// Makes an image an exact copy of the package state. All that pauses the shard is the copying:
    /// 32 bytes a package, each distinct text, profile, place, carrier and spilled key once. No
    /// page is waited for where [`Image::prepare`] was called for [`Shard::slots`] before.
    ///
    /// # Errors
    /// [`Busy`] while packages that are due or over have not been looked at: the state would be
    /// none that the log ever has.
    pub fn image(&self, into: &mut Image) -> Result<(), Busy> {
        if self.look.is_under_way() {
            return Err(Busy);
        }
        into.take((&self.table, &self.keyring, &self.profiles), self.log_clock);
        Ok(())
    }

    /// How many packages an [`Image`] has to have room for: those that are known and places that
    /// some have left.
    pub fn slots(&self) -> usize {
        self.table.used()
    }

    /// Whether two shards have one package state: equal states have equal digests, and different
    /// ones in all probability not. Independent of the order in which packages came, of what was
    /// forgotten, of policies, open exceptions and the frontier. Looks at every package.
    pub fn state_digest(&self) -> u128 {
        let mut digest = Digest::default();
        self.profiles.texts().for_each(|(id, text)| digest.text(id, text));
        self.keyring.carriers().for_each(|(id, name)| digest.carrier(id, name));
        self.profiles.profiles().for_each(|(id, _, texts)| digest.profile(id, texts));
        self.profiles.places().for_each(|(id, texts)| digest.place(id, texts));
        for slot in self.table.slots() {
            let record = self.table.get(slot);
            let traits = record.traits();
            let traits = (traits.profile, traits.place);
            let carrier = self.keyring.carrier_of(record.key());
            let package = self.table.package(slot);
            match record.key().parts() {
                // The one or the other by how many carriers there were when it came.
                (SPILLED, _) => {
                    let key = self.keyring.key(record.key());
                    let text = key.number();
                    let number = key.code().ok_or(text.as_str());
                    digest.package((carrier, number), &package, traits);
                }
                (_, code) => digest.package((carrier, Ok(code)), &package, traits),
            }
        }
        digest.finish(self.log_clock)
    }

    /// The parts of a shard that a loader fills.
    pub(in crate::detector) fn to_load(
        policies: Arc<PolicySet>,
        source: Arc<dyn BlockSource>,
        log_clock: Option<LogTime>,
    ) -> Self {
        let mut shard = Self::rebuilding_with_memory(policies, source);
        shard.log_clock = log_clock;
        let now = to_wheel(log_clock.map_or(0, LogTime::secs));
        shard.look.restart(now, now);
        shard
    }

    pub(in crate::detector) fn parts(&mut self) -> (&mut Table, &mut Keyring, &mut Profiles) {
        (&mut self.table, &mut self.keyring, &mut self.profiles)
    }

    pub(in crate::detector) fn feed_grace_of(&self, carrier: &str) -> i64 {
        self.policies.feed_grace(carrier)
    }

    /// Takes in packages that are not known; returns the slot of the first.
    pub(in crate::detector) fn load(&mut self, records: &[Record]) -> Slot {
        for record in records {
            self.phases[record.package().0.phase as usize] += 1;
        }
        self.table.load(records)
    }

    /// Hangs up packages that were loaded, once all that is known of them has been.
    pub(in crate::detector) fn hang_loaded(&mut self, slots: std::ops::Range<Slot>) {
        for slot in slots {
            self.hang(slot);
        }
    }
}
