//! The form of every answer: JSON, what it covers, and errors that say what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Admin;
use crate::service::questions::Unasked;
use crate::service::status::Stage;
/// A time as answers have it.
pub(super) use crate::wire::time_text::format_seconds as time;

/// Why there is no answer.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    /// A status, and what was wrong and what to do.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request makes no sense.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Too much at once.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message)
    }
}

impl From<Unasked> for Refused {
    fn from(unasked: Unasked) -> Self {
        let status = match unasked {
            Unasked::Busy => StatusCode::TOO_MANY_REQUESTS,
            Unasked::Gone => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, unasked.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Which partitions an answer is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Coverage {
    /// Those that were asked.
    pub partitions: Vec<i32>,
    /// How many there are; 0 as long as that is not known.
    pub input_partitions: i32,
    /// Whether these are all.
    pub complete: bool,
}

impl Coverage {
    /// Of these partitions, of so many.
    pub fn of(mut partitions: Vec<i32>, input_partitions: i32) -> Self {
        partitions.sort_unstable();
        partitions.dedup();
        let complete =
            input_partitions > 0 && i32::try_from(partitions.len()) == Ok(input_partitions);
        Self { partitions, input_partitions, complete }
    }

    /// Of these and others, of which there are at least so many.
    pub fn and(self, other: Self) -> Self {
        let partitions = self.partitions.into_iter().chain(other.partitions).collect();
        Self::of(partitions, self.input_partitions.max(other.input_partitions))
    }

    /// Nobody could be asked for this one.
    pub fn drop(&mut self, partition: i32) {
        self.partitions.retain(|other| *other != partition);
        self.complete = false;
    }

    /// What this instance can answer for: whose state is there.
    pub fn here(admin: &Admin) -> Self {
        let restored = admin.shared.status.partitions.iter();
        let restored = restored.filter(|status| status.stage != Stage::Restoring);
        let partitions = restored.map(|status| *status.key()).collect();
        Self::of(partitions, admin.shared.input_partitions())
    }
}

/// An answer with its coverage, and when it was given.
#[derive(Debug, Serialize)]
pub struct Covered<T> {
    at: String,
    #[serde(flatten)]
    answer: T,
    #[serde(flatten)]
    coverage: Coverage,
}

impl<T: Serialize> Covered<T> {
    /// Both together, as JSON.
    pub fn json(admin: &Admin, answer: T, coverage: Coverage) -> Json<Self> {
        let at = time(admin.shared.clock.shown_ms().div_euclid(1_000));
        Json(Self { at, answer, coverage })
    }
}
