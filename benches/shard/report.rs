//! What is said of a run: a table for people, one JSON object for programs, and who disagrees.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::bound::Bound;
use crate::contest::{Measured, Plan, SEGMENTS, median};
use crate::lengths::Calls;
use crate::ours::{Growth, TwoShards};
use crate::peers::Peer;

/// Everything measured in one run.
pub struct Report {
    pub plan: Plan,
    pub ours: Measured,
    pub growth: Growth,
    pub two_shards: TwoShards,
    pub peers: Vec<(&'static Peer, Measured)>,
}

impl Report {
    /// Every peer that did not find what the detector found, and where first.
    pub fn disagreements(&self) -> Vec<String> {
        let of_peer = |(peer, measured): &(&Peer, Measured)| {
            let both = self.ours.checkpoints.iter().zip(&measured.checkpoints);
            let (segment, (ours, theirs)) = both.enumerate().find(|(_, (a, b))| a != b)?;
            Some(format!(
                "after segment {} of {SEGMENTS} stallwatch has {ours:?}, {} has {theirs:?}",
                segment + 1,
                peer.name
            ))
        };
        self.peers.iter().filter_map(of_peer).collect()
    }

    /// Exceptions that the detector opened.
    pub fn expiries(&self) -> u64 {
        self.ours.checkpoints.last().map_or(0, |checkpoint| checkpoint.expiries)
    }

    fn bound(&self, of: fn(&Bound) -> f64) -> f64 {
        median(self.ours.bounds.iter().map(of).collect())
    }

    fn least_bound(&self, of: fn(&Bound) -> f64) -> f64 {
        self.ours.bounds.iter().map(of).fold(f64::INFINITY, f64::min)
    }

    fn ratio_to_two_lines(&self) -> f64 {
        self.ours.ns_per_event / self.bound(|bound| bound.two_lines_ns)
    }

    /// One object; nanoseconds, bytes and microseconds as the names say.
    pub fn json(&self) -> Value {
        let peers: Map<_, _> = self
            .peers
            .iter()
            .map(|(peer, measured)| {
                let figures = json!({
                    "ns_per_event": round(measured.ns_per_event),
                    "bytes_per_package": round(measured.bytes_per_package),
                    "events": measured.events,
                });
                (peer.name.to_owned(), figures)
            })
            .collect();
        let checkpoint = self.ours.checkpoints.last();
        let (tick, Growth { calls: growth, machine, memory }) = (self.ours.steady, self.growth);
        json!({
            "packages": self.plan.packages,
            "ns_per_event": round(self.ours.ns_per_event),
            "bytes_per_package": round(self.ours.bytes_per_package),
            "bound_one_line_ns": round(self.bound(|bound| bound.one_line_ns)),
            "bound_two_lines_ns": round(self.bound(|bound| bound.two_lines_ns)),
            "peers": peers,
            "max_tick_us": tick.map(|calls| round(calls.max_us)),
            "max_growth_slice_us": round(growth.max_us),
            "p9999_tick_us": tick.map(|calls| round(calls.p9999_us)),
            "p9999_growth_slice_us": round(growth.p9999_us),
            "max_machine_us": round(machine.max_us),
            "p9999_machine_us": round(machine.p9999_us),
            "max_memory_us": round(memory.max_us),
            "p9999_memory_us": round(memory.p9999_us),
            "bound_one_line_min_ns": round(self.least_bound(|bound| bound.one_line_ns)),
            "bound_two_lines_min_ns": round(self.least_bound(|bound| bound.two_lines_ns)),
            "ratio_to_two_lines": round(self.ratio_to_two_lines()),
            "two_shards_speedup": round(self.two_shards.speedup()),
            "known": checkpoint.map(|checkpoint| checkpoint.known),
            "expiries": self.expiries(),
            "checksum": checkpoint.map(|checkpoint| format!("{:016x}", checkpoint.checksum)),
            "seed": self.plan.seed,
            "events": self.ours.events,
            "agree": self.disagreements().is_empty(),
        })
    }

    /// Several lines, without the end of the last.
    pub fn table(&self) -> String {
        let two_lines = self.bound(|bound| bound.two_lines_ns);
        let mut text = format!(
            "{} packages, {} events, seed {}: {} exceptions\n\n{:<31}{:>9}{:>11}{:>10}{:>9}\n",
            self.plan.packages,
            self.ours.events,
            self.plan.seed,
            self.expiries(),
            "",
            "ns/event",
            "÷two lines",
            "× ours",
            "B/pkg"
        );
        let mut row = |name: &str, ns: f64, bytes: Option<f64>, about: &str| {
            let bytes = bytes.map_or(String::new(), |bytes| format!("{bytes:.1}"));
            let (bound, ours) = (ns / two_lines, ns / self.ours.ns_per_event);
            let line = format!("{name:<31}{ns:>9.1}{bound:>11.2}{ours:>10.2}{bytes:>9}  {about}");
            text.push_str(line.trim_end());
            text.push('\n');
        };
        row("bound: one line", self.bound(|bound| bound.one_line_ns), None, "");
        row("bound: two lines", two_lines, None, "");
        row("stallwatch", self.ours.ns_per_event, Some(self.ours.bytes_per_package), "");
        for (peer, measured) in &self.peers {
            let part = match measured.events == self.ours.events {
                true => String::new(),
                false => format!(", over {} events", measured.events),
            };
            let about = format!("{}{part}", peer.about);
            row(peer.name, measured.ns_per_event, Some(measured.bytes_per_package), &about);
        }
        self.write_rest(&mut text);
        text
    }

    fn write_rest(&self, text: &mut String) {
        let Growth { calls, machine, memory } = self.growth;
        let calls = [
            ("calls of 32, steady state", self.ours.steady),
            ("calls of 32, growth", Some(calls)),
            ("the machine's own, 4 µs without memory", Some(machine)),
            ("the machine's own, 4 µs of random lines", Some(memory)),
        ];
        for (which, calls) in calls {
            if let Some(Calls { max_us, p9999_us }) = calls {
                let _ = write!(text, "\n{which}: at most {max_us:.1} µs, 99.99 % {p9999_us:.1} µs");
            }
        }
        let speedup = self.two_shards.speedup();
        let _ = write!(text, "\ntwo shards on two threads: × {speedup:.2} of one alone");
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
