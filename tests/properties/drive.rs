//! Takes a case through the model or the detector and writes down what came of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::memory::SystemBlocks;
use stallwatch::detector::scan::{Outcome, Record};
use stallwatch::detector::shard::{PackageView, Retention, Shard};
use stallwatch::detector::snapshot::Image;
use stallwatch::detector::time::Frontier;
use stallwatch::wire::snapshot::{Encoder, Header, read};

use crate::generate::{Case, Entry, Rules};
use crate::model::{Census, Known, Model};
use crate::report::{Difference, Verdict, event_line};

/// A shard that did not get on by now never will.
const CALLS: usize = 1_000_000;

/// What one entry of a case gave, and what was held after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// `None` for all but scans.
    pub outcome: Option<Outcome>,
    pub events: Vec<ExceptionEvent>,
    /// Log clock and frontier.
    pub clocks: (Option<i64>, Option<i64>),
    pub census: Census,
    /// What is known of a scan's package after it.
    pub known: Option<Known>,
}

/// A case through the model.
pub fn by_model<'r>(case: &'r Case, model: &mut Model<'r>) -> Vec<Given> {
    case.entries.iter().map(|entry| model_gives(entry, model)).collect()
}

fn model_gives(entry: &Entry, model: &mut Model<'_>) -> Given {
    let outcome = match entry {
        Entry::Record { record, .. } => model.apply(record),
        Entry::Advance(to) => {
            model.advance(*to);
            None
        }
        Entry::Finish(until) => {
            model.finish(*until);
            None
        }
    };
    Given {
        outcome,
        events: model.take_events(),
        clocks: model.clocks(),
        census: model.census(),
        known: package_of(entry).and_then(|key| model.known(key)),
    }
}

fn package_of(entry: &Entry) -> Option<&PackageKey> {
    match entry {
        Entry::Record { record: Record::Scan(scan), .. } => Some(&scan.key),
        _ => None,
    }
}

/// The model for the policies of a case.
pub fn model(case: &Case) -> Model<'_> {
    Model::new(&case.rules, case.rules.set().expect("a valid set").hash().clone())
}

/// A case through the detector, one entry after the other.
pub fn by_detector(case: &Case) -> Vec<Given> {
    let mut detector = Detector::new(case);
    case.entries.iter().map(|entry| detector.give(entry)).collect()
}

/// A case through a detector whose calls may do so little work.
pub fn by_hindered_detector(case: &Case, work_per_call: u32) -> Vec<Given> {
    let mut detector = Detector::new(case);
    detector.0.set_work_per_call(work_per_call);
    case.entries.iter().map(|entry| detector.give(entry)).collect()
}

/// The end of a case through a detector that takes up after `before`: package state rebuilt from
/// the records, what is open and the frontier from what has been given.
pub fn by_restarted_detector(case: &Case, before: &[Given]) -> Vec<Given> {
    let shard = Shard::rebuilding(case.rules.set().expect("a valid set"));
    take_up(shard, 0, case, before)
}

/// The end of a case through a detector that takes up after `before`: package state from a snapshot
/// of what the first `applied` entries left, and the records since then; what is open and the
/// frontier from what has been given.
pub fn by_restored_detector(case: &Case, applied: usize, before: &[Given]) -> Vec<Given> {
    let mut detector = Detector::new(case);
    case.entries[..applied].iter().for_each(|entry| drop(detector.give(entry)));
    let shard = restored(&detector.0, case);
    let digests = [shard.state_digest(), detector.0.state_digest()];
    assert_eq!(digests[0], digests[1], "digests of a shard and of its snapshot");
    take_up(shard, applied, case, before)
}

/// A shard through the bytes of its snapshot.
fn restored(shard: &Shard, case: &Case) -> Shard {
    let (mut image, mut bytes) = (Image::default(), Vec::new());
    shard.image(&mut image).expect("nothing is left to be done");
    let header = Header { topic: "scans".to_owned(), ..Header::default() };
    Encoder::new().and_then(|mut encoder| encoder.write(&image, &header, &mut bytes)).unwrap();
    let policies = case.rules.set().expect("a valid set");
    let (read_header, shard) = read(&bytes, policies, Arc::new(SystemBlocks)).unwrap();
    assert_eq!(read_header, header);
    shard
}

/// From a shard that has applied the records of so many entries.
fn take_up(mut shard: Shard, applied: usize, case: &Case, before: &[Given]) -> Vec<Given> {
    let (entries, rest) = case.entries.split_at(before.len());
    for entry in &entries[applied..] {
        if let Entry::Record { record, .. } = entry {
            while shard.apply(std::slice::from_ref(record), &mut Vec::new()).records == 0 {}
        }
    }
    let mut open = BTreeMap::new();
    for event in before.iter().flat_map(|given| &given.events) {
        match event.change.closes() {
            true => open.remove(&(&event.key, event.kind)),
            false => open.insert((&event.key, event.kind), event),
        };
    }
    for event in open.into_values() {
        shard.restore_open(event).expect("what is open agrees with the records");
    }
    shard.go_live(before.last().and_then(|given| given.clocks.1).map(Frontier::from_secs));
    let mut detector = Detector(shard);
    rest.iter().map(|entry| detector.give(entry)).collect()
}

/// Settings that hold from an entry on.
pub type Changes<'r> = BTreeMap<usize, &'r Rules>;

/// What changes on the way.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// How long packages are known.
    Retention,
    /// Everything.
    Policies,
}

/// A case through the model, under settings that change on the way.
pub fn by_changing_model(case: &Case, change: Change, changes: &Changes<'_>) -> Vec<Given> {
    let hash = |rules: &Rules| rules.set().expect("a valid set").hash().clone();
    let mut model = Model::new(&case.rules, hash(&case.rules));
    let mut given = Vec::new();
    for (at, entry) in case.entries.iter().enumerate() {
        if let Some(rules) = changes.get(&at) {
            let named = match change {
                Change::Retention => &case.rules,
                Change::Policies => rules,
            };
            model.switch(rules, hash(named));
        }
        given.push(model_gives(entry, &mut model));
    }
    given
}

/// A case through a detector under settings that change on the way.
pub fn by_changing_detector(case: &Case, change: Change, changes: &Changes<'_>) -> Vec<Given> {
    let mut detector = Detector::new(case);
    let give = |(at, entry)| {
        if let Some(rules) = changes.get(&at) {
            let set = rules.set().expect("a valid set");
            match change {
                Change::Retention => detector.0.set_retention(Retention::of(&set)),
                Change::Policies => detector.0.set_policies(set),
            }
        }
        detector.give(entry)
    };
    case.entries.iter().enumerate().map(give).collect()
}

/// What is derived at a first start behind `history` entries, at this frontier, and what the rest
/// gives; by the model and by the detector.
pub fn first_start(case: &Case, history: usize, frontier: i64) -> [Vec<ExceptionEvent>; 2] {
    let (before, after) = case.entries.split_at(history);
    let set = case.rules.set().expect("a valid set");
    let mut model = Model::asleep(&case.rules, set.hash().clone());
    let mut shard = Shard::rebuilding(set);
    for entry in before {
        if let Entry::Record { record, .. } = entry {
            model.apply(record);
            while shard.apply(std::slice::from_ref(record), &mut Vec::new()).records == 0 {}
        }
    }
    model.wake(Some(frontier));
    shard.go_live(Some(Frontier::from_secs(frontier)));
    shard.backfill();
    while shard.is_backfilling() {
        shard.backfill_next(2);
    }
    let mut by_model = model.backfill();
    by_model.iter().for_each(|event| model.take_open(event));
    by_model.sort_by(|a, b| (a.deadline, &a.key).cmp(&(b.deadline, &b.key)));
    let mut detector = Detector(shard);
    let mut by_detector = detector.take_events();
    by_detector.sort_by(|a, b| (a.deadline, &a.key).cmp(&(b.deadline, &b.key)));
    for entry in after {
        by_model.extend(model_gives(entry, &mut model).events);
        by_detector.extend(detector.give(entry).events);
    }
    [by_model, by_detector]
}

/// One shard, each call repeated until the shard says it is done.
pub struct Detector(Shard);

impl Detector {
    pub fn new(case: &Case) -> Self {
        Self(Shard::new(case.rules.set().expect("a valid set")))
    }

    /// One outcome a record.
    pub fn apply(&mut self, batch: &[Record<'_>]) -> Vec<Option<Outcome>> {
        let mut outcomes = Vec::new();
        let mut applied = 0;
        for _ in 0..CALLS {
            applied += self.0.apply(&batch[applied..], &mut outcomes).records;
            if applied == batch.len() {
                break;
            }
        }
        assert_eq!(applied, batch.len(), "records that were applied");
        assert_eq!(outcomes.len(), batch.len(), "outcomes of a batch");
        outcomes
    }

    pub fn advance(&mut self, to: i64) {
        let done = (0..CALLS).any(|_| self.0.advance(Frontier::from_secs(to)));
        assert!(done, "the advance comes to its end");
    }

    pub fn finish(&mut self, until: Option<i64>) {
        let until = until.map(Frontier::from_secs);
        let done = (0..CALLS).any(|_| self.0.finish(until));
        assert!(done, "the last look comes to its end");
    }

    pub fn take_events(&mut self) -> Vec<ExceptionEvent> {
        self.0.take_outbox()
    }

    fn give(&mut self, entry: &Entry) -> Given {
        let outcome = match entry {
            Entry::Record { record, .. } => self.apply(std::slice::from_ref(record))[0],
            Entry::Advance(to) => {
                self.advance(*to);
                None
            }
            Entry::Finish(until) => {
                self.finish(*until);
                None
            }
        };
        let clocks = (
            self.0.log_clock().map(|clock| clock.secs()),
            self.0.frontier().map(|frontier| frontier.secs()),
        );
        let stats = self.0.stats();
        let census = Census { packages: stats.packages, open: stats.open };
        let known = package_of(entry).and_then(|key| self.known(key));
        Given { outcome, events: self.take_events(), clocks, census, known }
    }

    fn known(&self, key: &PackageKey) -> Option<Known> {
        let PackageView { package, attributes, policy_id, open } = self.0.package(key)?;
        Some(Known {
            phase: package.phase.as_str(),
            milestone: package.milestone,
            anchor: (package.anchor.secs(), package.set_at.secs()),
            attributes,
            policy: policy_id,
            open: open.map(|open| (open.sequence, open.deadline.secs())),
        })
    }
}

/// Both sides gave the same for every entry, events in the same order.
pub fn same(
    case: &Case,
    (left, lefts): (&'static str, &[Given]),
    (right, rights): (&'static str, &[Given]),
) -> Verdict {
    let difference = lefts.iter().zip(rights).position(|(one, other)| one != other);
    match difference {
        None => Ok(()),
        Some(at) => Err(Difference {
            at,
            what: format!("what entry {at} gave and what was held after it"),
            sides: [
                (left, given_lines(case.base, &lefts[at])),
                (right, given_lines(case.base, &rights[at])),
            ],
        }),
    }
}

fn given_lines(base: i64, given: &Given) -> String {
    let relative = |time: Option<i64>| time.map(|time| time - base);
    let mut text = format!(
        "outcome {:?}, log clock {:?}, frontier {:?}\n{:?}\n{}\n",
        given.outcome.map(Outcome::as_str),
        relative(given.clocks.0),
        relative(given.clocks.1),
        given.census,
        given.known.as_ref().map_or("package unknown".to_owned(), |known| known_line(base, known)),
    );
    for event in &given.events {
        let _ = writeln!(text, "{}", event_line(base, event));
    }
    text
}

fn known_line(base: i64, known: &Known) -> String {
    format!(
        "package {} {} anchor={:+} set_at={:+} policy={} open={:?} {:?}",
        known.phase,
        known.milestone.as_str(),
        known.anchor.0 - base,
        known.anchor.1 - base,
        known.policy,
        known.open.map(|(sequence, deadline)| (sequence, deadline - base)),
        known.attributes
    )
}

/// Both sides gave the same events in the same order over the whole case.
pub fn same_events(
    case: &Case,
    (left, lefts): (&'static str, &[ExceptionEvent]),
    (right, rights): (&'static str, &[ExceptionEvent]),
) -> Verdict {
    if lefts == rights {
        return Ok(());
    }
    let equal = lefts.iter().zip(rights).take_while(|(one, other)| one == other).count();
    let lines = |events: &[ExceptionEvent]| {
        let lines = events.iter().skip(equal).take(5).map(|event| event_line(case.base, event));
        lines.collect::<Vec<_>>().join("\n")
    };
    Err(Difference {
        at: case.entries.len(),
        what: format!("the events from the {equal}th on"),
        sides: [(left, lines(lefts)), (right, lines(rights))],
    })
}

/// All events, those of each package together, in their order.
pub fn by_package(events: impl IntoIterator<Item = ExceptionEvent>) -> Vec<ExceptionEvent> {
    let mut packages: BTreeMap<PackageKey, Vec<ExceptionEvent>> = BTreeMap::new();
    for event in events {
        packages.entry(event.key.clone()).or_default().push(event);
    }
    packages.into_values().flatten().collect()
}
