//! The policies file: TOML in, a checked [`PolicySet`] out, or every problem with its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::toml_reader::{self, Node, Place, Problem, Problems, Section};
use crate::detector::exception::Severity;
use crate::detector::key::Carrier;
use crate::detector::policy::{Defaults, Ladder, Match, Policy, PolicyError, PolicySet, Step};
use crate::detector::scan::Milestone;

/// Reads a policies file. `file_name` stands in the problems.
///
/// # Errors
/// Every problem of the file at once, in the order of their places.
pub fn parse(file_name: &str, text: &str) -> Result<PolicySet, Vec<Problem>> {
    let document = toml_reader::parse(file_name, text)?;
    let problems = Problems::default();
    let root = Section::root(&document, &problems);
    version(&root);
    root.not_built("calendars", CALENDARS);
    let (defaults, mut setting_places) = defaults(&root);
    let feed_grace = carriers(&root, &problems, &mut setting_places);
    let (policies, places): (Vec<_>, Vec<_>) = root
        .sections("policy")
        .into_iter()
        .enumerate()
        .map(|(index, section)| policy(index, section, &problems))
        .unzip();
    root.finish();
    let set = PolicySet::new(defaults, feed_grace, policies);
    for error in set.as_ref().err().into_iter().flatten() {
        let place = place_of(error, &places, &setting_places);
        problems.at(place.unwrap_or(&document.place), error.to_string());
    }
    match set {
        Ok(set) if problems.is_empty() => Ok(set),
        _ => Err(problems.into_sorted()),
    }
}

const CALENDARS: &str = "business calendars are";

fn version(root: &Section<'_>) {
    root.require(&["version"]);
    if let Some(version) = root.integer("version", i64::MIN..=i64::MAX)
        && version != 1
    {
        root.problem("version", format!("version {version} is not known; this build reads 1"));
    }
}

/// Settings by the names that [`PolicyError::SettingOutOfRange`] calls them.
type SettingPlaces = HashMap<String, Place>;

fn defaults(root: &Section<'_>) -> (Defaults, SettingPlaces) {
    let mut defaults = Defaults::default();
    let mut places = SettingPlaces::new();
    let Some(section) = root.section("defaults") else {
        return (defaults, places);
    };
    let mut setting = |key: &'static str, value: &mut i64| {
        if let Some(seconds) = section.seconds(key) {
            *value = seconds;
        }
        places.insert(section.path_to(key), section.place_of(key));
    };
    setting("forget_after", &mut defaults.forget_after);
    setting("settled_retention", &mut defaults.settled_retention);
    setting("catch_up_grace", &mut defaults.catch_up_grace);
    setting("feed_grace", &mut defaults.feed_grace);
    section.finish();
    (defaults, places)
}

fn carriers(
    root: &Section<'_>,
    problems: &Problems,
    places: &mut SettingPlaces,
) -> BTreeMap<String, i64> {
    let mut feed_grace = BTreeMap::new();
    let Some(carriers) = root.section("carriers") else {
        return feed_grace;
    };
    for (entry, section) in carriers.named_sections() {
        let seconds = section.seconds("feed_grace");
        section.require(&["feed_grace"]);
        let name = match Carrier::new(&entry.key) {
            Ok(name) => name.to_string(),
            Err(error) => {
                problems.at(&entry.place, format!("carrier \"{}\": {error}", entry.key));
                section.finish();
                continue;
            }
        };
        places.insert(format!("carriers.{name}.feed_grace"), section.place_of("feed_grace"));
        if feed_grace.insert(name.clone(), seconds.unwrap_or(0)).is_some() {
            problems.at(&entry.place, format!("carrier \"{name}\" stands twice"));
        }
        section.finish();
    }
    feed_grace
}

/// Where the parts of a policy stand.
struct PolicyPlaces {
    head: Place,
    id: Place,
    conditions: BTreeMap<&'static str, Place>,
    first_scan: Vec<Place>,
    no_movement: Vec<Place>,
}

/// Reads one policy. What could not be read is replaced by something that the checks of the set as
/// a whole find nothing wrong with, so that a flaw is reported once.
fn policy(index: usize, mut section: Section<'_>, problems: &Problems) -> (Policy, PolicyPlaces) {
    let head = section.place().clone();
    let id_place = section.place_of("id");
    let id: Arc<str> = match section.text("id") {
        Some("") => {
            section.problem("id", format!("{} must not be empty", section.name("id")));
            format!("policy[{index}]").into()
        }
        Some(id) => id.into(),
        None => {
            section.require(&["id"]);
            format!("policy[{index}]").into()
        }
    };
    section.set_owner(format!("policy \"{id}\""));
    section.not_built("clock", CALENDARS);
    let (conditions, condition_places) = conditions(&section, problems);
    let (first_scan, first_scan_places) = ladder(&section, "first_scan");
    let (no_movement, no_movement_places) = ladder(&section, "no_movement");
    section.finish();
    let places = PolicyPlaces {
        head,
        id: id_place,
        conditions: condition_places,
        first_scan: first_scan_places,
        no_movement: no_movement_places,
    };
    (Policy { id, conditions, first_scan, no_movement }, places)
}

fn conditions(
    policy: &Section<'_>,
    problems: &Problems,
) -> (Option<Match>, BTreeMap<&'static str, Place>) {
    let mut places = BTreeMap::new();
    if !policy.has("match") {
        return (None, places);
    }
    let Some(section) = policy.section("match") else {
        return (Some(Match::default()), places);
    };
    if section.entries().is_empty() {
        policy.problem(
            "match",
            format!("{} has no condition; leave it out for a catch-all", policy.name("match")),
        );
    }
    let mut texts = |key: &'static str| {
        places.insert(key, section.place_of(key));
        read_list(&section, key, problems, |text| match text {
            "" => Err("an empty text matches nothing".to_owned()),
            text => Ok(text.to_owned()),
        })
    };
    let service = texts("service");
    let direction = texts("direction");
    let destination_country = texts("destination_country");
    let shipper = texts("shipper");
    let value_tier = texts("value_tier");
    let carrier = read_list(&section, "carrier", problems, |text| {
        Carrier::new(text).map(|carrier| carrier.to_string()).map_err(|error| error.to_string())
    });
    let milestone = read_list(&section, "milestone", problems, milestone);
    places.insert("carrier", section.place_of("carrier"));
    places.insert("milestone", section.place_of("milestone"));
    section.finish();
    let conditions =
        Match { carrier, service, milestone, direction, destination_country, shipper, value_tier };
    (Some(conditions), places)
}

/// Reads a list of conditions. One with a bad entry is as good as absent to the checks that follow.
fn read_list<T>(
    section: &Section<'_>,
    key: &'static str,
    problems: &Problems,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let texts = section.texts(key)?;
    let whole = texts.len();
    let name = section.name(key);
    let read_one = |(node, text): (&Node, &str)| match read(text) {
        Ok(value) => Some(value),
        Err(message) => {
            problems.at(&node.place, format!("{name}: {message}"));
            None
        }
    };
    let values: Vec<T> = texts.into_iter().filter_map(read_one).collect();
    (values.len() == whole).then_some(values)
}

fn milestone(text: &str) -> Result<Milestone, String> {
    let choices: Vec<_> = Milestone::ALL.iter().map(|value| (value.as_str(), *value)).collect();
    toml_reader::choose(text, &choices)
}

const SEVERITIES: &[(&str, Severity)] = &[
    ("notice", Severity::Notice),
    ("warning", Severity::Warning),
    ("critical", Severity::Critical),
];

/// Reads a ladder with the place of each step's `after`. One with a flaw is left empty.
fn ladder(policy: &Section<'_>, key: &'static str) -> (Ladder, Vec<Place>) {
    let sections = policy.sections(key);
    let count = sections.len();
    let (steps, places): (Ladder, Vec<Place>) = sections.into_iter().filter_map(step).unzip();
    if steps.len() == count { (steps, places) } else { (Ladder::new(), Vec::new()) }
}

fn step(section: Section<'_>) -> Option<(Step, Place)> {
    section.require(&["after", "severity"]);
    let place = section.place_of("after");
    let after = section.seconds("after");
    let severity = section.choice("severity", SEVERITIES);
    let name = section.some_text("name");
    section.finish();
    let (after, severity) = (after?, severity?);
    let name = name.unwrap_or(severity.as_str()).into();
    Some((Step { after, severity, name }, place))
}

fn place_of<'p>(
    error: &PolicyError,
    policies: &'p [PolicyPlaces],
    settings: &'p SettingPlaces,
) -> Option<&'p Place> {
    let policy = error.policy().and_then(|index| policies.get(index));
    match error {
        PolicyError::SettingOutOfRange { setting, .. } => settings.get(setting),
        PolicyError::ForgetBeforeRetention { .. } => settings.get("defaults.forget_after"),
        PolicyError::DuplicateId { .. } => policy.map(|places| &places.id),
        PolicyError::EmptyCondition { condition, .. } => {
            policy.and_then(|places| places.conditions.get(condition))
        }
        PolicyError::StepsDoNotGrow { ladder, step, .. }
        | PolicyError::StepOutOfRange { ladder, step, .. }
        | PolicyError::StepNotBeforeForget { ladder, step, .. } => policy.and_then(|places| {
            let steps = match *ladder {
                "first_scan" => &places.first_scan,
                _ => &places.no_movement,
            };
            steps.get(*step)
        }),
        PolicyError::Empty | PolicyError::NoCatchAll { .. } | PolicyError::EarlyCatchAll { .. } => {
            policy.map(|places| &places.head)
        }
    }
}

#[cfg(test)]
mod tests;
