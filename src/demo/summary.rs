//! What the network did, what was detected of it, and whether the two agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::compare::Comparison;
use super::findings::Findings;
use super::network::Network;
use super::story::Fate;
use super::time::{display, display_span};
use crate::detector::exception::{Change, Kind};

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
    /// Simulated seconds from due to detected: half of all openings, and 99 of a hundred.
    pub delays_s: Option<(i64, i64)>,
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
            delays_s: findings.delays_s(),
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
            thousands(self.packages),
            thousands(self.scans),
            thousands(rate as u64),
            thousands(self.speed as u64),
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
                [packages, reported, retracted_only].map(|count| thousands(*count));
            lines.push(format!("  {what:<26}{packages:>9}{reported:>10}{false_only:>18}"));
        }
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
                line.push_str(&format!("{:>11}", thousands(*count)));
            }
            lines.push(line);
        }
        let (opened, retracted) = (self.changes(Change::Opened), self.changes(Change::Retracted));
        lines.push(format!(
            "  false alarms of late feeds, retracted: {} of {} ({:.1} %)",
            thousands(retracted),
            thousands(opened),
            100.0 * retracted as f64 / opened.max(1) as f64,
        ));
        if let Some((half, most)) = self.delays_s {
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

    fn verdict(&self) -> Vec<String> {
        let Comparison { agreed, missed, invented, differences } = &self.comparison;
        let mut lines = vec![format!(
            "Ledger against detector, by package, kind and change: {} agreed, missed {}, invented {}",
            thousands(*agreed),
            thousands(*missed),
            thousands(*invented),
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
            "detection_delay_s": self.delays_s.map(|(half, most)| [half, most]),
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
    for (key, _, change) in findings.said() {
        let (opened, retracted) = alarms.entry(key.to_string()).or_default();
        *opened += u32::from(change == Change::Opened);
        *retracted += u32::from(change == Change::Retracted);
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

/// `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1_000, 12_345, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
