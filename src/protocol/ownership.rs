//! Which contents belong to which assignment.
//!
//! Every assignment of a partition begins a new epoch. What was taken under an epoch that is over
//! is dropped for good, even when the partition has come back since.

use std::collections::BTreeMap;

/// Number of an assignment; never used twice in one process.
pub type Epoch = u64;

/// The partitions held at present.
#[derive(Debug, Default)]
pub struct Ownership {
    next: Epoch,
    held: BTreeMap<i32, Epoch>,
}

impl Ownership {
    /// The partition has been assigned: a new epoch begins.
    pub fn assigned(&mut self, partition: i32) -> Epoch {
        self.next += 1;
        self.held.insert(partition, self.next);
        self.next
    }

    /// The partition has been taken away or given up.
    pub fn ended(&mut self, partition: i32) {
        self.held.remove(&partition);
    }

    /// Whether contents of this partition and epoch may still be published.
    pub fn holds(&self, partition: i32, epoch: Epoch) -> bool {
        self.held.get(&partition) == Some(&epoch)
    }

    /// The epoch in which a partition is held.
    pub fn epoch(&self, partition: i32) -> Option<Epoch> {
        self.held.get(&partition).copied()
    }

    /// The partitions held, in order.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        self.held.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_of_an_earlier_assignment_are_never_published_under_a_later_one() {
        let mut ownership = Ownership::default();
        let first = ownership.assigned(3);
        assert!(ownership.holds(3, first));
        ownership.ended(3);
        assert!(!ownership.holds(3, first));
        let second = ownership.assigned(3);
        assert!(!ownership.holds(3, first));
        assert!(ownership.holds(3, second));
    }
}
