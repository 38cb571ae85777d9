//! `/v1/summary`: open exceptions by carrier and facility, and how many opened by the hour. Counted
//! shard by shard in bounded pieces, at most once in some seconds, whoever asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::answer::{Coverage, Covered, Refused, time};
use super::query::Params;
use super::{Admin, Context};
use crate::service::clock::Stopwatch;
use crate::service::questions::{OpenCounts, Tally, Unasked, Walk};
use crate::service::recent::{self, HOURS, add};

/// Rows of an answer.
const ROWS: usize = 200;
/// Pairs of carrier and facility that are kept apart; the rest is added up.
const PLACES: usize = 4_096;
/// Exceptions that one question looks at.
const LOOK_AT: usize = 1_000;
/// So long one count is good for all who ask.
const FRESH: Duration = Duration::from_secs(3);
/// Pause where too many ask.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer waits for a count while there is an older one, and for the very first.
const MOMENT: Duration = Duration::from_millis(500);
const FIRST: Duration = Duration::from_secs(5);

/// The last count, and whether one is under way. Counting goes on whoever has gone away meanwhile.
pub struct Counted {
    last: watch::Sender<Option<(Stopwatch, Arc<Count>)>>,
    counting: AtomicBool,
}

impl Default for Counted {
    fn default() -> Self {
        Self { last: watch::Sender::new(None), counting: AtomicBool::new(false) }
    }
}

/// Open exceptions, counted.
pub struct Count {
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
    counted_at: String,
    rows: Vec<Row>,
    /// What is not in the rows.
    rest: Rest,
    opened: Opened,
}

/// How many exceptions opened in the last 24 hours, whether they are still open or not.
#[derive(Debug, Serialize)]
struct Opened {
    by_hour: [u32; HOURS],
    /// When the first and the last partition came here: what opened before is not counted.
    counted_since: Option<[String; 2]>,
    /// All partitions have been here for that long.
    whole: bool,
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
    Params(asked): Params<Asked>,
) -> Result<Json<Covered<Summary>>, Refused> {
    let by = by(asked.by.as_deref().unwrap_or("carrier,facility"))?;
    let count = counted(&admin).await?;
    Ok(Covered::json(&admin, summary(&admin, &count, by), count.coverage.clone()))
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

/// The newest count. One that is not fresh any more has the next one begun, and is given where that
/// takes longer than a moment: it says of when it is.
async fn counted(admin: &Arc<Admin>) -> Result<Arc<Count>, Refused> {
    let mut news = admin.counted.last.subscribe();
    let last = news.borrow_and_update().clone();
    if let Some((since, count)) = &last
        && since.elapsed() < FRESH
    {
        return Ok(count.clone());
    }
    if !admin.counted.counting.swap(true, Ordering::Relaxed) {
        let admin = admin.clone();
        tokio::spawn(async move {
            let count = count(&admin).await;
            admin.counted.counting.store(false, Ordering::Relaxed);
            if let Some(count) = count {
                admin.counted.last.send_replace(Some((Stopwatch::start(), Arc::new(count))));
            }
        });
    }
    let wait = if last.is_some() { MOMENT } else { FIRST };
    let _ = tokio::time::timeout(wait, news.changed()).await;
    let newest = news.borrow().clone();
    newest.map(|(_, count)| count).ok_or_else(|| {
        let why = "open exceptions are being counted for the first time; ask again in a second";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })
}

/// `None` where no shard can be asked.
async fn count(admin: &Admin) -> Option<Count> {
    let mut coverage = Coverage::here(admin);
    let mut tally = Tally::default();
    for partition in coverage.partitions.clone() {
        let mut from = Some(0);
        while let Some(place) = from {
            let walk = Walk { partition, from: place, look_at: LOOK_AT };
            match admin.ask.tally(walk).await {
                Ok(Some(page)) => {
                    add_up(&mut tally, page.tally);
                    from = page.next;
                }
                Ok(None) => {
                    coverage.drop(partition);
                    from = None;
                }
                Err(Unasked::Busy) => tokio::time::sleep(PAUSE).await,
                Err(Unasked::Gone) => return None,
            }
        }
    }
    Some(Count { tally, at_s: admin.shared.clock.shown_ms().div_euclid(1_000), coverage })
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
    let key = |(carrier, facility): &(Arc<str>, Option<Arc<str>>)| {
        (by.carrier.then(|| carrier.clone()), facility.clone().filter(|_| by.facility))
    };
    for (place, counts) in &count.tally {
        rows.entry(key(place)).or_default().0.add_all(counts);
    }
    admin.shared.recent.opened_by_place(count.at_s, |place, opened| {
        if let Some((_, hours)) = rows.get_mut(&key(place)) {
            add(hours, opened);
        }
    });
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
        counted_at: time(count.at_s),
        rows: rows.collect(),
        rest,
        opened: opened(admin, count.at_s),
    }
}

fn opened(admin: &Admin, now_s: i64) -> Opened {
    let recent::Opened { by_hour, since } = admin.shared.recent.opened(now_s);
    let counted_since = since.map(|(first, last)| [first, last].map(time));
    let whole = since.is_some_and(|(_, last)| last <= now_s - HOURS as i64 * 3_600);
    Opened { by_hour, counted_since, whole }
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
