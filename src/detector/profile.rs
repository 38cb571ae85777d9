//! What packages have in common, kept once: sets of texts, and the policy of each set.
//!
//! A package's record holds two numbers. The profile (carrier, service, direction, destination,
//! shipper, value tier) is all that policies look at beside the milestone, so a policy is resolved
//! once per profile and milestone, not per package. The place (facility, country) changes with
//! nearly every scan and decides nothing.
//!
//! What a scan's texts come to is looked up ahead, in stages ([`Profiles::sight`] to
//! [`Profiles::compare`]), and stays right until the next sweep.

mod image;
mod sight;

use std::cell::Cell;
use std::sync::Arc;

use super::interner::Interner;
use super::keyring::{CarrierId, Keyring};
use super::memo::{Memo, Words};
use super::memory::BlockSource;
use super::package::Taken;
use super::policy::PolicySet;
use super::scan::{Attributes, Milestone, present};
use super::texts::{NO_TEXT, TextId, Texts};
use image::Images;
pub use sight::{Sighted, Wanted};

const MILESTONES: usize = Milestone::ALL.len();
const UNRESOLVED: u16 = u16::MAX;

/// Numbers of a package's profile and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub profile: u32,
    pub place: u32,
}

/// All that policies look at beside the milestone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ProfileKey {
    carrier: CarrierId,
    /// Service, direction, destination country, shipper, value tier.
    texts: [TextId; 5],
}

impl ProfileKey {
    /// 64 bits of which all are as good as any.
    #[inline]
    pub fn hash(&self) -> u64 {
        let Self { carrier, texts: [a, b, c, d, e] } = *self;
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        hash_of([pair(carrier, a), pair(b, c), pair(d, e)])
    }
}

#[inline]
fn place_hash([facility, country]: [TextId; 2]) -> u64 {
    hash_of([facility.into(), country.into(), 0])
}

#[inline]
fn hash_of([a, b, c]: [u64; 3]) -> u64 {
    let fold = |one: u64, other: u64| {
        let product = u128::from(one) * u128::from(other);
        product as u64 ^ (product >> 64) as u64
    };
    let ab = fold(a ^ 0x9e37_79b9_7f4a_7c15, b ^ 0xd6e8_feb8_6659_fd93);
    fold(ab ^ c.rotate_left(17) ^ 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db ^ c)
}

#[repr(C)]
struct Profile {
    key: ProfileKey,
    feed_grace: i64,
    /// Index of the policy by milestone, once it has been asked for.
    policies: [Cell<u16>; MILESTONES],
}

/// Every profile and place that some package refers to.
pub struct Profiles {
    texts: Texts,
    profiles: Interner<Profile>,
    /// Texts of profiles, where scans repeat them.
    images: Images,
    places: Interner<[TextId; 2]>,
    /// Places by facility and country.
    seen_places: Memo,
}

impl Profiles {
    /// None; the memory comes from this source.
    pub fn new(source: &Arc<dyn BlockSource>) -> Self {
        Self {
            texts: Texts::new(source.clone()),
            profiles: Interner::new(source.clone()),
            images: Images::new(source.clone()),
            places: Interner::new(source.clone()),
            seen_places: Memo::new(),
        }
    }

    /// Seconds that the carrier's feed may lag.
    pub fn feed_grace(&self, traits: Traits) -> i64 {
        self.profiles.get(traits.profile).feed_grace
    }

    /// Whether no number below `limit` is left for another profile or another place.
    #[inline]
    pub fn are_full(&self, limit: u32) -> bool {
        // An update holds the new one before it releases the old one.
        self.profiles.len().max(self.places.len()) + 2 > limit as usize
    }

    /// Gives up what no package has referred to for a while. What was sighted before is void.
    #[inline]
    pub fn sweep(&mut self) {
        while let Some((id, profile)) = self.profiles.sweep() {
            self.given_up(id, &profile);
        }
        while let Some((_, place)) = self.places.sweep() {
            let [facility, country] = place.map(|id| self.texts.get(id));
            if let (Some(facility), Some(country)) = (facility, country)
                && let Some(words) = Words::of_two(facility, country)
            {
                self.seen_places.forget(&words);
            }
            self.texts.release(&place);
        }
        self.texts.sweep();
    }

    fn given_up(&mut self, id: u32, profile: &Profile) {
        self.images.forget(id);
        self.texts.release(&profile.key.texts);
    }

    /// Hints that these traits are going to be released.
    #[inline]
    pub fn prefetch_release(&self, traits: Traits) {
        self.profiles.prefetch_holders(traits.profile);
    }

    /// Index of the policy that these traits and this milestone have.
    #[inline]
    pub fn policy(
        &self,
        traits: Traits,
        milestone: Milestone,
        set: &PolicySet,
        ring: &Keyring,
    ) -> usize {
        let profile = self.profiles.get(traits.profile);
        let known = &profile.policies[milestone as usize];
        if known.get() != UNRESOLVED {
            return usize::from(known.get());
        }
        let index = self.resolve(profile, milestone, set, ring);
        known.set(u16::try_from(index).unwrap_or(UNRESOLVED));
        index
    }

    /// Other policies are in force: every profile's is asked for anew, and its feed's grace is this
    /// one of its carrier, in seconds. What was sighted before is void.
    pub fn resolve_anew(&mut self, feed_grace: impl Fn(CarrierId) -> i64) {
        // Nobody holds the carrier of a profile that nobody holds.
        while let Some((id, profile)) = self.profiles.sweep_all() {
            self.given_up(id, &profile);
        }
        self.profiles.change_each(|profile| {
            profile.feed_grace = feed_grace(profile.key.carrier);
            profile.policies = unresolved();
        });
    }

    /// The facility.
    pub fn facility(&self, traits: Traits) -> Option<Arc<str>> {
        let [facility, _] = *self.places.get(traits.place);
        self.texts.get(facility).cloned()
    }

    /// Every attribute as text.
    pub fn attributes(&self, traits: Traits) -> Attributes<Arc<str>> {
        let text = |id: TextId| self.texts.get(id).cloned();
        let [service, direction, destination, shipper, tier] =
            self.profiles.get(traits.profile).key.texts;
        let [facility, country] = *self.places.get(traits.place);
        Attributes {
            service: text(service),
            direction: text(direction),
            destination_country: text(destination),
            shipper: text(shipper),
            value_tier: text(tier),
            facility: text(facility),
            country: text(country),
        }
    }

    /// Traits of a package that begins with this carrier and these attributes. `feed_grace` gives
    /// the seconds that the carrier's feed may lag, where that is to be known.
    #[inline]
    pub fn begin(
        &mut self,
        carrier: CarrierId,
        (attributes, taken): (&Attributes<&str>, Taken),
        sighted: &Sighted,
        feed_grace: impl FnOnce() -> i64,
    ) -> Traits {
        let whole = taken == Taken::TextsAndPlace;
        let profile = if whole && let Some(profile) = sighted.profile() {
            self.profiles.hold_again(profile);
            profile
        } else {
            let (texts, _) = taken_texts(attributes, taken);
            let texts = self.hold_replaced(&[NO_TEXT; 5], &texts);
            self.hold_profile(ProfileKey { carrier, texts }, feed_grace)
        };
        let place = if whole && let Some(place) = sighted.place() {
            self.places.hold_again(place);
            place
        } else {
            let (_, texts) = taken_texts(attributes, taken);
            self.replace_place([NO_TEXT; 2], &texts)
        };
        Traits { profile, place }
    }

    /// The traits after the taken attributes of a scan; absent and empty ones stay as they are.
    #[inline]
    pub fn update(
        &mut self,
        carrier: CarrierId,
        traits: Traits,
        (attributes, taken): (&Attributes<&str>, Taken),
        sighted: &Sighted,
    ) -> Traits {
        let mut after = traits;
        if taken != Taken::Nothing && !sighted.brings_nothing_to(traits.profile) {
            after.profile = self.update_profile(carrier, traits.profile, (attributes, taken));
        }
        if taken == Taken::TextsAndPlace {
            after.place = match sighted.knows_place() {
                true => self.move_to(traits.place, sighted),
                false => self.update_place(traits.place, attributes),
            };
        }
        after
    }

    /// The place of a package after a scan of which all that it brings was sighted.
    #[inline(always)]
    pub fn move_to(&mut self, held: u32, sighted: &Sighted) -> u32 {
        let Some(place) = sighted.place().filter(|place| *place != held) else {
            return held;
        };
        self.places.hold_again(place);
        self.places.release(held);
        place
    }

    fn update_profile(
        &mut self,
        carrier: CarrierId,
        held: u32,
        (attributes, taken): (&Attributes<&str>, Taken),
    ) -> u32 {
        let (texts, _) = taken_texts(attributes, taken);
        let &Profile { key, feed_grace, .. } = self.profiles.get(held);
        if !self.differs(&key.texts, &texts) {
            return held;
        }
        let texts = self.hold_replaced(&key.texts, &texts);
        let after = self.hold_profile(ProfileKey { carrier, texts }, || feed_grace);
        self.profiles.release(held);
        after
    }

    fn update_place(&mut self, held: u32, attributes: &Attributes<&str>) -> u32 {
        let (_, texts) = taken_texts(attributes, Taken::TextsAndPlace);
        let before = *self.places.get(held);
        if !self.differs(&before, &texts) {
            return held;
        }
        let after = self.replace_place(before, &texts);
        self.places.release(held);
        after
    }

    /// Finds or makes the place with these texts in place of those before, and remembers it.
    fn replace_place(&mut self, before: [TextId; 2], texts: &[Option<&str>; 2]) -> u32 {
        let held = self.hold_replaced(&before, texts);
        let place = self.hold_place(held);
        if let [Some(facility), Some(country)] = *texts
            && let Some(words) = Words::of_two(facility, country)
        {
            self.seen_places.keep(&words, place);
        }
        place
    }

    /// Gives up the traits of a package that is gone.
    #[inline]
    pub fn release(&mut self, traits: Traits) {
        self.profiles.release(traits.profile);
        self.places.release(traits.place);
    }

    /// Number of distinct texts kept.
    pub fn distinct_texts(&self) -> usize {
        self.texts.len()
    }

    /// The texts of profiles and places that some package has, by number.
    pub fn texts(&self) -> impl Iterator<Item = (TextId, &str)> {
        let profiles = self.profiles().flat_map(|(_, _, texts)| texts);
        let places = self.places().flat_map(|(_, texts)| texts);
        let mut used = vec![false; self.texts.slots()];
        for id in profiles.chain(places).filter(|&id| id != NO_TEXT) {
            used[id as usize] = true;
        }
        let used = (0..).zip(used).filter_map(|(id, used)| used.then_some(id));
        used.filter_map(|id| Some((id, &**self.texts.get(id)?)))
    }

    /// The profiles that some package has, by number: carrier; service, direction, destination
    /// country, shipper and value tier.
    pub fn profiles(&self) -> impl Iterator<Item = (u32, CarrierId, [TextId; 5])> {
        self.profiles.entries().map(|(id, profile)| (id, profile.key.carrier, profile.key.texts))
    }

    /// The places that some package has, by number: facility and country.
    pub fn places(&self) -> impl Iterator<Item = (u32, [TextId; 2])> {
        self.places.entries().map(|(id, texts)| (id, *texts))
    }

    /// Keeps a text that is not known yet for so many profiles and places.
    pub fn load_text(&mut self, text: &str, holders: u32) -> TextId {
        self.texts.load(text, holders)
    }

    /// Keeps a profile that is not known yet for so many packages; its texts were loaded for it.
    pub fn load_profile(
        &mut self,
        carrier: CarrierId,
        texts: [TextId; 5],
        feed_grace: i64,
        packages: u32,
    ) -> u32 {
        let key = ProfileKey { carrier, texts };
        let profile = Profile { key, feed_grace, policies: unresolved() };
        self.profiles.load(key.hash(), profile, packages)
    }

    /// Keeps a place that is not known yet for so many packages; its texts were loaded for it.
    pub fn load_place(&mut self, texts: [TextId; 2], packages: u32) -> u32 {
        self.places.load(place_hash(texts), texts, packages)
    }

    fn resolve(
        &self,
        profile: &Profile,
        milestone: Milestone,
        set: &PolicySet,
        ring: &Keyring,
    ) -> usize {
        let text = |id: TextId| self.texts.get(id).map(|text| &**text);
        let [service, direction, destination, shipper, tier] = profile.key.texts;
        let attributes = Attributes {
            service: text(service),
            direction: text(direction),
            destination_country: text(destination),
            shipper: text(shipper),
            value_tier: text(tier),
            facility: None,
            country: None,
        };
        set.first_match(ring.carrier(profile.key.carrier), &attributes, milestone)
    }

    fn differs<const N: usize>(&self, held: &[TextId; N], texts: &[Option<&str>; N]) -> bool {
        held.iter()
            .zip(texts)
            .any(|(&id, text)| text.is_some_and(|text| self.texts.find(text) != Some(id)))
    }

    /// The same numbers with the given texts in place, each held once more.
    fn hold_replaced<const N: usize>(
        &mut self,
        held: &[TextId; N],
        texts: &[Option<&str>; N],
    ) -> [TextId; N] {
        std::array::from_fn(|at| match texts[at] {
            Some(text) => self.texts.hold(text),
            None => {
                self.texts.hold_again(held[at]);
                held[at]
            }
        })
    }

    /// Takes over the holds on the texts.
    fn hold_profile(&mut self, key: ProfileKey, feed_grace: impl FnOnce() -> i64) -> u32 {
        let make = || Profile { key, feed_grace: feed_grace(), policies: unresolved() };
        let (id, new) = self.profiles.hold(key.hash(), |other| other.key == key, make);
        if !new {
            self.texts.release(&key.texts);
        }
        id
    }

    /// Takes over the holds on the texts.
    fn hold_place(&mut self, texts: [TextId; 2]) -> u32 {
        let same = |other: &[TextId; 2]| *other == texts;
        let (id, new) = self.places.hold(place_hash(texts), same, || texts);
        if !new {
            self.texts.release(&texts);
        }
        id
    }
}

/// No policy has been asked for yet.
fn unresolved() -> [Cell<u16>; MILESTONES] {
    std::array::from_fn(|_| Cell::new(UNRESOLVED))
}

/// What a scan brings to a profile and to a place; empty texts count as absent.
#[inline]
fn taken_texts<'a>(
    attributes: &Attributes<&'a str>,
    taken: Taken,
) -> ([Option<&'a str>; 5], [Option<&'a str>; 2]) {
    let texts = |text: Option<&'a str>| text.and_then(present).filter(|_| taken != Taken::Nothing);
    let place = |text| texts(text).filter(|_| taken == Taken::TextsAndPlace);
    let profile = [
        texts(attributes.service),
        place(attributes.direction),
        texts(attributes.destination_country),
        texts(attributes.shipper),
        texts(attributes.value_tier),
    ];
    (profile, [place(attributes.facility), place(attributes.country)])
}
