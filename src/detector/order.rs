//! Puts the packages of one second in order, a bounded piece of work at a time.
//!
//! Ten million packages may come up in one second, and sorting them at once would stop everything
//! for a second too. So they are kept in blocks, spread in place by the highest bits in which they
//! differ (American flag sort, which can stop and go on after any exchange), and pieces that are
//! short enough are sorted as they are asked for, front to back.

use std::sync::Arc;

use super::keyring::{Keyring, PackedKey};
use super::memory::{BlockSource, Plain, Slab};
use super::table::Slot;

/// Pieces up to this length are sorted in one go.
const PIECE: usize = 4_096;
/// Pieces up to this length are sorted by comparing.
const FEW: usize = 32;
/// Bits that name a place within a piece.
const PLACE: u32 = PIECE.ilog2();
/// Places ahead of the next one of a digit that are fetched when one is filled.
const AHEAD: usize = 4;
/// Bits that a piece is spread by.
const DIGIT: u32 = 11;
const DIGITS: usize = 1 << DIGIT;

/// A package that came up, and where its key stands in the order.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Entry {
    order: [u64; 2],
    /// The package's record.
    pub slot: Slot,
    unused: u32,
}

// SAFETY: zero bytes are numbers; the size is 32, the alignment 32.
unsafe impl Plain for Entry {}

impl Entry {
    #[inline]
    fn order(&self) -> u128 {
        u128::from(self.order[0]) << 64 | u128::from(self.order[1])
    }

    #[inline]
    fn digit(&self, shift: u32) -> usize {
        (self.order() >> shift) as usize % DIGITS
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

/// A piece that is being spread.
struct Spread {
    piece: Piece,
    shift: u32,
    /// The digit whose place is being filled, once all are counted.
    digit: usize,
    /// Next place to fill, by digit.
    next: Box<[usize]>,
    /// End of the place, by digit.
    ends: Box<[usize]>,
    /// Entries that were looked at while measuring and counting.
    seen: usize,
    /// Bits in which entries differ from the first.
    differing: u128,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Measure,
    Count,
    Exchange,
    Done,
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
        let entry = Entry { order: ring.order(key), slot, unused: 0 };
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

    /// A package that is going to be given out soon, if that is known already.
    #[inline]
    pub fn ahead(&self, by: usize) -> Option<Slot> {
        self.sorted.get(self.given + by).map(|entry| entry.slot)
    }

    fn keep(&mut self, number: usize, entry: Entry) {
        self.entries.begin_large(&*self.source);
        self.entries.provide(number, &*self.source);
        *self.at(number) = entry;
    }

    fn at(&mut self, number: usize) -> &mut Entry {
        self.entries.get_mut(number).expect("an entry that was kept is there")
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
        let mut spread = Spread::of(Piece { start: 0, end: self.len, alike: false });
        spread.measured(self.differing);
        self.spread = Some(spread);
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
            if self.spread_on(&mut spread, budget) {
                self.put_pieces(&spread);
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
        for number in piece.start..piece.end {
            let entry = *self.at(number);
            self.sorted.push(entry);
        }
        self.sorter.sort(&mut self.sorted, ring, key_of);
        *budget = budget.saturating_sub(piece.len() as u32);
    }

    /// Measures, counts and exchanges within the budget; true when the piece is spread.
    fn spread_on(&mut self, spread: &mut Spread, budget: &mut u32) -> bool {
        while *budget > 0 {
            *budget -= 1;
            match spread.stage {
                Stage::Measure => {
                    let first = self.at(spread.piece.start).order();
                    let order = self.at(spread.piece.start + spread.seen).order();
                    spread.measure(first, order);
                }
                Stage::Count => {
                    let shift = spread.shift;
                    let digit = self.at(spread.piece.start + spread.seen).digit(shift);
                    spread.count(digit);
                }
                Stage::Exchange => {
                    let Some(from) = spread.unfilled() else {
                        spread.stage = Stage::Done;
                        continue;
                    };
                    let entry = *self.at(from);
                    let digit = entry.digit(spread.shift);
                    let to = spread.next[digit];
                    spread.next[digit] += 1;
                    self.entries.prefetch(to + AHEAD);
                    if to != from {
                        *self.at(from) = *self.at(to);
                        *self.at(to) = entry;
                    }
                }
                Stage::Done => return true,
            }
        }
        false
    }

    /// The places of a spread piece, of which the first comes first. Equal ones are one piece.
    fn put_pieces(&mut self, spread: &Spread) {
        if spread.differing == 0 {
            self.pieces.push(Piece { alike: true, ..spread.piece });
            return;
        }
        for digit in (0..DIGITS).rev() {
            let start = if digit == 0 { spread.piece.start } else { spread.ends[digit - 1] };
            let end = spread.ends[digit];
            if start < end {
                self.pieces.push(Piece { start, end, alike: false });
            }
        }
    }
}

impl Spread {
    fn of(piece: Piece) -> Self {
        Self {
            piece,
            shift: 0,
            digit: 0,
            next: vec![0; DIGITS].into(),
            ends: vec![0; DIGITS].into(),
            seen: 0,
            differing: 0,
            stage: Stage::Measure,
        }
    }

    /// Finds the highest bits in which the entries differ.
    fn measure(&mut self, first: u128, order: u128) {
        self.differing |= first ^ order;
        self.seen += 1;
        if self.seen == self.piece.len() {
            self.measured(self.differing);
        }
    }

    /// These are the bits in which the entries differ.
    fn measured(&mut self, differing: u128) {
        self.differing = differing;
        self.seen = 0;
        let bits = u128::BITS - differing.leading_zeros();
        self.shift = bits.saturating_sub(DIGIT);
        self.stage = if differing == 0 { Stage::Done } else { Stage::Count };
    }

    fn count(&mut self, digit: usize) {
        self.ends[digit] += 1;
        self.seen += 1;
        if self.seen == self.piece.len() {
            let mut place = self.piece.start;
            for (next, end) in self.next.iter_mut().zip(&mut self.ends) {
                *next = place;
                place += *end;
                *end = place;
            }
            self.stage = Stage::Exchange;
        }
    }

    /// The first place whose entry may belong elsewhere.
    fn unfilled(&mut self) -> Option<usize> {
        while self.digit < DIGITS {
            if self.next[self.digit] < self.ends[self.digit] {
                return Some(self.next[self.digit]);
            }
            self.digit += 1;
        }
        None
    }
}

/// Sorts pieces: by one word each, the highest bits in which they differ and their place, and by
/// comparing only those whose words are alike.
#[derive(Default)]
struct Sorter {
    words: Vec<u64>,
    entries: Vec<Entry>,
}

impl Sorter {
    fn sort(
        &mut self,
        entries: &mut Vec<Entry>,
        ring: &Keyring,
        key_of: &impl Fn(Slot) -> PackedKey,
    ) {
        let first = entries.first().map_or(0, Entry::order);
        let differing = entries.iter().fold(0, |bits, entry| bits | (first ^ entry.order()));
        if !(FEW + 1..=PIECE).contains(&entries.len()) || differing == 0 {
            return sort_by_comparing(entries, ring, key_of);
        }
        let shift = (u128::BITS - differing.leading_zeros()).saturating_sub(u64::BITS - PLACE);
        let word =
            |(place, entry): (u64, &Entry)| ((entry.order() >> shift) as u64) << PLACE | place;
        self.words.clear();
        self.words.extend((0..).zip(entries.iter()).map(word));
        self.words.sort_unstable();
        self.entries.clear();
        let place = |word: &u64| *word as usize % PIECE;
        self.entries.extend(self.words.iter().map(|word| entries[place(word)]));
        let mut start = 0;
        for run in self.words.chunk_by(|a, b| a >> PLACE == b >> PLACE) {
            let end = start + run.len();
            if run.len() > 1 {
                sort_by_comparing(&mut self.entries[start..end], ring, key_of);
            }
            start = end;
        }
        std::mem::swap(entries, &mut self.entries);
    }
}

fn sort_by_comparing(entries: &mut [Entry], ring: &Keyring, key_of: &impl Fn(Slot) -> PackedKey) {
    entries.sort_unstable_by(|a, b| {
        a.order.cmp(&b.order).then_with(|| match a.slot == b.slot {
            true => std::cmp::Ordering::Equal,
            false => ring.compare(key_of(a.slot), key_of(b.slot)),
        })
    });
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
