//! Scans as a worker counts them: without an allocation, a lock or a shared counter for each, handed
//! over once a batch.

use compact_str::CompactString;
use prometheus::local::LocalHistogram;

use super::Metrics;
use crate::detector::scan::{Evidence, Outcome, Scan};

const OUTCOMES: usize = Outcome::ALL.len();
const EVIDENCES: usize = Evidence::ALL.len();
/// Carriers counted at a time; whatever names more is counted as `other`.
const MOST: usize = 256;

/// Scans since the last hand-over.
#[derive(Default)]
pub struct ScanCounts {
    carriers: Vec<OfCarrier>,
    /// Where the last scan was counted: the next is often of the same carrier.
    last: usize,
}

struct OfCarrier {
    name: CompactString,
    /// Its label: its name, or `other`.
    label: CompactString,
    counts: [[u64; OUTCOMES]; EVIDENCES],
    delays: LocalHistogram,
    last_scan: Option<i64>,
}

impl ScanCounts {
    /// One more scan.
    pub fn add(&mut self, metrics: &Metrics, scan: &Scan<'_>, outcome: Outcome) {
        let of_carrier = self.find(metrics, scan.key.carrier());
        of_carrier.counts[scan.evidence as usize][outcome as usize] += 1;
        let log_time = scan.log_time.secs();
        of_carrier.last_scan = of_carrier.last_scan.max(Some(log_time));
        if let Some(event_time) = scan.event_time {
            of_carrier.delays.observe((log_time - event_time.secs()).max(0) as f64);
        }
    }

    /// Hands over what was counted.
    pub fn flush(&mut self, metrics: &Metrics) {
        for of_carrier in &mut self.carriers {
            // Without one nothing was counted.
            let Some(last_scan) = of_carrier.last_scan.take() else { continue };
            let carrier = of_carrier.label.as_str();
            for (evidence, counts) in Evidence::ALL.iter().zip(&mut of_carrier.counts) {
                for (outcome, count) in Outcome::ALL.iter().zip(counts) {
                    if *count > 0 {
                        let labels = [carrier, evidence.as_str(), outcome.as_str()];
                        metrics.scans.with_label_values(&labels).inc_by(std::mem::take(count));
                    }
                }
            }
            of_carrier.delays.flush();
            metrics.seen(carrier, last_scan);
        }
        if self.carriers.len() >= MOST {
            self.carriers.clear();
            self.last = 0;
        }
    }

    fn find(&mut self, metrics: &Metrics, carrier: &str) -> &mut OfCarrier {
        let is = |of_carrier: &OfCarrier| of_carrier.name == carrier;
        if !self.carriers.get(self.last).is_some_and(is) {
            let found = self.carriers.iter().position(is);
            self.last = found.unwrap_or_else(|| self.begin(metrics, carrier));
        }
        &mut self.carriers[self.last]
    }

    fn begin(&mut self, metrics: &Metrics, carrier: &str) -> usize {
        if self.carriers.len() > MOST {
            return MOST;
        }
        let name = if self.carriers.len() < MOST { carrier } else { super::OTHER };
        let label = metrics.carrier(name);
        self.carriers.push(OfCarrier {
            name: name.into(),
            label: label.into(),
            counts: [[0; OUTCOMES]; EVIDENCES],
            delays: metrics.reporting_delay.with_label_values(&[label]).local(),
            last_scan: None,
        });
        self.carriers.len() - 1
    }
}
