//! Metrics, with names as the interface fixes them, and bounded labels.

mod names;
mod scans;
mod states;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use compact_str::CompactString;
use dashmap::DashMap;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::status::{PartitionStatus, Stage, Status};
use crate::detector::exception::{ExceptionEvent, Kind, Severity};
use crate::detector::package::Phase;
use crate::detector::policy::PolicySet;
use crate::protocol::evidence::Hold;
use crate::wire::reject::Reason;
use crate::wire::scan::unknown::UnknownText;
pub use names::{Metric, Type, document};
pub use scans::ScanCounts;
use states::States;

/// Carriers with a label of their own; any further ones are [`OTHER`].
pub(super) const CARRIERS: usize = 64;
const OTHER: &str = "other";
/// How a transaction ends.
const TRANSACTION_OUTCOMES: [&str; 3] = ["committed", "aborted", "indefinite"];
/// A carrier without a scan for so long, and twice its feed grace, is quiet. Seconds.
pub(super) const QUIET: i64 = 3_600;

/// Every metric of the service.
pub struct Metrics {
    registry: Registry,
    /// Carriers that have a label, and the log time of the last scan of each.
    carriers: DashMap<CompactString, Option<i64>>,
    policies_info: IntGaugeVec,
    policies: RwLock<Arc<PolicySet>>,
    records: IntCounterVec,
    scans: IntCounterVec,
    exceptions: IntCounterVec,
    rejected: IntCounterVec,
    unknown_texts: IntCounterVec,
    no_event_time: IntCounterVec,
    steps_due: IntCounter,
    oldest_due: Gauge,
    detection_delay: Histogram,
    reporting_delay: HistogramVec,
    transaction_duration: Histogram,
    transactions: IntCounterVec,
    rebalances: IntCounter,
    tracked: IntGaugeVec,
    states: States,
    open: IntGaugeVec,
    lateness: Histogram,
    misrouted: IntCounter,
    lag: IntGaugeVec,
    lag_seconds: GaugeVec,
    frontier: IntGaugeVec,
    held: IntGaugeVec,
    clock_offset: Gauge,
    last_scan: IntGaugeVec,
    feed_quiet: IntGaugeVec,
    last_tick: Gauge,
    snapshot_success: Gauge,
    snapshot_failures: IntCounter,
    snapshots_unusable: IntCounter,
    replayed: IntCounter,
    assigned: IntGauge,
    restoring: IntGauge,
    recovery: Gauge,
    policies_reload: IntGauge,
}

impl Metrics {
    /// Registers every metric. Carriers that policies name get their label first. Without a limit of
    /// packages there is no metric of it.
    pub fn new(
        policies: &Arc<PolicySet>,
        max_packages: Option<usize>,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new_custom(Some(names::PREFIX.to_owned()), None)?;
        let new = Builder { registry: &registry };
        let metrics = Self {
            records: new.counters(Metric::RecordsConsumed)?,
            scans: new.counters(Metric::Scans)?,
            exceptions: new.counters(Metric::Exceptions)?,
            rejected: new.counters(Metric::RecordsRejected)?,
            unknown_texts: new.counters(Metric::UnknownTexts)?,
            no_event_time: new.counters(Metric::NoEventTime)?,
            steps_due: new.counter(Metric::StepsDue)?,
            oldest_due: new.float_gauge(Metric::OldestDueStep)?,
            detection_delay: new.histogram(Metric::DetectionDelay)?,
            reporting_delay: new.histograms(Metric::ReportingDelay)?,
            transaction_duration: new.histogram(Metric::TransactionDuration)?,
            transactions: new.counters(Metric::Transactions)?,
            rebalances: new.counter(Metric::Rebalances)?,
            tracked: new.gauges(Metric::PackagesTracked)?,
            states: States::new(new.gauges(Metric::StateBytes)?, new.gauge(Metric::StateGap)?),
            open: new.gauges(Metric::ExceptionsOpen)?,
            lateness: new.histogram(Metric::Lateness)?,
            misrouted: new.counter(Metric::Misrouted)?,
            lag: new.gauges(Metric::LagRecords)?,
            lag_seconds: new.float_gauges(Metric::LagSeconds)?,
            frontier: new.gauges(Metric::Frontier)?,
            held: new.gauges(Metric::FrontierHeld)?,
            clock_offset: new.float_gauge(Metric::ClockOffset)?,
            last_scan: new.gauges(Metric::CarrierLastScan)?,
            feed_quiet: new.gauges(Metric::CarrierFeedQuiet)?,
            last_tick: new.float_gauge(Metric::LastTick)?,
            snapshot_success: new.float_gauge(Metric::SnapshotSuccess)?,
            snapshot_failures: new.counter(Metric::SnapshotFailures)?,
            snapshots_unusable: new.counter(Metric::SnapshotsUnusable)?,
            replayed: new.counter(Metric::RecordsReplayed)?,
            assigned: new.gauge(Metric::PartitionsAssigned)?,
            restoring: new.gauge(Metric::PartitionsRestoring)?,
            recovery: new.float_gauge(Metric::RecoveryDuration)?,
            policies_reload: new.gauge(Metric::PoliciesReload)?,
            carriers: DashMap::new(),
            policies_info: new.gauges(Metric::PoliciesInfo)?,
            policies: RwLock::new(policies.clone()),
            registry: registry.clone(),
        };
        new.gauges(Metric::BuildInfo)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.policies_in_force(policies);
        metrics.clock_offset(None);
        metrics.policies_read(true);
        // What has not happened yet is told as 0, so that its first time is seen as a change.
        for outcome in TRANSACTION_OUTCOMES {
            metrics.transactions.with_label_values(&[outcome]).reset();
        }
        for reason in Reason::ALL {
            metrics.rejected.with_label_values(&[reason.as_str()]).reset();
        }
        if let Some(limit) = max_packages {
            new.gauge(Metric::PackagesLimit)?.set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
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

    /// This is the topic that will be read.
    pub fn begin(&self, topic: &str) {
        self.records.with_label_values(&[topic]).reset();
    }

    /// Records read from a topic.
    pub fn consumed(&self, topic: &str, records: usize) {
        self.records.with_label_values(&[topic]).inc_by(records as u64);
    }

    /// A scan of a carrier, by its label, came with this log time, in seconds since 1970 UTC.
    fn seen(&self, carrier: &str, log_time: i64) {
        if let Some(mut last) = self.carriers.get_mut(carrier) {
            *last = (*last).max(Some(log_time));
        }
    }

    /// So many steps came due.
    pub fn steps_due(&self, steps: usize) {
        self.steps_due.inc_by(steps as u64);
    }

    /// A gap in the log before a partition's state, in seconds.
    pub fn state_gap(&self, partition: i32, seconds: i64) {
        self.states.gap(partition, seconds);
    }

    /// The policies file was read, and was in order or not.
    pub fn policies_read(&self, in_order: bool) {
        self.policies_reload.set(in_order.into());
    }

    /// These policies are in force.
    pub fn policies_in_force(&self, policies: &Arc<PolicySet>) {
        self.policies_info.reset();
        self.policies_info.with_label_values(&[&**policies.hash()]).set(1);
        self.name_carriers(policies);
        let mut in_force = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        *in_force = policies.clone();
    }

    /// One rejected record.
    pub fn rejected(&self, reason: Reason) {
        self.rejected.with_label_values(&[reason.as_str()]).inc();
    }

    /// A text that is none of its vocabulary; `has_label`: it has a label of its own.
    pub fn unknown_text(&self, text: &UnknownText, has_label: bool) {
        let shown = if has_label { text.text.as_str() } else { OTHER };
        let labels = [self.carrier(&text.carrier), text.field.as_str(), shown];
        self.unknown_texts.with_label_values(&labels).inc();
    }

    /// A scan whose event time stood for no time.
    pub fn no_event_time(&self, carrier: &str) {
        self.no_event_time.with_label_values(&[self.carrier(carrier)]).inc();
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

    /// Our clock is so many milliseconds ahead of the brokers'; `None`: nobody knows.
    pub fn clock_offset(&self, offset_ms: Option<i64>) {
        self.clock_offset.set(offset_ms.map_or(f64::NAN, |offset_ms| offset_ms as f64 / 1_000.0));
    }

    /// A partition was restored in this many seconds.
    pub fn restored(&self, seconds: f64) {
        self.recovery.set(seconds);
    }

    /// A snapshot of a partition was saved at this wall time.
    pub fn snapshot_saved(&self, partition: i32, bytes: u64, now_ms: i64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.states.saved(partition, bytes);
        self.snapshot_success.set(now_ms as f64 / 1000.0);
    }

    /// Everything is in the last snapshots, at this wall time: there is nothing to save.
    pub fn snapshots_up_to_date(&self, now_ms: i64) {
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
            return OTHER;
        }
        self.carriers.insert(CompactString::from(carrier), None);
        carrier
    }

    /// What is known of each carrier's feed, `log_is_at` being the furthest frontier of a partition
    /// that goes on. Without one nothing is known of any feed.
    fn refresh_carriers(&self, log_is_at: Option<i64>) {
        self.last_scan.reset();
        self.feed_quiet.reset();
        let Some(log_is_at) = log_is_at else { return };
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner).clone();
        for carrier in &self.carriers {
            let Some(last_scan) = *carrier.value() else { continue };
            let name = carrier.key().as_str();
            self.last_scan.with_label_values(&[name]).set(last_scan);
            let grace = policies.feed_grace(name);
            let quiet = is_quiet(log_is_at, last_scan, grace);
            self.feed_quiet.with_label_values(&[name]).set(quiet.into());
        }
    }

    fn refresh(&self, topic: &str, status: &Status, now_ms: i64) {
        for gauges in [&self.lag, &self.frontier, &self.tracked, &self.open, &self.held] {
            gauges.reset();
        }
        self.lag_seconds.reset();
        let mut tracked = [0; Phase::ALL.len()];
        let mut open: BTreeMap<(Arc<str>, Kind, Severity), usize> = BTreeMap::new();
        let mut restoring = 0;
        let (mut oldest_due, mut log_is_at) = (None, None);
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
            oldest_due = oldest_due.into_iter().chain(partition.oldest_due).min();
            if partition.stage == Stage::Live && partition.hold.is_none() {
                log_is_at = log_is_at.max(partition.frontier);
            }
            for (sum, count) in tracked.iter_mut().zip(partition.stats.packages) {
                *sum += count;
            }
            for (key, count) in &partition.stats.open {
                *open.entry(key.clone()).or_default() += count;
            }
        }
        self.states.refresh(status);
        self.assigned.set(status.partitions.len() as i64);
        self.restoring.set(restoring);
        let now_s = now_ms as f64 / 1000.0;
        self.oldest_due.set(oldest_due.map_or(0.0, |due| (now_s - due as f64).max(0.0)));
        self.last_tick.set(now_s - status.slowest_worker().as_secs_f64());
        self.refresh_carriers(log_is_at);
        for (phase, count) in Phase::ALL.iter().zip(tracked) {
            self.tracked.with_label_values(&[phase.as_str()]).set(count as i64);
        }
        for ((carrier, kind, severity), count) in open {
            let labels = [self.carrier(&carrier), kind.as_str(), severity.as_str()];
            self.open.with_label_values(&labels).add(count as i64);
        }
    }
}

/// Whether a carrier's feed is quiet, given where the log is and its last scan.
fn is_quiet(log_is_at: i64, last_scan: i64, feed_grace: i64) -> bool {
    log_is_at - last_scan > QUIET + 2 * feed_grace
}

fn held(partition: &PartitionStatus) -> Option<&'static str> {
    match (partition.stage, partition.lag(), &partition.halted) {
        (Stage::Live, None, _) => Some(Hold::NoAnswer.as_str()),
        (Stage::Live, Some(_), _) => partition.hold.map(Hold::as_str),
        (Stage::Halted, _, Some(halt)) => Some(halt.reason()),
        (Stage::Restoring, ..) if partition.waits.is_some() => partition.waits.map(Hold::as_str),
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

    fn counter(&self, metric: Metric) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(metric.name(), metric.help()))
    }

    fn counters(&self, metric: Metric) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(options(metric), metric.labels()))
    }

    fn gauge(&self, metric: Metric) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(metric.name(), metric.help()))
    }

    fn float_gauge(&self, metric: Metric) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(metric.name(), metric.help()))
    }

    fn gauges(&self, metric: Metric) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(options(metric), metric.labels()))
    }

    fn float_gauges(&self, metric: Metric) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(options(metric), metric.labels()))
    }

    fn histogram(&self, metric: Metric) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(buckets(metric)))
    }

    fn histograms(&self, metric: Metric) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(buckets(metric), metric.labels()))
    }
}

fn options(metric: Metric) -> Opts {
    Opts::new(metric.name(), metric.help())
}

fn buckets(metric: Metric) -> HistogramOpts {
    let options = HistogramOpts::new(metric.name(), metric.help());
    match metric.kind() {
        Type::Histogram(bounds) => options.buckets(bounds.to_vec()),
        Type::Counter | Type::Gauge => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::policy_file;

    fn metrics(max_packages: Option<usize>) -> Arc<Metrics> {
        let policies = "version = 1\n[carriers.dhl]\nfeed_grace = \"6h\"\n[[policy]]\nid = \"all\"\n\
            no_movement = [ { after = \"2d\", severity = \"warning\" } ]\n";
        let policies = policy_file::parse("policies.toml", policies).unwrap();
        Metrics::new(&Arc::new(policies), max_packages).unwrap()
    }

    #[test]
    fn every_name_of_the_enum_is_registered_once_and_no_other() {
        let metrics = metrics(Some(7));
        // Metrics with labels show only once they have a value.
        for metric in Metric::ALL {
            let labels = vec!["x"; metric.labels().len()];
            let vec = [&metrics.records, &metrics.scans, &metrics.exceptions, &metrics.rejected];
            let more = [&metrics.transactions, &metrics.unknown_texts, &metrics.no_event_time];
            for vec in vec.into_iter().chain(more) {
                let _ = vec.get_metric_with_label_values(&labels);
            }
            for vec in [
                &metrics.tracked,
                &metrics.states.bytes,
                &metrics.open,
                &metrics.lag,
                &metrics.frontier,
                &metrics.held,
                &metrics.last_scan,
                &metrics.feed_quiet,
            ] {
                let _ = vec.get_metric_with_label_values(&labels);
            }
            let _ = metrics.lag_seconds.get_metric_with_label_values(&labels);
            let _ = metrics.reporting_delay.get_metric_with_label_values(&labels);
        }
        let gathered = metrics.registry.gather();
        let mut found: Vec<String> =
            gathered.iter().map(|family| family.name().to_owned()).collect();
        let mut named: Vec<String> =
            Metric::ALL.iter().map(|metric| format!("stallwatch_{}", metric.name())).collect();
        found.sort_unstable();
        named.sort_unstable();
        assert_eq!(found, named);
    }

    #[test]
    fn a_feed_is_quiet_after_an_hour_and_twice_its_grace() {
        let metrics = metrics(None);
        for (carrier, at) in [("ups", 10_000), ("dhl", 10_000)] {
            metrics.seen(metrics.carrier(carrier), at);
        }
        let quiet = |log_is_at| {
            metrics.refresh_carriers(Some(log_is_at));
            ["ups", "dhl"].map(|carrier| metrics.feed_quiet.with_label_values(&[carrier]).get())
        };
        assert_eq!(quiet(13_600), [0, 0]);
        assert_eq!(quiet(13_601), [1, 0]);
        assert_eq!(quiet(13_600 + 12 * 3_600 + 1), [1, 1]);
        metrics.seen("ups", 60_000);
        metrics.seen("ups", 20_000);
        assert_eq!(quiet(60_000), [0, 1]);
        assert_eq!(metrics.last_scan.with_label_values(&["ups"]).get(), 60_000);
        metrics.refresh_carriers(None);
        let told = metrics.registry.gather();
        assert!(told.iter().all(|family| !family.name().contains("carrier_")), "{told:?}");
    }

    #[test]
    fn carriers_beyond_the_bound_are_other() {
        let metrics = metrics(None);
        for number in 0..CARRIERS {
            let name = format!("c{number}");
            assert_eq!(metrics.carrier(&name), name);
        }
        assert_eq!(metrics.carrier("one-more"), OTHER);
        assert_eq!(metrics.carrier("c0"), "c0");
    }
    #[test]
    fn counters_of_the_input_begin_with_zero_so_that_their_first_rise_is_seen() {
        let metrics = metrics(None);
        metrics.begin("scans");
        let text = metrics.render("scans", &Status::new(1), 0);
        for line in [
            "stallwatch_records_consumed_total{topic=\"scans\"} 0",
            "stallwatch_records_rejected_total{reason=\"not_json\"} 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
    }
}
