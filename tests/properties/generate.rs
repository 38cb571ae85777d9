//! Random logs and policies from a seed.
//!
//! Few packages, so that records collide; short settings, so that packages end, return and begin
//! anew within a log; times that lie exactly on, one second before and one second after whatever
//! is decided by a comparison.

use std::collections::BTreeMap;
use std::sync::Arc;

use stallwatch::detector::exception::Severity;
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::policy::{Defaults, Ladder, Match, Policy, PolicySet, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::time::{END_SECOND, EventTime, FIRST_SECOND, LogTime};

/// SplitMix64: every seed gives its own numbers, everywhere the same.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// `least` to `most`, both included.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// An index, as often as its weight says.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.next() % weights.iter().sum::<u64>();
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the weights sum up to more")
    }
}

/// What a policy file says.
#[derive(Clone, Debug)]
pub struct Rules {
    pub defaults: Defaults,
    pub feed_grace: BTreeMap<String, i64>,
    pub policies: Vec<Policy>,
}

impl Rules {
    /// The set, if it is one.
    pub fn set(&self) -> Option<Arc<PolicySet>> {
        let Self { defaults, feed_grace, policies } = self.clone();
        PolicySet::new(defaults, feed_grace, policies).ok().map(Arc::new)
    }
}

/// One thing that happens to a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// `luck` decides what a property does around this record, so that it survives shrinking.
    Record { record: Record<'static>, luck: u64 },
    /// The frontier goes ahead, justified or not.
    Advance(i64),
    /// A last look, with or without `until`.
    Finish(Option<i64>),
}

/// All that a seed gives.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    /// The second that a report counts from.
    pub base: i64,
    /// The size of the spans of its policies, in seconds.
    pub unit: i64,
    pub rules: Rules,
    pub entries: Vec<Entry>,
}

impl Case {
    /// Only what the log itself brings.
    pub fn records_alone(&self) -> Self {
        let records = self.entries.iter().filter(|entry| matches!(entry, Entry::Record { .. }));
        Self { entries: records.cloned().collect(), ..self.clone() }
    }
}

/// The case of a seed: about one in forty has many packages, the others a handful.
pub fn generate(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let crowd = random.chance(2);
    let unit = random.pick(&[1, 1, 7, 60, 3_600, 40_000]);
    let rules = rules(&mut random, unit);
    let span = rules.defaults.forget_after;
    let base = match random.below(8) {
        0 => FIRST_SECOND,
        1 => END_SECOND - random.between(1, 3 * span),
        _ => 1_772_438_400 + random.between(0, 1_000_000),
    };
    let packages = packages(&mut random, crowd);
    let marks = marks(&rules);
    let mut log = Log {
        unit,
        marks,
        retention: rules.defaults.settled_retention,
        histories: vec![Vec::new(); packages.len()],
        packages,
        flavour: flavour(&mut random),
        attributes: random.pick(&[10, 35, 70]),
        clock: base,
        offset: 0,
        scans: Vec::new(),
        random,
    };
    let length = if crowd { log.random.between(200, 500) } else { log.random.between(3, 70) };
    let entries = (0..length).map(|_| log.entry()).collect();
    Case { seed, base, unit, rules, entries }
}

// ---- policies

const CARRIERS: &[&str] = &["ups", "dhl", "usps", "a", "a.b", "zz-carrier_of_thirty-two.letters"];
const NUMBERS: &[&str] = &[
    "1Z999AA10123456784",
    "1",
    "10",
    "9",
    "010",
    "A",
    "AA",
    "A0",
    "JD014600003RU",
    "9400111899223197428490",
    "9400111899223197428491",
    "LONG/NUMBER~WITH!EVERY?SIGN_THAT+NO=TABLE&PACKS",
    "LONG/NUMBER~WITH!EVERY?SIGN_THAT+NO=TABLE&PACKS:BUT#ONE%MORE$END",
];
const SERVICES: &[&str] = &["ground", "express"];
const DIRECTIONS: &[&str] = &["outbound", "return"];
const COUNTRIES: &[&str] = &["US", "DE", "ZZ"];
const SHIPPERS: &[&str] =
    &["acme", "a shipper whose name does not fit into any short string, 東京"];
const TIERS: &[&str] = &["high", "low"];
const FACILITIES: &[&str] = &["MEM", "LEJ", "hub 9"];
const NAMES: &[&str] = &["stalled", "presumed_lost", "not_delivered"];

pub fn rules(random: &mut Random, unit: i64) -> Rules {
    let near = |random: &mut Random, units: i64| {
        let jitter = if unit > 1 { random.between(-1, 1) } else { 0 };
        units * unit + jitter
    };
    let forget_units = random.between(12, 60);
    let forget_after = near(random, forget_units);
    let most = random.pick(&[4, 12, forget_units]);
    let retention_units = random.between(1, most.min(forget_units));
    let settled_retention = near(random, retention_units).clamp(1, forget_after);
    let catch_up_units = random.pick(&[0, 1, 2, 5, 15]);
    let catch_up_grace = near(random, catch_up_units).max(0);
    let grace = |random: &mut Random| {
        let units = random.pick(&[0, 0, 1, 3]);
        near(random, units).max(0)
    };
    let defaults =
        Defaults { forget_after, settled_retention, catch_up_grace, feed_grace: grace(random) };
    let mut feed_grace = BTreeMap::new();
    for carrier in CARRIERS {
        if random.chance(30) {
            feed_grace.insert((*carrier).to_owned(), grace(random));
        }
    }
    let largest = feed_grace.values().copied().fold(defaults.feed_grace, i64::max);
    let longest = forget_after - largest - 1;
    let conditional = random.below(5);
    let policies = (0..=conditional)
        .map(|index| Policy {
            id: format!("p{index}").into(),
            conditions: (index < conditional).then(|| conditions(random)),
            first_scan: ladder(random, unit, longest),
            no_movement: ladder(random, unit, longest),
        })
        .collect();
    Rules { defaults, feed_grace, policies }
}

fn conditions(random: &mut Random) -> Match {
    let some = |random: &mut Random, percent: u64, from: &[&str]| {
        random.chance(percent).then(|| {
            (0..random.between(1, 2)).map(|_| random.pick(from).to_owned()).collect::<Vec<_>>()
        })
    };
    Match {
        carrier: some(random, 25, CARRIERS),
        service: some(random, 20, SERVICES),
        direction: some(random, 15, DIRECTIONS),
        destination_country: some(random, 15, COUNTRIES),
        shipper: some(random, 15, SHIPPERS),
        value_tier: some(random, 15, TIERS),
        milestone: random
            .chance(40)
            .then(|| (0..random.between(1, 6)).map(|_| random.pick(Milestone::ALL)).collect()),
    }
}

fn ladder(random: &mut Random, unit: i64, longest: i64) -> Ladder {
    let steps = random.weighted(&[12, 25, 28, 20, 15]);
    let mut afters: Vec<i64> = (0..steps)
        .map(|_| match random.below(6) {
            0 => longest,
            1 => random.between(1, longest),
            _ => (random.between(1, 15) * unit + random.between(-1, 1)).clamp(1, longest),
        })
        .collect();
    afters.sort_unstable();
    afters.dedup();
    let rising = random.chance(50);
    let mut severities: Vec<Severity> = afters
        .iter()
        .map(|_| random.pick(&[Severity::Notice, Severity::Warning, Severity::Critical]))
        .collect();
    if rising {
        severities.sort_unstable();
    }
    let step = |(after, severity): (i64, Severity)| {
        let name = if random.chance(50) { severity.as_str() } else { random.pick(NAMES) };
        Step { after, severity, name: name.into() }
    };
    afters.into_iter().zip(severities).map(step).collect()
}

/// Every span of time after which something may happen.
pub fn marks(rules: &Rules) -> Vec<i64> {
    let defaults = &rules.defaults;
    let mut marks = vec![
        defaults.forget_after,
        defaults.settled_retention,
        defaults.settled_retention,
        defaults.catch_up_grace,
    ];
    let mut graces: Vec<i64> = rules.feed_grace.values().copied().collect();
    graces.push(defaults.feed_grace);
    for policy in &rules.policies {
        for step in policy.first_scan.iter().chain(&policy.no_movement) {
            marks.extend(graces.iter().map(|grace| step.after + grace));
        }
    }
    marks
}

// ---- the log

fn packages(random: &mut Random, crowd: bool) -> Vec<PackageKey> {
    let count = if crowd { random.between(60, 160) } else { random.between(1, 6) };
    let mut packages: Vec<PackageKey> = (0..count)
        .map(|index| {
            let carrier = random.pick(CARRIERS);
            let number = match crowd {
                true => format!("{}{index}", random.pick(&["1Z", "", "00", "RB-", "~"])),
                false => random.pick(NUMBERS).to_owned(),
            };
            PackageKey::new(carrier, &number).expect("a carrier and a number")
        })
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Weights of the milestones of a log: registers, moves, holds, settles, informs.
fn flavour(random: &mut Random) -> [u64; 5] {
    random.pick(&[
        [20, 45, 12, 13, 10],
        [45, 25, 10, 10, 10],
        [60, 8, 10, 12, 10],
        [12, 60, 15, 8, 5],
        [20, 35, 5, 35, 5],
        [15, 25, 40, 10, 10],
    ])
}

/// An effective time and the log clock when it was logged.
type Moment = (i64, i64);

struct Log {
    random: Random,
    unit: i64,
    marks: Vec<i64>,
    retention: i64,
    packages: Vec<PackageKey>,
    histories: Vec<Vec<Moment>>,
    flavour: [u64; 5],
    attributes: u64,
    clock: i64,
    offset: i64,
    scans: Vec<Scan<'static>>,
}

const REGISTERS: &[Milestone] =
    &[Milestone::LabelCreated, Milestone::LabelCreated, Milestone::Tendered];
const MOVES: &[Milestone] = &[
    Milestone::PickedUp,
    Milestone::Arrived,
    Milestone::Departed,
    Milestone::InTransit,
    Milestone::HandedOver,
    Milestone::CustomsHold,
    Milestone::CustomsCleared,
    Milestone::OutForDelivery,
    Milestone::DeliveryAttempted,
    Milestone::AvailableForPickup,
    Milestone::Returning,
    Milestone::Returning,
];
const HOLDS: &[Milestone] = &[Milestone::OnHold, Milestone::Exception, Milestone::Lost];
const SETTLES: &[Milestone] =
    &[Milestone::Delivered, Milestone::Returned, Milestone::Cancelled, Milestone::Cancelled];

impl Log {
    fn entry(&mut self) -> Entry {
        match self.random.weighted(&[88, 4, 2, 4]) {
            0 => {
                let scan = self.scan();
                self.keep(scan)
            }
            1 => {
                let log_time = self.random.chance(70).then(|| self.log_time());
                self.clock = log_time.map_or(self.clock, |time| time.max(self.clock));
                let log_time = log_time.map(LogTime::from_secs);
                Entry::Record { record: Record::Rejected { log_time }, luck: self.random.next() }
            }
            2 => Entry::Finish(self.random.chance(60).then(|| self.ahead())),
            _ => Entry::Advance(self.ahead()),
        }
    }

    fn keep(&mut self, scan: Scan<'static>) -> Entry {
        self.clock = self.clock.max(scan.log_time.secs());
        let package = self.packages.iter().position(|key| *key == scan.key).expect("its own");
        let event = scan.event_time.map_or(i64::MAX, EventTime::secs);
        self.histories[package].push((event.min(scan.log_time.secs()), self.clock));
        self.scans.push(scan.clone());
        Entry::Record { record: Record::Scan(scan), luck: self.random.next() }
    }

    fn scan(&mut self) -> Scan<'static> {
        self.offset += self.random.pick(&[1, 1, 1, 2, 10]);
        if !self.scans.is_empty() && self.random.chance(12) {
            return self.copy();
        }
        let package = self.random.below(self.packages.len());
        let log_time = self.log_time();
        Scan {
            key: self.packages[package].clone(),
            milestone: self.milestone(),
            evidence: self.evidence(),
            event_time: self.event_time(package, log_time).map(EventTime::from_secs),
            log_time: LogTime::from_secs(log_time),
            offset: self.offset,
            attributes: self.attributes(),
        }
    }

    /// A recent scan once more, as a feed repeats itself.
    fn copy(&mut self) -> Scan<'static> {
        let back = self.random.below(self.scans.len().min(8)) + 1;
        let mut scan = self.scans[self.scans.len() - back].clone();
        scan.offset = self.offset;
        let log_time = self.log_time();
        if self.random.chance(80) {
            scan.log_time = LogTime::from_secs(log_time);
        }
        match self.random.below(8) {
            0 => scan.milestone = self.milestone(),
            1 => scan.evidence = self.evidence(),
            2 => scan.attributes = self.attributes(),
            _ => {}
        }
        scan
    }

    fn milestone(&mut self) -> Milestone {
        let groups = [REGISTERS, MOVES, HOLDS, SETTLES, &[Milestone::Info]];
        let group = groups[self.random.weighted(&self.flavour)];
        match self.random.chance(2) {
            true => Milestone::from_text("a text that is none of the vocabulary"),
            false => self.random.pick(group),
        }
    }

    fn evidence(&mut self) -> Evidence {
        let text = self.random.weighted(&[68, 17, 12, 3]);
        Evidence::from_text(["physical", "system", "predicted", "hearsay"][text])
    }

    /// Mostly at or after the log clock, and often just where something happens.
    fn log_time(&mut self) -> i64 {
        let unit = self.unit;
        let clock = self.clock;
        let time = match self.random.weighted(&[22, 12, 12, 12, 28, 12, 2]) {
            0 => clock,
            1 => clock + 1,
            2 => clock + self.random.between(1, 4),
            3 => clock + self.random.between(1, 3 * unit),
            4 => self.next_mark(),
            5 => self.late(),
            _ => clock + self.random.between(1, 30 * unit),
        };
        time.clamp(FIRST_SECOND, END_SECOND - 1)
    }

    fn late(&mut self) -> i64 {
        let back = match self.random.below(5) {
            0 => 1,
            1 => self.random.between(1, 4 * self.unit),
            2 => self.retention + self.random.between(-1, 1),
            _ => self.random.pick(&self.marks) + self.random.between(-1, 1),
        };
        self.clock - back
    }

    /// The nearest of some seconds after the clock in which something may happen.
    fn next_mark(&mut self) -> i64 {
        let draws = self.random.between(1, 12);
        let clock = self.clock;
        let marks = (0..draws).map(|_| self.mark()).filter(|mark| *mark > clock);
        marks.min().unwrap_or(clock + self.unit)
    }

    fn mark(&mut self) -> i64 {
        let package = self.random.below(self.packages.len());
        let after = self.random.pick(&self.marks) + self.random.pick(&[-1, 0, 0, 0, 1]);
        let history = &self.histories[package];
        let recent = history.len().min(4);
        if recent == 0 {
            return self.clock + after;
        }
        let (e, logged) = history[history.len() - 1 - self.random.below(recent)];
        after + if self.random.chance(75) { e } else { logged }
    }

    fn event_time(&mut self, package: usize, log_time: i64) -> Option<i64> {
        let jitter = self.random.between(-1, 1);
        let known = self.histories[package].iter().rev().take(3).map(|(e, _)| *e);
        let known: Vec<i64> = known.collect();
        let known = if known.is_empty() { log_time } else { self.random.pick(&known) };
        let time = match self.random.weighted(&[12, 14, 8, 14, 14, 12, 8, 6, 6, 6]) {
            0 => return None,
            1 => log_time,
            2 => log_time + self.random.between(1, 5 * self.unit),
            3 => log_time - self.random.between(1, 5),
            4 => log_time - self.random.between(1, 6 * self.unit),
            5 => known,
            6 => known + jitter,
            7 => log_time - self.retention + jitter,
            8 => known - self.retention + jitter,
            _ => log_time - self.random.pick(&self.marks) + jitter,
        };
        Some(time.clamp(FIRST_SECOND, END_SECOND - 1))
    }

    /// Where an advance or the end of a replay may lead, not always ahead.
    fn ahead(&mut self) -> i64 {
        match self.random.below(4) {
            0 => self.clock + self.random.between(-2, 3),
            1 => self.clock + self.random.between(1, 8 * self.unit),
            _ => self.next_mark(),
        }
    }

    fn attributes(&mut self) -> Attributes<&'static str> {
        Attributes {
            service: self.text(SERVICES),
            direction: self.text(DIRECTIONS),
            destination_country: self.text(COUNTRIES),
            shipper: self.text(SHIPPERS),
            value_tier: self.text(TIERS),
            facility: self.text(FACILITIES),
            country: self.text(COUNTRIES),
        }
    }

    fn text(&mut self, from: &[&'static str]) -> Option<&'static str> {
        if !self.random.chance(self.attributes) {
            return None;
        }
        Some(if self.random.chance(12) { "" } else { self.random.pick(from) })
    }
}
