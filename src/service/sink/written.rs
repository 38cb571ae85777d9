//! Where the records of a transaction stand in the `open` topic: what stands between those of one and
//! the next is somebody else's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The records of one transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Offset of the first.
    pub first: i64,
    /// Offset of the last.
    pub last: i64,
    records: i64,
}

impl Stretch {
    /// Where something of somebody else's may stand, given the offset behind the transaction before;
    /// `None` where there is no room for it. A marker stands behind each transaction.
    pub fn gap(&self, before: Option<i64>) -> Option<(i64, i64)> {
        let from = before.unwrap_or(self.first);
        let is_whole = self.first <= from && self.last - self.first + 1 == self.records;
        (!is_whole).then_some((from, self.last))
    }

    /// The offset behind the transaction, its marker passed.
    pub const fn end(&self) -> i64 {
        self.last + 2
    }
}

/// What the broker has acknowledged of a transaction, by partition.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<BTreeMap<i32, Stretch>>>);

impl Written {
    /// A record of the `open` topic is written.
    pub fn note(&self, partition: i32, offset: i64) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stretch =
            written.entry(partition).or_insert(Stretch { first: offset, last: offset, records: 0 });
        stretch.first = stretch.first.min(offset);
        stretch.last = stretch.last.max(offset);
        stretch.records += 1;
    }

    /// All of it; nothing is kept.
    pub fn take(&self) -> BTreeMap<i32, Stretch> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(offsets: &[i64]) -> Stretch {
        let written = Written::default();
        offsets.iter().for_each(|offset| written.note(0, *offset));
        written.take()[&0]
    }

    #[test]
    fn what_stands_between_our_records_is_noticed() {
        let first = stretch(&[4, 5, 6]);
        assert_eq!((first.gap(None), first.end()), (None, 8));
        assert_eq!(stretch(&[8]).gap(Some(first.end())), None);
        assert_eq!(stretch(&[10]).gap(Some(first.end())), Some((8, 10)));
        assert_eq!(stretch(&[8, 9, 11]).gap(Some(first.end())), Some((8, 11)));
    }
}
