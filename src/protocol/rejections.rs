//! Which records could not be read: a sum per block of offsets, by which a rebuild that reads other
//! records than the first reading did is noticed.

use serde::{Deserialize, Serialize};

use super::cut::summand;

/// Offsets of a block at first: 2 to this power. Doubled as often as there are too many blocks.
const FIRST_BITS: u32 = 16;
/// Most blocks that are kept.
const MOST_BLOCKS: usize = 32;

/// The records that were rejected, dead-lettered or skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejections {
    /// They are all reckoned with from this offset on.
    from: i64,
    /// A block holds 2 to this power offsets.
    bits: u32,
    /// Blocks with any, in order.
    blocks: Vec<Block>,
}

/// The rejected records of one block; written as its three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64, u64)", into = "(i64, u64, u64)")]
struct Block {
    /// Its number; its first offset is this times the length of a block.
    number: i64,
    /// How many were rejected,
    count: u64,
    /// and a sum over their offsets, in whatever order.
    sum: u64,
}

impl From<(i64, u64, u64)> for Block {
    fn from((number, count, sum): (i64, u64, u64)) -> Self {
        Self { number, count, sum }
    }
}

impl From<Block> for (i64, u64, u64) {
    fn from(Block { number, count, sum }: Block) -> Self {
        (number, count, sum)
    }
}

/// A block in which two readings rejected other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differ {
    /// First offset of the block.
    pub from: i64,
    /// The offset behind it.
    pub to: i64,
    /// How many the first reading rejected.
    pub then: u64,
    /// How many are rejected now.
    pub now: u64,
}

impl Rejections {
    /// None yet, of the records from this offset on.
    pub fn from(offset: i64) -> Self {
        Self { from: offset, bits: FIRST_BITS, blocks: Vec::new() }
    }

    /// From its parts: see [`Self::parts`].
    pub fn of_parts(from: i64, bits: u32, blocks: Vec<(i64, u64, u64)>) -> Self {
        Self { from, bits, blocks: blocks.into_iter().map(Block::from).collect() }
    }

    /// The offset from which on they are reckoned with, the length of a block as a power of 2, and the
    /// number of each block with any, how many they are, and a sum over their offsets.
    pub fn parts(self) -> (i64, u32, Vec<(i64, u64, u64)>) {
        (self.from, self.bits, self.blocks.into_iter().map(Into::into).collect())
    }

    /// The record at this offset, which lies behind all others that are reckoned with, is rejected.
    pub fn note(&mut self, offset: i64) {
        let sum = summand(offset.to_le_bytes().into_iter());
        self.add(Block { number: offset >> self.bits, count: 1, sum });
        if self.blocks.len() > MOST_BLOCKS {
            *self = self.with_blocks_of(self.bits + 1);
        }
    }

    /// What lies below an offset is not known to be whole.
    pub fn only_from(mut self, offset: i64) -> Self {
        self.from = self.from.max(offset);
        self
    }

    /// Drops the blocks that lie wholly below an offset.
    pub fn drop_below(&mut self, offset: i64) {
        self.from = self.from.max(offset);
        let first = offset >> self.bits;
        self.blocks.retain(|block| block.number >= first);
    }

    /// The first block that both readings know the whole of and in which they rejected other records,
    /// below an offset.
    pub fn differ_below(&self, now: &Self, end: i64) -> Option<Differ> {
        let bits = self.bits.max(now.bits);
        let (then, now) = (self.with_blocks_of(bits), now.with_blocks_of(bits));
        let from = then.from.max(now.from);
        let is_whole = |block: &Block| {
            let begins = block.number << bits;
            (begins >= from || from <= 0) && begins + (1 << bits) <= end
        };
        let numbers = then.blocks.iter().chain(&now.blocks).filter(|block| is_whole(block));
        let differs = |number: &i64| then.of(*number) != now.of(*number);
        let number = numbers.map(|block| block.number).filter(differs).min()?;
        let from = number << bits;
        let count = |of: &Self| of.of(number).map_or(0, |block| block.count);
        Some(Differ { from, to: from + (1 << bits), then: count(&then), now: count(&now) })
    }

    fn of(&self, number: i64) -> Option<&Block> {
        let at = self.blocks.binary_search_by_key(&number, |block| block.number).ok()?;
        Some(&self.blocks[at])
    }

    /// The same in longer blocks.
    fn with_blocks_of(&self, bits: u32) -> Self {
        let mut longer = Self { from: self.from, bits, blocks: Vec::new() };
        for block in &self.blocks {
            longer.add(Block { number: block.number >> (bits - self.bits), ..*block });
        }
        longer
    }

    fn add(&mut self, more: Block) {
        match self.blocks.last_mut() {
            Some(last) if last.number == more.number => {
                last.count += more.count;
                last.sum = last.sum.wrapping_add(more.sum);
            }
            _ => self.blocks.push(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: i64 = 1 << FIRST_BITS;

    fn of(offsets: &[i64]) -> Rejections {
        let mut rejections = Rejections::from(0);
        offsets.iter().for_each(|offset| rejections.note(*offset));
        rejections
    }

    fn differ(then: &Rejections, now: &Rejections) -> Option<Differ> {
        then.differ_below(now, i64::MAX)
    }

    #[test]
    fn another_record_more_or_less_is_noticed_with_its_block() {
        let then = of(&[3, BLOCK + 1, BLOCK + 2]);
        assert_eq!(differ(&then, &then.clone()), None);
        let expected = Differ { from: BLOCK, to: 2 * BLOCK, then: 2, now: 1 };
        assert_eq!(differ(&then, &of(&[3, BLOCK + 1])), Some(expected));
        let other = of(&[3, BLOCK + 1, BLOCK + 3]);
        assert_eq!(differ(&then, &other), Some(Differ { now: 2, ..expected }));
        let none = Differ { from: 0, to: BLOCK, then: 1, now: 0 };
        assert_eq!(differ(&then, &of(&[])), Some(none));
    }

    #[test]
    fn blocks_that_are_not_wholly_known_or_not_over_yet_are_not_compared() {
        let then = of(&[3, BLOCK + 1]);
        let now = Rejections::from(0).only_from(5);
        assert_eq!(
            differ(&then, &now).map(|it| it.from),
            Some(BLOCK),
            "the first is known in part"
        );
        assert_eq!(then.differ_below(&now, 2 * BLOCK - 1), None, "the second is not over");
        assert!(then.differ_below(&now, 2 * BLOCK).is_some());
    }

    #[test]
    fn as_many_other_records_have_another_sum() {
        let even: Vec<i64> = (0..400).map(|at| 2 * at).collect();
        for count in 1..even.len() {
            let odd: Vec<i64> = even[..count].iter().map(|at| at + 1).collect();
            assert!(differ(&of(&even[..count]), &of(&odd)).is_some(), "{count} records");
        }
    }

    #[test]
    fn many_blocks_become_fewer_and_longer_and_are_compared_all_the_same() {
        let offsets: Vec<i64> = (0..1_000).map(|at| at * BLOCK + 7).collect();
        let then = of(&offsets);
        assert!(then.blocks.len() <= MOST_BLOCKS, "{then:?}");
        assert_eq!(differ(&then, &of(&offsets)), None);
        assert!(differ(&then, &of(&offsets[..999])).is_some());
        let few = of(&offsets[..10]);
        assert_eq!(differ(&then, &few).map(|it| (it.then, it.now)), Some((32, 10)));
    }

    #[test]
    fn dropped_blocks_are_those_that_lie_wholly_below() {
        let mut rejections = of(&[3, BLOCK + 1]);
        rejections.drop_below(BLOCK - 1);
        assert_eq!(rejections.blocks.len(), 2);
        rejections.drop_below(BLOCK);
        assert_eq!(rejections.blocks.len(), 1);
        assert_eq!(differ(&rejections, &of(&[3, BLOCK + 1])), None);
    }
}
