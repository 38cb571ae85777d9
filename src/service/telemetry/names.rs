//! Every metric by name: the code registers what stands here and nothing else, and docs/metrics.md
//! is written from it.

use std::fmt::Write as _;

/// In front of every name.
pub const PREFIX: &str = "stallwatch";

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds, in the metric's unit.
    Histogram(&'static [f64]),
}

macro_rules! metrics {
    ($($name:ident = $text:literal [$($label:literal),*] $kind:expr, $help:literal;)*) => {
        /// A metric of the service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Metric {
            $(#[doc = $help] $name),*
        }

        impl Metric {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name, without the prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// Names of its labels.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($label),*]),* }
            }

            /// What kind it is.
            pub const fn kind(self) -> Type {
                match self { $(Self::$name => $kind),* }
            }

            /// What it says.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help),* }
            }
        }
    };
}

use Type::{Counter, Gauge, Histogram};

/// From a transaction on one small broker to one that is given up.
const TRANSACTION: Type =
    Histogram(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
/// From what the clock margin allows to a day behind.
const DETECTION: Type = Histogram(&[
    0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
]);
/// From a live feed to batches of days.
const REPORTING: Type = Histogram(&[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 28_800.0, 86_400.0,
    259_200.0,
]);
const LATENESS: Type =
    Histogram(&[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 3_600.0, 86_400.0]);

metrics! {
    RecordsConsumed = "records_consumed_total" ["topic"] Counter,
        "Records read from the input.";
    Scans = "scans_total" ["carrier", "evidence", "outcome"] Counter,
        "Scans given to the detector, by what became of them.";
    Exceptions = "exceptions_total" ["carrier", "kind", "change", "severity"] Counter,
        "Exception events committed. False alarms are those with change=\"retracted\".";
    RecordsRejected = "records_rejected_total" ["reason"] Counter,
        "Records that are no scans, by what was wrong with them.";
    UnknownTexts = "unknown_texts_total" ["carrier", "field", "text"] Counter,
        "Texts of scans that are none of their vocabulary, by field (milestone, evidence): they only inform. At most 100 texts have a label of their own, any further ones are `other`; digits of texts with many are shown as #.";
    NoEventTime = "no_event_time_total" ["carrier"] Counter,
        "Scans whose event time stood for no time (`input.no_time`), so that their log time counted.";
    StepsDue = "steps_due_total" [] Counter,
        "Steps of ladders that came due, published or about to be.";
    OldestDueStep = "oldest_due_step_seconds" [] Gauge,
        "How long the oldest step that came due and is not committed yet has waited; 0 without one.";
    DetectionDelay = "detection_delay_seconds" [] DETECTION,
        "From a step's deadline to the commit of its event.";
    ReportingDelay = "scan_reporting_delay_seconds" ["carrier"] REPORTING,
        "From a scan's event time to its log time: how late the feed is.";
    TransactionDuration = "transaction_duration_seconds" [] TRANSACTION,
        "From the beginning of a commit cycle to its committed end.";
    Transactions = "transactions_total" ["outcome"] Counter,
        "Transactions by outcome: committed, aborted, indefinite.";
    Rebalances = "rebalances_total" [] Counter,
        "Assignments and revocations of partitions.";
    PackagesTracked = "packages_tracked" ["phase"] Gauge,
        "Packages known, by phase.";
    PackagesLimit = "packages_limit" [] Gauge,
        "Most packages that may be known at once (engine.max_packages); absent without a limit.";
    StateBytes = "state_bytes" ["partition"] Gauge,
        "Size of a partition's package state in its last snapshot.";
    ExceptionsOpen = "exceptions_open" ["carrier", "kind", "severity"] Gauge,
        "Exceptions that are open.";
    Lateness = "input_timestamp_lateness_seconds" [] LATENESS,
        "Records whose log time had been proven complete, by how much input.clock_margin is too small.";
    Misrouted = "misrouted_packages_total" [] Counter,
        "Packages of a sample, one in 128, whose scans came in two partitions.";
    StateGap = "state_gap_seconds" [] Gauge,
        "Length of the log that is missing before the state of a partition, where an operator accepted a gap; the longest.";
    LagRecords = "consumer_lag_records" ["topic", "partition"] Gauge,
        "Records between the position and the end of a partition.";
    LagSeconds = "consumer_lag_seconds" ["topic", "partition"] Gauge,
        "How far the log clock of a partition that is behind lies in the past.";
    Frontier = "frontier_timestamp_seconds" ["partition"] Gauge,
        "The log is complete and applied up to here.";
    FrontierHeld = "frontier_held" ["reason"] Gauge,
        "Partitions whose frontier stands still, by reason.";
    ClockOffset = "clock_offset_seconds" [] Gauge,
        "How far this machine's clock is ahead of the brokers'; negative: behind; NaN: not known, for no broker has stamped a record of the open topic lately.";
    CarrierLastScan = "carrier_last_scan_timestamp_seconds" ["carrier"] Gauge,
        "Log time of the last scan of a carrier that this instance saw; only while one of its partitions is live and goes on.";
    CarrierFeedQuiet = "carrier_feed_quiet" ["carrier"] Gauge,
        "1 while no scan of a carrier has come for an hour and twice its feed_grace, by the frontier of this instance; only while one of its partitions is live and goes on.";
    LastTick = "timer_wheel_last_tick_timestamp_seconds" [] Gauge,
        "When the slowest worker's loop, which turns the timer wheels, ran last.";
    SnapshotSuccess = "snapshot_last_success_timestamp_seconds" [] Gauge,
        "When a snapshot was saved last, or when there was last nothing new to save; from the start on, and 0 without `state.url`.";
    SnapshotFailures = "snapshot_failures_total" [] Counter,
        "Snapshots that could not be saved, and restores that could not reach the store.";
    SnapshotsUnusable = "snapshots_unusable_total" [] Counter,
        "Snapshots that a restore could not use: damaged, foreign, under other decisions.";
    RecordsReplayed = "records_replayed_total" [] Counter,
        "Records read again to rebuild package state.";
    PartitionsAssigned = "partitions_assigned" [] Gauge,
        "Partitions that this instance holds.";
    PartitionsRestoring = "partitions_restoring" [] Gauge,
        "Partitions whose state is being rebuilt.";
    RecoveryDuration = "recovery_duration_seconds" [] Gauge,
        "How long the last restore of a partition took.";
    PoliciesInfo = "policies_info" ["hash"] Gauge,
        "1, with the hash of the policy set in force.";
    PoliciesReload = "policies_last_reload_successful" [] Gauge,
        "1 if the policies file was in order when it was last read, by the start, by a reload or by the dry run of one; else 0: the policies in force stay.";
    BuildInfo = "build_info" ["version"] Gauge,
        "1, with the running version.";
}

/// docs/metrics.md.
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat `/metrics` of the probe listener tells, in the text format of Prometheus. Units are base units. No metric is labelled by package; `carrier` is one of those that the policies name or that came first, at most 64, else `other`. \
Written from `src/service/telemetry/names.rs`: `STALLWATCH_WRITE=1 cargo test --lib metrics_md`.\n\n| metric | type | labels | what it says |\n| --- | --- | --- | --- |\n",
    );
    for metric in Metric::ALL {
        let (kind, buckets) = match metric.kind() {
            Counter => ("counter", String::new()),
            Gauge => ("gauge", String::new()),
            Histogram(bounds) => {
                let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
                ("histogram", format!(" Buckets: {}.", bounds.join(", ")))
            }
        };
        let labels: Vec<String> =
            metric.labels().iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            text,
            "| `{PREFIX}_{}` | {kind} | {} | {}{buckets} |",
            metric.name(),
            labels.join(" "),
            metric.help()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_say_their_type_and_unit() {
        let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        for metric in Metric::ALL {
            let name = metric.name();
            assert_eq!(name.ends_with("_total"), metric.kind() == Counter, "{name}");
            if let Histogram(bounds) = metric.kind() {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
            }
            assert!(metric.help().ends_with('.'), "{name}");
            assert!(!metric.labels().iter().any(|label| label.contains("tracking")), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }

    #[test]
    fn docs_metrics_md_says_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let text = document();
        if std::env::var_os("STALLWATCH_WRITE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == text,
            "docs/metrics.md is not what the code says; write it anew: STALLWATCH_WRITE=1 cargo test --lib metrics_md"
        );
    }
}
