//! What the network did, what was detected of it, and whether the two agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::compare::Comparison;
use super::findings::Findings;
use super::network::Network;
use super::story::Fate;
use super::time::{display, display_span};
use crate::detector::exception::{Change, Kind};
use crate::replay::grouped;

/// Differences that are named; the rest is counted.
const NAMED: usize = 10;

/// Packages of one fate, and what was said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What happened to them.
    pub what: String,
    /// How many.
    pub packages: u64,
    /// Those of which an exception was opened.
    pub reported: u64,
    /// Those of which every exception was a false alarm of a late feed.
    pub retracted_only: u64,
}

/// The demo's last word.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The seed that tells the same story again.
    pub seed: u64,
    /// Tracking numbers.
    pub packages: u64,
    /// Scans.
    pub scans: u64,
    /// Real time that it took.
    pub took: Duration,
    /// Simulated seconds a real second.
    pub speed: f64,
    /// Packages by fate, then those that stood in a hub gone quiet.
    pub rows: Vec<Row>,
    /// Incidents of many packages, in words.
    pub incidents: Vec<String>,
    /// Events by kind and change.
    pub events: Vec<(Kind, Change, u64)>,
    /// Ledger against detector.
    pub comparison: Comparison,
}

impl Summary {
    /// Sums up.
    pub fn new(
        seed: u64,
        network: &Network,
        findings: &Findings,
        comparison: Comparison,
        (took, speed): (Duration, f64),
    ) -> Self {
        let events = Kind::ALL.iter().flat_map(|&kind| {
            let count = move |&change: &Change| (kind, change, findings.count(kind, change));
            Change::ALL.iter().map(count)
        });
        Self {
            seed,
            packages: network.packages.len() as u64,
            scans: network.stream.len() as u64,
            took,
            speed,
            rows: rows(network, findings),
            incidents: incidents(network),
            events: events.collect(),
            comparison,
        }
    }

    /// Nothing missed, nothing invented.
    pub fn is_clean(&self) -> bool {
        self.comparison.missed == 0 && self.comparison.invented == 0
    }

    /// Events of this change, of both kinds.
    pub fn changes(&self, change: Change) -> u64 {
        self.events.iter().filter(|event| event.1 == change).map(|event| event.2).sum()
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let (took, rate) = (self.took.as_secs_f64(), self.scans_a_second());
        lines.push(format!(
            "Three weeks of {} packages and {} scans in {took:.0} s ({} scans/s, {} times real speed).",
            grouped(self.packages),
            grouped(self.scans),
            grouped(rate as u64),
            grouped(self.speed as u64),
        ));
        lines.push(String::new());
        lines.push("What the network did".to_owned());
        lines.extend(self.incidents.iter().map(|incident| format!("  {incident}")));
        lines.push(format!(
            "  {:<26}{:>9}{:>10}{:>18}",
            "", "packages", "reported", "false alarm only"
        ));
        for Row { what, packages, reported, retracted_only } in &self.rows {
            let [packages, reported, false_only] =
                [packages, reported, retracted_only].map(|count| grouped(*count));
            lines.push(format!("  {what:<26}{packages:>9}{reported:>10}{false_only:>18}"));
        }
        lines.push(
            "  (not reported: moved on in time, or not silent for long enough yet)".to_owned(),
        );
        lines.push(String::new());
        lines.extend(self.detected());
        lines.push(String::new());
        lines.extend(self.verdict());
        lines.join("\n")
    }

    fn detected(&self) -> Vec<String> {
        let mut header = format!("  {:<20}", "");
        for change in Change::ALL {
            header.push_str(&format!("{:>11}", change.as_str()));
        }
        let mut lines = vec!["What was detected".to_owned(), header];
        for kind in Kind::ALL {
            let mut line = format!("  {:<20}", kind.as_str());
            for (_, _, count) in self.events.iter().filter(|event| event.0 == *kind) {
                line.push_str(&format!("{:>11}", grouped(*count)));
            }
            lines.push(line);
        }
        let (opened, retracted) = (self.changes(Change::Opened), self.changes(Change::Retracted));
        lines.push(format!(
            "  false alarms of late feeds, retracted: {} of {} ({:.1} %)",
            grouped(retracted),
            grouped(opened),
            100.0 * retracted as f64 / opened.max(1) as f64,
        ));
        if let Some((half, most)) = self.delays() {
            let real = |simulated: i64| simulated as f64 / self.speed * 1000.0;
            lines.push(format!(
                "  detection delay, simulated: half within {}, 99 % within {} ({:.0} and {:.0} ms of real time)",
                display_span(half),
                display_span(most),
                real(half),
                real(most),
            ));
        }
        lines
    }

    /// Within how many simulated seconds half of all events were noticed, and 99 of a hundred.
    fn delays(&self) -> Option<(i64, i64)> {
        Some((self.comparison.delay(50)?, self.comparison.delay(99)?))
    }

    fn verdict(&self) -> Vec<String> {
        let Comparison { agreed, missed, invented, differences, .. } = &self.comparison;
        let mut lines = vec![format!(
            "Ledger against detector, by package, kind and change: {} agreed, missed {}, invented {}",
            grouped(*agreed),
            grouped(*missed),
            grouped(*invented),
        )];
        lines.extend(differences.iter().take(NAMED).map(|difference| format!("  {difference}")));
        if differences.len() > NAMED {
            lines.push(format!("  and {} more", differences.len() - NAMED));
        }
        lines
    }

    /// The summary for scripts.
    pub fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "what": row.what,
                "packages": row.packages,
                "reported": row.reported,
                "false_alarm_only": row.retracted_only,
            })
        });
        let events = self.events.iter().map(|(kind, change, count)| {
            serde_json::json!({ "kind": kind.as_str(), "change": change.as_str(), "count": count })
        });
        let differences: Vec<_> =
            self.comparison.differences.iter().map(ToString::to_string).collect();
        serde_json::json!({
            "seed": self.seed,
            "packages": self.packages,
            "scans": self.scans,
            "seconds": self.took.as_secs_f64(),
            "speed": self.speed,
            "network": rows.collect::<Vec<_>>(),
            "incidents": self.incidents,
            "events": events.collect::<Vec<_>>(),
            "detection_delay_s": self.delays().map(|(half, most)| [half, most]),
            "agreed": self.comparison.agreed,
            "missed": self.comparison.missed,
            "invented": self.comparison.invented,
            "differences": differences,
        })
    }

    fn scans_a_second(&self) -> f64 {
        self.scans as f64 / self.took.as_secs_f64().max(0.001)
    }
}

/// Packages by the fate of their last journey.
fn rows(network: &Network, findings: &Findings) -> Vec<Row> {
    let mut alarms: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for event in findings.said() {
        let (opened, retracted) = alarms.entry(event.key.to_string()).or_default();
        *opened += u32::from(event.change == Change::Opened);
        *retracted += u32::from(event.change == Change::Retracted);
    }
    let last_life: BTreeMap<u32, usize> =
        network.lives.iter().enumerate().map(|(index, life)| (life.package, index)).collect();
    let held: BTreeSet<u32> =
        network.lives.iter().filter(|life| life.held).map(|life| life.package).collect();
    let row = |what: &str, belongs: &dyn Fn(u32) -> bool| {
        let mut row = Row { what: what.to_owned(), ..Row::default() };
        for (index, package) in (0..).zip(&network.packages) {
            if belongs(index) {
                let key = format!("{}:{}", package.carrier, package.number);
                let (opened, retracted) = alarms.get(&key).copied().unwrap_or_default();
                row.packages += 1;
                row.reported += u64::from(opened > 0);
                row.retracted_only += u64::from(opened > 0 && opened == retracted);
            }
        }
        row
    };
    let fate_of = |package: u32| last_life.get(&package).map(|&life| network.lives[life].fate);
    let mut rows: Vec<Row> = Fate::ALL
        .iter()
        .map(|&fate| row(fate.as_str(), &|package| fate_of(package) == Some(fate)))
        .collect();
    rows.push(row("of all: in a quiet hub", &|package| held.contains(&package)));
    rows
}

fn incidents(network: &Network) -> Vec<String> {
    let quiet = network.incidents.quiet_hubs.iter().map(|quiet| {
        let (from, span) = (display(quiet.from), display_span(quiet.until - quiet.from));
        format!("{} hub {} went quiet on {from} for {span}", quiet.carrier, quiet.hub.code)
    });
    let outages = network.incidents.outages.iter().map(|outage| {
        let (from, span) = (display(outage.from), display_span(outage.until - outage.from));
        format!("{} feed fell silent on {from} for {span}, then caught up", outage.carrier)
    });
    quiet.chain(outages).collect()
}
