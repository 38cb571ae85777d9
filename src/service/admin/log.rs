//! `/v1/log`: how much is written to the log, changed while the service runs.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Context;
use super::answer::Refused;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    level: String,
}

#[derive(Debug, Serialize)]
pub struct Level {
    level: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

fn fixed() -> Refused {
    Refused::new(StatusCode::NOT_IMPLEMENTED, "the log of this process has a fixed level")
}

pub async fn get(State(admin): Context) -> Result<Json<Level>, Refused> {
    let log = admin.shared.log.get().ok_or_else(fixed)?;
    Ok(Json(Level { level: log.level(), before: None }))
}

pub async fn put(
    State(admin): Context,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Level>, Refused> {
    let Json(Wanted { level }) =
        wanted.map_err(|error| Refused::new(error.status(), error.body_text()))?;
    let log = admin.shared.log.get().ok_or_else(fixed)?;
    let before = log.level();
    crate::config::check_log_level(&level)
        .map_err(|why| Refused::bad(format!("`level`: {why}")))?;
    // Before it is changed, as nothing may be written afterwards.
    tracing::warn!("the log's level becomes {level}, it was {before}");
    log.set(&level).map_err(|why| Refused::bad(format!("`level`: {why}")))?;
    Ok(Json(Level { level, before: Some(before) }))
}
