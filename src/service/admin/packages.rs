//! `/v1/packages/{carrier}/{number}`: what is known of one package, and why it is or is not watched.
//! The feed's partitioner is unknown, so every instance is asked for it.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Coverage, Refused, time};
use super::peers::Asked as AskedPeers;
use super::query::Params;
use super::{Admin, Context};
use crate::detector::exception::exception_id;
use crate::detector::key::PackageKey;
use crate::detector::open::OpenException;
use crate::detector::package::Phase;
use crate::detector::shard::{Outlook, OutlookStep};
use crate::service::questions::{Asked, Known};
use std::sync::Arc;

/// Whom to ask.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    scope: Option<Scope>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Scope {
    /// This instance alone.
    Local,
    /// Every instance.
    All,
}

/// What is known of a package.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answer {
    /// In normal form.
    pub carrier: String,
    /// In normal form.
    pub tracking_number: String,
    /// Usually none or one; more where scans of a package come in several partitions.
    pub packages: Vec<Value>,
    /// Other instances that were asked.
    #[serde(default)]
    pub instances: Vec<AskedPeer>,
    /// Which partitions were asked.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// Another instance, and why it did not answer if it did not.
#[derive(Debug, Deserialize, Serialize)]
pub struct AskedPeer {
    /// `host:port`.
    pub address: String,
    /// Why it did not answer.
    pub error: Option<String>,
}

/// One package as one partition knows it.
#[derive(Debug, Serialize)]
struct Package {
    partition: i32,
    phase: &'static str,
    last_milestone: &'static str,
    last_facility: Option<Arc<str>>,
    last_country: Option<Arc<str>>,
    service: Option<Arc<str>>,
    direction: Option<Arc<str>>,
    destination_country: Option<Arc<str>>,
    shipper: Option<Arc<str>>,
    value_tier: Option<Arc<str>>,
    anchor_time: String,
    anchor_set_at: String,
    silent_for_s: Option<i64>,
    policy_id: Arc<str>,
    policy_set: Arc<str>,
    deadlines: Vec<Deadline>,
    forgotten_at: String,
    frontier: Option<String>,
    log_clock: Option<String>,
    open: Vec<Open>,
    why: String,
}

#[derive(Debug, Serialize)]
struct Deadline {
    kind: &'static str,
    step: usize,
    step_name: Arc<str>,
    severity: &'static str,
    after_s: i64,
    deadline: String,
    due: String,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Open {
    exception_id: String,
    kind: &'static str,
    sequence: u32,
    severity: &'static str,
    step: u32,
    step_name: Arc<str>,
    opened_deadline: String,
    deadline: String,
}

pub async fn get(
    State(admin): Context,
    name: Result<Path<(String, String)>, PathRejection>,
    Params(asked): Params<Wanted>,
) -> Result<Json<Answer>, Refused> {
    let Path((carrier, number)) = name.map_err(|error| Refused::bad(error.body_text()))?;
    let key = PackageKey::new(&carrier, &number)
        .map_err(|error| Refused::bad(format!("no package can have this name: {error}")))?;
    let mut answer = here(&admin, &key).await?;
    if asked.scope != Some(Scope::Local) && !answer.coverage.complete {
        let path = format!("/v1/packages/{}/{}?scope=local", key.carrier(), escaped(&key));
        for AskedPeers { address, answer: found } in admin.peers.ask(&path).await {
            answer.take(address.to_string(), found);
        }
    }
    Ok(Json(answer))
}

/// What this instance knows.
async fn here(admin: &Admin, key: &PackageKey) -> Result<Answer, Refused> {
    let Asked { partitions, known } = admin.ask.package(key.clone()).await?;
    let coverage = Coverage::of(partitions, admin.shared.input_partitions());
    let set = admin.shared.policies.get();
    let hash = set.hash();
    let packages = known.into_iter().map(|known| package(key, known, hash));
    let packages = packages.filter_map(|package| serde_json::to_value(package).ok()).collect();
    Ok(Answer {
        carrier: key.carrier().to_owned(),
        tracking_number: key.number().to_string(),
        packages,
        instances: Vec::new(),
        coverage,
    })
}

impl Answer {
    /// Adds what another instance answered.
    fn take(&mut self, address: String, found: Result<Vec<u8>, String>) {
        let parsed = found.and_then(|body| {
            serde_json::from_slice::<Self>(&body)
                .map_err(|error| format!("its answer cannot be read: {error}"))
        });
        let error = match parsed {
            Ok(other) => {
                self.coverage = std::mem::take(&mut self.coverage).and(other.coverage);
                let here = |package: &Value| package["partition"].clone();
                let known: Vec<Value> = self.packages.iter().map(here).collect();
                let more = other.packages.into_iter();
                self.packages.extend(more.filter(|package| !known.contains(&here(package))));
                None
            }
            Err(error) => Some(error),
        };
        self.instances.push(AskedPeer { address, error });
    }
}

/// A tracking number as a part of a path.
fn escaped(key: &PackageKey) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    key.number().to_string().bytes().map(escape).collect()
}

fn package(key: &PackageKey, known: Known, policy_set: &Arc<str>) -> Package {
    let Known { partition, outlook, frontier, log_clock } = known;
    let why = why(&outlook, frontier);
    let deadlines = deadlines(&outlook);
    let view = outlook.view;
    let attributes = view.attributes;
    let anchor = view.package.anchor.secs();
    Package {
        partition,
        phase: view.package.phase.as_str(),
        last_milestone: view.package.milestone.as_str(),
        last_facility: attributes.facility,
        last_country: attributes.country,
        service: attributes.service,
        direction: attributes.direction,
        destination_country: attributes.destination_country,
        shipper: attributes.shipper,
        value_tier: attributes.value_tier,
        anchor_time: time(anchor),
        anchor_set_at: time(view.package.set_at.secs()),
        silent_for_s: frontier.map(|frontier| (frontier - anchor).max(0)),
        policy_id: view.policy_id,
        policy_set: policy_set.clone(),
        deadlines,
        forgotten_at: time(outlook.forgotten_at),
        frontier: frontier.map(time),
        log_clock: log_clock.map(time),
        open: view.open.iter().map(|open| self::open(key, open)).collect(),
        why,
    }
}

fn open(key: &PackageKey, open: &OpenException) -> Open {
    Open {
        exception_id: exception_id(key, open.kind, open.anchor, open.set_at).to_string(),
        kind: open.kind.as_str(),
        sequence: open.sequence,
        severity: open.severity.as_str(),
        step: open.step,
        step_name: open.step_name.clone(),
        opened_deadline: time(open.opened_deadline.secs()),
        deadline: time(open.deadline.secs()),
    }
}

fn deadlines(outlook: &Outlook) -> Vec<Deadline> {
    let kind = outlook.kind.map_or("", |kind| kind.as_str());
    let state = |index: usize| match outlook.next {
        Some(next) if index == next => "next",
        Some(next) if index > next => "later",
        Some(_) | None => "past",
    };
    let deadline = |(index, step): (usize, &OutlookStep)| Deadline {
        kind,
        step: index,
        step_name: step.name.clone(),
        severity: step.severity.as_str(),
        after_s: step.after,
        deadline: time(step.deadline.secs()),
        due: time(step.due),
        state: state(index),
    };
    outlook.steps.iter().enumerate().map(deadline).collect()
}

/// What is awaited, in a sentence.
fn why(outlook: &Outlook, frontier: Option<i64>) -> String {
    let policy = &outlook.view.policy_id;
    let since = time(outlook.view.package.anchor.secs());
    let forgotten = time(outlook.forgotten_at);
    let silence = match outlook.view.package.phase {
        Phase::Settled => {
            return format!("Its journey is over since {since}; it is forgotten at {forgotten}.");
        }
        Phase::AwaitingFirstScan => "its first scan",
        Phase::Moving => "movement",
    };
    if outlook.steps.is_empty() {
        return format!(
            "Policy {policy} has no steps for packages that await {silence}; it is forgotten at {forgotten}."
        );
    }
    let said = outlook.view.open.as_ref().map(|open| {
        let (step, severity) = (&open.step_name, open.severity.as_str());
        format!(" An exception is open, last as {step} ({severity}).")
    });
    let said = said.unwrap_or_default();
    let Some(next) = outlook.next.map(|next| &outlook.steps[next]) else {
        return format!(
            "It has awaited {silence} since {since}; policy {policy} has nothing more to say before it is forgotten at {forgotten}.{said}"
        );
    };
    let (name, severity, due) = (&next.name, next.severity.as_str(), time(next.due));
    let left = frontier.map(|frontier| next.due - frontier).filter(|left| *left > 0);
    let left = left.map(|left| format!(", in {}", in_words(left))).unwrap_or_default();
    format!(
        "It has awaited {silence} since {since}; by policy {policy} step {name} ({severity}) comes at {due}{left}, unless it moves.{said}"
    )
}

/// Seconds in their two largest units.
fn in_words(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
