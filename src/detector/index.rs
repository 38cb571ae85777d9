//! Finds the slot of a key: tagged buckets of one cache line, each with twelve slots.
//!
//! ```text
//!  bucket (64 bytes)   tags 12 × 8 bits | passed 8 bits | … | slots 12 × 32 bits
//! ```
//!
//! An entry stands in the bucket of its hash, or where that is full in one behind it; `passed`
//! counts the entries that had to go on, so that a look-up knows where to stop and a deletion leaves
//! no tombstone. A hash becomes a bucket by its high bits and a tag by its low ones, so buckets stand
//! in the order of hashes, and a table of any size can be moved into a larger one from front to back.
//!
//! Growth goes in slices: while both tables live, the old one's bucket of a hash tells where it
//! belongs: before the line that has been moved in the new table, behind it still in the old one.
//! Only an entry that stands behind its own bucket can lag behind that line, by at most the largest
//! distance ever gone. Memory that the old table has left behind is given up at once.

use super::memory::{BlockSource, Plain, Slab, equal_bytes};

const LANES: usize = 12;
/// Where in the head of a bucket the entries are counted that stand behind it.
const PASSED: usize = LANES;
const FIRST_HOMES: usize = 16;
/// Of the lanes, how many may be taken before the table grows: 66 of a hundred. Then one entry in
/// sixty stands behind its own bucket, in a line that nobody has fetched; at 72 it is one in 36.
const MAX_LOAD: (usize, usize) = (66, 100);
/// Small tables grow fourfold, large ones by a quarter.
const SMALL: usize = 32_768;
/// Buckets that one entry more moves while the table grows.
const SLICE: usize = 4;
/// Counters that reach this stay there: look-ups go on, as they should.
const STUCK: u8 = u8::MAX;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// A tag for each lane, 0: it is free; then how many entries that belong here or further in
    /// front stand behind this bucket; the rest is not used.
    head: [u8; 16],
    slots: [u32; LANES],
}

// SAFETY: zero bytes are an empty bucket; the size is 64, the alignment 64.
unsafe impl Plain for Bucket {}

impl Bucket {
    /// The lanes of this tag.
    #[inline]
    fn lanes(&self, tag: u8) -> Lanes {
        Lanes(equal_bytes(&self.head, tag) & ((1 << LANES) - 1))
    }

    /// The slots of the lanes that are taken.
    fn taken(&self) -> impl Iterator<Item = u32> {
        let taken = self.head.into_iter().zip(self.slots).filter(|(tag, _)| *tag != 0);
        taken.map(|(_, slot)| slot)
    }

    fn passed(&self) -> u8 {
        self.head[PASSED]
    }
}

/// Lanes of a bucket, first to last.
struct Lanes(u32);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let lane = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// One table: as many buckets as it has homes, and what has gone on behind the last.
#[derive(Default)]
struct Half {
    buckets: Slab<Bucket>,
    homes: usize,
    /// No bucket from here on was ever used.
    end: usize,
    /// The largest distance of an entry from its home, ever.
    reach: usize,
}

impl Half {
    /// An empty table. One that becomes large begins in memory made ready.
    fn of(homes: usize, source: &dyn BlockSource) -> Self {
        let mut half = Self { homes, ..Self::default() };
        if homes >= Slab::<Bucket>::PER_BLOCK {
            half.buckets.begin_large(source);
        }
        half
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    /// Bucket and lane of the entry that `same` says yes to.
    #[inline]
    fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        let mut number = self.home(hash);
        while let Some(bucket) = self.buckets.get(number) {
            for lane in bucket.lanes(tag(hash)) {
                if same(bucket.slots[lane]) {
                    return Some((number, lane));
                }
            }
            if bucket.passed() == 0 {
                return None;
            }
            number += 1;
        }
        None
    }

    /// Adds an entry that is not there.
    fn insert(&mut self, hash: u64, slot: u32, source: &dyn BlockSource) {
        let home = self.home(hash);
        let mut number = home;
        while let Some(bucket) = self.buckets.get_mut(number) {
            if bucket.lanes(0).0 != 0 {
                break;
            }
            bucket.head[PASSED] = bucket.passed().saturating_add(1);
            number += 1;
        }
        self.reach = self.reach.max(number - home);
        self.end = self.end.max(number + 1);
        self.buckets.provide(number, source);
        if let Some(bucket) = self.buckets.get_mut(number)
            && let Some(lane) = bucket.lanes(0).next()
        {
            bucket.head[lane] = tag(hash);
            bucket.slots[lane] = slot;
        }
    }

    fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let Some((number, lane)) = self.find(hash, |other| other == slot) else {
            return false;
        };
        if let Some(bucket) = self.buckets.get_mut(number) {
            bucket.head[lane] = 0;
        }
        for passed in self.home(hash)..number {
            if let Some(bucket) = self.buckets.get_mut(passed)
                && bucket.passed() != STUCK
            {
                bucket.head[PASSED] -= 1;
            }
        }
        true
    }
}

/// A table that is being left.
struct Old {
    half: Half,
    /// Buckets in front of this one have been moved.
    moved: usize,
}

/// Slots by hash.
#[derive(Default)]
pub struct Index {
    new: Half,
    old: Option<Old>,
    len: usize,
}

/// What the index asks of the records while it grows.
pub trait Hashes {
    /// The hash of the key of a slot.
    fn hash(&self, slot: u32) -> u64;
    /// The hash of this slot is going to be asked for.
    fn prefetch(&self, slot: u32);
}

impl Index {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Hints that a hash is going to be looked up.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        match &self.old {
            Some(old) if old.half.home(hash) >= old.moved => {
                old.half.buckets.prefetch(old.half.home(hash));
            }
            _ => self.new.buckets.prefetch(self.new.home(hash)),
        }
    }

    /// The entry of this hash that `same` says yes to.
    #[inline]
    pub fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut found = 0;
        let mut same = |slot| {
            found = slot;
            same(slot)
        };
        let place = match &self.old {
            None => self.new.find(hash, &mut same),
            Some(old) => self.find_in_both(old, hash, &mut same),
        };
        place.map(|_| found)
    }

    /// An entry that may be the one of this hash, told by its tag alone.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, hash: u64, slot: u32, hashes: &impl Hashes, source: &dyn BlockSource) {
        let (taken, of) = MAX_LOAD;
        if self.old.is_none() && (self.len + 1) * of > self.new.homes * LANES * taken {
            self.grow(source);
        }
        self.move_on(hashes, source);
        self.half_of(hash).insert(hash, slot, source);
        self.len += 1;
    }

    /// Takes an entry out.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        let lags = |old: &Old| old.half.home(hash) + old.half.reach >= old.moved;
        let removed = match &mut self.old {
            Some(old) if old.half.home(hash) >= old.moved => old.half.remove(hash, slot),
            Some(old) => self.new.remove(hash, slot) || lags(old) && old.half.remove(hash, slot),
            None => self.new.remove(hash, slot),
        };
        self.len -= usize::from(removed);
    }

    /// Makes room for so many entries in one go. Does nothing where there is any already.
    pub fn reserve(&mut self, entries: usize, source: &dyn BlockSource) {
        if self.len == 0 && self.old.is_none() {
            let (taken, of) = MAX_LOAD;
            // A tenth more: the next growth is not to begin at once.
            let homes = entries.saturating_add(entries / 10) / LANES * of / taken;
            self.new = Half::of(homes.max(FIRST_HOMES), source);
        }
    }

    fn find_in_both(
        &self,
        old: &Old,
        hash: u64,
        same: &mut impl FnMut(u32) -> bool,
    ) -> Option<(usize, usize)> {
        let home = old.half.home(hash);
        if home >= old.moved {
            return old.half.find(hash, same);
        }
        let found = self.new.find(hash, &mut *same);
        if found.is_some() || home + old.half.reach < old.moved {
            return found;
        }
        old.half.find(hash, same)
    }

    fn half_of(&mut self, hash: u64) -> &mut Half {
        match &mut self.old {
            Some(old) if old.half.home(hash) >= old.moved => &mut old.half,
            _ => &mut self.new,
        }
    }

    fn grow(&mut self, source: &dyn BlockSource) {
        let homes = match self.new.homes {
            0 => FIRST_HOMES,
            homes if homes < SMALL => homes * 4,
            homes => homes / 4 * 5,
        };
        let old = std::mem::replace(&mut self.new, Half::of(homes, source));
        if old.homes > 0 {
            self.old = Some(Old { half: old, moved: 0 });
        }
    }

    /// Moves some buckets of the old table, and leaves it when it is empty.
    fn move_on(&mut self, hashes: &impl Hashes, source: &dyn BlockSource) {
        let Some(old) = &mut self.old else { return };
        for _ in 0..SLICE.min(old.half.end - old.moved) {
            old.announce(old.moved + SLICE, hashes);
            if let Some(bucket) = old.half.buckets.get_mut(old.moved) {
                let left = *bucket;
                bucket.head[..LANES].fill(0);
                for slot in left.taken() {
                    self.new.insert(hashes.hash(slot), slot, source);
                }
            }
            old.moved += 1;
            old.give_up_behind(source);
        }
        if old.moved == old.half.end {
            old.half.buckets.clear(source);
            self.old = None;
        }
    }
}

impl Old {
    /// Lets the records of a bucket be fetched that is moved soon.
    fn announce(&self, number: usize, hashes: &impl Hashes) {
        if let Some(bucket) = self.half.buckets.get(number) {
            bucket.taken().for_each(|slot| hashes.prefetch(slot));
        }
    }

    /// Gives up the block that no look-up reaches back to any more.
    fn give_up_behind(&mut self, source: &dyn BlockSource) {
        let behind = self.moved.saturating_sub(self.half.reach + 1);
        if behind > 0 && behind.is_multiple_of(Slab::<Bucket>::PER_BLOCK) {
            self.half.buckets.give_up(behind - 1, source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::SystemBlocks;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Hashes by slot, as the records would give them.
    struct Known(Vec<u64>);

    impl Hashes for Known {
        fn hash(&self, slot: u32) -> u64 {
            self.0[slot as usize]
        }

        fn prefetch(&self, _slot: u32) {}
    }

    /// Spreads numbers like a hash does.
    fn spread(number: u64) -> u64 {
        let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        product as u64 ^ (product >> 64) as u64
    }

    fn check(index: &Index, known: &Known, present: &HashMap<u32, ()>) {
        for slot in 0..known.0.len() as u32 {
            let found = index.find(known.hash(slot), |other| other == slot);
            assert_eq!(found.is_some(), present.contains_key(&slot), "slot {slot}");
        }
        assert_eq!(index.len(), present.len());
    }

    #[test]
    fn look_ups_stay_right_at_every_step_of_growth() {
        let known = Known((0..3_000).map(spread).collect());
        let (mut index, mut present) = (Index::default(), HashMap::new());
        for slot in 0..3_000 {
            index.insert(known.hash(slot), slot, &known, &SystemBlocks);
            present.insert(slot, ());
            if slot % 7 == 0 || index.old.is_some() && slot % 3 == 0 {
                check(&index, &known, &present);
            }
        }
    }

    #[test]
    fn a_large_table_gives_its_old_memory_up_and_finds_everything() {
        let known = Known((0..1_000_000).map(spread).collect());
        let mut index = Index::default();
        let mut given_up_early = false;
        for slot in 0..1_000_000 {
            index.insert(known.hash(slot), slot, &known, &SystemBlocks);
            given_up_early |= index
                .old
                .as_ref()
                .is_some_and(|old| old.half.buckets.get(0).is_none() && old.moved < old.half.end);
        }
        assert!(given_up_early);
        for slot in 0..1_000_000 {
            let found = index.find(known.hash(slot), |other| other == slot);
            assert_eq!(found, Some(slot));
        }
        for slot in 0..1_000_000 {
            index.remove(known.hash(slot), slot);
        }
        assert_eq!(index.len(), 0);
        let left = |number| index.new.buckets.get(number).is_some_and(|b| b.passed() > 0);
        assert!(!(0..index.new.end).any(left), "a counter of a passed entry that is gone");
    }

    proptest! {
        /// Few distinct hashes: crowded buckets, entries far from home, equal tags.
        #[test]
        fn an_index_holds_what_a_map_holds_however_the_hashes_crowd(
            crowd in prop_oneof![Just(1u64), Just(5), Just(300), Just(u64::MAX)],
            steps in prop::collection::vec((any::<bool>(), 0u32..600), 1..900)
        ) {
            let known = Known((0..600).map(|slot| match crowd {
                1 => u64::MAX,
                u64::MAX => spread(slot),
                few => spread(slot % few),
            }).collect());
            let (mut index, mut present) = (Index::default(), HashMap::new());
            for (adds, slot) in steps {
                let hash = known.hash(slot);
                if adds && present.insert(slot, ()).is_none() {
                    index.insert(hash, slot, &known, &SystemBlocks);
                } else if !adds {
                    present.remove(&slot);
                    index.remove(hash, slot);
                }
                let found = index.find(hash, |other| other == slot);
                prop_assert_eq!(found.is_some(), present.contains_key(&slot));
            }
            check(&index, &known, &present);
        }
    }
}
