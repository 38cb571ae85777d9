//! The network's feed into the broker, and with it the demo's clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::broker::ScanWriter;
use super::clock::{LONGEST_STEP_MS, MARGIN_MS, Pace};
use super::encode::ScanEncoder;
use super::show::{DemoError, Show, Watched};
use super::story::Report;
use super::time::{END, START};
use crate::detector::exception::NAMESPACE;

/// Scans that may lie unread in the broker, which forgets beyond 5 MiB a partition: at 300 bytes a
/// scan, and 70 more with a trace context, they fit, even if all of them lay in one partition.
const MOST_UNREAD: u64 = 14_000;

/// Real time between two steps of the clock, where the pace allows for it.
const SHORTEST_STEP: Duration = Duration::from_millis(40);

/// Between two looks at how far the service has read.
const RETRY: Duration = Duration::from_millis(1);

/// Writes every scan at its time and moves the clock behind it, up to the end of the simulation.
///
/// Returns early, and without an error, when `stop` is set.
pub fn produce(
    show: &Show<'_>,
    writer: &mut ScanWriter,
    pace: Pace,
    stop: &AtomicBool,
) -> Result<(), DemoError> {
    let Show { network, clock, watched, .. } = *show;
    let mut encoder = ScanEncoder::new();
    let mut payload = Vec::new();
    let mut rest = network.stream.iter().peekable();
    let mut now = START * 1000;
    while now < END * 1000 && !stop.load(Ordering::Relaxed) {
        let next = pace.due_ms().min(now + LONGEST_STEP_MS);
        let remaining = SHORTEST_STEP.saturating_sub(pace.lasts(next - now));
        if next < END * 1000 && next - now < LONGEST_STEP_MS && !remaining.is_zero() {
            std::thread::sleep(remaining);
            continue;
        }
        while let Some(report) = rest.next_if(|report| report.logged_ms <= next) {
            if !wait_for_room(writer, watched, stop) {
                return Ok(());
            }
            send(show, writer, &mut encoder, &mut payload, report)?;
        }
        writer.settle()?;
        clock.set(next);
        now = next;
    }
    if !stop.load(Ordering::Relaxed) {
        clock.set(END * 1000 + MARGIN_MS);
    }
    Ok(())
}

/// Until the broker would not forget what has not been read. False if there is no more need.
fn wait_for_room(writer: &ScanWriter, watched: &dyn Watched, stop: &AtomicBool) -> bool {
    while writer.sent().saturating_sub(watched.applied()) >= MOST_UNREAD {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(RETRY);
    }
    true
}

fn send(
    show: &Show<'_>,
    writer: &mut ScanWriter,
    encoder: &mut ScanEncoder,
    payload: &mut Vec<u8>,
    report: &Report,
) -> Result<(), DemoError> {
    let Show { network, traced, .. } = *show;
    let package = network.package(report);
    encoder.encode(network, report, payload);
    let key = format!("{}:{}", package.carrier, package.number);
    let context = traced.then(|| context(&key, report.logged_ms));
    writer.send(package.partition, &key, report.logged_ms, payload, context.as_deref())
}

/// The trace context of a scan: a trace for each package, a span for each scan.
pub fn context(key: &str, logged_ms: i64) -> String {
    let trace = Uuid::new_v5(&NAMESPACE, key.as_bytes());
    let span = Uuid::new_v5(&trace, &logged_ms.to_be_bytes()).as_u64_pair().0;
    format!("00-{:032x}-{span:016x}-01", trace.as_u128())
}
