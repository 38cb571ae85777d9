//! A digest of package state that depends on no order and on no number that a shard has given out:
//! equal states have equal ones, whatever their history.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use super::super::key::Carrier;
use super::super::keyring::CarrierId;
use super::super::package::Package;
use super::super::texts::{NO_TEXT, TextId};
use super::super::time::LogTime;

const HASH: FixedState = FixedState::with_seed(0xd16e57);

/// Hashes by number of what packages refer to, and the sum over packages.
#[derive(Default)]
pub struct Digest {
    texts: Vec<u64>,
    carriers: Vec<u64>,
    profiles: Vec<u64>,
    places: Vec<u64>,
    sum: u128,
}

fn put(into: &mut Vec<u64>, id: u32, hash: u64) {
    if into.len() <= id as usize {
        into.resize(id as usize + 1, 0);
    }
    into[id as usize] = hash;
}

impl Digest {
    /// A text, before what refers to it.
    pub fn text(&mut self, id: TextId, text: &str) {
        put(&mut self.texts, id, HASH.hash_one(text));
    }

    /// A carrier, before what refers to it.
    pub fn carrier(&mut self, id: CarrierId, name: &Carrier) {
        put(&mut self.carriers, id, HASH.hash_one(name.as_str()));
    }

    /// A profile, before the packages.
    pub fn profile(&mut self, id: u32, texts: [TextId; 5]) {
        let texts = texts.map(|id| self.hash_of_text(id));
        put(&mut self.profiles, id, HASH.hash_one(texts));
    }

    /// A place, before the packages.
    pub fn place(&mut self, id: u32, texts: [TextId; 2]) {
        let texts = texts.map(|id| self.hash_of_text(id));
        put(&mut self.places, id, HASH.hash_one(texts));
    }

    /// A package by its carrier, its number, and the numbers of its profile and place.
    pub fn package(
        &mut self,
        (carrier, number): (CarrierId, Result<u128, &str>),
        package: &Package,
        (profile, place): (u32, u32),
    ) {
        let state = (
            (package.phase as u8, package.milestone as u8, package.tendered),
            (package.anchor.secs(), package.set_at.secs()),
        );
        let of = |hashes: &[u64], id: u32| hashes.get(id as usize).copied().unwrap_or_default();
        let all = (
            of(&self.carriers, carrier),
            number,
            state,
            of(&self.profiles, profile),
            of(&self.places, place),
        );
        let low = HASH.hash_one(all);
        let high = HASH.hash_one((low, all));
        self.sum = self.sum.wrapping_add(u128::from(high) << 64 | u128::from(low));
    }

    /// The digest of all packages and the log clock.
    pub fn finish(self, log_clock: Option<LogTime>) -> u128 {
        let clock = log_clock.map_or(0, |clock| HASH.hash_one(clock.secs()) | 1);
        self.sum.wrapping_add(u128::from(clock))
    }

    fn hash_of_text(&self, id: TextId) -> u64 {
        match id {
            NO_TEXT => 0,
            id => self.texts.get(id as usize).copied().unwrap_or_default(),
        }
    }
}
