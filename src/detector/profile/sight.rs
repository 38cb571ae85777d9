//! What a scan's texts come to, looked up ahead of applying it, stage by stage.
//!
//! The place is told from the texts alone. Texts of the profile are compared with those that the
//! package has, once its record is known; only those of a package that is not known are looked up.

use super::image::Image;
use super::{ProfileKey, Profiles, Traits, taken_texts};
use crate::detector::keyring::CarrierId;
use crate::detector::memo::Words;
use crate::detector::package::Taken;
use crate::detector::scan::Attributes;
use crate::detector::texts::NO_TEXT;

/// Stands for a place of which nothing is known.
const UNKNOWN: u32 = u32::MAX;
/// Stands for the place of a scan that names none.
const NOWHERE: u32 = u32::MAX - 1;

/// What is known of a scan's texts.
#[derive(Clone, Copy, Debug)]
pub struct Sighted {
    /// The place, where the scan names it in full; [`NOWHERE`], where it names none.
    place: u32,
    brings: Brings,
}

/// What the texts of a profile that a scan brings come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Brings {
    /// There are none.
    Nothing,
    /// There may be some.
    Something,
    /// A package of this profile has them all.
    NothingTo(u32),
    /// A package that begins with them has this profile.
    Profile(u32),
}

impl Sighted {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { place: UNKNOWN, brings: Brings::Something };

    /// Whether the scan may bring texts of the profile.
    #[inline]
    pub fn brings_profile(&self) -> bool {
        self.brings != Brings::Nothing
    }

    /// Whether the scan brings a package of these traits nothing, or nothing but a place that is
    /// known.
    #[inline]
    pub fn changes_place_at_most(&self, traits: Traits) -> bool {
        self.knows_place() && self.brings_nothing_to(traits.profile)
    }

    /// Whether no text of the scan is new to a package of this profile.
    #[inline]
    pub(super) fn brings_nothing_to(&self, profile: u32) -> bool {
        match self.brings {
            Brings::Nothing => true,
            Brings::Something => false,
            Brings::NothingTo(known) | Brings::Profile(known) => known == profile,
        }
    }

    /// The profile of a package that begins with this scan, where it is known.
    #[inline]
    pub(super) fn profile(&self) -> Option<u32> {
        match self.brings {
            Brings::Profile(profile) => Some(profile),
            _ => None,
        }
    }

    /// The place, where the scan names it in full and it is known.
    #[inline]
    pub(super) fn place(&self) -> Option<u32> {
        (self.place < NOWHERE).then_some(self.place)
    }

    /// Whether the place is known or none is named.
    #[inline]
    pub(super) fn knows_place(&self) -> bool {
        self.place != UNKNOWN
    }
}

/// What is looked for on behalf of a scan that brings texts of a profile.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// The package is known, and has this profile.
    Held(u32),
    /// The package begins with this profile, if it is known.
    New(ProfileKey),
}

impl Profiles {
    /// The place, if the scan names one in full that was seen lately, and whether there is a profile
    /// to be looked for.
    #[inline]
    pub fn sight(&self, attributes: &Attributes<&str>) -> Sighted {
        let place = match (attributes.facility, attributes.country) {
            (Some(facility), Some(country)) => Words::of_two(facility, country)
                .and_then(|words| self.seen_places.get(&words))
                .unwrap_or(UNKNOWN),
            (None, None) => NOWHERE,
            _ => UNKNOWN,
        };
        let brings_profile = attributes.service.is_some()
            || attributes.direction.is_some()
            || attributes.destination_country.is_some()
            || attributes.shipper.is_some()
            || attributes.value_tier.is_some();
        let brings = if brings_profile { Brings::Something } else { Brings::Nothing };
        Sighted { place, brings }
    }

    /// What to look for on behalf of a scan whose package is not known, if all of its texts are. The
    /// line of the index that it leads to is fetched.
    #[inline]
    pub fn sight_new(&self, carrier: CarrierId, attributes: &Attributes<&str>) -> Option<Wanted> {
        let (brought, _) = taken_texts(attributes, Taken::TextsAndPlace);
        let mut texts = [NO_TEXT; 5];
        for (id, text) in texts.iter_mut().zip(brought) {
            if let Some(text) = text {
                *id = self.texts.find(text)?;
            }
        }
        let key = ProfileKey { carrier, texts };
        self.profiles.prefetch_index(key.hash());
        Some(Wanted::New(key))
    }

    /// Fetches what is going to be compared with what is wanted.
    #[inline]
    pub fn fetch(&self, wanted: &Wanted) {
        match wanted {
            Wanted::Held(profile) => self.images.prefetch(*profile),
            Wanted::New(key) => {
                if let Some(candidate) = self.profiles.candidate(key.hash()) {
                    self.profiles.prefetch(candidate);
                }
            }
        }
    }

    /// Finds what is wanted on behalf of a scan.
    #[inline]
    pub fn compare(
        &mut self,
        wanted: &Wanted,
        attributes: &Attributes<&str>,
        sighted: &mut Sighted,
    ) {
        let found = match wanted {
            Wanted::Held(profile) => {
                self.has(*profile, attributes).then_some(Brings::NothingTo(*profile))
            }
            Wanted::New(key) => {
                self.profiles.find(key.hash(), |other| other.key == *key).map(Brings::Profile)
            }
        };
        if let Some(found) = found {
            sighted.brings = found;
        }
    }

    /// Whether a profile that some package has is known to have all texts that a scan brings.
    #[inline]
    fn has(&mut self, profile: u32, attributes: &Attributes<&str>) -> bool {
        let (brought, _) = taken_texts(attributes, Taken::TextsAndPlace);
        let Some(brought) = Image::of(brought) else { return false };
        let Self { images, profiles, texts, .. } = self;
        let held = || profiles.get(profile).key.texts.map(|id| texts.get(id).map(|text| &**text));
        images.of(profile, held).has(&brought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::memory::{BlockSource, SystemBlocks};
    use std::sync::Arc;

    #[test]
    fn what_a_scan_brings_is_compared_with_the_profile_that_has_the_number_now() {
        let source: Arc<dyn BlockSource> = Arc::new(SystemBlocks);
        let mut profiles = Profiles::new(&source);
        let of = |service| Attributes { service: Some(service), ..Attributes::default() };
        let begin = |profiles: &mut Profiles, service| {
            let brought = (&of(service), Taken::TextsAndPlace);
            profiles.begin(0, brought, &Sighted::UNKNOWN, || 0)
        };
        let brings_nothing = |profiles: &mut Profiles, traits: Traits, service| {
            let mut sighted = Sighted::UNKNOWN;
            profiles.compare(&Wanted::Held(traits.profile), &of(service), &mut sighted);
            sighted.brings_nothing_to(traits.profile)
        };
        let ground = begin(&mut profiles, "ground");
        assert!(brings_nothing(&mut profiles, ground, "ground"));
        assert!(!brings_nothing(&mut profiles, ground, "express"));
        profiles.release(ground);
        profiles.resolve_anew(|_| 0);
        let express = begin(&mut profiles, "express");
        assert_eq!(express.profile, ground.profile, "the number is used again");
        assert!(brings_nothing(&mut profiles, express, "express"));
        assert!(!brings_nothing(&mut profiles, express, "ground"));
    }
}
