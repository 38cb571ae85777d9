//! From an image, in the order and by the numbers of one shard, to the form that all copies share.
//!
//! ```text
//!  records ──► buckets by splitters of a sample ──► one bucket after the other in order ──► rows
//!   (slots)         1 pass to count, 1 to move            in the cache of the core
//! ```

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::super::key::PackageKey;
use super::super::keyring::{NUMBER_BITS, SPILLED};
use super::super::record::Record;
use super::super::splitters::{LANES, Splitters};
use super::super::table::Slot;
use super::super::texts::{NO_TEXT, TextId};
use super::contents::{Contents, ProfileTexts};
use super::image::Image;
use super::row::{Row, long_key, short_key};

/// Rows of a block; only the last one of a snapshot has fewer.
pub const BLOCK_ROWS: usize = 65_536;

/// Rows of a bucket, on average: what fits into the cache of a core several times.
const BUCKET_ROWS: usize = 8_192;
const MOST_BUCKETS: usize = 4_096;
/// Rows of the sample for each bucket.
const SAMPLED: usize = 16;
/// Bits of a place in a bucket.
const PLACE_BITS: u32 = 16;

/// Puts the packages of an image in order. To be used again and again: its memory stays, 32 bytes a
/// package.
#[derive(Default)]
pub struct Sorter {
    rows: Vec<Row>,
    /// Where each bucket starts, and the end of the last.
    starts: Vec<usize>,
    bucket_of: Vec<u16>,
    scales: Scales,
    /// By the numbers that the scales make of keys.
    splitters: Splitters,
    /// The bucket to be put in order next.
    next: usize,
    /// Places within the bucket before, in order, from `at` on still to be given out.
    order: Vec<u64>,
    at: usize,
    /// The bits of `order` that are a place.
    place_mask: u64,
    block: Vec<Row>,
}

/// A tracking number as text, behind the number of its carrier.
type LongNumber = (u32, Box<str>);

/// The numbers that a shard has given out, in those of [`Contents`].
struct Numbers {
    carriers: Vec<u32>,
    texts: Vec<u32>,
    profiles: Vec<u32>,
    places: Vec<u32>,
    /// Keys by the number of a key that spilled.
    spilled: Vec<u128>,
    /// Keys of packages that did not spill, but whose carrier has too high a number now.
    long: HashMap<Slot, u128, FixedState>,
}

impl Numbers {
    #[inline]
    fn key(&self, slot: Slot, record: &Record) -> u128 {
        match record.key().parts() {
            (SPILLED, number) => self.spilled[number as usize],
            (carrier, code) => match self.carriers[carrier as usize] {
                rank if rank < SPILLED => short_key(rank, code),
                _ => self.long.get(&slot).copied().unwrap_or(u128::MAX),
            },
        }
    }

    #[inline]
    fn row(&self, slot: Slot, record: &Record) -> Row {
        let traits = record.traits();
        let profile = self.profiles[traits.profile as usize];
        let place = self.places[traits.place as usize];
        Row::of(self.key(slot, record), record, profile, place)
    }

    fn text(&self, id: TextId) -> u32 {
        if id == NO_TEXT { 0 } else { self.texts[id as usize] + 1 }
    }
}

/// From keys to numbers of 64 bits that never contradict their order: the carrier, and the highest
/// bits in which the numbers of its packages differ. What the sample did not let expect is the least
/// or the greatest of its carrier.
#[derive(Default)]
struct Scales(Vec<Scale>);

#[derive(Clone, Copy, Default)]
struct Scale {
    least: u128,
    shift: u32,
}

impl Scales {
    const BITS: u32 = 64 - (u128::BITS - NUMBER_BITS);

    /// By keys in order.
    fn of(&mut self, sample: &[u128]) {
        self.0.clear();
        self.0.resize(SPILLED as usize + 1, Scale::default());
        for keys in sample.chunk_by(|a, b| a >> NUMBER_BITS == b >> NUMBER_BITS) {
            if let (Some(&least), Some(most)) = (keys.first(), keys.last()) {
                let bits = u128::BITS - (most - least).leading_zeros();
                let shift = bits.saturating_sub(Self::BITS);
                self.0[(least >> NUMBER_BITS) as usize] = Scale { least, shift };
            }
        }
    }

    #[inline]
    fn scaled(&self, key: u128) -> u64 {
        let carrier = (key >> NUMBER_BITS) as usize;
        let Scale { least, shift } = self.0[carrier];
        let scaled = key.saturating_sub(least) >> shift;
        let greatest = (1 << Self::BITS) - 1;
        (carrier as u64) << Self::BITS | scaled.min(greatest) as u64
    }
}

impl Image {
    /// Brings the image into order: gives what its packages have in common, and the packages
    /// themselves block by block from [`Sorter::next_block`].
    pub fn sort(&self, sorter: &mut Sorter) -> Contents {
        let mut contents = Contents { log_clock: self.log_clock, ..Contents::default() };
        let numbers = self.numbers(&mut contents);
        contents.long_lags = (self.long_lags.iter())
            .filter_map(|&(slot, set_at)| {
                let record = self.records.get(slot as usize)?;
                Some((numbers.key(slot, record), set_at))
            })
            .collect();
        contents.long_lags.sort_unstable();
        contents.packages = sorter.sort(self, &numbers) as u64;
        contents
    }

    /// Every package with its slot.
    fn live(&self) -> impl Iterator<Item = (Slot, &Record)> {
        let records = self.records.pieces(self.slots).flatten();
        (0..).zip(records).filter(|(_, record)| record.is_live())
    }

    fn numbers(&self, contents: &mut Contents) -> Numbers {
        let (carriers, names) = in_order(self.carriers.iter().map(|&(id, name)| (id, name)));
        contents.carriers = names.iter().map(|name| name.as_str().into()).collect();
        let (texts, sorted) = in_order(self.texts.iter());
        contents.texts = sorted.into_iter().map(Into::into).collect();
        let mut numbers = Numbers {
            carriers,
            texts,
            profiles: Vec::new(),
            places: Vec::new(),
            spilled: Vec::new(),
            long: HashMap::default(),
        };
        let profiles = self.profiles.iter().map(|&(id, carrier, texts)| {
            let carrier = numbers.carriers[carrier as usize];
            (id, ProfileTexts { carrier, texts: texts.map(|id| numbers.text(id)) })
        });
        let (profiles, sorted) = in_order(profiles);
        contents.profiles = sorted;
        let places = self.places.iter().map(|&(id, texts)| (id, texts.map(|id| numbers.text(id))));
        let (places, sorted) = in_order(places);
        contents.places = sorted;
        (numbers.profiles, numbers.places) = (profiles, places);
        self.number_long_ones(&mut numbers, contents);
        numbers
    }

    /// What spilled in the shard because there were too many carriers at that time may have room in
    /// a key now, and the other way round.
    fn number_long_ones(&self, numbers: &mut Numbers, contents: &mut Contents) {
        let names: HashMap<u32, _, FixedState> =
            self.carriers.iter().map(|&(id, name)| (id, name)).collect();
        let mut long: Vec<(LongNumber, Result<u32, Slot>)> = Vec::new();
        for ((id, number), carrier) in self.spilled.iter().zip(&self.spilled_of) {
            let rank = numbers.carriers[*carrier as usize];
            let code = PackageKey::from_normal(names[carrier], number).code();
            let short = code.filter(|_| rank < SPILLED).map(|code| short_key(rank, code));
            put(&mut numbers.spilled, id, short.unwrap_or_default());
            if short.is_none() {
                long.push(((rank, number.into()), Ok(id)));
            }
        }
        if contents.carriers.len() > SPILLED as usize {
            for (slot, record) in self.live() {
                let (carrier, code) = record.key().parts();
                if carrier != SPILLED && numbers.carriers[carrier as usize] >= SPILLED {
                    let key = PackageKey::from_code(names[&carrier], code);
                    let number = key.number().as_str().into();
                    long.push(((numbers.carriers[carrier as usize], number), Err(slot)));
                }
            }
        }
        long.sort_unstable();
        for (place, (_, origin)) in (0..).zip(&long) {
            match *origin {
                Ok(id) => numbers.spilled[id as usize] = long_key(place),
                Err(slot) => {
                    numbers.long.insert(slot, long_key(place));
                }
            }
        }
        contents.long_numbers = long.into_iter().map(|(number, _)| number).collect();
    }
}

/// Values in order, and the place of each by its number.
fn in_order<T: Ord>(entries: impl Iterator<Item = (u32, T)>) -> (Vec<u32>, Vec<T>) {
    let mut entries: Vec<(u32, T)> = entries.collect();
    entries.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    let mut places = Vec::new();
    for (place, (id, _)) in (0..).zip(&entries) {
        put(&mut places, *id, place);
    }
    (places, entries.into_iter().map(|(_, value)| value).collect())
}

fn put<T: Clone + Default>(into: &mut Vec<T>, at: u32, value: T) {
    if into.len() <= at as usize {
        into.resize(at as usize + 1, T::default());
    }
    into[at as usize] = value;
}

impl Sorter {
    /// The next rows in order of their keys: [`BLOCK_ROWS`] of them, fewer at the end; `None` after
    /// that.
    pub fn next_block(&mut self) -> Option<&[Row]> {
        self.block.clear();
        while self.block.len() < BLOCK_ROWS {
            if self.at == self.order.len() && !self.order_next() {
                break;
            }
            let start = self.starts[self.next - 1];
            let count = (BLOCK_ROWS - self.block.len()).min(self.order.len() - self.at);
            let places = &self.order[self.at..self.at + count];
            let rows = &self.rows[start..];
            let mask = self.place_mask;
            self.block.extend(places.iter().map(|place| rows[(place & mask) as usize]));
            self.at += count;
        }
        (!self.block.is_empty()).then_some(&self.block)
    }

    /// Moves the packages into buckets; returns how many there are.
    fn sort(&mut self, image: &Image, numbers: &Numbers) -> usize {
        self.split(image, numbers);
        self.count(image, numbers);
        self.scatter(image, numbers);
        (self.next, self.at) = (0, 0);
        self.order.clear();
        self.rows.len()
    }

    /// Chooses what divides the buckets, so that they hold nearly the same.
    fn split(&mut self, image: &Image, numbers: &Numbers) {
        let buckets = (image.packages / BUCKET_ROWS).next_power_of_two().min(MOST_BUCKETS);
        let step = (image.slots / (buckets * SAMPLED)).max(1);
        let mut sample: Vec<u128> = (0..image.slots as Slot)
            .step_by(step)
            .filter_map(|slot| {
                let record = image.records.get(slot as usize)?;
                record.is_live().then(|| numbers.key(slot, record))
            })
            .collect();
        sample.sort_unstable();
        self.scales.of(&sample);
        let scales = &self.scales;
        self.splitters.set(buckets, &sample, |key| scales.scaled(*key));
    }

    /// Finds the bucket of each package, and where the buckets start.
    fn count(&mut self, image: &Image, numbers: &Numbers) {
        self.starts.clear();
        self.starts.resize(self.splitters.len() + 1, 0);
        self.bucket_of.clear();
        self.bucket_of.reserve(image.slots);
        let mut slot = 0;
        for records in image.records.pieces(image.slots) {
            for records in records.chunks(LANES) {
                let mut keys = [0; LANES];
                for ((key, record), slot) in keys.iter_mut().zip(records).zip(slot..) {
                    if record.is_live() {
                        *key = self.scales.scaled(numbers.key(slot, record));
                    }
                }
                let buckets = self.splitters.places(&keys);
                for (record, bucket) in records.iter().zip(buckets) {
                    self.starts[bucket + 1] += usize::from(record.is_live());
                    self.bucket_of.push(bucket as u16);
                }
                slot += records.len() as Slot;
            }
        }
        for bucket in 1..self.starts.len() {
            self.starts[bucket] += self.starts[bucket - 1];
        }
    }

    fn scatter(&mut self, image: &Image, numbers: &Numbers) {
        let packages = self.starts.last().copied().unwrap_or_default();
        self.rows.resize(packages, Row::default());
        let mut heads = self.starts.clone();
        let mut slot = 0;
        for records in image.records.pieces(image.slots) {
            let buckets = &self.bucket_of[slot as usize..];
            for (record, &bucket) in records.iter().zip(buckets) {
                if record.is_live() {
                    let head = &mut heads[usize::from(bucket)];
                    self.rows[*head] = numbers.row(slot, record);
                    *head += 1;
                }
                slot += 1;
            }
        }
    }

    /// Puts the next bucket in order that has any rows; false when there is none.
    fn order_next(&mut self) -> bool {
        self.order.clear();
        self.at = 0;
        while self.order.is_empty() && self.next + 1 < self.starts.len() {
            let bucket = self.starts[self.next]..self.starts[self.next + 1];
            self.next += 1;
            self.place_mask = order(&mut self.rows[bucket], &mut self.order);
        }
        !self.order.is_empty()
    }
}

/// The places of rows in order of their keys, in the low bits of numbers, and the mask of those
/// bits: above them stand as many of the highest bits in which the keys differ as there is room for,
/// and where those are equal the keys themselves decide.
fn order(rows: &mut [Row], into: &mut Vec<u64>) -> u64 {
    const MASK: u64 = (1 << PLACE_BITS) - 1;
    if rows.len() > 1 << PLACE_BITS {
        // More than the sample let expect: their places need more bits.
        rows.sort_unstable_by_key(Row::key);
        into.extend(0..rows.len() as u64);
        return u64::MAX;
    }
    let keys = || rows.iter().map(Row::key);
    let (Some(least), Some(most)) = (keys().min(), keys().max()) else {
        return MASK;
    };
    let shift = (u128::BITS - (most - least).leading_zeros()).saturating_sub(64 - PLACE_BITS);
    into.extend((0..).zip(rows.iter()).map(|(place, row): (u64, _)| {
        (((row.key() - least) >> shift) as u64) << PLACE_BITS | place
    }));
    into.sort_unstable();
    if shift > 0 {
        let key = |ordered: &u64| rows[(*ordered & MASK) as usize].key();
        for equal in into.chunk_by_mut(|a, b| a >> PLACE_BITS == b >> PLACE_BITS) {
            if equal.len() > 1 {
                equal.sort_unstable_by_key(key);
            }
        }
    }
    MASK
}
