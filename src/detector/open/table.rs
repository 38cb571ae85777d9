//! Where open exceptions are kept: by slot, in chunks that never move.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::OpenException;
use crate::detector::chunks::Chunks;
use crate::detector::exception::{Kind, Severity};
use crate::detector::index::{Hashes, Index};
use crate::detector::memory::{BlockSource, Slab};
use crate::detector::table::Slot;

const HASH: FixedState = FixedState::with_seed(0x09e4);
/// Numbers of a place to ask for with [`OpenTable::at_place`].
const PLACE: u32 = 16;

/// The open exceptions of a shard, by slot, and their number by carrier, kind and severity.
///
/// However many open in one second, none takes much longer than another: what holds them grows in
/// slices, and nothing moves.
pub struct OpenTable {
    /// Numbers by slot.
    index: Index,
    /// Slots by number, apart from the entries: the index asks for them out of order as it grows, and
    /// so many more of them are in one line and page.
    slots: Slots,
    entries: Chunks<Entry>,
    /// The number that is used next; at the end of the chain that hangs on it a new one is.
    free: u32,
    counts: BTreeMap<(Arc<str>, Kind, Severity), usize>,
    source: Arc<dyn BlockSource>,
}

/// What stands at a number.
enum Entry {
    /// Nothing, and the number that is used after this one.
    Free(u32),
    /// An exception.
    Open(OpenException),
}

impl Entry {
    fn open(&self) -> Option<&OpenException> {
        match self {
            Self::Free(_) => None,
            Self::Open(open) => Some(open),
        }
    }
}

/// Slots by the number of their exception.
#[derive(Default)]
struct Slots(Slab<Slot>);

impl Slots {
    #[inline]
    fn of(&self, number: u32) -> Option<Slot> {
        self.0.get(number as usize).copied()
    }

    fn put(&mut self, number: u32, slot: Slot, source: &dyn BlockSource) {
        self.0.provide(number as usize, source);
        self.0.get_mut(number as usize).into_iter().for_each(|place| *place = slot);
    }
}

impl Hashes for Slots {
    fn hash(&self, number: u32) -> u64 {
        self.of(number).map_or(0, |slot| HASH.hash_one(slot))
    }

    fn prefetch(&self, number: u32) {
        self.0.prefetch(number as usize);
    }
}

impl OpenTable {
    /// None; the memory of the index comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        let (index, slots, entries, counts) = Default::default();
        Self { index, slots, entries, free: 0, counts, source }
    }

    /// The open exception of a package.
    pub fn get(&self, slot: Slot) -> Option<&OpenException> {
        self.entries.get(self.number(slot)?).open()
    }

    /// Hints that a package is going to be asked for, or to have an exception.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        self.index.prefetch(HASH.hash_one(slot));
    }

    /// Keeps the exception as its last event left it.
    pub fn put(&mut self, slot: Slot, carrier: &Arc<str>, open: OpenException) {
        *self.counts.entry((carrier.clone(), open.kind, open.severity)).or_default() += 1;
        let entry = Entry::Open(open);
        if let Some(number) = self.number(slot) {
            let before = std::mem::replace(self.entries.get_mut(number), entry);
            self.uncount(carrier, &before);
        } else {
            let number = self.keep(entry);
            self.slots.put(number, slot, &*self.source);
            self.index.insert(HASH.hash_one(slot), number, &self.slots, &*self.source);
        }
    }

    /// Ends the exception of a package.
    pub fn take(&mut self, slot: Slot, carrier: &Arc<str>) -> Option<OpenException> {
        let number = self.number(slot)?;
        self.index.remove(HASH.hash_one(slot), number);
        let entry = std::mem::replace(self.entries.get_mut(number), Entry::Free(self.free));
        self.free = number;
        self.uncount(carrier, &entry);
        match entry {
            Entry::Open(open) => Some(open),
            Entry::Free(_) => None,
        }
    }

    /// Number of open exceptions by carrier, kind and severity.
    pub fn counts(&self) -> &BTreeMap<(Arc<str>, Kind, Severity), usize> {
        &self.counts
    }

    /// Every open exception with its slot, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &OpenException)> {
        (0..self.entries.len()).filter_map(|number| self.at(number))
    }

    /// How many places there are to ask for with [`OpenTable::at_place`].
    pub fn places(&self) -> u32 {
        self.entries.len().div_ceil(PLACE)
    }

    /// What stands at a place: a few exceptions, or what is left of such. One that stays open stays
    /// at its place.
    pub fn at_place(&self, place: u32) -> impl Iterator<Item = Option<(Slot, &OpenException)>> {
        let numbers = place * PLACE..self.entries.len().min((place + 1) * PLACE);
        numbers.map(|number| self.at(number))
    }

    fn at(&self, number: u32) -> Option<(Slot, &OpenException)> {
        Some((self.slots.of(number)?, self.entries.get(number).open()?))
    }

    fn number(&self, slot: Slot) -> Option<u32> {
        self.index.find(HASH.hash_one(slot), |number| self.slots.of(number) == Some(slot))
    }

    fn keep(&mut self, entry: Entry) -> u32 {
        if self.free == self.entries.len() {
            self.free += 1;
            return self.entries.push(entry);
        }
        let number = self.free;
        if let Entry::Free(next) = std::mem::replace(self.entries.get_mut(number), entry) {
            self.free = next;
        }
        number
    }

    fn uncount(&mut self, carrier: &Arc<str>, entry: &Entry) {
        let Some(open) = entry.open() else { return };
        let key = (carrier.clone(), open.kind, open.severity);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::memory::SystemBlocks;
    use crate::detector::time::{Deadline, EffectiveTime, LogTime};
    use proptest::prelude::*;

    fn exception(sequence: u32) -> OpenException {
        OpenException {
            kind: Kind::NoMovement,
            anchor: EffectiveTime::from_secs(0),
            set_at: LogTime::from_secs(0),
            opened_deadline: Deadline::from_secs(0),
            deadline: Deadline::from_secs(0),
            severity: Severity::Warning,
            step: 0,
            step_name: "stalled".into(),
            sequence,
            policy_id: "everything".into(),
            policy_set: "".into(),
        }
    }

    fn at_places(table: &OpenTable) -> Vec<(Slot, u32)> {
        let places = (0..table.places()).flat_map(|place| table.at_place(place));
        places.flatten().map(|(slot, open)| (slot, open.sequence)).collect()
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_map_holds_and_uses_numbers_again(
            steps in prop::collection::vec((prop::bool::weighted(0.6), 0..90u32), 1..600)
        ) {
            let carrier: Arc<str> = "ups".into();
            let mut table = OpenTable::new(Arc::new(SystemBlocks));
            let mut map = BTreeMap::new();
            let mut most = 0;
            for (sequence, (puts, slot)) in (0..).zip(steps) {
                if puts {
                    table.put(slot, &carrier, exception(sequence));
                    map.insert(slot, sequence);
                } else {
                    let taken = table.take(slot, &carrier).map(|open| open.sequence);
                    prop_assert_eq!(taken, map.remove(&slot));
                }
                most = most.max(map.len());
                let held = table.get(slot).map(|open| open.sequence);
                prop_assert_eq!(held, map.get(&slot).copied());
            }
            let known: Vec<_> = map.iter().map(|(slot, sequence)| (*slot, *sequence)).collect();
            let mut all: Vec<_> = table.iter().map(|(slot, open)| (slot, open.sequence)).collect();
            let mut shown = at_places(&table);
            all.sort_unstable();
            shown.sort_unstable();
            prop_assert_eq!(&all, &known);
            prop_assert_eq!(&shown, &known);
            prop_assert_eq!(table.counts().values().sum::<usize>(), map.len());
            prop_assert_eq!(table.entries.len() as usize, most);
        }
    }

    #[test]
    fn what_stays_open_stays_at_its_place() {
        let carrier: Arc<str> = "ups".into();
        let mut table = OpenTable::new(Arc::new(SystemBlocks));
        (0..100).for_each(|slot| table.put(slot, &carrier, exception(slot)));
        let place_of = |table: &OpenTable, slot| {
            let is_there =
                |place: &u32| table.at_place(*place).flatten().any(|(other, _)| other == slot);
            (0..table.places()).find(is_there)
        };
        let before = place_of(&table, 70);
        (0..70).for_each(|slot| drop(table.take(slot, &carrier)));
        (200..400).for_each(|slot| table.put(slot, &carrier, exception(slot)));
        table.put(70, &carrier, exception(1));
        assert_eq!(place_of(&table, 70), before);
    }
}
