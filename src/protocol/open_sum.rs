//! What the `open` table must hold at a cut: how many entries, and a sum over them.

use serde::{Deserialize, Serialize};

use super::cut::fnv_1a;
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
        entries.into_iter().fold(Self::default(), |sum, event| sum.plus(share(event, 0)))
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
    fnv_1a(texts.chain(rest))
}
