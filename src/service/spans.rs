//! Spans of what an operator asks about: commits, restores, rebalances, and exceptions that a scan
//! with a trace context closed.
//!
//! They have a target of their own, so that whoever exports them takes nothing else, and the log
//! leaves them out. Where nobody does they are disabled and cost a look at a flag. None is a parent
//! of another: a parent would end only with its last child.

use tracing::field::Empty;
use tracing::{Span, info_span};

use super::restore::Restored;
use super::trace;
use super::worker::Cut;
use crate::config::TrackingNumbers;
use crate::detector::exception::ExceptionEvent;

/// The target of every span.
pub const TARGET: &str = "stallwatch::trace";

/// The commit cycle under way; its span ends with it.
pub(super) struct Commit {
    span: Span,
    attempts: i64,
    partitions: Vec<i32>,
    events: usize,
    dead_letters: usize,
    outcome: &'static str,
}

impl Commit {
    /// None is under way.
    pub fn none() -> Self {
        Self::of(Span::none())
    }

    /// A cycle begins.
    pub fn begin() -> Self {
        Self::of(info_span!(
            target: TARGET,
            parent: None,
            "commit",
            partitions = Empty,
            events = Empty,
            dead_letters = Empty,
            attempts = Empty,
            outcome = Empty,
            otel.status_code = Empty,
        ))
    }

    fn of(span: Span) -> Self {
        let (partitions, outcome) = (Vec::new(), "dropped");
        Self { span, attempts: 0, partitions, events: 0, dead_letters: 0, outcome }
    }

    /// A transaction is to carry this.
    pub fn attempt<'c>(&mut self, cuts: impl Iterator<Item = &'c Cut>) {
        self.attempts += 1;
        self.partitions.clear();
        (self.events, self.dead_letters) = (0, 0);
        for cut in cuts {
            self.partitions.push(cut.partition);
            self.events += cut.events.len();
            self.dead_letters += cut.dead_letters.len();
        }
    }

    /// What became of it so far.
    pub fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// The exceptions of a committed cut that a scan with a trace context closed: each has a span in
    /// the trace of that scan, with a link to this commit.
    pub fn closed(&self, cut: &Cut, tracking_numbers: TrackingNumbers) {
        for event in cut.events.iter().filter(|_| !cut.traces.is_empty()) {
            if let Some(context) = trace::of(cut, event) {
                let span = exception(cut.partition, event, tracking_numbers);
                go_on(&span, context);
                span.follows_from(&self.span);
            }
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        if self.span.is_disabled() {
            return;
        }
        self.span.record("partitions", listed(&self.partitions));
        self.span.record("events", number(self.events));
        self.span.record("dead_letters", number(self.dead_letters));
        self.span.record("attempts", self.attempts);
        self.span.record("outcome", self.outcome);
        if self.outcome != "committed" {
            failed(&self.span);
        }
    }
}

fn exception(partition: i32, event: &ExceptionEvent, tracking_numbers: TrackingNumbers) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "exception",
        otel.kind = "producer",
        partition,
        carrier = event.key.carrier(),
        package = Empty,
        change = event.change.as_str(),
        kind = event.kind.as_str(),
        severity = event.severity.as_str(),
        exception_id = %event.exception_id,
        silent_for_s = event.silent_for_s,
        policy_id = &*event.policy_id,
    );
    if !span.is_disabled() {
        span.record("package", tracking_numbers.show(&event.key));
    }
    span
}

/// The span belongs to the trace of a scan.
#[cfg(feature = "otel")]
fn go_on(span: &Span, traceparent: &str) {
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let headers = [(trace::TRACEPARENT.to_owned(), traceparent.to_owned())];
    let carrier = std::collections::HashMap::from(headers);
    // It fails where no layer exports, and then there is nothing to be done.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
}

/// Without an exporter nobody asks whose trace it is.
#[cfg(not(feature = "otel"))]
fn go_on(_span: &Span, _traceparent: &str) {}

/// The restore of a partition; its span ends with it.
pub(super) struct Restore {
    span: Span,
    attempts: i64,
    from: Option<i64>,
    to: i64,
    records: i64,
    snapshot: Option<String>,
    outcome: &'static str,
}

impl Restore {
    /// A restore begins.
    pub fn begin(partition: i32) -> Self {
        let span = info_span!(
            target: TARGET,
            parent: None,
            "restore",
            partition,
            from = Empty,
            to = Empty,
            records = Empty,
            packages = Empty,
            snapshot = Empty,
            attempts = Empty,
            outcome = Empty,
            otel.status_code = Empty,
        );
        Self {
            span,
            attempts: 0,
            from: None,
            to: 0,
            records: 0,
            snapshot: None,
            outcome: "cancelled",
        }
    }

    /// It begins, or begins again because the broker did not answer.
    pub fn attempt(&mut self) {
        self.attempts += 1;
        (self.from, self.to, self.records, self.snapshot) = (None, 0, 0, None);
    }

    /// So many records from one offset up to, not including, another have been read.
    pub fn read(&mut self, from: i64, to: i64, records: u64) {
        self.from = self.from.or(Some(from));
        self.to = to;
        self.records += i64::try_from(records).unwrap_or(i64::MAX);
    }

    /// It goes on from a snapshot.
    pub fn loaded(&mut self, snapshot: Option<&str>) {
        self.snapshot = snapshot.map(str::to_owned);
    }

    /// It has come to its end.
    pub fn ended(&mut self, restored: &Restored) {
        match &restored.result {
            Ok(ready) => {
                self.outcome = "restored";
                self.span.record("packages", number(ready.packages.len()));
            }
            Err(_) => self.outcome = "halted",
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            self.span.record("from", from);
            self.span.record("to", self.to);
        }
        self.span.record("records", self.records);
        if let Some(snapshot) = &self.snapshot {
            self.span.record("snapshot", snapshot.as_str());
        }
        self.span.record("attempts", self.attempts);
        self.span.record("outcome", self.outcome);
        if self.outcome == "halted" {
            failed(&self.span);
        }
    }
}

/// Partitions are taken over.
pub(super) fn assigned(partitions: &[i32]) -> Span {
    rebalance("assigned", partitions)
}

/// Partitions are given back, or are lost already; whether all of it could be committed is told by
/// [`given_back`].
pub(super) fn revoked(partitions: &[i32], lost: bool) -> Span {
    let span = rebalance("revoked", partitions);
    span.record("lost", lost);
    span
}

/// Partitions have been given back.
pub(super) fn given_back(span: &Span, committed: bool) {
    span.record("committed", committed);
}

fn rebalance(kind: &'static str, partitions: &[i32]) -> Span {
    let span = info_span!(
        target: TARGET,
        parent: None,
        "rebalance",
        kind,
        partitions = Empty,
        lost = Empty,
        committed = Empty,
    );
    if !span.is_disabled() {
        span.record("partitions", listed(partitions));
    }
    span
}

fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

fn listed(partitions: &[i32]) -> String {
    partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

/// As a signed number: exporters make a text of others.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
