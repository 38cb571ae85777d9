//! The copy that is taken while the shard stands still: nothing is sorted, looked up or encoded.

use std::sync::Arc;

use super::super::key::Carrier;
use super::super::keyring::{CarrierId, Keyring};
use super::super::memory::{BlockSource, Slab, SystemBlocks};
use super::super::profile::Profiles;
use super::super::record::Record;
use super::super::table::{Slot, Table};
use super::super::texts::TextId;
use super::super::time::LogTime;

/// Texts one behind the other, each with a number. One allocation for all of them.
#[derive(Default)]
pub(super) struct Texts {
    bytes: String,
    /// Number and end of each.
    ends: Vec<(u32, usize)>,
}

impl Texts {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn push(&mut self, id: u32, text: &str) {
        self.bytes.push_str(text);
        self.ends.push((id, self.bytes.len()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |&(id, end)| {
            let text = &self.bytes[start..end];
            start = end;
            (id, text)
        })
    }
}

/// A shard's package state, as the shard has it. To be used again and again: its memory stays.
pub struct Image {
    pub(super) source: Arc<dyn BlockSource>,
    pub(super) records: Slab<Record>,
    /// How many records there are, free ones included.
    pub(super) slots: usize,
    pub(super) packages: usize,
    pub(super) log_clock: Option<LogTime>,
    pub(super) carriers: Vec<(CarrierId, Carrier)>,
    pub(super) texts: Texts,
    pub(super) profiles: Vec<(u32, CarrierId, [TextId; 5])>,
    pub(super) places: Vec<(u32, [TextId; 2])>,
    pub(super) spilled: Texts,
    /// Carriers of those that spilled.
    pub(super) spilled_of: Vec<CarrierId>,
    pub(super) long_lags: Vec<(Slot, i64)>,
}

impl Default for Image {
    fn default() -> Self {
        Self::with_memory(Arc::new(SystemBlocks))
    }
}

impl Image {
    /// An image of nothing, with memory from this source.
    pub fn with_memory(source: Arc<dyn BlockSource>) -> Self {
        Self {
            source,
            records: Slab::default(),
            slots: 0,
            packages: 0,
            log_clock: None,
            carriers: Vec::new(),
            texts: Texts::default(),
            profiles: Vec::new(),
            places: Vec::new(),
            spilled: Texts::default(),
            spilled_of: Vec::new(),
            long_lags: Vec::new(),
        }
    }

    /// Has memory ready for a shard of so many slots ([`Shard::slots`](super::super::shard::Shard)),
    /// every page touched, so that taking the image waits for no page. To be called off the hot
    /// thread; what the shard has grown by since then is mapped while the image is taken.
    pub fn prepare(&mut self, slots: usize) {
        self.records.prepare(slots, &*self.source);
    }

    /// How many packages it holds.
    pub fn len(&self) -> usize {
        self.packages
    }

    /// How many slots there is memory for.
    pub fn slots(&self) -> usize {
        self.records.provided()
    }

    /// Whether it holds no package.
    pub fn is_empty(&self) -> bool {
        self.packages == 0
    }

    /// The log clock of the shard.
    pub fn log_clock(&self) -> Option<LogTime> {
        self.log_clock
    }

    pub(in crate::detector) fn take(
        &mut self,
        (table, keyring, profiles): (&Table, &Keyring, &Profiles),
        log_clock: Option<LogTime>,
    ) {
        self.slots = table.copy_records(&mut self.records, &*self.source);
        self.packages = table.len();
        self.log_clock = log_clock;
        self.long_lags.clear();
        self.long_lags.extend(table.long_lags());
        self.carriers.clear();
        self.carriers.extend(keyring.carriers().map(|(id, name)| (id, *name)));
        self.spilled.clear();
        self.spilled_of.clear();
        for (id, carrier, number) in keyring.spilled() {
            self.spilled.push(id, number);
            self.spilled_of.push(carrier);
        }
        self.texts.clear();
        for (id, text) in profiles.texts() {
            self.texts.push(id, text);
        }
        self.profiles.clear();
        self.profiles.extend(profiles.profiles());
        self.places.clear();
        self.places.extend(profiles.places());
    }
}
