//! The network's feed into the broker, and with it the demo's clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::broker::ScanWriter;
use super::clock::{LONGEST_STEP_MS, MARGIN_MS, Pace, SimulatedClock};
use super::encode::ScanEncoder;
use super::network::Network;
use super::show::{DemoError, Watched};
use super::story::Report;
use super::time::{END, START};

/// Scans that may lie unread in the broker, which forgets beyond 5 MiB a partition: at 300 bytes a
/// scan they fit, even if all of them lay in one partition.
const MOST_UNREAD: u64 = 16_000;

/// Real time between two steps of the clock, where the pace allows for it.
const SHORTEST_STEP: Duration = Duration::from_millis(40);

/// Between two looks at how far the service has read.
const RETRY: Duration = Duration::from_millis(1);

/// Writes every scan at its time and moves the clock behind it, up to the end of the simulation.
///
/// Returns early, and without an error, when `stop` is set.
pub fn produce(
    network: &Network,
    writer: &mut ScanWriter,
    clock: &SimulatedClock,
    pace: Pace,
    watched: &dyn Watched,
    stop: &AtomicBool,
) -> Result<(), DemoError> {
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
            send(network, writer, &mut encoder, &mut payload, report)?;
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
    network: &Network,
    writer: &mut ScanWriter,
    encoder: &mut ScanEncoder,
    payload: &mut Vec<u8>,
    report: &Report,
) -> Result<(), DemoError> {
    let package = network.package(report);
    encoder.encode(network, report, payload);
    let key = format!("{}:{}", package.carrier, package.number);
    writer.send(package.partition, &key, report.logged_ms, payload)
}
