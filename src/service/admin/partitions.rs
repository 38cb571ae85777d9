//! `/v1/partitions`: where every partition of this instance stands, and what of them is not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Context;
use super::answer::{Coverage, Covered, time};
use crate::detector::package::Phase;
use crate::service::status::PartitionStatus;
use crate::service::unread::Unreads;

#[derive(Debug, Serialize)]
pub struct Partitions {
    /// The clock runs at another pace than time.
    simulated_clock: bool,
    instance_id: String,
    version: &'static str,
    group_id: String,
    input: String,
    ready: bool,
    not_ready: Option<String>,
    /// What came in and was not read.
    unread: Unreads,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    partition: i32,
    stage: &'static str,
    position: i64,
    end: Option<i64>,
    lag: Option<i64>,
    committed: Option<i64>,
    log_clock: Option<String>,
    frontier: Option<String>,
    hold: Option<&'static str>,
    /// What it waits for where somebody has to bring it.
    waits_for: Option<String>,
    halted: Option<String>,
    /// Hash of the policies that its last cut was reached under.
    policies: Option<Arc<str>>,
    packages: BTreeMap<&'static str, usize>,
    open: usize,
}

pub async fn get(State(admin): Context) -> Json<Covered<Partitions>> {
    let shared = &admin.shared;
    let mut rows: Vec<Row> =
        shared.status.partitions.iter().map(|status| row(*status.key(), &status)).collect();
    rows.sort_by_key(|row| row.partition);
    let not_ready = shared.status.not_ready();
    let partitions = Partitions {
        simulated_clock: shared.clock.is_simulated(),
        instance_id: shared.config.kafka.instance_id.clone(),
        version: env!("CARGO_PKG_VERSION"),
        group_id: shared.config.kafka.group_id.clone(),
        input: shared.input.to_string(),
        ready: not_ready.is_none(),
        not_ready,
        unread: shared.unread.counts(),
        rows,
    };
    Covered::json(&admin, partitions, Coverage::here(&admin))
}

fn row(partition: i32, status: &PartitionStatus) -> Row {
    let by_phase = Phase::ALL.iter().zip(status.stats.packages);
    Row {
        partition,
        stage: status.stage.as_str(),
        position: status.position,
        end: status.end,
        lag: status.lag(),
        committed: status.committed,
        log_clock: status.log_clock.map(time),
        frontier: status.frontier.map(time),
        hold: status.hold.map(|hold| hold.as_str()),
        waits_for: status.waits_for.clone(),
        halted: status.halted.as_ref().map(|halt| halt.message.clone()),
        policies: status.policies.clone(),
        packages: by_phase.map(|(phase, count)| (phase.as_str(), count)).collect(),
        open: status.stats.open.values().sum(),
    }
}
