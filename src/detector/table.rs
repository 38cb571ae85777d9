//! The index and the slots: the compact state of every package in flight.
//!
//! Records are dense, stand in blocks and never move; the index holds their numbers only. A record
//! that is free keeps its place for the next package, so that memory stays flat under churn.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::index::{Hashes, Index};
use super::keyring::PackedKey;
use super::memory::{BlockSource, Slab};
use super::package::Package;
use super::record::{LONG_LAG, Record};
use super::time::LogTime;

/// Number of a package's record while the package is known.
pub type Slot = u32;

/// More packages than this have no number in 32 bits.
pub const MAX_SLOTS: usize = u32::MAX as usize - 1;
/// Records whose lines of the index are fetched together while a table is loaded.
const FETCHED: usize = 32;
const NO_SLOT: Slot = u32::MAX;

/// Records by slot, slots by key.
pub struct Table {
    records: Slab<Record>,
    index: Index,
    /// Slots below this have been used.
    used: Slot,
    free: Slot,
    /// When anchors were set whose lag is too long for the record: seconds by slot.
    long_lags: HashMap<Slot, i64, FixedState>,
    source: Arc<dyn BlockSource>,
}

impl Hashes for Slab<Record> {
    fn hash(&self, slot: u32) -> u64 {
        self.get(slot as usize).map_or(0, |record| record.key().hash())
    }

    fn prefetch(&self, slot: u32) {
        Self::prefetch(self, slot as usize);
    }
}

impl Table {
    /// An empty table whose memory comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self {
            records: Slab::default(),
            index: Index::default(),
            used: 0,
            free: NO_SLOT,
            long_lags: HashMap::default(),
            source,
        }
    }

    /// Hints that a key of this hash is going to be looked up.
    #[inline]
    pub fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Hints that a record is wanted soon.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        self.records.prefetch(slot as usize);
    }

    /// A slot that may be the one of a key of this hash, told without looking at any record.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> Option<Slot> {
        self.index.candidate(hash)
    }

    /// The slot of a package that is known.
    #[inline]
    pub fn find(&self, key: PackedKey, hash: u64) -> Option<Slot> {
        self.index.find(hash, |slot| self.holds(slot, key))
    }

    /// Whether the package of this key stands in a slot.
    #[inline]
    pub fn holds(&self, slot: Slot, key: PackedKey) -> bool {
        self.records
            .get(slot as usize)
            .is_some_and(|record| record.key() == key && record.is_live())
    }

    /// Keeps a package that is not known yet.
    pub fn insert(&mut self, hash: u64, mut record: Record, package: &Package) -> Slot {
        let kept_here = record.set_package(package);
        let slot = self.place(record);
        self.keep_lag(slot, package, kept_here);
        self.index.insert(hash, slot, &self.records, &*self.source);
        slot
    }

    /// Forgets a package; its slot is free for the next.
    pub fn remove(&mut self, slot: Slot) {
        let record = self.get(slot);
        let (hash, lag) = (record.key().hash(), record.lag());
        self.index.remove(hash, slot);
        if lag == LONG_LAG {
            self.long_lags.remove(&slot);
        }
        *self.get_mut(slot) = Record::free(self.free);
        self.free = slot;
    }

    /// The record of a slot.
    #[inline]
    pub fn get(&self, slot: Slot) -> &Record {
        self.records.get(slot as usize).expect("a slot that was given out has a record")
    }

    /// The record of a slot, to change it.
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> &mut Record {
        self.records.get_mut(slot as usize).expect("a slot that was given out has a record")
    }

    /// What the records of the log say of a package.
    #[inline]
    pub fn package(&self, slot: Slot) -> Package {
        let (mut package, known) = self.get(slot).package();
        if !known && let Some(&set_at) = self.long_lags.get(&slot) {
            package.set_at = LogTime::from_secs(set_at);
        }
        package
    }

    /// Overwrites what the records of the log say of a package.
    #[inline]
    pub fn set_package(&mut self, slot: Slot, package: &Package) {
        let kept_here = self.get_mut(slot).set_package(package);
        if !kept_here || !self.long_lags.is_empty() {
            self.keep_lag(slot, package, kept_here);
        }
    }

    /// How many packages are known.
    #[inline]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The slots of all known packages, in no order that means anything.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.used).filter(|&slot| self.get(slot).is_live())
    }

    /// How many slots have been used, free ones included.
    pub fn used(&self) -> usize {
        self.used as usize
    }

    /// Copies every record, free ones too; returns how many there are.
    pub fn copy_records(&self, into: &mut Slab<Record>, source: &dyn BlockSource) -> usize {
        into.copy_from(&self.records, self.used as usize, source);
        self.used as usize
    }

    /// When anchors were set whose lag is too long for the record: seconds by slot.
    pub fn long_lags(&self) -> impl Iterator<Item = (Slot, i64)> {
        self.long_lags.iter().map(|(&slot, &set_at)| (slot, set_at))
    }

    /// Makes room for so many packages, while there is none.
    pub fn reserve(&mut self, packages: usize) {
        self.index.reserve(packages, &*self.source);
    }

    /// Keeps packages that are not known yet; returns the slot of the first, the others follow it.
    /// None was ever removed from the table.
    pub fn load(&mut self, records: &[Record]) -> Slot {
        let first = self.used;
        for records in records.chunks(FETCHED) {
            let mut hashes = [0; FETCHED];
            for (hash, record) in hashes.iter_mut().zip(records) {
                *hash = record.key().hash();
                self.index.prefetch(*hash);
            }
            for (&hash, &record) in hashes.iter().zip(records) {
                let slot = self.place(record);
                self.index.insert(hash, slot, &self.records, &*self.source);
            }
        }
        first
    }

    /// Says when the anchor of a package was set whose lag is too long for its record.
    pub fn load_long_lag(&mut self, slot: Slot, set_at: i64) {
        self.long_lags.insert(slot, set_at);
    }

    fn keep_lag(&mut self, slot: Slot, package: &Package, kept_in_record: bool) {
        if kept_in_record {
            self.long_lags.remove(&slot);
        } else {
            self.long_lags.insert(slot, package.set_at.secs());
        }
    }

    fn place(&mut self, record: Record) -> Slot {
        let slot = if self.free == NO_SLOT {
            self.records.provide(self.used as usize, &*self.source);
            self.used += 1;
            self.used - 1
        } else {
            let slot = self.free;
            self.free = self.get(slot).next_free();
            if self.free != NO_SLOT {
                self.prefetch(self.free);
            }
            slot
        };
        *self.get_mut(slot) = record;
        slot
    }
}
