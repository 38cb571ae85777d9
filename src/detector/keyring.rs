//! Keys of 16 bytes: a carrier's number and the tracking number, packed without loss.
//!
//! Keys that do not fit spill: number too long or too odd to be packed, or a carrier beyond the
//! first 4,095 that are known at once. Their texts stand in a side store, and the packed key holds
//! their number there, so that everybody else sees one kind of key.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::interner::Interner;
use super::key::{Carrier, MAX_CARRIER, PackageKey, is_ordered, order_code};

/// Number of a carrier while some package has it.
pub type CarrierId = u32;

const HASH: FixedState = FixedState::with_seed(0x6b65);
/// Bits of a packed key that the tracking number has.
pub const NUMBER_BITS: u32 = 116;
/// What stands in place of the carrier's number in a key that spilled.
pub const SPILLED: u32 = (1 << (128 - NUMBER_BITS)) - 1;
/// Carriers that are remembered by their first characters.
const MEMO: usize = 256;

/// Carrier and tracking number in 16 bytes; only its [`Keyring`] can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedKey([u64; 2]);

impl PackedKey {
    fn new(carrier: u32, code: u128) -> Self {
        let key = u128::from(carrier) << NUMBER_BITS | code;
        Self([key as u64, (key >> 64) as u64])
    }

    /// The key as two words.
    #[inline]
    pub fn words(self) -> [u64; 2] {
        self.0
    }

    /// From what [`Self::words`] gave.
    #[inline]
    pub fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// 64 bits of which all are as good as any.
    #[inline]
    pub fn hash(self) -> u64 {
        let product = u128::from(self.0[0] ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(self.0[1] ^ 0xd6e8_feb8_6659_fd93);
        let folded = product as u64 ^ (product >> 64) as u64;
        let again = u128::from(folded) * 0xa076_1d64_78bd_642f;
        again as u64 ^ (again >> 64) as u64
    }

    /// Number of the carrier, or [`SPILLED`]; and the code of the tracking number, or the number of
    /// the key among those that spilled.
    #[inline]
    pub fn parts(self) -> (u32, u128) {
        (self.carrier(), self.code())
    }

    fn carrier(self) -> u32 {
        (self.0[1] >> (NUMBER_BITS - 64)) as u32
    }

    fn code(self) -> u128 {
        let key = u128::from(self.0[1]) << 64 | u128::from(self.0[0]);
        key & ((1 << NUMBER_BITS) - 1)
    }
}

/// A carrier that was looked up lately.
#[derive(Clone, Copy)]
struct Seen {
    /// As [`Carrier::padded`] has it. Zeros are no carrier's name.
    name: [u8; MAX_CARRIER],
    id: CarrierId,
}

impl Seen {
    const NOTHING: Self = Self { name: [0; MAX_CARRIER], id: 0 };
}

struct Known {
    name: Carrier,
    text: Arc<str>,
}

struct Spilled {
    carrier: CarrierId,
    number: Box<str>,
}

/// The carriers and spilled keys of the packages of a shard.
pub struct Keyring {
    carriers: Interner<Known>,
    /// Carriers by their first characters, so that most are found without a look at the interner.
    memo: Box<[Seen; MEMO]>,
    /// A key without a package may outlive its carrier, and is then one of the carrier that has got
    /// the number since.
    spilled: Interner<Spilled>,
    /// How often a carrier has come or gone.
    version: u64,
    /// Place of each carrier in the order of their names.
    ranks: Vec<u32>,
    ranks_of: Option<u64>,
}

impl Default for Keyring {
    fn default() -> Self {
        Self {
            carriers: Interner::default(),
            memo: Box::new([Seen::NOTHING; MEMO]),
            spilled: Interner::default(),
            version: 0,
            ranks: Vec::new(),
            ranks_of: None,
        }
    }
}

impl Keyring {
    /// The packed form of a key that some package may have; `None` where none can.
    #[inline(always)]
    pub fn find(&self, key: &PackageKey) -> Option<PackedKey> {
        let carrier = self.find_carrier(key.carrier_name())?;
        match key.code() {
            Some(code) if carrier < SPILLED => Some(PackedKey::new(carrier, code)),
            _ => self.find_spilled(carrier, &key.number()),
        }
    }

    /// Packs the key of a package that is new.
    pub fn hold(&mut self, key: &PackageKey) -> PackedKey {
        let carrier = self.hold_carrier(key.carrier_name());
        match key.code() {
            Some(code) if carrier < SPILLED => PackedKey::new(carrier, code),
            _ => {
                let number = key.number();
                let (spilled, _) = self.spilled.hold(
                    spill_hash(carrier, &number),
                    |other| other.carrier == carrier && *other.number == *number,
                    || Spilled { carrier, number: Box::from(&*number) },
                );
                PackedKey::new(SPILLED, u128::from(spilled))
            }
        }
    }

    /// Gives up the key of a package that is gone.
    pub fn release(&mut self, key: PackedKey) {
        let carrier = self.carrier_of(key);
        if key.carrier() == SPILLED {
            self.spilled.release(key.code() as u32);
        }
        self.carriers.release(carrier);
    }

    /// Gives up carriers and spilled keys that no package has had for a while. Packed forms that
    /// were found before are void.
    #[inline]
    pub fn sweep(&mut self) {
        while self.spilled.sweep().is_some() {}
        while let Some((_, known)) = self.carriers.sweep() {
            self.version += 1;
            self.memo[memo_of(&known.name)] = Seen::NOTHING;
        }
    }

    /// Carrier and number as text.
    pub fn key(&self, key: PackedKey) -> PackageKey {
        let name = self.carriers.get(self.carrier_of(key)).name;
        match key.carrier() {
            SPILLED => PackageKey::from_normal(name, &self.spilled.get(key.code() as u32).number),
            _ => PackageKey::from_code(name, key.code()),
        }
    }

    /// The number of a key's carrier.
    #[inline]
    pub fn carrier_of(&self, key: PackedKey) -> CarrierId {
        match key.carrier() {
            SPILLED => self.spilled.get(key.code() as u32).carrier,
            carrier => carrier,
        }
    }

    /// The name of a carrier that some package has.
    pub fn carrier(&self, carrier: CarrierId) -> &Arc<str> {
        &self.carriers.get(carrier).text
    }

    /// Prepares [`Self::order`].
    pub fn rank(&mut self) {
        if self.ranks_of == Some(self.version) {
            return;
        }
        let mut ids: Vec<CarrierId> = self.carriers.ids().collect();
        ids.sort_unstable_by_key(|&id| self.carriers.get(id).name);
        self.ranks.clear();
        self.ranks.resize(self.carriers.slots(), 0);
        for (rank, &id) in ids.iter().enumerate() {
            self.ranks[id as usize] = rank as u32;
        }
        self.ranks_of = Some(self.version);
    }

    /// Two words that stand in the order of carriers as text, then numbers as bytes; where they are
    /// equal, [`Self::compare`] decides. Needs [`Self::rank`] since the last carrier came.
    #[inline]
    pub fn order(&self, key: PackedKey) -> [u64; 2] {
        let rank = self.ranks[self.carrier_of(key) as usize].min(SPILLED);
        let code = match key.carrier() {
            SPILLED => order_code(self.spilled.get(key.code() as u32).number.as_bytes()),
            _ if is_ordered(key.code()) => key.code(),
            _ => order_code(self.key(key).number().as_bytes()),
        };
        let order = u128::from(rank) << NUMBER_BITS | code;
        [(order >> 64) as u64, order as u64]
    }

    /// Carriers as text, then numbers as bytes.
    pub fn compare(&self, a: PackedKey, b: PackedKey) -> Ordering {
        self.key(a).cmp(&self.key(b))
    }

    /// The carriers that packages have, by number.
    pub fn carriers(&self) -> impl Iterator<Item = (CarrierId, &Carrier)> {
        self.carriers.entries().map(|(id, known)| (id, &known.name))
    }

    /// The keys that spilled, by their number: carrier and tracking number.
    pub fn spilled(&self) -> impl Iterator<Item = (u32, CarrierId, &str)> {
        self.spilled.entries().map(|(id, key)| (id, key.carrier, &*key.number))
    }

    /// Keeps a carrier that is not known yet for so many packages.
    pub fn load_carrier(&mut self, name: Carrier, packages: u32) -> CarrierId {
        let known = Known { name, text: Arc::from(&*name) };
        self.carriers.load(HASH.hash_one(name), known, packages)
    }

    /// Keeps a key that spills, and that no package has yet.
    pub fn load_spilled(&mut self, carrier: CarrierId, number: &str) -> u32 {
        let key = Spilled { carrier, number: Box::from(number) };
        self.spilled.load(spill_hash(carrier, number), key, 1)
    }

    #[inline(always)]
    fn find_carrier(&self, name: &Carrier) -> Option<CarrierId> {
        let seen = &self.memo[memo_of(name)];
        if seen.name == *name.padded() { Some(seen.id) } else { self.find_unseen(name) }
    }

    #[inline(never)]
    fn find_unseen(&self, name: &Carrier) -> Option<CarrierId> {
        self.carriers.find(HASH.hash_one(name), |known| known.name == *name)
    }

    fn hold_carrier(&mut self, name: &Carrier) -> CarrierId {
        let seen = &mut self.memo[memo_of(name)];
        if seen.name == *name.padded() {
            self.carriers.hold_again(seen.id);
            return seen.id;
        }
        let make = || Known { name: *name, text: Arc::from(&**name) };
        let (id, new) = self.carriers.hold(HASH.hash_one(name), |known| known.name == *name, make);
        self.version += u64::from(new);
        *seen = Seen { name: *name.padded(), id };
        id
    }

    fn find_spilled(&self, carrier: CarrierId, number: &str) -> Option<PackedKey> {
        let same = |other: &Spilled| other.carrier == carrier && *other.number == *number;
        let spilled = self.spilled.find(spill_hash(carrier, number), same)?;
        Some(PackedKey::new(SPILLED, u128::from(spilled)))
    }
}

fn spill_hash(carrier: CarrierId, number: &str) -> u64 {
    HASH.hash_one((carrier, number))
}

/// By the first eight characters: those of one feed's carriers seldom are the same.
#[inline]
fn memo_of(name: &Carrier) -> usize {
    let start = name.padded().first_chunk().copied().unwrap_or_default();
    (u64::from_le_bytes(start).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % MEMO
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(carrier: &str, number: &str) -> PackageKey {
        PackageKey::new(carrier, number).unwrap()
    }

    #[test]
    fn more_carriers_than_fit_a_key_are_kept_apart_all_the_same() {
        let mut ring = Keyring::default();
        let keys: Vec<_> = (0..5_000).map(|n| key(&format!("carrier-{n}"), "1Z999")).collect();
        let packed: Vec<_> = keys.iter().map(|key| ring.hold(key)).collect();
        for (key, packed) in keys.iter().zip(&packed) {
            assert_eq!(ring.find(key), Some(*packed));
            assert_eq!(ring.key(*packed), *key);
        }
        ring.rank();
        let mut sorted = packed.clone();
        sorted.sort_by(|&a, &b| ring.order(a).cmp(&ring.order(b)).then_with(|| ring.compare(a, b)));
        assert!(sorted.is_sorted_by(|&a, &b| ring.key(a) < ring.key(b)));
        for packed in packed {
            ring.release(packed);
        }
        while ring.spilled.sweep_all().is_some() {}
        while let Some((_, known)) = ring.carriers.sweep_all() {
            ring.memo[memo_of(&known.name)] = Seen::NOTHING;
        }
        assert!(keys.iter().all(|key| ring.find(key).is_none()));
        assert_eq!((ring.carriers.len(), ring.spilled.len()), (0, 0));
    }

    proptest! {
        #[test]
        fn packed_keys_give_their_texts_back_and_stand_in_their_order(
            texts in prop::collection::vec(
                ("[a-c]{1,2}", "[A0-]?([09AZ#:~]{1,4}|[0-9]{20,36}|[A-Z0-9]{20,25})"), 1..40)
        ) {
            let mut ring = Keyring::default();
            let mut keys: Vec<_> = texts.iter()
                .filter_map(|(carrier, number)| PackageKey::new(carrier, number).ok())
                .collect();
            keys.sort();
            keys.dedup();
            let mut packed: Vec<_> = keys.iter().rev().map(|key| ring.hold(key)).collect();
            ring.rank();
            packed.sort_by(|&a, &b| {
                ring.order(a).cmp(&ring.order(b)).then_with(|| ring.compare(a, b))
            });
            for (key, &packed) in keys.iter().zip(&packed) {
                prop_assert_eq!(&ring.key(packed), key);
                prop_assert_eq!(ring.find(key), Some(packed));
            }
        }
    }
}
