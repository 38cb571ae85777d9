//! Ledger against detector: what was missed, what was invented.

use std::collections::BTreeMap;
use std::fmt;

use super::ledger::Entry;
use super::network::Network;
use crate::detector::exception::{Change, Kind};
use crate::detector::key::PackageKey;

/// One package, kind and change of which there were fewer or more than there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `carrier:number`.
    pub package: String,
    /// Which silence.
    pub kind: Kind,
    /// What was said of it.
    pub change: Change,
    /// How often the ledger has it.
    pub in_ledger: u32,
    /// How often the detector said it.
    pub detected: u32,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, kind, change, in_ledger, detected } = self;
        let (kind, change) = (kind.as_str(), change.as_str());
        write!(f, "{package} {kind} {change}: ledger {in_ledger}, detector {detected}")
    }
}

/// One event as it was detected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// Carrier and number.
    pub key: PackageKey,
    /// Which silence.
    pub kind: Kind,
    /// What was said of it.
    pub change: Change,
    /// When the service noticed, in seconds since 1970.
    pub at: Option<i64>,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Events that both have.
    pub agreed: u64,
    /// Events that the ledger has and the detector has not.
    pub missed: u64,
    /// Events that the detector has and the ledger has not.
    pub invented: u64,
    /// Where they differ, by package, kind and change.
    pub differences: Vec<Difference>,
    /// Seconds from when an event could be known to when it was noticed, in growing order.
    pub delays: Vec<i64>,
}

impl Comparison {
    /// So many of a hundred events were noticed within this many seconds.
    pub fn delay(&self, percent: usize) -> Option<i64> {
        let last = self.delays.len().checked_sub(1)?;
        self.delays.get((self.delays.len() * percent / 100).min(last)).copied()
    }
}

/// Compares by package, kind and change what the ledger has with what was detected.
pub fn compare<'a>(
    network: &Network,
    ledger: &[Entry],
    detected: impl IntoIterator<Item = &'a Detected>,
) -> Comparison {
    let mut both: BTreeMap<(String, Kind, Change), Both> = BTreeMap::new();
    for entry in ledger {
        let package = &network.packages[entry.package as usize];
        let key = format!("{}:{}", package.carrier, package.number);
        both.entry((key, entry.kind, entry.change)).or_default().due.push(entry.due);
    }
    for event in detected {
        let key = (event.key.to_string(), event.kind, event.change);
        both.entry(key).or_default().noticed.push(event.at);
    }
    let mut comparison = Comparison::default();
    for ((package, kind, change), Both { due, noticed }) in both {
        let (in_ledger, detected) = (due.len() as u32, noticed.len() as u32);
        comparison.agreed += u64::from(in_ledger.min(detected));
        comparison.missed += u64::from(in_ledger.saturating_sub(detected));
        comparison.invented += u64::from(detected.saturating_sub(in_ledger));
        if in_ledger != detected {
            let difference = Difference { package, kind, change, in_ledger, detected };
            comparison.differences.push(difference);
        }
        let pairs = due.iter().zip(&noticed);
        let delays = pairs.filter_map(|(due, noticed)| Some((noticed.as_ref()? - due).max(0)));
        comparison.delays.extend(delays);
    }
    comparison.delays.sort_unstable();
    comparison
}

/// When each of several like events was due, and when it was noticed.
#[derive(Default)]
struct Both {
    due: Vec<i64>,
    noticed: Vec<Option<i64>>,
}
