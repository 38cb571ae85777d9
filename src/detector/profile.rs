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
use super::package::Taken;
use super::policy::PolicySet;
use super::scan::{Attributes, Milestone, present};

/// Number of a text; `NO_TEXT` where there is none.
type TextId = u32;
const NO_TEXT: TextId = u32::MAX;
const MILESTONES: usize = Milestone::ALL.len();
const UNRESOLVED: u16 = u16::MAX;
const HASH: FixedState = FixedState::with_seed(0x5ca2);

/// Numbers of a package's profile and place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    pub profile: u32,
    pub place: u32,
}

struct Profile {
    /// Carrier, service, direction, destination country, shipper, value tier.
    texts: [TextId; 6],
    /// Index of the policy by milestone, once it has been asked for.
    policies: [Cell<u16>; MILESTONES],
    feed_grace: i64,
}

/// Every text, profile and place that some package refers to.
#[derive(Default)]
pub struct Profiles {
    texts: Interner<Arc<str>>,
    profiles: Interner<Profile>,
    places: Interner<[TextId; 2]>,
}

impl Profiles {
    /// The number of a carrier that some package has.
    pub fn carrier(&self, carrier: &str) -> Option<TextId> {
        self.texts.find(HASH.hash_one(carrier), |text| **text == *carrier)
    }

    /// The number of the carrier of these traits.
    pub fn carrier_of(&self, traits: Traits) -> TextId {
        self.profiles.get(traits.profile).texts[0]
    }

    /// The text of a number that is held.
    pub fn text(&self, id: TextId) -> &Arc<str> {
        self.texts.get(id)
    }

    /// Seconds that the carrier's feed may lag.
    pub fn feed_grace(&self, traits: Traits) -> i64 {
        self.profiles.get(traits.profile).feed_grace
    }

    /// Index of the policy that these traits and this milestone have.
    pub fn policy(&self, traits: Traits, milestone: Milestone, set: &PolicySet) -> usize {
        let profile = self.profiles.get(traits.profile);
        let known = &profile.policies[milestone as usize];
        if known.get() != UNRESOLVED {
            return usize::from(known.get());
        }
        let index = self.resolve(&profile.texts, milestone, set);
        known.set(u16::try_from(index).unwrap_or(UNRESOLVED));
        index
    }

    /// Every attribute as text.
    pub fn attributes(&self, traits: Traits) -> Attributes<Arc<str>> {
        let text = |id: TextId| (id != NO_TEXT).then(|| self.texts.get(id).clone());
        let [_, service, direction, destination, shipper, tier] =
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
        carrier: &str,
        attributes: &Attributes<&str>,
        taken: Taken,
        set: &PolicySet,
    ) -> Traits {
        let (profile, place) = taken_texts(attributes, taken);
        let mut texts = self.hold_replaced(&[NO_TEXT; 6], &profile);
        texts[0] = self.hold_text(carrier);
        let profile = self.hold_profile(texts, set);
        let texts = self.hold_replaced(&[NO_TEXT; 2], &place);
        Traits { profile, place: self.hold_place(texts) }
    }

    /// The traits after the taken attributes of a scan; absent and empty ones stay as they are.
    pub fn update(
        &mut self,
        traits: Traits,
        attributes: &Attributes<&str>,
        taken: Taken,
        set: &PolicySet,
    ) -> Traits {
        let (profile, place) = taken_texts(attributes, taken);
        let mut after = traits;
        let before = self.profiles.get(traits.profile).texts;
        if self.differs(&before, &profile) {
            let held = self.hold_replaced(&before, &profile);
            after.profile = self.hold_profile(held, set);
            self.release_profile(traits.profile);
        }
        let before = *self.places.get(traits.place);
        if self.differs(&before, &place) {
            let held = self.hold_replaced(&before, &place);
            after.place = self.hold_place(held);
            self.release_place(traits.place);
        }
        after
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

    fn resolve(&self, texts: &[TextId; 6], milestone: Milestone, set: &PolicySet) -> usize {
        let text = |id: TextId| (id != NO_TEXT).then(|| &**self.texts.get(id));
        let [carrier, service, direction, destination, shipper, tier] = *texts;
        let attributes = Attributes {
            service: text(service),
            direction: text(direction),
            destination_country: text(destination),
            shipper: text(shipper),
            value_tier: text(tier),
            facility: None,
            country: None,
        };
        set.first_match(self.texts.get(carrier), &attributes, milestone)
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
    fn hold_profile(&mut self, texts: [TextId; 6], set: &PolicySet) -> u32 {
        let hash = HASH.hash_one(texts);
        let feed_grace = set.feed_grace(self.texts.get(texts[0]));
        let policies = || std::array::from_fn(|_| Cell::new(UNRESOLVED));
        let make = || Profile { texts, policies: policies(), feed_grace };
        let (id, new) = self.profiles.hold(hash, |other| other.texts == texts, make);
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
            self.release_texts(&profile.texts);
        }
    }

    fn release_place(&mut self, id: u32) {
        if let Some(texts) = self.places.release(id) {
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
fn taken_texts<'a>(
    attributes: &Attributes<&'a str>,
    taken: Taken,
) -> ([Option<&'a str>; 6], [Option<&'a str>; 2]) {
    let texts = |text: Option<&'a str>| text.and_then(present).filter(|_| taken != Taken::Nothing);
    let place = |text| texts(text).filter(|_| taken == Taken::TextsAndPlace);
    let profile = [
        None,
        texts(attributes.service),
        place(attributes.direction),
        texts(attributes.destination_country),
        texts(attributes.shipper),
        texts(attributes.value_tier),
    ];
    (profile, [place(attributes.facility), place(attributes.country)])
}
