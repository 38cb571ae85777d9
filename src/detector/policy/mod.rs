//! Which ladder a silence climbs: first-match policies over what is known of a package.

mod check;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::exception::{Kind, Severity};
use super::scan::{Attributes, Milestone};

pub use check::PolicyError;

/// Default of `forget_after`: 60 days, in seconds.
pub const FORGET_AFTER: i64 = 60 * 86_400;
/// Default of `settled_retention`: 7 days, in seconds.
pub const SETTLED_RETENTION: i64 = 7 * 86_400;
/// Default of `catch_up_grace`: 10 minutes, in seconds.
pub const CATCH_UP_GRACE: i64 = 600;

/// Settings that hold for every package. All are seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// A package is given up this long after its anchor.
    pub forget_after: i64,
    /// A settled package is remembered this long.
    pub settled_retention: i64,
    /// A fresh anchor opens nothing before its log clock has moved on by this much.
    pub catch_up_grace: i64,
    /// Added to every deadline of carriers without a grace of their own.
    pub feed_grace: i64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            forget_after: FORGET_AFTER,
            settled_retention: SETTLED_RETENTION,
            catch_up_grace: CATCH_UP_GRACE,
            feed_grace: 0,
        }
    }
}

/// One step of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Seconds of silence.
    pub after: i64,
    /// What the step reports.
    pub severity: Severity,
    /// Free name; the severity's name where the file gives none.
    pub name: Arc<str>,
}

/// Steps with strictly growing `after`; empty means never.
pub type Ladder = Vec<Step>;

/// Conditions of a policy: every list that is there must hold the package's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Match {
    /// Carriers in normal form.
    pub carrier: Option<Vec<String>>,
    pub service: Option<Vec<String>>,
    pub milestone: Option<Vec<Milestone>>,
    pub direction: Option<Vec<String>>,
    pub destination_country: Option<Vec<String>>,
    pub shipper: Option<Vec<String>>,
    pub value_tier: Option<Vec<String>>,
}

/// One policy: conditions and two ladders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unique in its set.
    pub id: Arc<str>,
    /// `None` is the catch-all.
    pub conditions: Option<Match>,
    /// Climbed while the first scan is awaited.
    pub first_scan: Ladder,
    /// Climbed since the last movement.
    pub no_movement: Ladder,
}

impl Policy {
    /// The ladder of a kind of silence.
    pub fn ladder(&self, kind: Kind) -> &[Step] {
        match kind {
            Kind::MissingFirstScan => &self.first_scan,
            Kind::NoMovement => &self.no_movement,
        }
    }

    fn matches(&self, carrier: &str, attributes: &Attributes<&str>, milestone: Milestone) -> bool {
        let Some(conditions) = &self.conditions else {
            return true;
        };
        let listed = |list: &Option<Vec<String>>, value: Option<&str>| match (list, value) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(list), Some(value)) => list.iter().any(|item| item == value),
        };
        listed(&conditions.carrier, Some(carrier))
            && listed(&conditions.service, attributes.service)
            && listed(&conditions.direction, attributes.direction)
            && listed(&conditions.destination_country, attributes.destination_country)
            && listed(&conditions.shipper, attributes.shipper)
            && listed(&conditions.value_tier, attributes.value_tier)
            && conditions.milestone.as_ref().is_none_or(|list| list.contains(&milestone))
    }
}

/// A checked set of policies. The last is the catch-all, so that every package has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    defaults: Defaults,
    feed_grace: BTreeMap<String, i64>,
    policies: Vec<Policy>,
    hash: Arc<str>,
}

impl PolicySet {
    /// Checks the set as a whole and gives every problem found.
    ///
    /// `feed_grace` holds seconds by carrier in normal form.
    pub fn new(
        defaults: Defaults,
        feed_grace: BTreeMap<String, i64>,
        policies: Vec<Policy>,
    ) -> Result<Self, Vec<PolicyError>> {
        let problems = check::problems(&defaults, &feed_grace, &policies);
        if !problems.is_empty() {
            return Err(problems);
        }
        let hash = hash(&defaults, &feed_grace, &policies);
        Ok(Self { defaults, feed_grace, policies, hash })
    }

    /// The settings that hold for every package.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Seconds added to every deadline of this carrier.
    pub fn feed_grace(&self, carrier: &str) -> i64 {
        self.feed_grace.get(carrier).copied().unwrap_or(self.defaults.feed_grace)
    }

    /// The policies in the order of the file.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Seconds of silence before which no ladder has a step, in the order of [`Kind::ALL`];
    /// `i64::MAX` without any.
    pub fn shortest_of_each(&self) -> [i64; Kind::ALL.len()] {
        std::array::from_fn(|at| {
            let kind = Kind::ALL[at];
            let firsts = self.policies.iter().filter_map(|policy| policy.ladder(kind).first());
            firsts.map(|step| step.after).min().unwrap_or(i64::MAX)
        })
    }

    /// Index of the first policy that matches.
    pub fn first_match(
        &self,
        carrier: &str,
        attributes: &Attributes<&str>,
        milestone: Milestone,
    ) -> usize {
        self.policies
            .iter()
            .position(|policy| policy.matches(carrier, attributes, milestone))
            .expect("the last policy is the catch-all")
    }

    /// SHA-256 of the set as it was understood, in hexadecimal: layout and comments do not count.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }
}

/// Feeds every field, each text with its length in front so that no two sets read alike.
fn hash(defaults: &Defaults, feed_grace: &BTreeMap<String, i64>, policies: &[Policy]) -> Arc<str> {
    let mut hasher = Sha256::new();
    let mut text = |text: &str| {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(&format!("{defaults:?}"));
    for (carrier, grace) in feed_grace {
        text(&format!("{carrier} {grace}"));
    }
    for policy in policies {
        text(&format!("{policy:?}"));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
