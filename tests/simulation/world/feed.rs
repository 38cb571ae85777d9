//! The feed of scans: few packages, times on the edge of whatever is decided by a comparison.

use stallwatch::detector::key::PackageKey;
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::time::{EventTime, LogTime};

use super::broker::{Broker, Input};
use super::log::Writer;
use super::options::{Fault, Options};
use super::tell::Tell;
use crate::generate::Random;

const MILESTONES: &[Milestone] = &[
    Milestone::LabelCreated,
    Milestone::LabelCreated,
    Milestone::Tendered,
    Milestone::Arrived,
    Milestone::Arrived,
    Milestone::Departed,
    Milestone::Departed,
    Milestone::InTransit,
    Milestone::OutForDelivery,
    Milestone::Returning,
    Milestone::OnHold,
    Milestone::Delivered,
    Milestone::Cancelled,
    Milestone::Info,
];

/// A transaction of a producer of scans.
struct Open {
    writer: Writer,
    partition: i32,
    since_ms: i64,
}

/// The feed.
pub struct Feed {
    keys: Vec<(PackageKey, i32)>,
    /// Effective times of late, by package: what silences are measured from.
    anchors: Vec<Vec<i64>>,
    sent: Vec<(i32, Scan<'static>)>,
    open: Vec<Open>,
    next: u64,
}

impl Feed {
    pub fn new(options: &Options, random: &mut Random) -> Self {
        let keys = (0..options.packages)
            .map(|number| {
                let carrier = random.pick(&["ups", "dhl"]);
                let key = PackageKey::new(carrier, &format!("P{number}")).expect("a key");
                (key, random.below(options.partitions) as i32)
            })
            .collect::<Vec<_>>();
        let anchors = vec![Vec::new(); keys.len()];
        Self { keys, anchors, sent: Vec::new(), open: Vec::new(), next: 0 }
    }

    /// The nearest of some moments in which something may happen, in milliseconds.
    pub fn next_mark(&self, options: &Options, now_ms: i64, random: &mut Random) -> Option<i64> {
        let mut nearest = None;
        for _ in 0..3 {
            let anchors = &self.anchors[random.below(self.anchors.len())];
            let Some(anchor) = anchors.last() else { continue };
            let after = random.pick(&options.marks) + random.between(-1, 1);
            let at = (anchor + after) * 1_000 + random.between(0, 999);
            if at > now_ms && nearest.is_none_or(|nearest| at < nearest) {
                nearest = Some(at);
            }
        }
        nearest
    }

    /// A few records.
    pub fn produce(
        &mut self,
        options: &Options,
        broker: &mut Broker,
        now_ms: i64,
        random: &mut Random,
        tell: &mut Tell,
    ) {
        let mut count = 1;
        if options.strikes(Fault::SameSecond, 200, random) {
            tell.fault(Fault::SameSecond);
            count = random.between(2, 4);
        }
        let is_behind = options.behind_ms > 0;
        let edge = random
            .chance(if is_behind { 60 } else { 35 })
            .then(|| self.edge(options, now_ms, random))
            .flatten();
        let package = edge.map_or_else(|| random.below(self.keys.len()), |(package, _)| package);
        let transaction = options.strikes(Fault::InputTransaction, 60, random).then(|| {
            tell.fault(Fault::InputTransaction);
            self.next += 1;
            let (writer, partition) = ((1_000, self.next), self.keys[package].1);
            self.open.push(Open { writer, partition, since_ms: now_ms });
            (writer, partition)
        });
        for _ in 0..count {
            let package = if random.chance(60) { package } else { random.below(self.keys.len()) };
            let time_ms = edge.filter(|(its, _)| *its == package).map(|(_, time_ms)| time_ms);
            let (partition, input) = self.record(package, time_ms, options, now_ms, random, tell);
            let writer = transaction.filter(|(_, its)| *its == partition).map(|(writer, _)| writer);
            let offset = broker.of_mut(partition).input.append(writer, input.clone());
            tell.say(now_ms, || format!("feed: {partition}@{offset} {}", shown(&input)));
        }
    }

    /// Input transactions come to their end; `all` at once.
    pub fn end_transactions(
        &mut self,
        options: &Options,
        broker: &mut Broker,
        now_ms: i64,
        random: &mut Random,
        tell: &mut Tell,
        all: bool,
    ) {
        let open = std::mem::take(&mut self.open);
        for it in open {
            if !all && now_ms - it.since_ms < 15_000 && !random.chance(15) {
                self.open.push(it);
                continue;
            }
            let abort = options.strikes(Fault::InputAborted, 250, random);
            if abort {
                tell.fault(Fault::InputAborted);
            }
            broker.of_mut(it.partition).input.end_transaction(it.writer, !abort);
            let how = if abort { "aborted" } else { "committed" };
            tell.say(now_ms, || format!("feed: a transaction on {} is {how}", it.partition));
        }
    }

    /// A package that something happens to at about this time, and the log time of a scan that is
    /// just ahead of it.
    fn edge(&self, options: &Options, now_ms: i64, random: &mut Random) -> Option<(usize, i64)> {
        (0..4).find_map(|_| {
            let package = random.below(self.keys.len());
            let at = (self.anchors[package].last()? + random.pick(&options.marks)) * 1_000;
            let its_clock = now_ms - options.behind_ms;
            let (least, most) = (its_clock - options.lateness_ms, now_ms + options.ahead_ms);
            let time_ms = (at - random.between(1, 1_000)).clamp(least, its_clock);
            (least..=most).contains(&at).then_some((package, time_ms))
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn record(
        &mut self,
        package: usize,
        time_ms: Option<i64>,
        options: &Options,
        now_ms: i64,
        random: &mut Random,
        tell: &mut Tell,
    ) -> (i32, Input) {
        let (key, mut partition) = self.keys[package].clone();
        let on_the_edge = time_ms.is_some();
        let mut time_ms = time_ms.unwrap_or(now_ms - options.behind_ms);
        if !on_the_edge && options.lateness_ms > 0 && random.chance(40) {
            tell.fault(Fault::Late);
            time_ms -= random.between(0, options.lateness_ms);
        }
        let by_broker = options.by_broker;
        let ahead = if by_broker { Fault::BrokerAhead } else { Fault::FutureRecord };
        if options.strikes(ahead, 40, random) {
            tell.fault(ahead);
            time_ms += options.max_future_skew_ms + random.between(-2_000, 15_000);
        }
        let hash = random.next();
        if options.strikes(Fault::Poison, 60, random) {
            tell.fault(Fault::Poison);
            let log_time = random.chance(60).then(|| LogTime::from_millis(time_ms));
            let record = Record::Rejected { log_time };
            return (partition, Input { record, time_ms, appended_ms: now_ms, by_broker, hash });
        }
        let log_time = LogTime::from_millis(time_ms);
        let scan = match self.sent.len() {
            sent if sent > 0 && options.strikes(Fault::Doubled, 100, random) => {
                tell.fault(Fault::Doubled);
                let (its, scan) = &self.sent[sent - 1 - random.below(sent.min(6))];
                partition = *its;
                Scan { log_time, ..scan.clone() }
            }
            _ => Scan {
                event_time: self.event_time(package, log_time.secs(), random),
                milestone: random.pick(MILESTONES),
                evidence: random.pick(&[
                    Evidence::Physical,
                    Evidence::Physical,
                    Evidence::Physical,
                    Evidence::System,
                    Evidence::Predicted,
                ]),
                attributes: attributes(random),
                key,
                log_time,
                offset: 0,
            },
        };
        if let Some(package) = self.keys.iter().position(|(key, _)| *key == scan.key) {
            self.anchors[package].push(scan.effective_time().secs());
        }
        self.sent.push((partition, scan.clone()));
        let record = Record::Scan(scan);
        (partition, Input { record, time_ms, appended_ms: now_ms, by_broker, hash })
    }

    fn event_time(&self, package: usize, log: i64, random: &mut Random) -> Option<EventTime> {
        let known = self.anchors[package].last().copied().unwrap_or(log);
        let time = match random.below(10) {
            0..=3 => return None,
            4 => log - random.between(0, 3),
            5 => log - random.between(0, 12),
            6 => known,
            7 => known + random.between(-1, 1),
            8 => known + random.between(1, 8),
            _ => log + random.between(1, 5),
        };
        Some(EventTime::from_secs(time))
    }
}

fn attributes(random: &mut Random) -> Attributes<&'static str> {
    let mut attributes = Attributes::default();
    if random.chance(20) {
        attributes.service = Some(random.pick(&["ground", "express"]));
    }
    if random.chance(10) {
        attributes.value_tier = Some(random.pick(&["high", "low"]));
    }
    if random.chance(10) {
        attributes.facility = Some(random.pick(&["MEM", "LEJ"]));
    }
    attributes
}

/// A record in a trace.
pub fn shown(input: &Input) -> String {
    let time = input.time_ms;
    match &input.record {
        Record::Scan(scan) => format!(
            "{} {} {} e={} t={time}",
            scan.key,
            scan.milestone.as_str(),
            scan.evidence.as_str(),
            scan.effective_time().secs()
        ),
        Record::Rejected { log_time } => format!("poison {log_time:?} t={time}"),
    }
}
