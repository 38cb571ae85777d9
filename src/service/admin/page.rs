//! The page: plain files, a part of the binary.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Refused;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, kind and contents of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("app.css", CSS, include_str!("page/app.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
];

pub async fn index() -> Response {
    ([(header::CONTENT_TYPE, HTML)], include_str!("page/index.html")).into_response()
}

pub async fn file(Path(name): Path<String>) -> Result<Response, Refused> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) =
        found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "the page has no such file"))?;
    Ok(([(header::CONTENT_TYPE, *kind)], *text).into_response())
}

pub async fn openapi() -> Response {
    let kind = "application/json; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], include_str!("openapi.json")).into_response()
}
