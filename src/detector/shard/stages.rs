//! The stages that a group of records goes through before it is applied: what is looked up ahead, so
//! that its memory is there when it is needed.

use std::ops::Range;

use super::super::keyring::PackedKey;
use super::super::profile::{self, Wanted};
use super::super::scan::Record;
use super::super::table::Slot;
use super::Shard;

/// Records whose memory is fetched together: two stages fetch one line each for every record, and
/// more than some sixteen lines are not under way at once.
pub(super) const GROUP: usize = 8;

/// Groups that are on their way at once: one that is applied, three behind it.
pub(super) const STAGES: usize = 4;

/// What the stages before know of a record's package. Records in between may have moved it.
#[derive(Clone, Copy)]
pub(super) struct Sighted {
    /// `None` where no package can have it.
    pub(super) key: Option<PackedKey>,
    hash: u64,
    /// Where the package may stand.
    pub(super) slot: Option<Slot>,
    pub(super) traits: profile::Sighted,
}

/// A group of records in the stages before it is applied.
pub(super) struct Sighting {
    pub(super) sighted: [Sighted; GROUP],
    /// Where the first of them stands in the batch.
    first: usize,
    /// How many there are.
    count: usize,
    /// Records that may bring texts of a profile: the number in the group, and what to look for.
    wanted: [(usize, Option<Wanted>); GROUP],
    /// How many of these there are.
    wanting: usize,
}

impl Sighting {
    pub(super) const NOTHING: Self = Self {
        sighted: [Sighted::NOTHING; GROUP],
        first: 0,
        count: 0,
        wanted: [(0, None); GROUP],
        wanting: 0,
    };

    /// Those whose key some package may have.
    fn keyed(&self) -> impl Iterator<Item = &Sighted> {
        self.sighted[..self.count].iter().filter(|sighted| sighted.key.is_some())
    }
}

impl Sighted {
    const NOTHING: Self =
        Self { key: None, hash: 0, slot: None, traits: profile::Sighted::UNKNOWN };
}

impl Shard {
    /// The first stage of a group: keys, and the lines of the index that they lead to. Each stage
    /// ends with a loop that does nothing but fetch, so that as many lines as the processor can are
    /// under way at once.
    #[inline]
    pub(super) fn sight<'r, 't: 'r>(
        &self,
        sighting: &mut Sighting,
        group: Range<usize>,
        record: &impl Fn(usize) -> &'r Record<'t>,
    ) {
        (sighting.first, sighting.count) = (group.start, group.len());
        sighting.wanting = 0;
        for (number, at) in group.enumerate() {
            let sighted = self.sight_one(record(at));
            // No branch on whether it does.
            sighting.wanted[sighting.wanting % GROUP] = (number, None);
            sighting.wanting += usize::from(sighted.traits.brings_profile());
            sighting.sighted[number] = sighted;
        }
        for sighted in sighting.keyed() {
            self.table.prefetch_index(sighted.hash);
        }
    }

    /// The second stage of a group: the records that the index names, and the profiles that those
    /// begin with that it does not name.
    #[inline]
    pub(super) fn find_slots<'r, 't: 'r>(
        &self,
        sighting: &mut Sighting,
        record: &impl Fn(usize) -> &'r Record<'t>,
    ) {
        let count = sighting.count;
        for sighted in &mut sighting.sighted[..count] {
            if sighted.key.is_some() {
                sighted.slot = self.table.candidate(sighted.hash);
            }
        }
        for slot in sighting.sighted[..count].iter().filter_map(|sighted| sighted.slot) {
            self.table.prefetch(slot);
        }
        for (number, wanted) in &mut sighting.wanted[..sighting.wanting] {
            let sighted = &sighting.sighted[*number];
            if sighted.slot.is_none()
                && let (Record::Scan(scan), Some(key)) =
                    (record(sighting.first + *number), sighted.key)
            {
                let carrier = self.keyring.carrier_of(key);
                *wanted = self.profiles.sight_new(carrier, &scan.attributes);
            }
        }
    }

    /// The third stage of a group: what its scans' texts are compared with.
    #[inline]
    pub(super) fn fetch_profiles(&self, sighting: &mut Sighting) {
        for (number, wanted) in &mut sighting.wanted[..sighting.wanting] {
            if let Sighted { key: Some(key), slot: Some(slot), .. } = sighting.sighted[*number]
                && self.table.holds(slot, key)
            {
                *wanted = Some(Wanted::Held(self.table.get(slot).traits().profile));
            }
        }
        for (_, wanted) in &sighting.wanted[..sighting.wanting] {
            wanted.iter().for_each(|wanted| self.profiles.fetch(wanted));
        }
    }

    /// The fourth stage of a group, right before it is applied: what its scans' texts come to.
    #[inline]
    pub(super) fn compare<'r, 't: 'r>(
        &mut self,
        sighting: &mut Sighting,
        record: &impl Fn(usize) -> &'r Record<'t>,
    ) {
        for (number, wanted) in &sighting.wanted[..sighting.wanting] {
            if let (Some(wanted), Record::Scan(scan)) = (wanted, record(sighting.first + *number)) {
                let traits = &mut sighting.sighted[*number].traits;
                self.profiles.compare(wanted, &scan.attributes, traits);
            }
        }
    }

    #[inline(always)]
    fn sight_one(&self, record: &Record<'_>) -> Sighted {
        let Record::Scan(scan) = record else {
            return Sighted::NOTHING;
        };
        let traits = self.profiles.sight(&scan.attributes);
        match self.keyring.find(&scan.key) {
            Some(key) => Sighted { key: Some(key), hash: key.hash(), slot: None, traits },
            None => Sighted { traits, ..Sighted::NOTHING },
        }
    }

    /// The slot of a package that was sighted, as it is now.
    #[inline]
    pub(super) fn found(&self, key: PackedKey, sighted: &Sighted) -> Option<Slot> {
        match sighted.slot {
            Some(slot) if self.table.holds(slot, key) => Some(slot),
            _ => self.table.find(key, sighted.hash),
        }
    }
}
