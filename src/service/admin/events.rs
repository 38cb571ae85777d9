//! `/v1/events` and `/v1/tap`: what was published lately, and what is being published.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Context;
use super::answer::{Coverage, Covered, Refused};
use super::query::{Params, limit, text, word};
use crate::detector::exception::{Change, Kind, Severity};
use crate::service::recent::{KEPT, Published, Wanted};
use crate::wire::exception::{self, to_json};
use std::sync::Arc;

/// A tap without events shows so often that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    carrier: Option<String>,
    kind: Option<String>,
    change: Option<String>,
    severity: Option<String>,
    limit: Option<usize>,
}

impl Asked {
    fn wanted(self) -> Result<Wanted, Refused> {
        Ok(Wanted {
            carrier: text(self.carrier),
            kind: word("kind", self.kind, Kind::read)?,
            change: word("change", self.change, Change::read)?,
            severity: word("severity", self.severity, Severity::read)?,
        })
    }
}

/// The newest events, newest first.
#[derive(Debug, Serialize)]
pub struct Newest {
    events: Vec<Box<RawValue>>,
}

pub async fn newest(
    State(admin): Context,
    Params(asked): Params<Asked>,
) -> Result<Json<Covered<Newest>>, Refused> {
    let most = limit(asked.limit, 100, KEPT)?;
    let wanted = asked.wanted()?;
    let found = admin.shared.recent.newest(&wanted, most);
    let input = &admin.shared.input;
    let events = found.iter().filter_map(|event| RawValue::from_string(json(event, input)).ok());
    let newest = Newest { events: events.collect() };
    Ok(Covered::json(&admin, newest, Coverage::here(&admin)))
}

/// The published form, and the partition.
fn json(published: &Published, input: &str) -> String {
    let context = exception::Context {
        topic: Some(input),
        partition: Some(published.partition),
        detected_time_ms: Some(published.detected_time_ms),
    };
    let mut text = to_json(&published.event, &context);
    text.pop();
    text.push_str(&format!(",\"partition\":{}}}", published.partition));
    text
}

struct Tap {
    events: Receiver<Arc<Published>>,
    wanted: Wanted,
    input: Arc<str>,
    _place: OwnedSemaphorePermit,
}

pub async fn tap(
    State(admin): Context,
    Params(asked): Params<Asked>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let Ok(place) = admin.taps.clone().try_acquire_owned() else {
        return Err(Refused::busy("too many clients tap the events already"));
    };
    let tap = Tap {
        events: admin.shared.recent.tap(),
        wanted: asked.wanted()?,
        input: admin.shared.input.clone(),
        _place: place,
    };
    let events = stream::unfold(tap, |mut tap| async {
        loop {
            match tap.events.recv().await {
                Ok(published) if tap.wanted.has(&published.event) => {
                    let event = sse(&published, &tap.input);
                    return Some((Ok(event), tap));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    let data = format!("{{\"missed\":{missed}}}");
                    return Some((Ok(Event::default().event("lagged").data(data)), tap));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE).text("alive")))
}

fn sse(published: &Published, input: &str) -> Event {
    let event = &published.event;
    Event::default()
        .id(format!("{}:{}", event.exception_id, event.sequence))
        .event("exception")
        .data(json(published, input))
}
