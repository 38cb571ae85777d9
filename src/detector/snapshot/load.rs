//! A shard from the contents and rows of a snapshot, in bulk. Nothing of what it is given is
//! believed: whatever does not fit together is an error, so that no shard is ever made of it.

use std::sync::Arc;

use super::super::key::{Carrier, PackageKey, is_code};
use super::super::keyring::SPILLED;
use super::super::memory::BlockSource;
use super::super::package::Phase;
use super::super::policy::PolicySet;
use super::super::record::{Record, TRAITS};
use super::super::scan::Milestone;
use super::super::shard::Shard;
use super::super::table::MAX_SLOTS;
use super::super::texts::{NO_TEXT, TextId};
use super::super::time::in_range;
use super::contents::Contents;
use super::row::Row;

/// Why contents and rows are no package state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {at} {why}")]
pub struct Unsound {
    /// Of what.
    pub what: &'static str,
    /// Which one of them, from 0 on.
    pub at: u64,
    /// What is wrong with it.
    pub why: &'static str,
}

fn unsound<T>(what: &'static str, at: impl TryInto<u64>, why: &'static str) -> Result<T, Unsound> {
    Err(Unsound { what, at: at.try_into().unwrap_or(u64::MAX), why })
}

/// Rows that go through all steps before the next ones, so that they stay in the cache.
const AT_ONCE: usize = 1_024;

/// Fills a shard.
pub struct Loader {
    shard: Shard,
    contents: Contents,
    rows: u64,
    last: Option<u128>,
    long_numbers: usize,
    long_lags: usize,
    carriers: Vec<u32>,
    /// Where the profiles of each carrier start, and the end of the last.
    profiles_of: Vec<u32>,
    texts: Vec<u32>,
    profiles: Vec<u32>,
    places: Vec<u32>,
    records: Vec<Record>,
}

impl Loader {
    /// Begins with what the rows have in common. Feed graces are those of the policies.
    ///
    /// # Errors
    /// When a list is out of order, has something twice or names what there is not.
    pub fn new(
        policies: Arc<PolicySet>,
        source: Arc<dyn BlockSource>,
        contents: Contents,
    ) -> Result<Self, Unsound> {
        check(&contents)?;
        let texts = text_holders(&contents)?;
        let shard = Shard::to_load(policies, source, contents.log_clock);
        Ok(Self {
            shard,
            rows: 0,
            last: None,
            long_numbers: 0,
            long_lags: 0,
            carriers: vec![0; contents.carriers.len()],
            profiles_of: profiles_of(&contents),
            texts,
            profiles: vec![0; contents.profiles.len()],
            places: vec![0; contents.places.len()],
            records: Vec::new(),
            contents,
        })
    }

    /// Makes room for all packages at once, so that nothing grows on the way. To be called when it
    /// is known that as many are there.
    pub fn reserve(&mut self) {
        let packages = usize::try_from(self.contents.packages).unwrap_or(MAX_SLOTS);
        self.shard.parts().0.reserve(packages);
    }

    /// Takes in the next rows.
    ///
    /// # Errors
    /// When a row is out of order, or its parts are of no package.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), Unsound> {
        if self.rows + rows.len() as u64 > self.contents.packages {
            return unsound("row", self.contents.packages, "is one more than was said");
        }
        rows.chunks(AT_ONCE).try_for_each(|rows| self.add_some(rows))
    }

    fn add_some(&mut self, rows: &[Row]) -> Result<(), Unsound> {
        let lags = self.long_lags;
        for row in rows {
            self.check(row)?;
            self.rows += 1;
        }
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        records.extend(rows.iter().map(Row::record));
        let first = self.shard.load(&records);
        self.records = records;
        self.load_long_lags(rows, first, lags);
        self.shard.hang_loaded(first..first + rows.len() as u32);
        Ok(())
    }

    /// The shard, in the state [`Shard::rebuilding`] with everything that the rows say.
    ///
    /// # Errors
    /// When rows are missing, or something stands in the contents that no row has.
    pub fn finish(mut self) -> Result<Shard, Unsound> {
        let Contents { packages, long_numbers, long_lags, .. } = &self.contents;
        if self.rows != *packages {
            return unsound("row", self.rows, "is missing");
        }
        if self.long_numbers != long_numbers.len() {
            return unsound("long number", self.long_numbers, "is of no package");
        }
        if self.long_lags != long_lags.len() {
            return unsound("long lag", self.long_lags, "is of no package");
        }
        let lists =
            [("carrier", &self.carriers), ("profile", &self.profiles), ("place", &self.places)];
        for (list, holders) in lists {
            if let Some(at) = holders.iter().position(|holders| *holders == 0) {
                return unsound(list, at, "is of no package");
            }
        }
        self.load_lists();
        Ok(self.shard)
    }

    #[inline]
    fn check(&mut self, row: &Row) -> Result<(), Unsound> {
        let key = row.key();
        if self.last.is_some_and(|last| key <= last) {
            return unsound("row", self.rows, "is out of order");
        }
        self.last = Some(key);
        let carrier = self.check_key(row)?;
        let of_carrier = self.profiles_of[carrier as usize]..self.profiles_of[carrier as usize + 1];
        if !of_carrier.contains(&row.profile()) {
            return unsound("row", self.rows, "has no profile of its carrier");
        }
        let Some(packages) = self.places.get_mut(row.place() as usize) else {
            return unsound("row", self.rows, "has no place");
        };
        *packages += 1;
        self.profiles[row.profile() as usize] += 1;
        self.carriers[carrier as usize] += 1;
        let (phase, milestone) = (usize::from(row.kind() & 3), usize::from(row.kind() >> 2 & 31));
        if !(1..=Phase::ALL.len()).contains(&phase) || milestone >= Milestone::ALL.len() {
            return unsound("row", self.rows, "has no phase or milestone");
        }
        if row.lag() == Row::LONG_LAG {
            if self.contents.long_lags.get(self.long_lags).is_none_or(|(of, _)| *of != key) {
                return unsound("row", self.rows, "has no long lag");
            }
            self.long_lags += 1;
        }
        Ok(())
    }

    /// The carrier of a key that some package may have.
    #[inline]
    fn check_key(&mut self, row: &Row) -> Result<u32, Unsound> {
        match row.key_parts() {
            (SPILLED, place) => {
                let known = self.contents.long_numbers.get(self.long_numbers);
                let Some((carrier, _)) = known.filter(|_| place == self.long_numbers as u128)
                else {
                    return unsound("row", self.rows, "has no long number");
                };
                self.long_numbers += 1;
                Ok(*carrier)
            }
            (carrier, _) if carrier as usize >= self.contents.carriers.len() => {
                unsound("row", self.rows, "has no carrier")
            }
            (_, code) if !is_code(code) => unsound("row", self.rows, "has no tracking number"),
            (carrier, _) => Ok(carrier),
        }
    }

    /// From the place `from` of the long lags on they are those of the rows.
    fn load_long_lags(&mut self, rows: &[Row], first: u32, from: usize) {
        let mut lags = self.contents.long_lags[from..self.long_lags].iter();
        if lags.len() == 0 {
            return;
        }
        let table = self.shard.parts().0;
        for (slot, _) in (first..).zip(rows).filter(|(_, row)| row.lag() == Row::LONG_LAG) {
            if let Some((_, set_at)) = lags.next() {
                table.load_long_lag(slot, *set_at);
            }
        }
    }

    /// Rows name everything by its place in the lists, and so do records of a shard that has given
    /// out no number before.
    fn load_lists(&mut self) {
        let contents = &self.contents;
        let graces: Vec<i64> =
            contents.carriers.iter().map(|carrier| self.shard.feed_grace_of(carrier)).collect();
        let (_, keyring, profiles) = self.shard.parts();
        for (name, packages) in contents.carriers.iter().zip(&self.carriers) {
            if let Ok(name) = Carrier::new(name) {
                keyring.load_carrier(name, *packages);
            }
        }
        for (carrier, number) in &contents.long_numbers {
            keyring.load_spilled(*carrier, number);
        }
        for (text, holders) in contents.texts.iter().zip(&self.texts) {
            profiles.load_text(text, *holders);
        }
        for (profile, packages) in contents.profiles.iter().zip(&self.profiles) {
            let grace = graces[profile.carrier as usize];
            let texts = profile.texts.map(text_id);
            profiles.load_profile(profile.carrier, texts, grace, *packages);
        }
        for (texts, packages) in contents.places.iter().zip(&self.places) {
            profiles.load_place(texts.map(text_id), *packages);
        }
    }
}

fn text_id(number: u32) -> TextId {
    number.checked_sub(1).unwrap_or(NO_TEXT)
}

fn check(contents: &Contents) -> Result<(), Unsound> {
    let Contents { carriers, texts, profiles, places, long_numbers, long_lags, .. } = contents;
    if contents.packages > MAX_SLOTS as u64 {
        return unsound("row", MAX_SLOTS, "is more than a shard can hold");
    }
    if contents.log_clock.is_some_and(|clock| !in_range(clock.secs())) {
        return unsound("log clock", 0, "is not of the years 2000 to 2099");
    }
    ordered("carrier", carriers)?;
    ordered("text", texts)?;
    ordered("profile", profiles)?;
    ordered("place", places)?;
    ordered("long number", long_numbers)?;
    ordered("long lag", long_lags)?;
    for (list, len) in [("profile", profiles.len()), ("place", places.len())] {
        if len > TRAITS as usize {
            return unsound(list, TRAITS, "is more than a shard can hold");
        }
    }
    let normal = |name: &str| Carrier::new(name).is_ok_and(|carrier| carrier.as_str() == name);
    if let Some(at) = carriers.iter().position(|name| !normal(name)) {
        return unsound("carrier", at, "is no name of a carrier in normal form");
    }
    if texts.first().is_some_and(|text| text.is_empty()) {
        return unsound("text", 0, "is empty");
    }
    if let Some(at) = profiles.iter().position(|it| it.carrier as usize >= carriers.len()) {
        return unsound("profile", at, "has no carrier");
    }
    let is_long = |(carrier, number): &(u32, Box<str>)| {
        let Some(name) = carriers.get(*carrier as usize) else { return false };
        let Ok(key) = PackageKey::new(name, number) else { return false };
        key.number().as_str() == &**number && (key.code().is_none() || *carrier >= SPILLED)
    };
    match long_numbers.iter().position(|number| !is_long(number)) {
        Some(at) => unsound("long number", at, "is no tracking number of that kind"),
        None => Ok(()),
    }
}

fn ordered<T: Ord>(list: &'static str, values: &[T]) -> Result<(), Unsound> {
    match values.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(at) => unsound(list, at + 1, "is out of order"),
        None => Ok(()),
    }
}

/// Where the profiles of each carrier start: they stand in order of carriers.
fn profiles_of(contents: &Contents) -> Vec<u32> {
    let carriers = 0..=contents.carriers.len() as u32;
    let start = |carrier| contents.profiles.partition_point(|profile| profile.carrier < carrier);
    carriers.map(|carrier| start(carrier) as u32).collect()
}

/// How many profiles and places have each text.
fn text_holders(contents: &Contents) -> Result<Vec<u32>, Unsound> {
    let mut holders = vec![0; contents.texts.len()];
    let of_profiles = contents.profiles.iter().flat_map(|profile| &profile.texts);
    let of_places = contents.places.iter().flatten();
    for &number in of_profiles.chain(of_places).filter(|number| **number > 0) {
        match holders.get_mut(number as usize - 1) {
            Some(holders) => *holders += 1,
            None => return unsound("text", number - 1, "is missing"),
        }
    }
    match holders.iter().position(|holders| *holders == 0) {
        Some(at) => unsound("text", at, "is of no package"),
        None => Ok(holders),
    }
}
