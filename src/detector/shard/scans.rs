//! What a scan does to the shard: the effects of what [`observe`] finds.

use super::super::key::PackageKey;
use super::super::package::{Package, Phase, Taken, Transition, observe};
use super::super::profile::Sighted;
use super::super::record::{self, TRAITS};
use super::super::scan::{Attributes, Effect, Outcome, Scan};
use super::super::table::{MAX_SLOTS, Slot};
use super::{Shard, stages};

impl Shard {
    /// Applies a scan to the package that stands at `slot`, if it is known. `None` when there is no
    /// room for what the scan brings.
    #[inline(never)]
    pub(super) fn scan(
        &mut self,
        scan: &Scan<'_>,
        slot: Option<Slot>,
        sighted: &Sighted,
    ) -> Option<Outcome> {
        let log_clock = self.log_clock.unwrap_or(scan.log_time);
        let retention = self.retention.settled_retention;
        let before = slot.map(|slot| self.table.package(slot));
        let transition = observe(before.as_ref(), scan, log_clock, retention);
        if self.profiles.are_full(TRAITS) {
            return None;
        }
        let taken = transition.attributes_taken(before.as_ref(), scan);
        match (transition, slot) {
            (Transition::Unchanged(_), None) => {}
            (Transition::Unchanged(_), Some(slot)) => {
                if self.take_attributes(slot, scan, taken, sighted) {
                    self.hang(slot);
                }
            }
            (Transition::Born(package), None) => {
                if self.table.len() >= self.max_packages.min(MAX_SLOTS) {
                    return None;
                }
                let slot = self.keep(&scan.key, &package, (&scan.attributes, taken), sighted);
                self.hang(slot);
            }
            (Transition::Born(package), Some(slot)) => {
                self.begin_again(slot, scan, taken, sighted);
                self.overwrite(slot, before.map(|before| before.phase), &package);
                self.hang(slot);
            }
            (Transition::Changed { package, closes }, Some(slot)) => {
                if closes {
                    self.close(slot, scan);
                }
                self.overwrite(slot, before.map(|before| before.phase), &package);
                self.take_attributes(slot, scan, taken, sighted);
                self.hang(slot);
            }
            (Transition::Changed { .. }, None) => {
                unreachable!("a package that is not known cannot change")
            }
        }
        Some(transition.outcome())
    }

    /// What nearly every scan does, in as few steps as there can be: a package on its way moves on.
    /// Returns false, and nothing has happened, where [`observe`] has to be asked.
    #[inline(always)]
    pub(super) fn moves_on(&mut self, scan: &Scan<'_>, sighted: &stages::Sighted) -> bool {
        let (Some(log_clock), Some(key), Some(slot)) = (self.log_clock, sighted.key, sighted.slot)
        else {
            return false;
        };
        let e = scan.effective_time().secs();
        let (Ok(anchor), Ok(lag)) = (u32::try_from(e), u64::try_from(log_clock.secs() - e)) else {
            return false;
        };
        let moves = scan.effect() == Effect::Moves && !self.profiles.are_full(TRAITS);
        let record = self.table.get_mut(slot);
        let moves = moves && sighted.traits.changes_place_at_most(record.traits());
        if !moves || record.key() != key || !record.move_on(scan.milestone, anchor, lag) {
            return false;
        }
        record.set_place(self.profiles.move_to(record.traits().place, &sighted.traits));
        let hung = record.hung();
        if !self.is_in_time(anchor, hung) {
            self.hang(slot);
        }
        true
    }

    pub(super) fn keep(
        &mut self,
        key: &PackageKey,
        package: &Package,
        attributes: (&Attributes<&str>, Taken),
        sighted: &Sighted,
    ) -> Slot {
        let packed = self.keyring.hold(key);
        let carrier = self.keyring.carrier_of(packed);
        let feed_grace = || self.policies.feed_grace(key.carrier());
        let traits = self.profiles.begin(carrier, attributes, sighted, feed_grace);
        self.phases[package.phase as usize] += 1;
        self.table.insert(packed.hash(), record::Record::of(packed, traits), package)
    }

    /// The number of a settled package begins a new life, with nothing of the old one.
    fn begin_again(&mut self, slot: Slot, scan: &Scan<'_>, taken: Taken, sighted: &Sighted) {
        let record = self.table.get(slot);
        let (key, before) = (record.key(), record.traits());
        let carrier = self.keyring.carrier_of(key);
        let feed_grace = self.profiles.feed_grace(before);
        let feed_grace = || feed_grace;
        let traits = self.profiles.begin(carrier, (&scan.attributes, taken), sighted, feed_grace);
        self.table.get_mut(slot).set_traits(traits);
        self.profiles.release(before);
    }

    fn close(&mut self, slot: Slot, scan: &Scan<'_>) {
        if !self.table.get(slot).is_open() {
            return;
        }
        let subject = self.subject(slot);
        if let Some(open) = self.take_open(slot) {
            self.outbox.closed_by(subject, &open, scan);
        }
    }

    #[inline]
    fn overwrite(&mut self, slot: Slot, before: Option<Phase>, package: &Package) {
        if let Some(before) = before.filter(|before| *before != package.phase) {
            self.phases[before as usize] -= 1;
            self.phases[package.phase as usize] += 1;
        }
        self.table.set_package(slot, package);
    }

    /// Returns whether any attribute changed.
    #[inline]
    fn take_attributes(
        &mut self,
        slot: Slot,
        scan: &Scan<'_>,
        taken: Taken,
        sighted: &Sighted,
    ) -> bool {
        let record = self.table.get(slot);
        let (carrier, before) = (self.keyring.carrier_of(record.key()), record.traits());
        let after = self.profiles.update(carrier, before, (&scan.attributes, taken), sighted);
        if before == after {
            return false;
        }
        self.table.get_mut(slot).set_traits(after);
        true
    }
}
