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
}

/// Compares by package, kind and change what the ledger has with what was detected.
pub fn compare(
    network: &Network,
    ledger: &[Entry],
    detected: impl Iterator<Item = (PackageKey, Kind, Change)>,
) -> Comparison {
    let mut counts: BTreeMap<(String, Kind, Change), (u32, u32)> = BTreeMap::new();
    for entry in ledger {
        let package = &network.packages[entry.package as usize];
        let key = format!("{}:{}", package.carrier, package.number);
        counts.entry((key, entry.kind, entry.change)).or_default().0 += 1;
    }
    for (key, kind, change) in detected {
        counts.entry((key.to_string(), kind, change)).or_default().1 += 1;
    }
    let mut comparison = Comparison::default();
    for ((package, kind, change), (in_ledger, detected)) in counts {
        comparison.agreed += u64::from(in_ledger.min(detected));
        comparison.missed += u64::from(in_ledger.saturating_sub(detected));
        comparison.invented += u64::from(detected.saturating_sub(in_ledger));
        if in_ledger != detected {
            let difference = Difference { package, kind, change, in_ledger, detected };
            comparison.differences.push(difference);
        }
    }
    comparison
}
