//! Parameters of a request.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::Refused;

/// The parameters behind the path; what cannot be read is refused in our form.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|error| Refused::bad(error.body_text()))
    }
}

/// How many at most.
pub fn limit(asked: Option<usize>, default: usize, most: usize) -> Result<usize, Refused> {
    match asked {
        None => Ok(default.min(most)),
        Some(asked) if (1..=most).contains(&asked) => Ok(asked),
        Some(_) => Err(Refused::bad(format!("`limit` must be a number from 1 to {most}"))),
    }
}

/// A text that is asked for; an empty one is none.
pub fn text(asked: Option<String>) -> Option<String> {
    asked.filter(|text| !text.is_empty())
}

/// One word of a vocabulary, if it is asked for.
pub fn word<T>(
    name: &str,
    asked: Option<String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Refused> {
    let found = text(asked).map(|text| read(&text)).transpose();
    found.map_err(|why| Refused::bad(format!("`{name}` {why}")))
}
