//! What the `open` table must hold at a cut: how many entries, and a sum over them.

use serde::{Deserialize, Serialize};

use super::cut::summand;
use crate::detector::exception::{Change, ExceptionEvent};

/// Count and sum of the open exceptions that have been published, in whatever order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSum {
    /// How many.
    pub count: u64,
    /// The sum, modulo 2 to the power of 64, of a hash of each.
    pub sum: u64,
}

impl OpenSum {
    /// That of a table with these entries: the last event of each.
    pub fn of<'e>(entries: impl IntoIterator<Item = &'e ExceptionEvent>) -> Self {
        let mut sum = Self::default();
        entries.into_iter().for_each(|event| sum.add(event));
        sum
    }

    /// One more entry: the last event of its exception.
    pub fn add(&mut self, event: &ExceptionEvent) {
        *self = self.plus(share(event, 0));
    }

    /// An event is published: its entry is new, takes the place of the one before, or goes.
    pub fn publish(&mut self, event: &ExceptionEvent) {
        if event.change != Change::Opened {
            *self = self.minus(share(event, 1));
        }
        if !event.change.closes() {
            *self = self.plus(share(event, 0));
        }
    }

    /// Whether it is this one with that entry too many.
    pub fn is_with(&self, expected: &Self, entry: &ExceptionEvent) -> bool {
        *self == expected.plus(share(entry, 0))
    }

    fn plus(self, share: u64) -> Self {
        Self { count: self.count.wrapping_add(1), sum: self.sum.wrapping_add(share) }
    }

    fn minus(self, share: u64) -> Self {
        Self { count: self.count.wrapping_sub(1), sum: self.sum.wrapping_sub(share) }
    }
}

/// The hash of the entry that an exception has with this event, or so many events before.
fn share(event: &ExceptionEvent, before: u32) -> u64 {
    let sequence = event.sequence.wrapping_sub(before);
    let number = event.key.number().to_string();
    let texts = [event.key.carrier().as_bytes(), number.as_bytes()];
    let texts = texts.into_iter().flat_map(|text| text.iter().copied().chain([0xff]));
    let id = event.exception_id.into_bytes();
    let rest = [event.kind as u8].into_iter().chain(id).chain(sequence.to_le_bytes());
    summand(texts.chain(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::exception::example as event;

    #[test]
    fn what_is_published_one_by_one_comes_to_what_the_table_holds() {
        let mut sum = OpenSum::default();
        let told = [(1, 0, Change::Opened), (2, 0, Change::Opened), (1, 1, Change::Escalated)];
        told.iter().for_each(|&(number, at, change)| sum.publish(&event(number, at, change)));
        let rows = [event(2, 0, Change::Opened), event(1, 1, Change::Escalated)];
        assert_eq!(sum, OpenSum::of(&rows));
        sum.publish(&event(2, 1, Change::Resolved));
        sum.publish(&event(1, 2, Change::Expired));
        assert_eq!(sum, OpenSum::default());
    }

    #[test]
    fn rows_that_are_all_one_step_further_have_another_sum() {
        let rows = |count: u32, sequence| {
            let rows = (0..count).map(|number| event(number, sequence, Change::Escalated));
            OpenSum::of(&rows.collect::<Vec<_>>())
        };
        for count in 1..200 {
            assert_ne!(rows(count, 0), rows(count, 1), "{count} rows");
        }
    }
}
