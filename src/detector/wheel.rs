//! A timer wheel: seconds, levels, positions. It knows no packages.
//!
//! Three levels cover all of u32: 4,096 positions of a second, 1,024 of 68 minutes, 1,024 of 48
//! days. An item hangs on the level of the highest part in which its second differs from the present
//! one:
//!
//! ```text
//! second = | 48 days: 10 bits | 68 minutes: 10 bits | seconds: 12 bits |
//! now = 0x00_00_12_34   item at 0x00_00_12_80 → level 0, position 0x280
//!                       item at 0x00_00_35_00 → level 1, position 3; looked at at 0x3000
//! ```
//!
//! So the next item always hangs on the lowest level that has any, found by a bitmap. An item takes
//! four bytes, its number; who hangs it up remembers where it hangs ([`Hung`], 13 bits) and so knows
//! a leftover from the item itself. Rescheduling is lazy: an item is hung up once and looked at when
//! its position comes up; whether it is due, or due at all, is for the caller to know. A heap would
//! cost an ordered insert per scan, a list relinked at every scan two random lines of memory.

use std::sync::Arc;

use super::memory::{BlockSource, Plain, Slab, prefetch};

/// Items of a chunk.
pub const CHUNK: usize = 63;

const LEVELS: usize = 3;
const SHIFT: [u32; LEVELS] = [0, 12, 22];
const BITS: [u32; LEVELS] = [12, 10, 10];
/// First position of each level.
const FIRST: [usize; LEVELS] = [0, 4096, 5120];
const POSITIONS: usize = 6144;
/// Seconds of a position of the second and of the third level.
const FIRST_ABOVE: u32 = 1 << SHIFT[1];
const SECOND_ABOVE: u32 = 1 << SHIFT[2];

/// Where an item hangs: in which of two wheels, and at which position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung(u16);

impl Hung {
    /// In no wheel.
    pub const NOWHERE: Self = Self(0x3fff);

    /// At a position of the first or the second wheel.
    pub fn at(second_wheel: bool, position: Position) -> Self {
        Self(position.0 | u16::from(second_wheel) << 13)
    }

    /// From 14 bits that [`Self::bits`] gave.
    #[inline]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// 14 bits.
    #[inline]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// The wheel, unless it hangs nowhere.
    #[inline]
    pub fn wheel(self) -> Option<bool> {
        (self != Self::NOWHERE).then_some(self.0 >> 13 == 1)
    }

    /// The position in its wheel.
    #[inline]
    pub fn position(self) -> Position {
        Position(self.0 & 0x1fff)
    }
}

/// A place of a wheel: a second, or a span of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u16);

impl Position {
    /// Whether it is one second, and not a span of them.
    pub fn is_second(self) -> bool {
        self.level() == 0
    }

    fn new(level: usize, place: usize) -> Self {
        Self((FIRST[level] + place) as u16)
    }

    #[inline]
    fn level(self) -> usize {
        match self.0 as usize {
            0..4096 => 0,
            4096..5120 => 1,
            _ => 2,
        }
    }
}

/// Items that hang at one position, and the number of the chunk behind it + 1; 0: it is the last.
#[derive(Clone, Copy)]
#[repr(C, align(256))]
struct Chunk {
    next: u32,
    items: [u32; CHUNK],
}

/// The newest chunk of a position: its number + 1, and how many items it has; the chunks behind it
/// are full. 0: nothing hangs there.
#[derive(Clone, Copy, Default)]
struct Head {
    chunk: u32,
    len: u32,
}

// SAFETY: zero bytes are an empty chunk; the size is 256, the alignment 256.
unsafe impl Plain for Chunk {}

/// Numbers of items by the second at which to look at them.
pub struct TimerWheel {
    now: u32,
    /// No item hangs at a position that starts before this.
    earliest: u32,
    heads: Box<[Head]>,
    occupied: Box<[u64]>,
    chunks: Slab<Chunk>,
    used: u32,
    free: u32,
    source: Arc<dyn BlockSource>,
}

impl TimerWheel {
    /// An empty wheel at second 0 whose memory comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self {
            now: 0,
            earliest: u32::MAX,
            heads: vec![Head::default(); POSITIONS].into(),
            occupied: vec![0; POSITIONS / 64].into(),
            chunks: Slab::default(),
            used: 0,
            free: 0,
            source,
        }
    }

    /// The second the wheel stands at: everything before it has been looked at.
    #[inline]
    pub fn now(&self) -> u32 {
        self.now
    }

    /// Takes everything down and begins anew at a second.
    pub fn restart(&mut self, now: u32) {
        self.heads.fill(Head::default());
        self.occupied.fill(0);
        self.chunks.clear(&*self.source);
        (self.used, self.free, self.now, self.earliest) = (0, 0, now, u32::MAX);
    }

    /// Hangs an item up at a second, which must not lie before the present one.
    #[inline]
    pub fn hang(&mut self, at: u32, item: u32) -> Position {
        let position = self.position(at);
        self.hang_there(at, position, item);
        position
    }

    /// Where [`Self::hang`] hangs an item up.
    #[inline]
    pub fn position(&self, at: u32) -> Position {
        debug_assert!(at >= self.now);
        let differing = at ^ self.now;
        let level = match differing {
            0..FIRST_ABOVE => 0,
            FIRST_ABOVE..SECOND_ABOVE => 1,
            _ => 2,
        };
        Position::new(level, place(at, level))
    }

    /// [`Self::hang`], where [`Self::position`] has been asked since the wheel was last turned.
    #[inline]
    pub fn hang_there(&mut self, at: u32, position: Position, item: u32) {
        let shift = SHIFT[position.level()];
        self.earliest = self.earliest.min(at >> shift << shift);
        self.push(position, item);
    }

    /// The first second of a position that items hang at.
    #[inline]
    pub fn start(&self, position: Position) -> u32 {
        let place = |level: usize| (position.0 as u32 - FIRST[level] as u32) << SHIFT[level];
        match position.level() {
            0 => self.now & !(FIRST_ABOVE - 1) | place(0),
            1 => self.now & !(SECOND_ABOVE - 1) | place(1),
            _ => place(2),
        }
    }

    /// Goes to the earliest position up to `limit` that items hang at, or to `limit`. The items are
    /// to be taken down ([`Self::take`]) before the next call.
    #[inline]
    pub fn seek(&mut self, limit: u32) -> Option<Position> {
        if limit < self.earliest {
            self.now = self.now.max(limit);
            return None;
        }
        let lowest = self.lowest();
        self.earliest = lowest.map_or(u32::MAX, |position| self.start(position));
        self.now = self.now.max(limit.min(self.earliest));
        lowest.filter(|_| self.earliest <= limit)
    }

    /// Takes up to [`CHUNK`] items down from a position; none are left when it gives none.
    pub fn take(&mut self, position: Position, into: &mut Vec<u32>) {
        let head = self.heads[position.0 as usize];
        let Some(number) = head.chunk.checked_sub(1) else {
            return;
        };
        let free = self.free;
        let chunk = self.chunk(number);
        into.extend_from_slice(&chunk.items[..head.len as usize]);
        let next = std::mem::replace(&mut chunk.next, free);
        self.free = number + 1;
        self.heads[position.0 as usize] =
            if next == 0 { Head::default() } else { Head { chunk: next, len: CHUNK as u32 } };
        if next == 0 {
            self.occupied[position.0 as usize / 64] &= !(1 << (position.0 % 64));
        }
    }

    /// Whether no item hangs at a position.
    #[inline]
    pub fn is_bare(&self, position: Position) -> bool {
        self.heads[position.0 as usize].chunk == 0
    }

    /// Hints that a position is going to be taken down.
    #[inline]
    pub fn prefetch(&self, position: Position) {
        self.prefetch_chunk(self.heads[position.0 as usize].chunk);
    }

    #[inline]
    fn prefetch_chunk(&self, number: u32) {
        if let Some(number) = number.checked_sub(1)
            && let Some(chunk) = self.chunks.get(number as usize)
        {
            // A chunk is four cache lines.
            [0, 15, 31, 47].iter().for_each(|&item| prefetch(&chunk.items[item]));
        }
    }

    /// The items that [`Self::take`] is going to take down next; what comes behind them is fetched.
    #[inline]
    pub fn coming(&self, position: Position) -> &[u32] {
        let head = self.heads[position.0 as usize];
        let Some(chunk) = self.newest_chunk(head) else {
            return &[];
        };
        self.prefetch_chunk(chunk.next);
        &chunk.items[..head.len as usize]
    }

    /// [`Self::prefetch`] of a second that may hang there by itself.
    #[inline]
    pub fn prefetch_second(&self, second: u32) {
        self.prefetch(Position::new(0, place(second, 0)));
    }

    /// The items that were hung up last at a second, if seconds are told apart there.
    #[inline]
    pub fn newest(&self, second: u32) -> &[u32] {
        let head = self.heads[Position::new(0, place(second, 0)).0 as usize];
        self.newest_chunk(head).map_or(&[], |chunk| &chunk.items[..head.len as usize])
    }

    #[inline]
    fn newest_chunk(&self, head: Head) -> Option<&Chunk> {
        self.chunks.get(head.chunk.checked_sub(1)? as usize)
    }

    /// Hints that an item is going to be hung up at a position.
    #[inline]
    pub fn prefetch_hang(&self, position: Position) {
        let head = self.heads[position.0 as usize];
        if let Some(chunk) = self.newest_chunk(head) {
            prefetch(&chunk.items[(head.len as usize).min(CHUNK - 1)]);
        }
    }

    #[inline]
    fn push(&mut self, position: Position, item: u32) {
        let head = &mut self.heads[position.0 as usize];
        let Head { chunk, len } = *head;
        if chunk != 0 && (len as usize) < CHUNK {
            head.len += 1;
            self.chunk(chunk - 1).items[len as usize] = item;
        } else {
            self.push_chunk(position, item);
        }
    }

    fn push_chunk(&mut self, position: Position, item: u32) {
        let number = match self.free.checked_sub(1) {
            Some(number) => {
                self.free = self.chunk(number).next;
                number
            }
            None => {
                self.chunks.provide(self.used as usize, &*self.source);
                self.used += 1;
                self.used - 1
            }
        };
        let head = Head { chunk: number + 1, len: 1 };
        let next = std::mem::replace(&mut self.heads[position.0 as usize], head).chunk;
        self.occupied[position.0 as usize / 64] |= 1 << (position.0 % 64);
        let chunk = self.chunk(number);
        (chunk.next, chunk.items[0]) = (next, item);
    }

    #[inline]
    fn chunk(&mut self, number: u32) -> &mut Chunk {
        self.chunks.get_mut(number as usize).expect("a chunk that was given out is there")
    }

    /// The position of the earliest item. The position of the present second counts on level 0 only:
    /// above, its items have been taken down already.
    fn lowest(&self) -> Option<Position> {
        (0..LEVELS).find_map(|level| {
            let from = place(self.now, level) + usize::from(level > 0);
            self.next_occupied(FIRST[level] + from, FIRST[level] + (1 << BITS[level]))
        })
    }

    #[inline]
    fn next_occupied(&self, from: usize, end: usize) -> Option<Position> {
        let mut word = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while word * 64 < end {
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                return Some(Position((word * 64) as u16 + bits.trailing_zeros() as u16));
            }
            (word, mask) = (word + 1, u64::MAX);
        }
        None
    }
}

#[inline]
const fn place(second: u32, level: usize) -> usize {
    (second >> SHIFT[level]) as usize & ((1 << BITS[level]) - 1)
}

#[cfg(test)]
mod tests {
    use super::super::memory::SystemBlocks;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A wheel and the true second of each item, as a shard would know it.
    struct Driven {
        wheel: TimerWheel,
        at: Vec<u32>,
    }

    impl Driven {
        fn new() -> Self {
            Self { wheel: TimerWheel::new(Arc::new(SystemBlocks)), at: Vec::new() }
        }

        fn hang(&mut self, at: u32) {
            self.wheel.hang(at, self.at.len() as u32);
            self.at.push(at);
        }

        /// What comes up to a limit, in order of seconds.
        fn drain(&mut self, limit: u32) -> Vec<(u32, Vec<u32>)> {
            let mut seconds: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            while let Some(position) = self.wheel.seek(limit) {
                let now = self.wheel.now();
                assert!(seconds.keys().all(|&second| second <= now), "seconds come in order");
                let mut items = Vec::new();
                let mut before = usize::MAX;
                while before != items.len() {
                    before = items.len();
                    self.wheel.take(position, &mut items);
                }
                for item in items {
                    let at = self.at[item as usize];
                    match position.is_second() {
                        true => {
                            assert_eq!(at, now);
                            seconds.entry(now).or_default().push(item);
                        }
                        false => {
                            self.wheel.hang(at, item);
                        }
                    }
                }
            }
            assert!(self.wheel.now() >= limit);
            seconds.values_mut().for_each(|items| items.sort_unstable());
            seconds.into_iter().collect()
        }
    }

    #[test]
    fn items_come_in_order_of_their_seconds_over_any_horizon() {
        let mut driven = Driven::new();
        for at in [5, 4_000_000_000, 4_096, 4_095, 1 << 22, 70_000, 5, u32::MAX] {
            driven.hang(at);
        }
        let expected = vec![
            (5, vec![0, 6]),
            (4_095, vec![3]),
            (4_096, vec![2]),
            (70_000, vec![5]),
            (1 << 22, vec![4]),
            (4_000_000_000, vec![1]),
            (u32::MAX, vec![7]),
        ];
        assert_eq!(driven.drain(u32::MAX), expected);
    }

    #[test]
    fn the_start_of_a_position_is_never_after_what_hangs_there() {
        let mut driven = Driven::new();
        driven.drain(1_772_409_600);
        for shift in 0..31 {
            let at = 1_772_409_600 + (1u32 << shift);
            let position = driven.wheel.hang(at, 0);
            assert!(driven.wheel.start(position) <= at);
            assert!(driven.wheel.start(position) > driven.wheel.now());
            assert_eq!(Hung::at(true, position).position(), position);
            assert_eq!(Hung::at(true, position).wheel(), Some(true));
            assert_eq!(Hung::at(false, position).wheel(), Some(false));
        }
        assert_eq!(Hung::NOWHERE.wheel(), None);
    }

    #[test]
    fn chunks_are_used_again() {
        let mut driven = Driven::new();
        for round in 1..50u32 {
            (0..1_000).for_each(|item| driven.hang(round * 10_000 + item % 3));
            assert_eq!(driven.drain(round * 10_000 + 5).len(), 3);
        }
        assert!(driven.wheel.used < 1_000 / CHUNK as u32 * 2 + 10);
    }

    proptest! {
        #[test]
        fn a_wheel_gives_what_a_sorted_map_gives(
            steps in prop::collection::vec(
                (0u32..6_000_000, prop::collection::vec(0u32..9_000_000, 0..90)), 1..30)
        ) {
            let mut driven = Driven::new();
            let mut map: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let mut limit = 1_000_000u32;
            driven.drain(limit);
            for (advance, offsets) in steps {
                for offset in offsets {
                    let at = limit + offset;
                    map.entry(at).or_default().push(driven.at.len() as u32);
                    driven.hang(at);
                }
                limit += advance;
                let later = map.split_off(&(limit + 1));
                let due: Vec<_> = std::mem::replace(&mut map, later).into_iter().collect();
                prop_assert_eq!(driven.drain(limit), due);
            }
        }
    }
}
