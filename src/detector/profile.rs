//! What packages have in common, kept once: texts, sets of texts, and the policy of each set.
//!
//! A package's record holds two numbers. The profile (carrier, service, direction, destination,
//! shipper, value tier) is all that policies look at beside the milestone, so a policy is resolved
//! once per profile and milestone, not per package. The place (facility, country) changes with
//! nearly every scan and decides nothing.

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
    /// Index of the policy by milestone.
    policies: [u16; MILESTONES],
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
        match profile.policies[milestone as usize] {
            UNRESOLVED => self.resolve(&profile.texts, milestone, set),
            index => usize::from(index),
        }
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
        let carrier = self.hold_text(carrier);
        let none = Traits {
            profile: self.hold_profile([carrier, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT, NO_TEXT], set),
            place: self.hold_place([NO_TEXT; 2]),
        };
        self.update(none, attributes, taken, set)
    }

    /// The traits after the taken attributes of a scan; absent and empty ones stay as they are.
    pub fn update(
        &mut self,
        traits: Traits,
        attributes: &Attributes<&str>,
        taken: Taken,
        set: &PolicySet,
    ) -> Traits {
        if taken == Taken::Nothing {
            return traits;
        }
        let with_place = taken == Taken::TextsAndPlace;
        let texts = [
            None,
            attributes.service,
            attributes.direction.filter(|_| with_place),
            attributes.destination_country,
            attributes.shipper,
            attributes.value_tier,
        ]
        .map(|text| text.and_then(present));
        let mut after = traits;
        let before = self.profiles.get(traits.profile).texts;
        if self.differs(&before, &texts) {
            let held = self.hold_replaced(&before, &texts);
            after.profile = self.hold_profile(held, set);
            self.release_profile(traits.profile);
        }
        let texts = [attributes.facility, attributes.country]
            .map(|text| text.and_then(present).filter(|_| with_place));
        let before = *self.places.get(traits.place);
        if self.differs(&before, &texts) {
            let held = self.hold_replaced(&before, &texts);
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
        let make = || Profile { texts, policies: [UNRESOLVED; MILESTONES], feed_grace: 0 };
        let (id, new) = self.profiles.hold(hash, |other| other.texts == texts, make);
        if !new {
            self.release_texts(&texts);
            return id;
        }
        let policies = std::array::from_fn(|milestone| {
            let index = self.resolve(&texts, Milestone::ALL[milestone], set);
            u16::try_from(index).unwrap_or(UNRESOLVED)
        });
        let feed_grace = set.feed_grace(self.texts.get(texts[0]));
        let profile = self.profiles.get_mut(id);
        profile.policies = policies;
        profile.feed_grace = feed_grace;
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
