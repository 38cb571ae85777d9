//! The page that a person reads.

use std::time::Duration;

use super::{Silence, Summary, share};
use crate::detector::exception::{Change, Kind};
use crate::detector::package::Phase;
use crate::wire::moment::format_moment;
use crate::wire::toml_reader::format_duration;

/// Carriers with a line of their own; those with the most events first.
const CARRIERS: usize = 20;

pub(super) fn page(summary: &Summary) -> String {
    let mut parts = vec![counts(summary)];
    if summary.by_kind.is_empty() {
        parts.push("no exceptions".to_owned());
    } else {
        parts.push(exceptions(summary));
        parts.push(retracted(summary));
        parts.push(longest(summary));
    }
    parts.join("\n\n")
}

fn counts(summary: &Summary) -> String {
    let mut rows =
        vec![("records", line([("", summary.records)])), ("scans", line(summary.outcomes_seen()))];
    if !summary.rejected.is_empty() {
        rows.push(("rejected", line(summary.rejected.iter().map(|(r, n)| (r.as_str(), *n)))));
    }
    if !summary.unknown.is_empty() {
        rows.push(("unknown", summary.unknown.to_string()));
    }
    if summary.no_time > 0 {
        let what = "event times that stand for none (0001-01-01 and the like)";
        rows.push(("no time", line([(what, summary.no_time)])));
    }
    if summary.skipped > 0 {
        rows.push(("skipped", line([("logged after --until", summary.skipped)])));
    }
    if let Some((first, last)) = summary.log_times {
        let [first, last] = [first, last].map(|time| format_moment(time.secs()));
        rows.push(("log time", format!("{first} to {last}")));
    }
    rows.push(("partitions", summary.partitions.to_string()));
    let phases = Phase::ALL.iter().zip(summary.packages);
    rows.push(("packages", line(phases.map(|(phase, count)| (phase.as_str(), count as u64)))));
    let rows: Vec<_> = rows.into_iter().map(|(name, text)| format!("{name:<12}{text}")).collect();
    rows.join("\n")
}

/// `12 applied, 3 stale`
fn line<'n>(counts: impl IntoIterator<Item = (&'n str, u64)>) -> String {
    let shown: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| format!("{} {name}", grouped(count)).trim_end().to_owned())
        .collect();
    if shown.is_empty() { "0".to_owned() } else { shown.join(", ") }
}

fn exceptions(summary: &Summary) -> String {
    let mut rows =
        vec![row("exceptions", Change::ALL.iter().map(|c| c.as_str().to_owned()), "open")];
    for kind in Kind::ALL {
        let count = |change: &Change| summary.by_kind.get(&(*kind, *change)).copied().unwrap_or(0);
        let open = summary.open.iter().filter(|((of, _), _)| of == kind).map(|(_, count)| count);
        let counts = Change::ALL.iter().map(|change| grouped(count(change)));
        rows.push(row(kind.as_str(), counts, &grouped(open.sum())));
    }
    let mut carriers: Vec<_> = summary.by_carrier.iter().collect();
    carriers.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.values().sum::<u64>()));
    for (carrier, counts) in carriers.iter().take(CARRIERS) {
        let count = |change: &Change| counts.get(change).copied().unwrap_or(0);
        let ends: u64 = counts.iter().filter(|(change, _)| change.closes()).map(|(_, n)| n).sum();
        let open = grouped(count(&Change::Opened) - ends);
        rows.push(row(carrier, Change::ALL.iter().map(|change| grouped(count(change))), &open));
    }
    if carriers.len() > CARRIERS {
        rows.push(format!("… and {} more carriers", carriers.len() - CARRIERS));
    }
    rows.join("\n")
}

fn row(name: &str, cells: impl Iterator<Item = String>, last: &str) -> String {
    let mut row = format!("{name:<20}");
    for cell in cells.chain([last.to_owned()]) {
        row.push_str(&format!("{cell:>12}"));
    }
    row
}

fn retracted(summary: &Summary) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let all = summary.retracted_share().map_or_else(|| "none opened".to_owned(), percent);
    let of = |counts: &std::collections::BTreeMap<Change, u64>, change| {
        counts.get(&change).copied().unwrap_or(0)
    };
    let mut carriers: Vec<_> = summary
        .by_carrier
        .iter()
        .filter_map(|(carrier, counts)| {
            let retracted = of(counts, Change::Retracted);
            let share = share(retracted, of(counts, Change::Opened)).filter(|_| retracted > 0)?;
            Some((carrier, share))
        })
        .collect();
    carriers.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let shown: Vec<_> = carriers
        .iter()
        .take(CARRIERS)
        .map(|(carrier, share)| format!("{carrier} {}", percent(*share)))
        .collect();
    let by_carrier =
        if shown.is_empty() { String::new() } else { format!(": {}", shown.join(", ")) };
    format!("retracted share {all}{by_carrier}")
}

fn longest(summary: &Summary) -> String {
    let rows = summary.longest.iter().map(silence);
    ["longest silences".to_owned()].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

fn silence(silence: &Silence) -> String {
    let length = Duration::from_secs(silence.seconds.max(0).unsigned_abs());
    let facility = silence.facility.as_deref().map(|facility| format!(" at {facility}"));
    format!(
        "{:>16}  {} {} {}, {}, {}, after {}{} {}",
        format_duration(length),
        silence.key.carrier(),
        silence.key.number(),
        silence.kind.as_str(),
        silence.severity.as_str(),
        silence.end(),
        silence.milestone.as_str(),
        facility.unwrap_or_default(),
        format_moment(silence.anchor.secs()),
    )
}

/// A number for a person: 5000000 as 5,000,000.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
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
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(5_000_000), "5,000,000");
    }
}
