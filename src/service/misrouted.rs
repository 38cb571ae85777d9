//! Notices packages whose scans come in two partitions: then neither shard sees the whole journey,
//! and both may raise alarms that the other's scans would clear. The feed's key is not what it
//! should be. Only some packages are looked at, and only partitions of this instance.

use std::hash::BuildHasher;

use dashmap::DashMap;
use foldhash::fast::FixedState;

use crate::detector::key::PackageKey;

const HASH: FixedState = FixedState::with_seed(0x715);
/// One package in so many is looked at.
pub(super) const ONE_IN: u64 = 128;
/// Packages remembered at most; then all are forgotten and the looking begins anew.
const MOST: usize = 65_536;

/// Where some of the packages were seen, shared by all workers.
#[derive(Debug, Default)]
pub struct Misrouted {
    seen: DashMap<u64, i32, FixedState>,
}

impl Misrouted {
    /// A scan of this package came in a partition; gives the other one, if it came from there
    /// before.
    pub fn look(&self, key: &PackageKey, partition: i32) -> Option<i32> {
        let hash = HASH.hash_one(key);
        if !hash.is_multiple_of(ONE_IN) {
            return None;
        }
        if self.seen.len() >= MOST {
            self.seen.clear();
        }
        self.seen.insert(hash, partition).filter(|before| *before != partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> impl Iterator<Item = PackageKey> {
        (0..10_000).map(|number| PackageKey::new("ups", &format!("1Z{number:09}")).unwrap())
    }

    #[test]
    fn packages_that_stay_in_their_partition_are_not_misrouted() {
        let misrouted = Misrouted::default();
        for _ in 0..3 {
            assert!(keys().zip(0..).all(|(key, at)| misrouted.look(&key, at % 7).is_none()));
        }
        assert!((10..1_000).contains(&misrouted.seen.len()), "some are looked at");
    }

    #[test]
    fn packages_that_change_their_partition_are() {
        let misrouted = Misrouted::default();
        assert!(keys().all(|key| misrouted.look(&key, 1).is_none()));
        let changed = keys().filter(|key| misrouted.look(key, 2) == Some(1)).count();
        assert_eq!(changed, misrouted.seen.len());
        assert!(keys().all(|key| misrouted.look(&key, 2).is_none()), "each is told once");
    }

    #[test]
    fn memory_is_bounded() {
        let misrouted = Misrouted::default();
        for number in 0..MOST as u64 * ONE_IN * 2 / 100 {
            let key = PackageKey::new("dhl", &format!("{number:012}")).unwrap();
            misrouted.look(&key, 0);
        }
        assert!(misrouted.seen.len() <= MOST);
    }
}
