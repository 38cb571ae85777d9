//! Metrics, with names as the interface fixes them, and bounded labels.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use compact_str::CompactString;
use dashmap::DashMap;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::status::{PartitionStatus, Stage, Status};
use crate::detector::exception::{ExceptionEvent, Kind, Severity};
use crate::detector::package::Phase;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Evidence, Outcome};
use crate::protocol::evidence::Hold;
use crate::wire::reject::Reason;

/// Carriers with a label of their own; any further ones are `other`.
const CARRIERS: usize = 64;

/// Scans of one batch by carrier, evidence and outcome.
#[derive(Default)]
pub struct ScanCounts(HashMap<(CompactString, Evidence, Outcome), u64>);

impl ScanCounts {
    /// One more scan.
    pub fn add(&mut self, carrier: &str, evidence: Evidence, outcome: Outcome) {
        *self.0.entry((CompactString::from(carrier), evidence, outcome)).or_default() += 1;
    }
}

/// Every metric of the service.
pub struct Metrics {
    registry: Registry,
    carriers: DashMap<CompactString, ()>,
    records: IntCounterVec,
    scans: IntCounterVec,
    exceptions: IntCounterVec,
    rejected: IntCounterVec,
    transactions: IntCounterVec,
    transaction_duration: Histogram,
    detection_delay: Histogram,
    lateness: Histogram,
    misrouted: IntCounter,
    rebalances: IntCounter,
    tracked: IntGaugeVec,
    open: IntGaugeVec,
    lag: IntGaugeVec,
    lag_seconds: GaugeVec,
    frontier: IntGaugeVec,
    held: IntGaugeVec,
    assigned: IntGauge,
    restoring: IntGauge,
    recovery: Gauge,
    snapshot_failures: IntCounter,
    snapshot_success: Gauge,
    snapshots_unusable: IntCounter,
    replayed: IntCounter,
    state_bytes: IntGaugeVec,
}

impl Metrics {
    /// Registers every metric. Carriers that policies name get their label first. Without a limit of
    /// packages there is no metric of it.
    pub fn new(
        policies: &PolicySet,
        max_packages: Option<usize>,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new_custom(Some("stallwatch".to_owned()), None)?;
        let new = Builder { registry: &registry };
        let metrics = Self {
            records: new.counters("records_consumed_total", "Records read.", &["topic"])?,
            scans: new.counters(
                "scans_total",
                "Scans applied to the detector, by what became of them.",
                &["carrier", "evidence", "outcome"],
            )?,
            exceptions: new.counters(
                "exceptions_total",
                "Exception events committed. False alarms are those with change=\"retracted\".",
                &["carrier", "kind", "change", "severity"],
            )?,
            rejected: new.counters(
                "records_rejected_total",
                "Records that are no scans, by reason.",
                &["reason"],
            )?,
            transactions: new.counters(
                "transactions_total",
                "Transactions by outcome.",
                &["outcome"],
            )?,
            transaction_duration: new.histogram(
                "transaction_duration_seconds",
                "From begin to commit.",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0],
            )?,
            detection_delay: new.histogram(
                "detection_delay_seconds",
                "From a step's deadline to the commit of its event.",
                &[0.5, 1.0, 2.0, 4.0, 8.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0],
            )?,
            lateness: new.histogram(
                "input_timestamp_lateness_seconds",
                "Records whose log time had been proven complete: by how much input.clock_margin is too small.",
                &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 3600.0, 86_400.0],
            )?,
            misrouted: new.counter(
                "misrouted_packages_total",
                "Packages of a sample, one in 128, whose scans came in two partitions.",
            )?,
            rebalances: new.counter("rebalances_total", "Assignments and revocations.")?,
            tracked: new.gauges("packages_tracked", "Packages known.", &["phase"])?,
            open: new.gauges(
                "exceptions_open",
                "Exceptions that are open.",
                &["carrier", "kind", "severity"],
            )?,
            lag: new.gauges(
                "consumer_lag_records",
                "Records between position and end of a partition.",
                &["topic", "partition"],
            )?,
            lag_seconds: new.float_gauges(
                "consumer_lag_seconds",
                "How far the log clock of a partition that is behind lies in the past.",
                &["topic", "partition"],
            )?,
            frontier: new.gauges(
                "frontier_timestamp_seconds",
                "The log is complete and applied up to here.",
                &["partition"],
            )?,
            held: new.gauges(
                "frontier_held",
                "Partitions whose frontier stands still, by reason.",
                &["reason"],
            )?,
            assigned: new.gauge("partitions_assigned", "Partitions this instance holds.")?,
            restoring: new.gauge("partitions_restoring", "Partitions whose state is rebuilt.")?,
            recovery: new.float_gauge(
                "recovery_duration_seconds",
                "How long the last restore of a partition took.",
            )?,
            snapshot_failures: new.counter(
                "snapshot_failures_total",
                "Snapshots that could not be saved, and restores that could not reach the store.",
            )?,
            snapshot_success: new.float_gauge(
                "snapshot_last_success_timestamp_seconds",
                "When a snapshot was saved last.",
            )?,
            snapshots_unusable: new.counter(
                "snapshots_unusable_total",
                "Snapshots that a restore could not use: damaged, foreign, under other decisions.",
            )?,
            replayed: new.counter(
                "records_replayed_total",
                "Records read again to rebuild package state.",
            )?,
            state_bytes: new.gauges(
                "state_bytes",
                "Size of the package state of a partition in its last snapshot.",
                &["partition"],
            )?,
            carriers: DashMap::new(),
            registry: registry.clone(),
        };
        new.gauges("build_info", "The running version.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        new.gauges("policies_info", "The policy set in force.", &["hash"])?
            .with_label_values(&[&**policies.hash()])
            .set(1);
        if let Some(limit) = max_packages {
            new.gauge("packages_limit", "Most packages that may be known at once.")?
                .set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        metrics.name_carriers(policies);
        Ok(Arc::new(metrics))
    }

    /// All metrics in the text format of Prometheus.
    pub fn render(&self, topic: &str, status: &Status, now_ms: i64) -> String {
        self.refresh(topic, status, now_ms);
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# the metrics could not be written: {error}\n"),
        }
    }

    /// Records read from a topic.
    pub fn consumed(&self, topic: &str, records: usize) {
        self.records.with_label_values(&[topic]).inc_by(records as u64);
    }

    /// Scans of one batch.
    pub fn add_scans(&self, counts: &ScanCounts) {
        for ((carrier, evidence, outcome), count) in &counts.0 {
            let labels = [self.carrier(carrier), evidence.as_str(), outcome.as_str()];
            self.scans.with_label_values(&labels).inc_by(*count);
        }
    }

    /// One rejected record.
    pub fn rejected(&self, reason: Reason) {
        self.rejected.with_label_values(&[reason.as_str()]).inc();
    }

    /// Events that have been committed at this wall time.
    pub fn committed(&self, events: &[ExceptionEvent], now_ms: i64) {
        for event in events {
            let carrier = self.carrier(event.key.carrier());
            let (kind, change) = (event.kind.as_str(), event.change.as_str());
            self.exceptions
                .with_label_values(&[carrier, kind, change, event.severity.as_str()])
                .inc();
            if !event.change.closes() && !event.backfilled {
                let delay = now_ms as f64 / 1000.0 - event.deadline.secs() as f64;
                self.detection_delay.observe(delay.max(0.0));
            }
        }
    }

    /// One transaction came to its end.
    pub fn transaction(&self, outcome: &str, seconds: f64) {
        self.transactions.with_label_values(&[outcome]).inc();
        if outcome == "committed" {
            self.transaction_duration.observe(seconds);
        }
    }

    /// A record came with a log time that lies so many seconds before what had been proven.
    pub fn late(&self, seconds: i64) {
        self.lateness.observe(seconds as f64);
    }

    /// A package was seen in two partitions; true for the first one.
    pub fn misrouted(&self) -> bool {
        self.misrouted.inc();
        self.misrouted.get() == 1
    }

    /// An assignment or a revocation.
    pub fn rebalanced(&self) {
        self.rebalances.inc();
    }

    /// A partition was restored in this many seconds.
    pub fn restored(&self, seconds: f64) {
        self.recovery.set(seconds);
    }

    /// A snapshot of a partition was saved at this wall time.
    pub fn snapshot_saved(&self, partition: i32, bytes: u64, now_ms: i64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.state_bytes.with_label_values(&[&partition.to_string()]).set(bytes);
        self.snapshot_success.set(now_ms as f64 / 1000.0);
    }

    /// A snapshot could not be saved, or a restore could not reach the store.
    pub fn snapshot_failed(&self) {
        self.snapshot_failures.inc();
    }

    /// A restore found a snapshot that is of no use.
    pub fn snapshot_unusable(&self) {
        self.snapshots_unusable.inc();
    }

    /// So many records were read again by a restore.
    pub fn replayed(&self, records: u64) {
        self.replayed.inc_by(records);
    }

    fn name_carriers(&self, policies: &PolicySet) {
        let named = policies.policies().iter().filter_map(|policy| policy.conditions.as_ref());
        for carrier in named.filter_map(|conditions| conditions.carrier.as_ref()).flatten() {
            self.carrier(carrier);
        }
    }

    fn carrier<'a>(&self, carrier: &'a str) -> &'a str {
        if self.carriers.contains_key(carrier) {
            return carrier;
        }
        if self.carriers.len() >= CARRIERS {
            return "other";
        }
        self.carriers.insert(CompactString::from(carrier), ());
        carrier
    }

    fn refresh(&self, topic: &str, status: &Status, now_ms: i64) {
        for gauges in [&self.lag, &self.frontier, &self.tracked, &self.open, &self.held] {
            gauges.reset();
        }
        self.lag_seconds.reset();
        let mut tracked = [0; Phase::ALL.len()];
        let mut open: BTreeMap<(Arc<str>, Kind, Severity), usize> = BTreeMap::new();
        let mut restoring = 0;
        for partition in &status.partitions {
            let name = partition.key().to_string();
            if let Some(lag) = partition.lag() {
                self.lag.with_label_values(&[topic, &name]).set(lag);
                let behind = match partition.log_clock {
                    Some(clock) if lag > 0 => (now_ms as f64 / 1000.0 - clock as f64).max(0.0),
                    _ => 0.0,
                };
                self.lag_seconds.with_label_values(&[topic, &name]).set(behind);
            }
            if let Some(frontier) = partition.frontier {
                self.frontier.with_label_values(&[&name]).set(frontier);
            }
            if let Some(reason) = held(&partition) {
                self.held.with_label_values(&[reason]).inc();
            }
            restoring += i64::from(partition.stage == Stage::Restoring);
            for (sum, count) in tracked.iter_mut().zip(partition.stats.packages) {
                *sum += count;
            }
            for (key, count) in &partition.stats.open {
                *open.entry(key.clone()).or_default() += count;
            }
        }
        self.assigned.set(status.partitions.len() as i64);
        self.restoring.set(restoring);
        for (phase, count) in Phase::ALL.iter().zip(tracked) {
            self.tracked.with_label_values(&[phase.as_str()]).set(count as i64);
        }
        for ((carrier, kind, severity), count) in open {
            let labels = [self.carrier(&carrier), kind.as_str(), severity.as_str()];
            self.open.with_label_values(&labels).add(count as i64);
        }
    }
}

fn held(partition: &PartitionStatus) -> Option<&'static str> {
    match (partition.stage, partition.lag(), &partition.halted) {
        (Stage::Live, None, _) => Some(Hold::NoAnswer.as_str()),
        (Stage::Live, Some(_), _) => partition.hold.map(Hold::as_str),
        (Stage::Halted, _, Some(halt)) => Some(halt.reason()),
        (stage, ..) => Some(stage.as_str()),
    }
}

struct Builder<'a> {
    registry: &'a Registry,
}

impl Builder<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let collector = collector?;
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help))
    }

    fn float_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help))
    }

    fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn float_gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }
}
