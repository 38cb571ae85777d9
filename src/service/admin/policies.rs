//! `/v1/policies`: the set in force, and the way to another.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Context;
use super::answer::{Refused, time};
use super::query::Params;
use crate::detector::policy::{Match, Policy, Step};
use crate::service::policies;

#[derive(Debug, Serialize)]
pub struct Policies {
    hash: String,
    file: String,
    loaded_at: String,
    defaults: Value,
    policies: Vec<Value>,
}

pub async fn get(State(admin): Context) -> Json<Policies> {
    let set = admin.shared.policies.get();
    let defaults = set.defaults();
    Json(Policies {
        hash: set.hash().to_string(),
        file: admin.shared.config.policies.file.display().to_string(),
        loaded_at: time(admin.shared.policies.since_ms().div_euclid(1_000)),
        defaults: json!({
            "forget_after_s": defaults.forget_after,
            "settled_retention_s": defaults.settled_retention,
            "catch_up_grace_s": defaults.catch_up_grace,
            "feed_grace_s": defaults.feed_grace,
        }),
        policies: set.policies().iter().map(policy).collect(),
    })
}

/// Whether only to look.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    #[serde(default)]
    dry_run: bool,
}

/// Reads the file anew, and puts in force what it says unless that is only asked for.
pub async fn reload(
    State(admin): Context,
    Params(asked): Params<Asked>,
) -> Result<Response, Refused> {
    let (shared, dry_run) = (admin.shared.clone(), asked.dry_run);
    let read = tokio::task::spawn_blocking(move || match dry_run {
        true => shared.policies.look(),
        false => shared.policies.reload(policies::Asked::Request),
    });
    let read = read.await.map_err(|error| {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("reading the file failed: {error}"))
    })?;
    Ok(match read {
        Ok(policies::Read { set, changed }) => Json(json!({
            "dry_run": dry_run,
            "hash": set.hash().as_ref(),
            "changed": changed,
            "problems": [],
        }))
        .into_response(),
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let error = "the policies file has problems; the set in force stays";
            let body = json!({ "dry_run": dry_run, "error": error, "problems": problems });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    })
}

fn policy(policy: &Policy) -> Value {
    json!({
        "id": policy.id.as_ref(),
        "match": policy.conditions.as_ref().map(conditions).unwrap_or_default(),
        "first_scan": policy.first_scan.iter().map(step).collect::<Vec<_>>(),
        "no_movement": policy.no_movement.iter().map(step).collect::<Vec<_>>(),
    })
}

fn conditions(conditions: &Match) -> Map<String, Value> {
    let milestones = conditions.milestone.as_ref().map(|milestones| {
        milestones.iter().map(|milestone| milestone.as_str().to_owned()).collect::<Vec<_>>()
    });
    let lists = [
        ("carrier", &conditions.carrier),
        ("service", &conditions.service),
        ("milestone", &milestones),
        ("direction", &conditions.direction),
        ("destination_country", &conditions.destination_country),
        ("shipper", &conditions.shipper),
        ("value_tier", &conditions.value_tier),
    ];
    lists
        .into_iter()
        .filter_map(|(name, list)| Some((name.to_owned(), json!(list.as_ref()?))))
        .collect()
}

fn step(step: &Step) -> Value {
    json!({
        "after_s": step.after,
        "severity": step.severity.as_str(),
        "name": step.name.as_ref(),
    })
}
