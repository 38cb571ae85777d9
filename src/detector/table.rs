//! The index and the slots: the compact state of every package in flight.
//!
//! Records are dense, stand in chunks and never move; the index holds their numbers only. A record
//! that is free keeps its place for the next package.

use std::hash::BuildHasher;

use compact_str::CompactString;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::package::{Package, Phase};
use super::profile::Traits;
use super::scan::Milestone;
use super::time::{EffectiveTime, LogTime};

/// "No second": nothing is hung up in the wheel.
pub const NEVER: u32 = u32::MAX;
const CHUNK: usize = 4096;
const HASH: FixedState = FixedState::with_seed(0x7ab1e);

/// Number of a package's record while the package is known.
pub type Slot = u32;

/// One package. Times are seconds since 1970; they lie within the years 2000 to 2099.
#[derive(Clone)]
pub struct Record {
    number: CompactString,
    /// Number of the carrier's text.
    pub carrier: u32,
    pub traits: Traits,
    anchor: u32,
    set_at: u32,
    /// The earliest second at which the wheel of steps will bring this record up.
    pub steps_at: u32,
    /// The earliest second at which the wheel of endings will bring this record up.
    pub ends_at: u32,
    phase: Phase,
    milestone: Milestone,
    tendered: bool,
    /// Whether the side table has an open exception for it.
    pub open: bool,
    live: bool,
}

impl Record {
    /// What the records of the log say of the package.
    pub fn package(&self) -> Package {
        Package {
            phase: self.phase,
            milestone: self.milestone,
            tendered: self.tendered,
            anchor: EffectiveTime::from_secs(i64::from(self.anchor)),
            set_at: LogTime::from_secs(i64::from(self.set_at)),
        }
    }

    /// Overwrites what the records of the log say; wheel entries stay as they are.
    pub fn set_package(&mut self, package: &Package) {
        self.phase = package.phase;
        self.milestone = package.milestone;
        self.tendered = package.tendered;
        self.anchor = compact(package.anchor.secs());
        self.set_at = compact(package.set_at.secs());
    }

    /// The tracking number in normal form.
    pub fn number(&self) -> &str {
        &self.number
    }

    /// Whether the slot holds a package at present.
    pub fn is_live(&self) -> bool {
        self.live
    }
}

fn compact(seconds: i64) -> u32 {
    u32::try_from(seconds)
        .expect("event and log times are checked to lie in the years 2000 to 2099")
}

/// Records by slot, slots by carrier and number.
#[derive(Default)]
pub struct Table {
    index: HashTable<Slot>,
    chunks: Vec<Vec<Record>>,
    free: Vec<Slot>,
}

impl Table {
    /// The slot of a package that is known.
    pub fn find(&self, carrier: u32, number: &str) -> Option<Slot> {
        let same = |&slot: &Slot| {
            let record = self.get(slot);
            record.carrier == carrier && record.number == number
        };
        self.index.find(hash(carrier, number), same).copied()
    }

    /// Keeps a package that is not known yet.
    pub fn insert(
        &mut self,
        carrier: u32,
        number: &str,
        traits: Traits,
        package: &Package,
    ) -> Slot {
        let mut record = Record {
            number: CompactString::from(number),
            carrier,
            traits,
            anchor: 0,
            set_at: 0,
            steps_at: NEVER,
            ends_at: NEVER,
            phase: package.phase,
            milestone: package.milestone,
            tendered: package.tendered,
            open: false,
            live: true,
        };
        record.set_package(package);
        let slot = self.place(record);
        let chunks = &self.chunks;
        self.index.insert_unique(hash(carrier, number), slot, |&slot| {
            let record = &chunks[slot as usize / CHUNK][slot as usize % CHUNK];
            hash(record.carrier, &record.number)
        });
        slot
    }

    /// Forgets a package; its slot is free for the next.
    pub fn remove(&mut self, slot: Slot) {
        let record = self.get(slot);
        let hash = hash(record.carrier, &record.number);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        let record = self.get_mut(slot);
        record.live = false;
        record.number = CompactString::default();
        self.free.push(slot);
    }

    /// The record of a slot.
    pub fn get(&self, slot: Slot) -> &Record {
        &self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    /// The record of a slot, to change it.
    pub fn get_mut(&mut self, slot: Slot) -> &mut Record {
        &mut self.chunks[slot as usize / CHUNK][slot as usize % CHUNK]
    }

    /// How many packages are known.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The slots of all known packages, in no order that means anything.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.index.iter().copied()
    }

    fn place(&mut self, record: Record) -> Slot {
        if let Some(slot) = self.free.pop() {
            *self.get_mut(slot) = record;
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(record);
        (chunk * CHUNK + self.chunks[chunk].len() - 1) as Slot
    }
}

fn hash(carrier: u32, number: &str) -> u64 {
    HASH.hash_one((carrier, number))
}
