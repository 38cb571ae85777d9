//! What packages have in common, kept once: texts, sets of texts, and the policy of each set.
//!
//! A package's record holds two numbers. The profile (carrier, service, direction, destination,
//! shipper, value tier) is all that policies look at beside the milestone, so a policy is resolved
//! once per profile and milestone, not per package. The place (facility, country) changes with
//! nearly every scan and decides nothing.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::interner::Interner;
use super::key::word;
use super::keyring::{CarrierId, Keyring};
use super::package::Taken;
use super::policy::PolicySet;
use super::scan::{Attributes, Milestone, present};

/// Number of a text; `NO_TEXT` where there is none.
pub type TextId = u32;
/// Stands where there is no text.
pub const NO_TEXT: TextId = u32::MAX;
const MILESTONES: usize = Milestone::ALL.len();
const UNRESOLVED: u16 = u16::MAX;
const HASH: FixedState = FixedState::with_seed(0x5ca2);
/// Places that are remembered by their texts; the busiest facilities of a feed.
const PLACES: usize = 4_096;
/// Profiles that are remembered by what packages begin with.
const BEGINNINGS: usize = 16_384;
/// Stands in a memo's last byte where the country is a number and no text.
const BY_NUMBER: u64 = 0xff << 56;

/// Numbers of a package's profile and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub profile: u32,
    pub place: u32,
}

struct Profile {
    carrier: CarrierId,
    /// Service, direction, destination country, shipper, value tier.
    texts: [TextId; 5],
    /// Index of the policy by milestone, once it has been asked for.
    policies: [Cell<u16>; MILESTONES],
    feed_grace: i64,
}

/// Numbers by exact words, which are never all zero; a newer one takes the place of an older.
struct Memo<const WORDS: usize> {
    /// Words, and the number in a slot of its own. Zeros until the first is kept: no memory is
    /// touched for what is never remembered.
    slots: Vec<([u64; WORDS], u64)>,
    most: usize,
}

impl<const WORDS: usize> Memo<WORDS> {
    fn new(most: usize) -> Self {
        Self { slots: Vec::new(), most }
    }

    #[inline]
    fn get(&self, words: &[u64; WORDS]) -> Option<u32> {
        let slot = self.slot(words);
        let (known, number) = self.slots.get(slot)?;
        if known == words {
            return Some(*number as u32);
        }
        let (known, number) = self.slots.get(slot ^ 1)?;
        (known == words).then_some(*number as u32)
    }

    /// The one that had the first of the two slots moves on to the second.
    fn keep(&mut self, words: [u64; WORDS], number: u32) {
        if self.slots.is_empty() {
            self.slots = vec![([0; WORDS], 0); self.most];
        }
        let slot = self.slot(&words);
        self.slots[slot ^ 1] = self.slots[slot];
        self.slots[slot] = (words, number.into());
    }

    /// The number is going to be another's.
    fn forget(&mut self, words: &[u64; WORDS]) {
        let slot = self.slot(words);
        for slot in [slot, slot ^ 1] {
            if let Some((known, _)) = self.slots.get_mut(slot)
                && known == words
            {
                *known = [0; WORDS];
            }
        }
    }

    #[inline]
    fn slot(&self, words: &[u64; WORDS]) -> usize {
        let folded = words.iter().fold(0x9e37_79b9_7f4a_7c15, |folded: u64, word| {
            let product = u128::from(folded ^ word) * 0xd6e8_feb8_6659_fd93;
            product as u64 ^ (product >> 64) as u64
        });
        folded as usize % self.most
    }
}

/// Every text, profile and place that some package refers to.
pub struct Profiles {
    texts: Interner<Arc<str>>,
    profiles: Interner<Profile>,
    places: Interner<[TextId; 2]>,
    /// Places by the texts of a scan, or by its facility and the number of the country before.
    seen_places: Memo<4>,
    /// Profiles by the carrier and texts that a package began with.
    beginnings: Memo<10>,
    /// How often the number of a place has become free for another.
    version: u64,
}

/// A place that a scan names, told ahead of applying it.
#[derive(Clone, Copy, Debug)]
pub struct SightedPlace(u32);

impl SightedPlace {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self(u32::MAX);
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            texts: Interner::default(),
            profiles: Interner::default(),
            places: Interner::default(),
            seen_places: Memo::new(PLACES),
            beginnings: Memo::new(BEGINNINGS),
            version: 0,
        }
    }
}

impl Profiles {
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

    /// Hints that the profile of these traits is wanted soon.
    #[inline]
    pub fn prefetch(&self, traits: Traits) {
        self.profiles.prefetch(traits.profile);
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

    /// Every attribute as text.
    pub fn attributes(&self, traits: Traits) -> Attributes<Arc<str>> {
        let text = |id: TextId| (id != NO_TEXT).then(|| self.texts.get(id).clone());
        let [service, direction, destination, shipper, tier] =
            self.profiles.get(traits.profile).texts;
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

    /// Traits of a package that begins with this carrier and these attributes.
    pub fn begin(
        &mut self,
        carrier: CarrierId,
        attributes: &Attributes<&str>,
        taken: Taken,
        feed_grace: i64,
    ) -> Traits {
        let (profile, place) = taken_texts(attributes, taken);
        let profile = self.begin_profile(carrier, &profile, feed_grace);
        let place = match self.remembered([NO_TEXT; 2], &place) {
            Some(known) => {
                self.places.hold_again(known);
                known
            }
            None => self.replace_place([NO_TEXT; 2], &place),
        };
        Traits { profile, place }
    }

    /// The profile of a carrier and texts that a package begins with: most packages begin like some
    /// other did lately.
    fn begin_profile(
        &mut self,
        carrier: CarrierId,
        texts: &[Option<&str>; 5],
        feed_grace: i64,
    ) -> u32 {
        let words = begun_words(carrier, texts);
        if let Some(known) = words.as_ref().and_then(|words| self.beginnings.get(words)) {
            self.profiles.hold_again(known);
            return known;
        }
        let held = self.hold_replaced(&[NO_TEXT; 5], texts);
        let profile = self.hold_profile(carrier, held, feed_grace);
        if let Some(words) = words {
            self.beginnings.keep(words, profile);
        }
        profile
    }

    /// A profile that is gone must not be remembered.
    fn forget_profile(&mut self, profile: &Profile) {
        let texts = profile.texts.map(|id| self.texts.held(id).cloned());
        let texts = std::array::from_fn(|at| texts[at].as_deref());
        if let Some(words) = begun_words(profile.carrier, &texts) {
            self.beginnings.forget(&words);
        }
    }

    /// The place that a scan names in full, if it was seen lately: right as long as
    /// [`Self::version`] stays the same.
    #[inline]
    pub fn sight(&self, attributes: &Attributes<&str>) -> SightedPlace {
        match (attributes.facility, attributes.country) {
            (Some(facility), Some(country)) if !facility.is_empty() && !country.is_empty() => {
                let texts = [Some(facility), Some(country)];
                self.remembered([NO_TEXT; 2], &texts).map_or(SightedPlace::UNKNOWN, SightedPlace)
            }
            _ => SightedPlace::UNKNOWN,
        }
    }

    /// As long as this stays the same, so do the numbers of places.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The traits after the taken attributes of a scan; absent and empty ones stay as they are.
    #[inline]
    pub fn update(
        &mut self,
        carrier: CarrierId,
        traits: Traits,
        (attributes, taken): (&Attributes<&str>, Taken),
        sighted: SightedPlace,
    ) -> Traits {
        let mut after = traits;
        let profile_stays = taken == Taken::Nothing
            || attributes.service.is_none()
                && attributes.direction.is_none()
                && attributes.destination_country.is_none()
                && attributes.shipper.is_none()
                && attributes.value_tier.is_none();
        let place_stays = taken != Taken::TextsAndPlace
            || attributes.facility.is_none() && attributes.country.is_none();
        if !profile_stays {
            let (texts, _) = taken_texts(attributes, taken);
            after.profile = self.update_profile(carrier, traits.profile, &texts);
        }
        if !place_stays && sighted.0 != traits.place {
            after.place = if sighted.0 == SightedPlace::UNKNOWN.0 {
                let (_, texts) = taken_texts(attributes, taken);
                self.update_place(traits.place, &texts)
            } else {
                self.places.hold_again(sighted.0);
                self.release_place(traits.place);
                sighted.0
            };
        }
        after
    }

    /// Feeds that send everything with each scan send the same again and again: what those texts
    /// came to last is tried first.
    fn update_profile(&mut self, carrier: CarrierId, held: u32, texts: &[Option<&str>; 5]) -> u32 {
        let words = begun_words(carrier, texts);
        let known = words.as_ref().and_then(|words| self.beginnings.get(words));
        if known == Some(held) {
            return held;
        }
        let after = match known.filter(|_| texts.iter().all(Option::is_some)) {
            Some(known) => {
                self.profiles.hold_again(known);
                self.release_profile(held);
                return known;
            }
            None => self.replace_profile(carrier, held, texts),
        };
        if let Some(words) = words
            && self.are(&self.profiles.get(after).texts, texts)
        {
            self.beginnings.keep(words, after);
        }
        after
    }

    /// Whether these are the held texts, absent ones included.
    fn are(&self, held: &[TextId; 5], texts: &[Option<&str>; 5]) -> bool {
        held.iter().zip(texts).all(|(&id, text)| match text {
            Some(text) => id != NO_TEXT && **self.texts.get(id) == **text,
            None => id == NO_TEXT,
        })
    }

    fn replace_profile(&mut self, carrier: CarrierId, held: u32, texts: &[Option<&str>; 5]) -> u32 {
        let &Profile { texts: before, feed_grace, .. } = self.profiles.get(held);
        if !self.differs(&before, texts) {
            return held;
        }
        let replaced = self.hold_replaced(&before, texts);
        let after = self.hold_profile(carrier, replaced, feed_grace);
        self.release_profile(held);
        after
    }

    fn update_place(&mut self, held: u32, texts: &[Option<&str>; 2]) -> u32 {
        if texts.iter().all(Option::is_none) {
            return held;
        }
        let before = *self.places.get(held);
        let after = match self.remembered(before, texts) {
            Some(known) if known == held => return held,
            Some(known) => {
                self.places.hold_again(known);
                known
            }
            None => self.replace_place(before, texts),
        };
        self.release_place(held);
        after
    }

    /// The place of a scan's texts, if it was seen lately.
    #[inline]
    fn remembered(&self, before: [TextId; 2], texts: &[Option<&str>; 2]) -> Option<u32> {
        self.seen_places.get(&memo_words(before, texts)?)
    }

    /// Finds or makes the place with these texts in place of those before, and remembers it.
    fn replace_place(&mut self, before: [TextId; 2], texts: &[Option<&str>; 2]) -> u32 {
        let held = self.hold_replaced(&before, texts);
        let place = self.hold_place(held);
        if let Some(words) = memo_words(before, texts) {
            self.seen_places.keep(words, place);
        }
        place
    }

    /// A place that is gone must not be remembered.
    fn forget_place(&mut self, [facility, country]: [TextId; 2]) {
        self.version += 1;
        if facility == NO_TEXT {
            return;
        }
        let facility = self.texts.get(facility).clone();
        let both = self.texts.held(country).cloned();
        for texts in [[Some(&*facility), both.as_deref()], [Some(&*facility), None]] {
            if let Some(words) = memo_words([NO_TEXT, country], &texts) {
                self.seen_places.forget(&words);
            }
        }
    }

    /// Gives up the traits of a package that is gone.
    pub fn release(&mut self, traits: Traits) {
        self.release_profile(traits.profile);
        self.release_place(traits.place);
    }

    /// Number of distinct texts held.
    pub fn distinct_texts(&self) -> usize {
        self.texts.len()
    }

    /// The texts that are held, by number.
    pub fn texts(&self) -> impl Iterator<Item = (TextId, &str)> {
        self.texts.entries().map(|(id, text)| (id, &**text))
    }

    /// The profiles that are held, by number: carrier; service, direction, destination country,
    /// shipper and value tier.
    pub fn profiles(&self) -> impl Iterator<Item = (u32, CarrierId, [TextId; 5])> {
        self.profiles.entries().map(|(id, profile)| (id, profile.carrier, profile.texts))
    }

    /// The places that are held, by number: facility and country.
    pub fn places(&self) -> impl Iterator<Item = (u32, [TextId; 2])> {
        self.places.entries().map(|(id, texts)| (id, *texts))
    }

    /// Keeps a text that is not known yet for so many profiles and places.
    pub fn load_text(&mut self, text: &str, holders: u32) -> TextId {
        self.texts.load(HASH.hash_one(text), text.into(), holders)
    }

    /// Keeps a profile that is not known yet for so many packages; its texts were loaded for it.
    pub fn load_profile(
        &mut self,
        carrier: CarrierId,
        texts: [TextId; 5],
        feed_grace: i64,
        packages: u32,
    ) -> u32 {
        let policies = std::array::from_fn(|_| Cell::new(UNRESOLVED));
        let profile = Profile { carrier, texts, policies, feed_grace };
        self.profiles.load(HASH.hash_one((carrier, texts)), profile, packages)
    }

    /// Keeps a place that is not known yet for so many packages; its texts were loaded for it.
    pub fn load_place(&mut self, texts: [TextId; 2], packages: u32) -> u32 {
        self.places.load(HASH.hash_one(texts), texts, packages)
    }

    fn resolve(
        &self,
        profile: &Profile,
        milestone: Milestone,
        set: &PolicySet,
        ring: &Keyring,
    ) -> usize {
        let text = |id: TextId| (id != NO_TEXT).then(|| &**self.texts.get(id));
        let [service, direction, destination, shipper, tier] = profile.texts;
        let attributes = Attributes {
            service: text(service),
            direction: text(direction),
            destination_country: text(destination),
            shipper: text(shipper),
            value_tier: text(tier),
            facility: None,
            country: None,
        };
        set.first_match(ring.carrier(profile.carrier), &attributes, milestone)
    }

    fn differs<const N: usize>(&self, held: &[TextId; N], texts: &[Option<&str>; N]) -> bool {
        held.iter().zip(texts).any(|(&id, text)| {
            text.is_some_and(|text| id == NO_TEXT || **self.texts.get(id) != *text)
        })
    }

    /// The same numbers with the given texts in place, each held once more.
    fn hold_replaced<const N: usize>(
        &mut self,
        held: &[TextId; N],
        texts: &[Option<&str>; N],
    ) -> [TextId; N] {
        std::array::from_fn(|i| match texts[i] {
            Some(text) => self.hold_text(text),
            None => {
                if held[i] != NO_TEXT {
                    self.texts.hold_again(held[i]);
                }
                held[i]
            }
        })
    }

    fn hold_text(&mut self, text: &str) -> TextId {
        self.texts.hold(HASH.hash_one(text), |other| **other == *text, || text.into()).0
    }

    /// Takes over the holds on the texts.
    fn hold_profile(&mut self, carrier: CarrierId, texts: [TextId; 5], feed_grace: i64) -> u32 {
        let hash = HASH.hash_one((carrier, texts));
        let same = |other: &Profile| other.carrier == carrier && other.texts == texts;
        let policies = || std::array::from_fn(|_| Cell::new(UNRESOLVED));
        let make = || Profile { carrier, texts, policies: policies(), feed_grace };
        let (id, new) = self.profiles.hold(hash, same, make);
        if !new {
            self.release_texts(&texts);
        }
        id
    }

    /// Takes over the holds on the texts.
    fn hold_place(&mut self, texts: [TextId; 2]) -> u32 {
        let hash = HASH.hash_one(texts);
        let (id, new) = self.places.hold(hash, |other| *other == texts, || texts);
        if !new {
            self.release_texts(&texts);
        }
        id
    }

    fn release_profile(&mut self, id: u32) {
        if let Some(profile) = self.profiles.release(id) {
            self.forget_profile(&profile);
            self.release_texts(&profile.texts);
        }
    }

    fn release_place(&mut self, id: u32) {
        if let Some(texts) = self.places.release(id) {
            self.forget_place(texts);
            self.release_texts(&texts);
        }
    }

    fn release_texts(&mut self, texts: &[TextId]) {
        for &id in texts.iter().filter(|&&id| id != NO_TEXT) {
            self.texts.release(id);
        }
    }
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

/// Carrier and texts, exactly, in ten words; `None` where they are too long for that.
#[inline]
fn begun_words(carrier: CarrierId, texts: &[Option<&str>; 5]) -> Option<[u64; 10]> {
    let [service, direction, destination, shipper, tier] =
        texts.map(|text| text.unwrap_or_default().as_bytes());
    // The last word of each has room for its length.
    let fits = service.len() <= 15
        && direction.len() <= 7
        && destination.len() <= 7
        && shipper.len() <= 23
        && tier.len() <= 15;
    let ended = |text: &[u8], at: usize| word(text, at) | (text.len() as u64 + 1) << 56;
    fits.then(|| {
        [
            word(service, 0),
            ended(service, 8),
            ended(direction, 0),
            ended(destination, 0),
            word(shipper, 0),
            word(shipper, 8),
            ended(shipper, 16),
            word(tier, 0),
            ended(tier, 8),
            u64::from(carrier),
        ]
    })
}

/// Facility and country, exactly, in four words; `None` where they are too long for that, or where
/// the facility is absent. An absent country is the one before, by its number.
#[inline]
fn memo_words(before: [TextId; 2], texts: &[Option<&str>; 2]) -> Option<[u64; 4]> {
    let facility = texts[0]?.as_bytes();
    let country = match texts[1].map(str::as_bytes) {
        None => BY_NUMBER | u64::from(before[1]),
        Some(country) if country.len() < 7 => word(country, 0) | (country.len() as u64) << 56,
        Some(_) => return None,
    };
    if facility.len() > 23 {
        return None;
    }
    let last = word(facility, 16) | (facility.len() as u64) << 56;
    Some([word(facility, 0), word(facility, 8), last, country])
}
