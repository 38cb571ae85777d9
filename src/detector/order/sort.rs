//! Puts a piece in order that is short enough for it.

use super::super::keyring::{Keyring, PackedKey};
use super::super::table::Slot;
use super::{Entry, PIECE};

/// Pieces up to this length are sorted by comparing.
const FEW: usize = 32;
/// Bits that name a place within a piece.
const PLACE: u32 = PIECE.ilog2();

/// Sorts pieces: by one word each, the highest bits in which they differ and their place, and by
/// comparing only those whose words are alike.
#[derive(Default)]
pub(super) struct Sorter {
    words: Vec<u64>,
    entries: Vec<Entry>,
}

impl Sorter {
    /// Sorts entries that are no more than [`PIECE`], or that nothing but their texts tells apart.
    pub(super) fn sort(
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
