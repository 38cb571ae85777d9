//! Puts the packages of one second in order, a bounded piece of work at a time.
//!
//! Ten million packages may come up in one second, and sorting them at once would stop everything
//! for a second too. So they are kept in blocks and spread in place over pieces (`spread`, which can
//! stop and go on after any exchange), and pieces that are short enough are sorted (`sort`) as they
//! are asked for, front to back.

use std::sync::Arc;

use super::keyring::{Keyring, PackedKey};
use super::memory::{BlockSource, Plain, Slab};
use super::table::Slot;
use sort::Sorter;
use spread::Spread;

mod sort;
mod spread;

/// Pieces up to this length are sorted in one go.
const PIECE: usize = 4_096;

/// A package that came up, and where its key stands in the order.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Entry {
    order: [u64; 2],
    /// The package's record.
    slot: Slot,
    /// Where it belongs while its piece is being spread.
    place: u32,
}

// SAFETY: zero bytes are numbers; the size is 32, the alignment 32.
unsafe impl Plain for Entry {}

impl Entry {
    #[inline]
    fn order(&self) -> u128 {
        u128::from(self.order[0]) << 64 | u128::from(self.order[1])
    }

    /// Some bits of it, those above cut off.
    #[inline]
    fn word(&self, shift: u32) -> u64 {
        (self.order() >> shift) as u64
    }
}

/// Entries from `start` to before `end`.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    /// Nothing but their texts tells the entries apart: they are sorted in one go, however many.
    alike: bool,
}

impl Piece {
    fn len(self) -> usize {
        self.end - self.start
    }
}

/// The packages of one second.
pub struct Order {
    entries: Slab<Entry>,
    len: usize,
    /// Pieces that are still to be sorted, the first on top.
    pieces: Vec<Piece>,
    spread: Option<Spread>,
    /// Bits in which the orders of all entries differ from the first.
    differing: u128,
    first: u128,
    /// The piece that is being given out, sorted.
    sorted: Vec<Entry>,
    sorter: Sorter,
    given: usize,
    begun: bool,
    source: Arc<dyn BlockSource>,
}

impl Order {
    /// Nothing, with memory from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self {
            entries: Slab::default(),
            len: 0,
            pieces: Vec::new(),
            spread: None,
            differing: 0,
            first: 0,
            sorted: Vec::new(),
            sorter: Sorter::default(),
            given: 0,
            begun: false,
            source,
        }
    }

    /// Adds a package. The ring must have been ranked.
    #[inline]
    pub fn push(&mut self, slot: Slot, key: PackedKey, ring: &Keyring) {
        let entry = Entry { order: ring.order(key), slot, place: 0 };
        if self.len == 0 {
            (self.first, self.differing) = (entry.order(), 0);
        }
        self.differing |= self.first ^ entry.order();
        if self.len < PIECE {
            self.sorted.push(entry);
        } else {
            self.keep(self.len, entry);
        }
        self.len += 1;
    }

    /// Whether every package that was added has been given out.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next package; `None` where there is none or the budget is used up, which
    /// [`Self::is_empty`] tells apart. `key_of` gives a slot's key.
    #[inline]
    pub fn next(
        &mut self,
        ring: &Keyring,
        key_of: &impl Fn(Slot) -> PackedKey,
        budget: &mut u32,
    ) -> Option<Slot> {
        if !self.begun {
            self.begin(ring, key_of);
        }
        while self.given == self.sorted.len() {
            if self.pieces.is_empty() && self.spread.is_none() || *budget == 0 {
                return None;
            }
            self.work(ring, key_of, budget);
        }
        let slot = self.sorted[self.given].slot;
        self.given += 1;
        self.len -= 1;
        if self.len == 0 {
            self.end();
        }
        Some(slot)
    }

    /// Packages that come soon, for their memory to be fetched: now and then a burst of as many, each
    /// package once, so that those behind a page that is not known do not wait one by one.
    #[inline]
    pub fn ahead(&self, burst: usize) -> impl Iterator<Item = Slot> {
        let before = self.given.saturating_sub(1);
        let coming = match before {
            0 => self.given..2 * burst,
            _ if before.is_multiple_of(burst) => before + burst..before + 2 * burst,
            _ => 0..0,
        };
        let end = self.sorted.len().min(coming.end);
        self.sorted.get(coming.start..end).into_iter().flatten().map(|entry| entry.slot)
    }

    fn keep(&mut self, number: usize, entry: Entry) {
        self.entries.begin_large(&*self.source);
        self.entries.provide(number, &*self.source);
        *entry_mut(&mut self.entries, number) = entry;
    }

    /// Few packages are sorted where they are; many have begun there and go on in the blocks.
    fn begin(&mut self, ring: &Keyring, key_of: &impl Fn(Slot) -> PackedKey) {
        self.begun = true;
        if self.len <= PIECE {
            self.sorter.sort(&mut self.sorted, ring, key_of);
            return;
        }
        for (number, entry) in std::mem::take(&mut self.sorted).into_iter().enumerate() {
            self.keep(number, entry);
        }
        let all = Piece { start: 0, end: self.len, alike: false };
        self.spread = Some(Spread::measured(all, self.differing));
    }

    fn end(&mut self) {
        self.entries.clear(&*self.source);
        self.sorted.clear();
        (self.given, self.begun) = (0, false);
    }

    /// Goes on with the first piece, until it is sorted or the budget is used up.
    #[cold]
    fn work(&mut self, ring: &Keyring, key_of: &impl Fn(Slot) -> PackedKey, budget: &mut u32) {
        if let Some(mut spread) = self.spread.take() {
            if spread.go_on(&mut self.entries, budget) {
                self.pieces.extend(spread.pieces());
            } else {
                self.spread = Some(spread);
            }
            return;
        }
        let Some(piece) = self.pieces.pop() else { return };
        if piece.len() > PIECE && !piece.alike {
            self.spread = Some(Spread::of(piece));
            return;
        }
        self.sort_piece(piece, ring, key_of, budget);
    }

    fn sort_piece(
        &mut self,
        piece: Piece,
        ring: &Keyring,
        key_of: &impl Fn(Slot) -> PackedKey,
        budget: &mut u32,
    ) {
        self.sorted.clear();
        self.given = 0;
        let entries = &self.entries;
        self.sorted.extend((piece.start..piece.end).map(|number| *entry(entries, number)));
        self.sorter.sort(&mut self.sorted, ring, key_of);
        *budget = budget.saturating_sub(piece.len() as u32);
    }
}

#[inline]
fn entry(entries: &Slab<Entry>, number: usize) -> &Entry {
    entries.get(number).expect("an entry that was kept is there")
}

#[inline]
fn entry_mut(entries: &mut Slab<Entry>, number: usize) -> &mut Entry {
    entries.get_mut(number).expect("an entry that was kept is there")
}

#[cfg(test)]
mod tests {
    use super::super::key::PackageKey;
    use super::super::memory::SystemBlocks;
    use super::*;
    use proptest::prelude::*;

    /// What an order gives for these packages, with so much budget a call.
    fn ordered(keys: &[PackageKey], budget: u32) -> Vec<PackageKey> {
        let mut ring = Keyring::default();
        let packed: Vec<PackedKey> = keys.iter().map(|key| ring.hold(key)).collect();
        ring.rank();
        let key_of = |slot: Slot| packed[slot as usize];
        let mut order = Order::new(Arc::new(SystemBlocks));
        for (slot, &key) in packed.iter().enumerate() {
            order.push(slot as Slot, key, &ring);
        }
        let mut given = Vec::new();
        while !order.is_empty() {
            let mut left = budget;
            while let Some(slot) = order.next(&ring, &key_of, &mut left) {
                given.push(ring.key(key_of(slot)));
            }
        }
        given
    }

    fn check(keys: &[PackageKey], budget: u32) {
        let mut expected = keys.to_vec();
        expected.sort();
        assert!(ordered(keys, budget) == expected, "{} packages", keys.len());
    }

    fn keys(count: u64, number: impl Fn(u64) -> String) -> Vec<PackageKey> {
        let carriers = ["ups", "usps", "dhl"];
        let key = |n: u64| {
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            PackageKey::new(carriers[(mixed % 3) as usize], &number(mixed)).unwrap()
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn many_packages_come_in_order_whatever_a_call_may_do() {
        let numbers = |n: u64| match n % 4 {
            0 => format!("1Z{n:016}"),
            1 => format!("{n}"),
            2 => format!("00340{n:025}"),
            _ => format!("#{n}"),
        };
        for (count, budget) in [(1, 1), (4_096, 100), (4_097, 1_000), (60_000, 777)] {
            check(&keys(count, numbers), budget);
        }
        check(&keys(90_000, numbers), 513);
    }

    #[test]
    fn numbers_that_a_sample_does_not_tell_apart_come_in_order() {
        let late = |n: u64| format!("PARCEL{:06}{n:010}", n / 70_000);
        let first = PackageKey::new("ups", "A1").unwrap();
        let numbers = (0..70_000).rev().map(|n| PackageKey::new("ups", &late(n)).unwrap());
        check(&numbers.chain([first]).collect::<Vec<_>>(), 1_000);
    }

    #[test]
    fn every_package_is_fetched_once_and_before_it_comes() {
        let ring_keys = keys(1_000, |n| format!("{n}"));
        let mut ring = Keyring::default();
        let packed: Vec<PackedKey> = ring_keys.iter().map(|key| ring.hold(key)).collect();
        ring.rank();
        let key_of = |slot: Slot| packed[slot as usize];
        let mut order = Order::new(Arc::new(SystemBlocks));
        for (slot, &key) in (0..).zip(&packed) {
            order.push(slot, key, &ring);
        }
        let (mut given, mut fetched) = (Vec::new(), Vec::new());
        while let Some(slot) = order.next(&ring, &key_of, &mut u32::MAX.clone()) {
            assert!(given.is_empty() || fetched.contains(&slot), "{slot} was not fetched");
            given.push(slot);
            fetched.extend(order.ahead(16));
        }
        assert_eq!(given[1..], fetched);
    }

    #[test]
    fn numbers_that_begin_alike_are_told_apart_by_their_ends() {
        check(&keys(9_000, |n| format!("THESE-ARE-ALL-THE-SAME-TO-BEGIN-WITH{n}")), 5_000);
    }

    proptest! {
        #[test]
        fn any_packages_come_in_order(
            numbers in prop::collection::vec("[0-9A-B#~]{1,26}", 0..200), budget in 1u32..500
        ) {
            let mut keys: Vec<_> = numbers.iter()
                .map(|number| PackageKey::new("ups", number).unwrap())
                .collect();
            keys.sort();
            keys.dedup();
            keys.reverse();
            check(&keys, budget);
        }
    }
}
