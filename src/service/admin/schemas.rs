//! `/v1/schemas`: the writer schemas that are known, and the way to others.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Context;
use super::answer::Refused;
use crate::service::policies::Asked;
use crate::service::schemas::Read;
use crate::wire::scan::WriterSchemas;

pub async fn get(State(admin): Context) -> Json<Value> {
    Json(json!({ "schemas": listed(&admin.shared.schemas.get()) }))
}

/// Reads the files anew.
pub async fn reload(State(admin): Context) -> Result<Response, Refused> {
    let shared = admin.shared.clone();
    let read = tokio::task::spawn_blocking(move || shared.schemas.reload(Asked::Request));
    let read = read.await.map_err(|error| {
        let why = format!("reading the files failed: {error}");
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, why)
    })?;
    Ok(match read {
        Ok(Read { schemas, changed }) => {
            Json(json!({ "changed": changed, "schemas": listed(&schemas), "problems": [] }))
                .into_response()
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let error = "the schema files have problems; what was known stays";
            let body = json!({ "error": error, "problems": problems });
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    })
}

/// Each by the name of its file, and what records name it by.
fn listed(schemas: &WriterSchemas) -> Vec<Value> {
    schemas
        .names()
        .map(|(name, marks)| {
            let known_by: Vec<String> = marks.iter().map(ToString::to_string).collect();
            json!({ "name": name, "known_by": known_by })
        })
        .collect()
}
