//! Spreads a long piece over places of its own, in place and step by step.
//!
//! ```text
//!  the first   sample ─► split ─┐
//!                               ├─► count ─► exchange ─► shorter pieces, the first comes first
//!  the others  measure ─────────┘
//! ```
//!
//! The first piece is all packages of the second. Numbers begin alike, and differently so by carrier,
//! so its places are divided by a sample: nearly all are short enough then. What is still too long,
//! because the sample was unlucky or numbers differ late, goes by the highest bits in which its
//! entries differ, which comes to an end whatever the numbers are.

use std::ops::Range;

use super::super::memory::Slab;
use super::super::splitters::{LANES, Splitters};
use super::{Entry, PIECE, Piece, entry, entry_mut};

/// Places that the first piece is spread over, as a power of two.
const MOST_BITS: u32 = 11;
/// From this length on a piece is divided by a sample.
const LONG: usize = 16 * PIECE;
/// Entries of a sample: as many as may be sorted in one go.
const SAMPLE: usize = 2 * PIECE;
/// Entries ahead of the next one of a place that are fetched when one is filled.
const AHEAD: usize = 4;

/// A piece that is being spread.
pub(super) struct Spread {
    piece: Piece,
    /// How many places, as a power of two.
    bits: u32,
    /// Bits below those that tell an entry's place.
    shift: u32,
    sample: Vec<u64>,
    /// Of a piece that is spread by its bits none.
    splitters: Splitters,
    /// The place that is being filled, once all entries are counted.
    place: usize,
    /// Next entry to fill, by place.
    next: Box<[usize]>,
    /// End, by place.
    ends: Box<[usize]>,
    /// Entries that this stage has looked at.
    seen: usize,
    /// Bits in which entries differ from the first.
    differing: u128,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Measure,
    Sample,
    Split,
    Count,
    Exchange,
    Done,
}

impl Spread {
    /// Of a piece of which nothing is known.
    pub(super) fn of(piece: Piece) -> Self {
        let bits = (piece.len() * 4 / PIECE).ilog2().clamp(1, MOST_BITS);
        Self {
            piece,
            bits,
            shift: 0,
            sample: Vec::new(),
            splitters: Splitters::default(),
            place: 0,
            next: vec![0; 1 << bits].into(),
            ends: vec![0; 1 << bits].into(),
            seen: 0,
            differing: 0,
            stage: Stage::Measure,
        }
    }

    /// Of a piece whose entries differ from the first in these bits.
    pub(super) fn measured(piece: Piece, differing: u128) -> Self {
        let mut spread = Self::of(piece);
        spread.differing = differing;
        spread.choose(piece.len() >= LONG);
        spread
    }

    /// Goes on, as far as the budget allows; true when the piece is spread.
    pub(super) fn go_on(&mut self, entries: &mut Slab<Entry>, budget: &mut u32) -> bool {
        while *budget > 0 && self.stage != Stage::Done {
            let most = *budget as usize;
            let done = match self.stage {
                Stage::Measure => self.measure(entries, most),
                Stage::Sample => self.sample(entries, most),
                Stage::Split => self.split(),
                Stage::Count => self.count(entries, most),
                Stage::Exchange => self.exchange(entries, most),
                Stage::Done => 0,
            };
            *budget = budget.saturating_sub(done as u32);
        }
        self.stage == Stage::Done
    }

    /// The pieces it has become, the last first. Entries that are all alike are one.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> {
        let alike = (self.differing == 0).then_some(Piece { alike: true, ..self.piece });
        let places = (0..self.ends.len()).rev().map(|place| {
            let start = place.checked_sub(1).map_or(self.piece.start, |before| self.ends[before]);
            Piece { start, end: self.ends[place], alike: false }
        });
        alike.into_iter().chain(places.filter(|piece| piece.start < piece.end))
    }

    /// How the piece is spread, now that the bits are known in which its entries differ.
    fn choose(&mut self, by_sample: bool) {
        let differing = u128::BITS - self.differing.leading_zeros();
        let word = if by_sample { u64::BITS } else { self.bits };
        self.shift = differing.saturating_sub(word);
        self.stage = match self.differing {
            0 => Stage::Done,
            _ if by_sample => Stage::Sample,
            _ => Stage::Count,
        };
        self.seen = 0;
    }

    fn measure(&mut self, entries: &Slab<Entry>, most: usize) -> usize {
        let first = entry(entries, self.piece.start).order();
        let looked_at = self.stretch(most);
        for number in looked_at.clone() {
            self.differing |= first ^ entry(entries, number).order();
        }
        if self.have_seen(looked_at.len(), self.piece.len()) {
            self.choose(false);
        }
        looked_at.len()
    }

    /// Words from all over the piece.
    fn sample(&mut self, entries: &Slab<Entry>, most: usize) -> usize {
        let until = SAMPLE.min(self.seen + most);
        let numbers =
            (self.seen..until).map(|number| self.piece.start + number * self.piece.len() / SAMPLE);
        let words = numbers.map(|number| entry(entries, number).word(self.shift));
        self.sample.extend(words);
        let looked_at = until - self.seen;
        if self.have_seen(looked_at, SAMPLE) {
            self.stage = Stage::Split;
        }
        looked_at
    }

    fn split(&mut self) -> usize {
        self.sample.sort_unstable();
        self.splitters.set(1 << self.bits, &self.sample, |word| *word);
        self.stage = Stage::Count;
        SAMPLE
    }

    /// Tells each entry its place, and counts those of each.
    fn count(&mut self, entries: &mut Slab<Entry>, most: usize) -> usize {
        let looked_at = self.stretch(most);
        for start in looked_at.clone().step_by(LANES) {
            let numbers = start..looked_at.end.min(start + LANES);
            let mut words = [0; LANES];
            for (word, number) in words.iter_mut().zip(numbers.clone()) {
                *word = entry(entries, number).word(self.shift);
            }
            for (place, number) in self.places(&words).into_iter().zip(numbers) {
                self.ends[place] += 1;
                entry_mut(entries, number).place = place as u32;
            }
        }
        if self.have_seen(looked_at.len(), self.piece.len()) {
            let mut start = self.piece.start;
            for (next, end) in self.next.iter_mut().zip(&mut self.ends) {
                *next = start;
                start += *end;
                *end = start;
            }
            self.stage = Stage::Exchange;
        }
        looked_at.len()
    }

    /// The places of words, by splitters or by their lowest bits.
    #[inline]
    fn places(&self, words: &[u64; LANES]) -> [usize; LANES] {
        match self.splitters.len() {
            0 => words.map(|word| word as usize % (1 << self.bits)),
            _ => self.splitters.places(words),
        }
    }

    /// American flag sort: whatever stands where another place begins goes to its own, and so on
    /// with what stood there, until something belongs where it began.
    fn exchange(&mut self, entries: &mut Slab<Entry>, most: usize) -> usize {
        let mut done = 0;
        while done < most {
            let Some(from) = self.unfilled() else {
                self.stage = Stage::Done;
                break;
            };
            let mut moved = *entry(entries, from);
            let mut to = None;
            while done < most && to != Some(from) {
                let next = &mut self.next[moved.place as usize];
                std::mem::swap(entry_mut(entries, *next), &mut moved);
                entries.prefetch(*next + AHEAD);
                to = Some(*next);
                *next += 1;
                done += 1;
            }
            if to != Some(from) {
                *entry_mut(entries, from) = moved;
            }
        }
        done
    }

    /// The first entry that may belong elsewhere.
    #[inline]
    fn unfilled(&mut self) -> Option<usize> {
        while self.place < self.ends.len() {
            if self.next[self.place] < self.ends[self.place] {
                return Some(self.next[self.place]);
            }
            self.place += 1;
        }
        None
    }

    /// The next entries of a stage that looks at all of them.
    fn stretch(&self, most: usize) -> Range<usize> {
        let start = self.piece.start + self.seen;
        start..self.piece.end.min(start + most)
    }

    /// Whether a stage has seen all there are.
    fn have_seen(&mut self, more: usize, all: usize) -> bool {
        self.seen += more;
        let done = self.seen == all;
        if done {
            self.seen = 0;
        }
        done
    }
}
