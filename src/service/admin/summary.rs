//! `/v1/summary`: open exceptions by carrier and facility, and how many opened by the hour. Counted
//! shard by shard in bounded pieces, at most once in some seconds, whoever asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::answer::{Coverage, Covered, Refused, time};
use super::{Admin, Context};
use crate::service::clock::Stopwatch;
use crate::service::questions::{OpenCounts, Tally, Walk};
use crate::service::recent::HOURS;

/// Rows of an answer.
const ROWS: usize = 200;
/// Pairs of carrier and facility that are kept apart; the rest is added up.
const PLACES: usize = 4_096;
/// Exceptions that one question looks at.
const LOOK_AT: usize = 1_000;
/// So long one count is good for all who ask.
const FRESH: Duration = Duration::from_secs(3);
/// Pause after a piece of a count, so that counting never takes a shard's time for long.
const PAUSE: Duration = Duration::from_millis(1);

/// The last count.
#[derive(Default)]
pub struct Counted(Mutex<Option<(Stopwatch, Arc<Count>)>>);

struct Count {
    tally: Tally,
    at_s: i64,
    coverage: Coverage,
}

/// By what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    by: Option<String>,
}

/// What rows stand for.
#[derive(Clone, Copy, Debug)]
struct By {
    carrier: bool,
    facility: bool,
}

#[derive(Debug, Serialize)]
pub struct Summary {
    by: Vec<&'static str>,
    at: String,
    rows: Vec<Row>,
    /// What is not in the rows.
    rest: Rest,
}

#[derive(Debug, Default, Serialize)]
struct Rest {
    open: u64,
    rows: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<Arc<str>>,
    facility: Option<Arc<str>>,
    open: u64,
    notice: u64,
    warning: u64,
    critical: u64,
    missing_first_scan: u64,
    no_movement: u64,
    opened_by_hour: [u32; HOURS],
}

pub async fn get(
    State(admin): Context,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Covered<Summary>>, Refused> {
    let Query(asked) = asked.map_err(|error| Refused::bad(error.body_text()))?;
    let by = by(asked.by.as_deref().unwrap_or("carrier,facility"))?;
    let count = counted(&admin).await?;
    Ok(Covered::json(summary(&admin, &count, by), count.coverage.clone()))
}

fn by(text: &str) -> Result<By, Refused> {
    let mut by = By { carrier: false, facility: false };
    for part in text.split(',') {
        match part {
            "carrier" => by.carrier = true,
            "facility" => by.facility = true,
            _ => {
                return Err(Refused::bad("`by` must be carrier, facility or carrier,facility"));
            }
        }
    }
    Ok(by)
}

/// One count at a time: who asks meanwhile waits for it.
async fn counted(admin: &Admin) -> Result<Arc<Count>, Refused> {
    let mut last = admin.counted.0.lock().await;
    if let Some((since, count)) = &*last
        && since.elapsed() < FRESH
    {
        return Ok(count.clone());
    }
    let count = Arc::new(count(admin).await?);
    *last = Some((Stopwatch::start(), count.clone()));
    Ok(count)
}

async fn count(admin: &Admin) -> Result<Count, Refused> {
    let coverage = Coverage::here(admin);
    let mut tally = Tally::default();
    for &partition in &coverage.partitions {
        let mut from = Some(0);
        while let Some(place) = from {
            let walk = Walk { partition, from: place, look_at: LOOK_AT };
            let page = admin.ask.tally(walk).await?;
            add_up(&mut tally, page.tally);
            from = page.next;
            if from.is_some() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(Count { tally, at_s: admin.shared.clock.now_ms().div_euclid(1_000), coverage })
}

/// What finds no place of its own any more counts for its carrier alone.
fn add_up(tally: &mut Tally, more: Tally) {
    for ((carrier, facility), counts) in more {
        let place = (carrier, facility);
        let place = match tally.len() < PLACES || tally.contains_key(&place) {
            true => place,
            false => (place.0, None),
        };
        tally.entry(place).or_default().add_all(&counts);
    }
}

fn summary(admin: &Admin, count: &Count, by: By) -> Summary {
    type Place = (Option<Arc<str>>, Option<Arc<str>>);
    let mut rows: HashMap<Place, (OpenCounts, [u32; HOURS]), FixedState> = HashMap::default();
    for ((carrier, facility), counts) in &count.tally {
        let key = (by.carrier.then(|| carrier.clone()), facility.clone().filter(|_| by.facility));
        let (sum, hours) = rows.entry(key).or_default();
        sum.add_all(counts);
        let place = (carrier.clone(), facility.clone());
        let opened = admin.shared.recent.opened_by_hour(&place, count.at_s);
        hours.iter_mut().zip(opened).for_each(|(sum, more)| *sum += more);
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(a, (more, _)), (b, (less, _))| {
        less.total().cmp(&more.total()).then_with(|| a.cmp(b))
    });
    let left = rows.split_off(rows.len().min(ROWS));
    let rest =
        Rest { open: left.iter().map(|(_, (counts, _))| counts.total()).sum(), rows: left.len() };
    let rows = rows.into_iter().map(|(place, (counts, hours))| row(place, counts, hours));
    let named = [("carrier", by.carrier), ("facility", by.facility)];
    Summary {
        by: named.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect(),
        at: time(count.at_s),
        rows: rows.collect(),
        rest,
    }
}

fn row(
    (carrier, facility): (Option<Arc<str>>, Option<Arc<str>>),
    counts: OpenCounts,
    opened_by_hour: [u32; HOURS],
) -> Row {
    let [notice, warning, critical] = counts.by_severity;
    let [missing_first_scan, no_movement] = counts.by_kind;
    Row {
        carrier,
        facility,
        open: counts.total(),
        notice,
        warning,
        critical,
        missing_first_scan,
        no_movement,
        opened_by_hour,
    }
}
