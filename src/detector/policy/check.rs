//! What makes a set of policies one that can be worked with.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Defaults, Ladder, Policy};
use crate::detector::exception::Kind;

/// Longest duration of any setting: ten years, in seconds. Longer ones are a slip of the pen.
pub const LONGEST: i64 = 3_650 * 86_400;

/// One problem of a set of policies. `policy` is an index in file order, for the place in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PolicyError {
    #[error("there is no policy; the last one must be a catch-all without `match`")]
    Empty,
    #[error(
        "the last policy, \"{id}\", has a `match`; end with a catch-all that has none, so that every package has a policy"
    )]
    NoCatchAll { policy: usize, id: Arc<str> },
    #[error(
        "policy \"{id}\" has no `match` but is not the last; what follows it could never be chosen"
    )]
    EarlyCatchAll { policy: usize, id: Arc<str> },
    #[error("policy id \"{id}\" stands twice")]
    DuplicateId { policy: usize, id: Arc<str> },
    #[error("policy \"{id}\": `match.{condition}` is empty and could never match")]
    EmptyCondition { policy: usize, id: Arc<str>, condition: &'static str },
    #[error(
        "policy \"{id}\": `{ladder}` step {step} comes after {after} s, not later than the step before it ({before} s); steps must grow"
    )]
    StepsDoNotGrow {
        policy: usize,
        id: Arc<str>,
        ladder: &'static str,
        step: usize,
        after: i64,
        before: i64,
    },
    #[error(
        "policy \"{id}\": `{ladder}` step {step}: `after` must lie above 0 and within ten years"
    )]
    StepOutOfRange { policy: usize, id: Arc<str>, ladder: &'static str, step: usize },
    #[error(
        "policy \"{id}\": `{ladder}` step {step} comes after {after} s; with the largest feed_grace ({grace} s) that is not before forget_after ({forget} s), so it could never happen; raise forget_after"
    )]
    StepNotBeforeForget {
        policy: usize,
        id: Arc<str>,
        ladder: &'static str,
        step: usize,
        after: i64,
        grace: i64,
        forget: i64,
    },
    #[error("forget_after ({forget} s) must be at least settled_retention ({retention} s)")]
    ForgetBeforeRetention { forget: i64, retention: i64 },
    #[error("`{setting}` must lie between {least} s and ten years")]
    SettingOutOfRange { setting: String, least: i64 },
}

impl PolicyError {
    /// The policy in question, as an index in file order; `None` for the set as a whole.
    pub fn policy(&self) -> Option<usize> {
        match self {
            Self::NoCatchAll { policy, .. }
            | Self::EarlyCatchAll { policy, .. }
            | Self::DuplicateId { policy, .. }
            | Self::EmptyCondition { policy, .. }
            | Self::StepsDoNotGrow { policy, .. }
            | Self::StepOutOfRange { policy, .. }
            | Self::StepNotBeforeForget { policy, .. } => Some(*policy),
            Self::Empty | Self::ForgetBeforeRetention { .. } | Self::SettingOutOfRange { .. } => {
                None
            }
        }
    }
}

pub(super) fn problems(
    defaults: &Defaults,
    feed_grace: &BTreeMap<String, i64>,
    policies: &[Policy],
) -> Vec<PolicyError> {
    let mut problems = Vec::new();
    settings(defaults, feed_grace, &mut problems);
    catch_all(policies, &mut problems);
    let mut seen = HashSet::new();
    let grace = feed_grace.values().copied().fold(defaults.feed_grace, i64::max);
    for (index, policy) in policies.iter().enumerate() {
        if !seen.insert(policy.id.clone()) {
            problems.push(PolicyError::DuplicateId { policy: index, id: policy.id.clone() });
        }
        conditions(index, policy, &mut problems);
        for kind in Kind::ALL {
            ladder(index, policy, *kind, grace, defaults.forget_after, &mut problems);
        }
    }
    problems
}

fn settings(
    defaults: &Defaults,
    feed_grace: &BTreeMap<String, i64>,
    problems: &mut Vec<PolicyError>,
) {
    let mut check = |setting: String, value: i64, least: i64| {
        if !(least..=LONGEST).contains(&value) {
            problems.push(PolicyError::SettingOutOfRange { setting, least });
        }
    };
    check("defaults.forget_after".into(), defaults.forget_after, 1);
    check("defaults.settled_retention".into(), defaults.settled_retention, 1);
    check("defaults.catch_up_grace".into(), defaults.catch_up_grace, 0);
    check("defaults.feed_grace".into(), defaults.feed_grace, 0);
    for (carrier, grace) in feed_grace {
        check(format!("carriers.{carrier}.feed_grace"), *grace, 0);
    }
    if defaults.forget_after < defaults.settled_retention {
        problems.push(PolicyError::ForgetBeforeRetention {
            forget: defaults.forget_after,
            retention: defaults.settled_retention,
        });
    }
}

fn catch_all(policies: &[Policy], problems: &mut Vec<PolicyError>) {
    let Some((last, rest)) = policies.split_last() else {
        problems.push(PolicyError::Empty);
        return;
    };
    for (index, policy) in rest.iter().enumerate() {
        if policy.conditions.is_none() {
            problems.push(PolicyError::EarlyCatchAll { policy: index, id: policy.id.clone() });
        }
    }
    if last.conditions.is_some() {
        problems.push(PolicyError::NoCatchAll { policy: rest.len(), id: last.id.clone() });
    }
}

fn conditions(index: usize, policy: &Policy, problems: &mut Vec<PolicyError>) {
    let Some(conditions) = &policy.conditions else {
        return;
    };
    let texts = [
        ("carrier", &conditions.carrier),
        ("service", &conditions.service),
        ("direction", &conditions.direction),
        ("destination_country", &conditions.destination_country),
        ("shipper", &conditions.shipper),
        ("value_tier", &conditions.value_tier),
    ];
    let empty_texts = texts
        .into_iter()
        .filter(|(_, list)| list.as_ref().is_some_and(Vec::is_empty))
        .map(|(name, _)| name);
    let empty_milestone = conditions.milestone.as_ref().is_some_and(Vec::is_empty);
    for condition in empty_texts.chain(empty_milestone.then_some("milestone")) {
        problems.push(PolicyError::EmptyCondition {
            policy: index,
            id: policy.id.clone(),
            condition,
        });
    }
}

fn ladder(
    index: usize,
    policy: &Policy,
    kind: Kind,
    grace: i64,
    forget: i64,
    problems: &mut Vec<PolicyError>,
) {
    let name = match kind {
        Kind::MissingFirstScan => "first_scan",
        Kind::NoMovement => "no_movement",
    };
    let steps: &Ladder = match kind {
        Kind::MissingFirstScan => &policy.first_scan,
        Kind::NoMovement => &policy.no_movement,
    };
    let id = || policy.id.clone();
    for (step, this) in steps.iter().enumerate() {
        let after = this.after;
        if !(1..=LONGEST).contains(&after) {
            let ladder = name;
            problems.push(PolicyError::StepOutOfRange { policy: index, id: id(), ladder, step });
        } else if after + grace >= forget {
            problems.push(PolicyError::StepNotBeforeForget {
                policy: index,
                id: id(),
                ladder: name,
                step,
                after,
                grace,
                forget,
            });
        }
        if step > 0 && after <= steps[step - 1].after {
            problems.push(PolicyError::StepsDoNotGrow {
                policy: index,
                id: id(),
                ladder: name,
                step,
                after,
                before: steps[step - 1].after,
            });
        }
    }
}
