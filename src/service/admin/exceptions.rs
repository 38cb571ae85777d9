//! `/v1/exceptions`: what is open now, page by page. A page is put together of bounded questions to
//! one shard after another; the cursor says where the next begins.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::answer::{Coverage, Covered, Refused, time};
use super::query::{Params, limit, text, word};
use super::{Admin, Context};
use crate::detector::exception::{Kind, Severity, exception_id};
use crate::service::questions::{FoundOpen, OpenQuery, Walk};

/// Exceptions of a page, at most.
const MOST: usize = 500;
/// Exceptions that one question looks at.
const LOOK_AT: usize = 500;
/// Stands for no facility at all.
const NOWHERE: &str = "-";
/// Questions that one page may take; where few of many match, the next page goes on.
const QUESTIONS: usize = 20;

/// Which exceptions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    kind: Option<String>,
    carrier: Option<String>,
    severity: Option<String>,
    facility: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A page of what is open.
#[derive(Debug, Serialize)]
pub struct Page {
    exceptions: Vec<Open>,
    /// Where the next page begins; `None` at the end.
    cursor: Option<String>,
}

/// One open exception.
#[derive(Debug, Serialize)]
struct Open {
    partition: i32,
    exception_id: String,
    sequence: u32,
    kind: &'static str,
    severity: &'static str,
    step: u32,
    step_name: String,
    carrier: String,
    tracking_number: String,
    opened_deadline: String,
    deadline: String,
    anchor_time: String,
    last_milestone: &'static str,
    last_facility: Option<String>,
    last_country: Option<String>,
    policy_id: String,
}

pub async fn get(
    State(admin): Context,
    Params(asked): Params<Asked>,
) -> Result<Json<Covered<Page>>, Refused> {
    let most = limit(asked.limit, 100, MOST)?;
    let mut coverage = Coverage::here(&admin);
    let start = match text(asked.cursor) {
        Some(text) => Cursor::parse(&text)?,
        None => Cursor { partition: 0, place: 0 },
    };
    let query = OpenQuery {
        walk: Walk { partition: 0, from: 0, look_at: LOOK_AT.min(most) },
        carrier: text(asked.carrier),
        kind: word("kind", asked.kind, Kind::read)?,
        severity: word("severity", asked.severity, Severity::read)?,
        facility: text(asked.facility).map(|facility| (facility != NOWHERE).then_some(facility)),
    };
    let page = walk(&admin, &mut coverage, query, start, most).await?;
    Ok(Covered::json(&admin, page, coverage))
}

async fn walk(
    admin: &Admin,
    coverage: &mut Coverage,
    mut query: OpenQuery,
    start: Cursor,
    most: usize,
) -> Result<Page, Refused> {
    let mut exceptions = Vec::new();
    let mut questions = 0;
    let mut partitions = coverage.partitions.clone();
    partitions.retain(|partition| *partition >= start.partition);
    for partition in partitions {
        let mut place = if partition == start.partition { start.place } else { 0 };
        loop {
            if exceptions.len() >= most || questions == QUESTIONS {
                let cursor = Some(Cursor { partition, place }.text());
                return Ok(Page { exceptions, cursor });
            }
            questions += 1;
            query.walk = Walk { partition, from: place, ..query.walk };
            let Some(page) = admin.ask.open(query.clone()).await? else {
                coverage.drop(partition);
                break;
            };
            exceptions.extend(page.found.into_iter().map(|found| open(partition, found)));
            match page.next {
                Some(next) => place = next,
                None => break,
            }
        }
    }
    Ok(Page { exceptions, cursor: None })
}

fn open(partition: i32, found: FoundOpen) -> Open {
    let FoundOpen { key, open, milestone, attributes } = found;
    let owned = |text: std::sync::Arc<str>| text.as_ref().to_owned();
    Open {
        partition,
        exception_id: exception_id(&key, open.kind, open.anchor, open.set_at).to_string(),
        sequence: open.sequence,
        kind: open.kind.as_str(),
        severity: open.severity.as_str(),
        step: open.step,
        step_name: owned(open.step_name),
        carrier: key.carrier().to_owned(),
        tracking_number: key.number().to_string(),
        opened_deadline: time(open.opened_deadline.secs()),
        deadline: time(open.deadline.secs()),
        anchor_time: time(open.anchor.secs()),
        last_milestone: milestone.as_str(),
        last_facility: attributes.facility.map(owned),
        last_country: attributes.country.map(owned),
        policy_id: owned(open.policy_id),
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    partition: i32,
    place: u32,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, Refused> {
        let parts = text.split_once('.');
        let parsed = parts.and_then(|(partition, place)| {
            Some(Self { partition: partition.parse().ok()?, place: place.parse().ok()? })
        });
        parsed.filter(|cursor| cursor.partition >= 0).ok_or_else(|| {
            Refused::bad("`cursor` is none that this service gave; leave it out to begin anew")
        })
    }

    fn text(self) -> String {
        format!("{}.{}", self.partition, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor { partition: 7, place: 2047 };
        assert_eq!(Cursor::parse(&cursor.text()).unwrap(), cursor);
        for text in ["7", "7.", ".1", "-1.0", "7.-1", "7.1.2", "a.b", "99999999999.0"] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
