//! A timer wheel: seconds, levels, slots. It knows no packages.
//!
//! Four levels of 256 slots cover all of u32. An item stands on the level of the highest byte in
//! which its second differs from the present one, in the slot of that byte:
//!
//! ```text
//! now = 0x00_00_12_34   item at 0x00_00_12_80 → level 0, slot 0x80
//!                       item at 0x00_00_15_00 → level 1, slot 0x15, moved to level 0 at 0x1500
//! ```
//!
//! So the next item is always in the lowest level that has any, found by one bitmap per level: a
//! jump over years of silence costs as much as one over a second. Items are hung up once and looked
//! at when their second comes; whether they are still due is for the caller to know (lazy
//! rescheduling). A heap would cost an ordered insert per scan, a list relinked at every scan two
//! random lines of memory.
//!
//! An item hung up at or before the present second is overdue: it comes first at the next look.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const LEVELS: usize = 4;
const SLOTS: usize = 256;

/// Numbers of items by the second at which to look at them.
pub struct TimerWheel {
    now: u32,
    levels: Vec<Level>,
    overdue: BinaryHeap<Reverse<(u32, u32)>>,
}

struct Level {
    occupied: [u64; SLOTS / 64],
    slots: Vec<Vec<(u32, u32)>>,
}

impl Level {
    fn new() -> Self {
        Self { occupied: [0; SLOTS / 64], slots: (0..SLOTS).map(|_| Vec::new()).collect() }
    }

    fn push(&mut self, slot: usize, entry: (u32, u32)) {
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.slots[slot].push(entry);
    }

    fn take(&mut self, slot: usize) -> Vec<(u32, u32)> {
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        std::mem::take(&mut self.slots[slot])
    }

    /// The first occupied slot at or after `from`.
    fn next(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.occupied.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self {
            now: 0,
            levels: (0..LEVELS).map(|_| Level::new()).collect(),
            overdue: BinaryHeap::new(),
        }
    }
}

impl TimerWheel {
    /// Hangs an item up at a second; at or before the present one it is overdue.
    pub fn schedule(&mut self, at: u32, item: u32) {
        if at <= self.now {
            self.overdue.push(Reverse((at, item)));
        } else {
            self.place(at, item);
        }
    }

    /// The earliest second up to `limit` that has items. Without any the wheel stands at `limit`,
    /// else at that second at the latest; take its items with [`Self::take`] before the next call.
    pub fn next(&mut self, limit: u32) -> Option<u32> {
        if let Some(Reverse((at, _))) = self.overdue.peek() {
            return Some(*at);
        }
        while let Some((level, slot)) = self.lowest() {
            let start = start_of(self.now, level, slot);
            if start > limit {
                break;
            }
            self.now = start;
            if level == 0 {
                return Some(start);
            }
            for (at, item) in self.levels[level].take(slot) {
                self.place(at, item);
            }
        }
        self.now = self.now.max(limit);
        None
    }

    /// Moves the items of a second given by [`Self::next`] to the end of `into`.
    pub fn take(&mut self, second: u32, into: &mut Vec<u32>) {
        while let Some(Reverse((at, item))) = self.overdue.peek().copied() {
            if at != second {
                break;
            }
            self.overdue.pop();
            into.push(item);
        }
        if second == self.now {
            let entries = self.levels[0].take(byte(second, 0));
            into.extend(entries.into_iter().map(|(_, item)| item));
        }
    }

    fn place(&mut self, at: u32, item: u32) {
        let differing = at ^ self.now;
        let level = if differing == 0 { 0 } else { differing.ilog2() as usize / 8 };
        self.levels[level].push(byte(at, level), (at, item));
    }

    /// Level and slot that hold the earliest item. The slot of the present second counts on level 0
    /// only: above, it has been spread over the levels below.
    fn lowest(&self) -> Option<(usize, usize)> {
        (0..LEVELS).find_map(|level| {
            let from = byte(self.now, level) + usize::from(level > 0);
            self.levels[level].next(from).map(|slot| (level, slot))
        })
    }
}

const fn byte(second: u32, level: usize) -> usize {
    (second >> (8 * level)) as usize & (SLOTS - 1)
}

/// First second of a slot of a level, seen from `now`.
fn start_of(now: u32, level: usize, slot: usize) -> u32 {
    let above = now & u32::MAX.checked_shl(8 * (level as u32 + 1)).unwrap_or(0);
    above | (slot as u32) << (8 * level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn drain(wheel: &mut TimerWheel, limit: u32) -> Vec<(u32, Vec<u32>)> {
        let mut seconds = Vec::new();
        while let Some(second) = wheel.next(limit) {
            let mut items = Vec::new();
            wheel.take(second, &mut items);
            items.sort_unstable();
            seconds.push((second, items));
        }
        seconds
    }

    #[test]
    fn items_come_in_order_of_their_seconds_over_any_horizon() {
        let mut wheel = TimerWheel::default();
        for (item, at) in [5, 4_000_000_000, 256, 255, 65_536, 70_000, 5].into_iter().enumerate() {
            wheel.schedule(at, item as u32);
        }
        let expected = vec![
            (5, vec![0, 6]),
            (255, vec![3]),
            (256, vec![2]),
            (65_536, vec![4]),
            (70_000, vec![5]),
            (4_000_000_000, vec![1]),
        ];
        assert_eq!(drain(&mut wheel, u32::MAX), expected);
    }

    #[test]
    fn what_is_hung_up_in_the_present_second_comes_at_the_next_look() {
        let mut wheel = TimerWheel::default();
        assert_eq!(drain(&mut wheel, 100), vec![]);
        wheel.schedule(100, 1);
        wheel.schedule(7, 2);
        assert_eq!(drain(&mut wheel, 100), vec![(7, vec![2]), (100, vec![1])]);
    }

    proptest! {
        #[test]
        fn a_wheel_gives_what_a_sorted_map_gives(
            steps in prop::collection::vec((0u32..200_000, prop::collection::vec(0u32..300_000, 0..8)), 1..40)
        ) {
            let mut wheel = TimerWheel::default();
            let mut map: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            let (mut limit, mut item) = (1_000_000u32, 0);
            for (advance, offsets) in steps {
                for offset in offsets {
                    let at = (limit + offset).saturating_sub(1_000);
                    wheel.schedule(at, item);
                    map.entry(at).or_default().push(item);
                    item += 1;
                }
                limit += advance;
                let later = map.split_off(&(limit + 1));
                let due: Vec<_> = std::mem::replace(&mut map, later).into_iter().collect();
                prop_assert_eq!(drain(&mut wheel, limit), due);
            }
        }
    }
}
