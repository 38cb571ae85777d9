//! Offsets of records that were refused, because of their log time or for want of their schema, kept
//! as ranges.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Most ranges that a cut holds: it must always fit into one message.
pub const MOST_RANGES: usize = 1_000;

/// Offsets in order. A single one is written as a number, neighbours as `[first, last]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refusals(Vec<Stretch>);

/// Neighbouring offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
struct Stretch {
    first: i64,
    last: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(i64),
    Several(i64, i64),
}

impl From<Written> for Stretch {
    fn from(written: Written) -> Self {
        match written {
            Written::One(offset) => Self { first: offset, last: offset },
            Written::Several(first, last) => Self { first, last },
        }
    }
}

impl From<Stretch> for Written {
    fn from(Stretch { first, last }: Stretch) -> Self {
        if first == last { Self::One(first) } else { Self::Several(first, last) }
    }
}

impl Refusals {
    /// Whether this offset is among them.
    pub fn contains(&self, offset: i64) -> bool {
        let before = self.0.partition_point(|range| range.first <= offset);
        before.checked_sub(1).is_some_and(|at| offset <= self.0[at].last)
    }

    /// Whether there is room for one more, beside so many others that are not among them yet.
    pub fn has_room_for(&self, offset: i64, others: usize) -> bool {
        self.0.len() + others < MOST_RANGES || self.0.iter().any(|range| range.touches(offset))
    }

    /// One more.
    pub fn insert(&mut self, offset: i64) {
        let at = self.0.partition_point(|range| range.last < offset - 1);
        match self.0.get_mut(at).filter(|range| range.touches(offset)) {
            Some(range) => {
                range.first = range.first.min(offset);
                range.last = range.last.max(offset);
            }
            None => self.0.insert(at, Stretch { first: offset, last: offset }),
        }
        if let [one, next, ..] = self.0[at..]
            && one.last + 1 >= next.first
        {
            self.0[at].last = next.last.max(one.last);
            self.0.remove(at + 1);
        }
    }

    /// Those within a range.
    pub fn within(&self, Range { start, end }: Range<i64>) -> Self {
        let clipped = self
            .0
            .iter()
            .map(|range| Stretch { first: range.first.max(start), last: range.last.min(end - 1) });
        Self(clipped.filter(|range| range.first <= range.last).collect())
    }

    /// Every offset, in order.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }

    /// The ranges, first and last offset of each, in order.
    pub fn ranges(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|range| (range.first, range.last))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(i64, i64)> for Refusals {
    /// From ranges in order that do not touch.
    fn from_iter<T: IntoIterator<Item = (i64, i64)>>(ranges: T) -> Self {
        Self(ranges.into_iter().map(|(first, last)| Stretch { first, last }).collect())
    }
}

impl Stretch {
    /// Whether an offset lies in it or next to it.
    fn touches(&self, offset: i64) -> bool {
        (self.first - 1..=self.last + 1).contains(&offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(offsets: &[i64]) -> Refusals {
        let mut refusals = Refusals::default();
        offsets.iter().for_each(|offset| refusals.insert(*offset));
        refusals
    }

    #[test]
    fn neighbours_are_one_range_in_whatever_order_they_come() {
        for offsets in [[3, 4, 5, 9], [5, 3, 9, 4], [9, 5, 4, 3], [4, 4, 3, 5]] {
            let expected = if offsets.contains(&9) { "[[3,5],9]" } else { "[[3,5]]" };
            assert_eq!(serde_json::to_string(&of(&offsets)).unwrap(), expected);
        }
    }

    #[test]
    fn what_earlier_versions_wrote_is_read_and_single_offsets_are_written_as_they_did() {
        let before: Refusals = serde_json::from_str("[7,12]").unwrap();
        assert_eq!(before, of(&[7, 12]));
        assert_eq!(serde_json::to_string(&before).unwrap(), "[7,12]");
        let ranges: Refusals = serde_json::from_str("[[7,9],12]").unwrap();
        assert_eq!(ranges, of(&[7, 8, 9, 12]));
    }

    #[test]
    fn a_clipped_range_keeps_what_lies_within() {
        let all = of(&[1, 2, 3, 4, 10]);
        assert_eq!(all.within(3..10), of(&[3, 4]));
        assert_eq!(all.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 10]);
        let among = |offset| all.contains(offset);
        assert!([1, 4, 10].into_iter().all(among) && ![0, 5, 9, 11].into_iter().any(among));
    }

    #[test]
    fn there_is_room_for_so_many_ranges_and_for_the_neighbours_of_each() {
        let full = (0..MOST_RANGES as i64).map(|at| (3 * at, 3 * at)).collect::<Refusals>();
        assert!(!full.has_room_for(3 * MOST_RANGES as i64, 0));
        assert!(full.has_room_for(1, 5) && full.has_room_for(3 * MOST_RANGES as i64 - 2, 0));
        let nearly = full.within(3..i64::MAX);
        assert!(nearly.has_room_for(5_000, 0) && !nearly.has_room_for(5_000, 1));
    }
}
