//! Numbers by texts, as a simple design has them: a map for each kind, nothing counted and nothing
//! given up, which is kind to it.

use std::hash::{Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use stallwatch::detector::scan::Attributes;

/// Texts that belong together, such as a facility and its country.
type Row<T, const N: usize> = [Option<T>; N];

/// What a scan says beside its milestone, as numbers; `None`: it says nothing.
#[derive(Clone, Copy)]
pub struct Said {
    /// The place.
    pub place: Option<u16>,
    /// All else.
    pub profile: Option<u32>,
}

impl Said {
    /// Nothing.
    pub const NOTHING: Self = Self { place: None, profile: None };
}

/// The numbers of the texts that scans name.
pub struct Texts {
    places: Numbers<2>,
    profiles: Numbers<5>,
}

impl Texts {
    /// Without texts.
    pub fn new() -> Self {
        Self { places: Numbers::new(), profiles: Numbers::new() }
    }

    /// The numbers of what a scan says.
    #[inline]
    pub fn said(&mut self, scan: &Attributes<&str>) -> Said {
        let Attributes { service, direction, destination_country, shipper, value_tier, .. } = *scan;
        let place = self.places.of(&[scan.facility, scan.country]);
        let profile =
            self.profiles.of(&[service, direction, destination_country, shipper, value_tier]);
        Said { place: place.map(|number| number as u16), profile }
    }
}

/// The key of a map: a row that owns its texts.
#[derive(PartialEq, Eq)]
struct Owned<const N: usize>(Row<Box<str>, N>);

impl<const N: usize> Hash for Owned<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.each_ref().map(|text| text.as_deref()).hash(state);
    }
}

/// A row of borrowed texts, as it is looked up.
#[derive(Hash)]
struct Borrowed<'a, const N: usize>(&'a Row<&'a str, N>);

impl<const N: usize> Equivalent<Owned<N>> for Borrowed<'_, N> {
    fn equivalent(&self, owned: &Owned<N>) -> bool {
        owned.0.iter().map(Option::as_deref).eq(self.0.iter().copied())
    }
}

struct Numbers<const N: usize>(HashMap<Owned<N>, u32, FixedState>);

impl<const N: usize> Numbers<N> {
    fn new() -> Self {
        Self(HashMap::with_hasher(FixedState::with_seed(0x7e87)))
    }

    #[inline]
    fn of(&mut self, row: &Row<&str, N>) -> Option<u32> {
        if row.iter().all(Option::is_none) {
            return None;
        }
        if let Some(number) = self.0.get(&Borrowed(row)) {
            return Some(*number);
        }
        let number = self.0.len() as u32;
        self.0.insert(Owned(row.map(|text| text.map(Box::from))), number);
        Some(number)
    }
}
