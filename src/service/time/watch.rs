//! Says in the log and in a metric what is wrong with the clocks.

use std::sync::Arc;

use super::Time;
use crate::protocol::evidence::Hold;
use crate::service::telemetry::Metrics;

/// How far our wall clock may be from the brokers' before it is told, in milliseconds.
pub const APART_MS: i64 = 1_000;
/// Looks at which nobody knew the time, one a second, before that is told.
const PATIENCE: u32 = 5;

/// What has been told of the clocks.
pub struct Watch {
    metrics: Arc<Metrics>,
    /// How far the clocks are apart, as it was told last, in milliseconds.
    apart: Option<i64>,
    /// Why nobody knows the time, and at how many looks.
    untimed: Option<(Hold, u32)>,
}

impl Watch {
    /// Nothing has been told.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, apart: None, untimed: None }
    }

    /// Looks at the clocks, and at what evidence has just been told of the time.
    pub fn look(&mut self, time: &Time, evidence: Result<i64, Hold>) {
        let offset_ms = time.offset_ms();
        self.metrics.clock_offset(offset_ms);
        if let Some(offset_ms) = offset_ms {
            self.offset(offset_ms);
        }
        match (evidence.err(), &mut self.untimed) {
            (Some(hold), Some((before, looks))) if hold == *before => {
                *looks += 1;
                if *looks == PATIENCE {
                    tracing::warn!(reason = hold.as_str(), "frontiers are held: {}", hold.remedy());
                }
            }
            (hold, untimed) => {
                if untimed.is_some_and(|(_, looks)| looks >= PATIENCE) && hold.is_none() {
                    tracing::info!("what time it is is known again: frontiers go on");
                }
                *untimed = hold.map(|hold| (hold, 1));
            }
        }
    }

    fn offset(&mut self, offset_ms: i64) {
        let apart = offset_ms.abs() > APART_MS;
        let is_told = |told: i64| (offset_ms - told).abs() <= APART_MS.max(told.abs() / 2);
        if apart && !self.apart.is_some_and(is_told) {
            let seconds = offset_ms.abs() as f64 / 1_000.0;
            let side = if offset_ms > 0 { "ahead of" } else { "behind" };
            tracing::warn!(
                "the clock of this machine is {seconds:.1} s {side} the brokers' clock, by which exceptions are decided: let NTP set both"
            );
            self.apart = Some(offset_ms);
        } else if !apart && self.apart.take().is_some() {
            tracing::info!("the clock of this machine and the brokers' agree again");
        }
    }
}
