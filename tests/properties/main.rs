//! The detector against a naive model of its contract, over random logs and policies.
//!
//! Every case comes from a seed. How many or which seeds are run can be said for long campaigns,
//! best in a release build:
//!
//! ```text
//! STALLWATCH_SEEDS=100000       cargo test --release --no-default-features --test properties
//! STALLWATCH_SEEDS=31337..31338 cargo test --no-default-features --test properties
//! ```
//!
//! A property that does not hold names its seed and prints the smallest log and policies for which
//! it still does not hold, and what both sides gave at the first difference.

mod drive;
mod examples;
mod generate;
#[allow(dead_code, reason = "a part is for the simulation")]
mod model;
mod report;

use std::collections::BTreeSet;

use stallwatch::detector::exception::{Change, ExceptionEvent, Kind, Severity};
use stallwatch::detector::scan::{Outcome, Record};

use drive::{
    Changes, Detector, Given, by_changing_detector, by_changing_model, by_detector,
    by_hindered_detector, by_model, by_package, by_restarted_detector, by_restored_detector,
    first_start, model, same, same_events,
};
use generate::{Case, Entry, Random, Rules, generate};
use report::{Difference, Verdict, holds, seeds};

/// Seeds of each property where `STALLWATCH_SEEDS` says nothing.
const SEEDS: u64 = 4_000;
/// Fewer seeds need not bring up everything.
const SEEDS_THAT_COVER: u64 = 3_000;

#[test]
fn the_detector_equals_the_model_where_records_alone_move_the_frontier() {
    holds(seeds(SEEDS), |case| equals_model(&case.records_alone()));
}

#[test]
fn the_detector_equals_the_model_under_any_advances_and_last_looks() {
    holds(seeds(SEEDS), equals_model);
}

fn equals_model(case: &Case) -> Verdict {
    let expected = by_model(case, &mut model(case));
    same(case, ("model", &expected), ("detector", &by_detector(case)))
}

#[test]
fn a_replay_that_ends_anywhere_equals_the_model() {
    holds(seeds(SEEDS), |case| {
        let case = case.records_alone();
        for (number, entry) in case.entries.iter().enumerate() {
            let Entry::Record { luck, .. } = entry else { continue };
            let mut random = Random::new(*luck);
            if number + 1 < case.entries.len() && !random.chance(8) {
                continue;
            }
            let span = case.rules.defaults.forget_after;
            let clock = clock_after(&case.entries[..=number]).unwrap_or(case.base);
            let until = random.chance(75).then(|| match random.below(3) {
                0 => clock + random.between(-1, 2),
                1 => clock + random.between(0, span),
                _ => clock + 2 * span,
            });
            let mut entries = case.entries[..=number].to_vec();
            entries.push(Entry::Finish(until));
            equals_model(&Case { entries, ..case.clone() })?;
        }
        Ok(())
    });
}

fn clock_after(entries: &[Entry]) -> Option<i64> {
    entries.iter().filter_map(log_time).max()
}

fn log_time(entry: &Entry) -> Option<i64> {
    match entry {
        Entry::Record { record: Record::Scan(scan), .. } => Some(scan.log_time.secs()),
        Entry::Record { record: Record::Rejected { log_time }, .. } => log_time.map(|at| at.secs()),
        Entry::Advance(_) | Entry::Finish(_) => None,
    }
}

#[test]
fn the_output_is_the_same_for_any_batch_size() {
    holds(seeds(SEEDS), |case| {
        let given = by_detector(case);
        let outcomes: Vec<_> = given.iter().map(|given| given.outcome).collect();
        let events: Vec<_> = given.into_iter().flat_map(|given| given.events).collect();
        let mut random = Random::new(case.seed);
        for most in [2, 5, 32, 1_000] {
            let (in_batches, of_batches) = by_batches(case, most, &mut random);
            same_events(case, ("one by one", &events), ("in batches", &of_batches))?;
            if in_batches != outcomes {
                return Err(Difference {
                    at: case.entries.len(),
                    what: format!("the outcomes in batches of up to {most}"),
                    sides: [
                        ("one by one", format!("{outcomes:?}")),
                        ("in batches", format!("{in_batches:?}")),
                    ],
                });
            }
        }
        Ok(())
    });
}

#[test]
fn the_outcome_is_the_same_however_little_a_call_may_do() {
    holds(seeds(SEEDS), |case| {
        let whole = by_detector(case);
        let mut random = Random::new(case.seed);
        for most in [1, 4, 100] {
            let hindered = by_hindered_detector(case, random.between(1, most) as u32);
            same(case, ("calls without bound", &whole), ("bounded calls", &hindered))?;
        }
        Ok(())
    });
}

/// Batches of 0 to `most` records; the outbox is emptied now and then. An outcome per entry.
fn by_batches(
    case: &Case,
    most: usize,
    random: &mut Random,
) -> (Vec<Option<Outcome>>, Vec<ExceptionEvent>) {
    let mut detector = Detector::new(case);
    let (mut outcomes, mut events, mut batch) = (Vec::new(), Vec::new(), Vec::new());
    let mut size = random.below(most + 1);
    for entry in &case.entries {
        if batch.len() >= size || !matches!(entry, Entry::Record { .. }) {
            outcomes.extend(detector.apply(&batch));
            batch.clear();
            size = random.below(most + 1);
        }
        match entry {
            Entry::Record { record, .. } => batch.push(record.clone()),
            Entry::Advance(to) => detector.advance(*to),
            Entry::Finish(until) => detector.finish(*until),
        }
        if !matches!(entry, Entry::Record { .. }) {
            outcomes.push(None);
        }
        if random.chance(30) {
            events.extend(detector.take_events());
        }
    }
    outcomes.extend(detector.apply(&batch));
    events.extend(detector.take_events());
    (outcomes, events)
}

#[test]
fn advances_that_the_log_justifies_change_nothing_for_any_package() {
    holds(seeds(SEEDS), |case| {
        let mut plain = case.records_alone();
        plain.entries.push(Entry::Finish(None));
        let advanced = with_justified_advances(&plain);
        let by_package_of = |given: &[Given]| -> Vec<ExceptionEvent> {
            by_package(given.iter().flat_map(|given| given.events.iter().cloned()))
        };
        let outcomes = |given: &[Given]| -> Vec<Outcome> {
            given.iter().filter_map(|given| given.outcome).collect()
        };
        let (short, long) = (by_detector(&plain), by_detector(&advanced));
        let (short_events, long_events) = (by_package_of(&short), by_package_of(&long));
        same_events(&advanced, ("without advances", &short_events), ("with", &long_events))?;
        assert_eq!(outcomes(&short), outcomes(&long), "outcomes without and with advances");
        let by_contract = by_model(&advanced, &mut model(&advanced));
        same_events(
            &advanced,
            ("the model with", &by_package_of(&by_contract)),
            ("with", &long_events),
        )
    });
}

/// Before a record that raises the log clock to L, the frontier may go anywhere up to L: what is
/// logged before L has been applied. Advances after which an earlier record follows are no proof.
fn with_justified_advances(case: &Case) -> Case {
    let mut entries = Vec::new();
    let mut clock: Option<i64> = None;
    for entry in &case.entries {
        if let (Entry::Record { luck, .. }, Some(next)) = (entry, log_time(entry)) {
            let mut random = Random::new(*luck);
            let before = clock.unwrap_or(next - 10);
            if next > before {
                let mut to = before;
                for _ in 0..random.below(4) {
                    to = match random.below(3) {
                        0 => (to + 1).min(next),
                        1 => next,
                        _ => random.between(to, next),
                    };
                    entries.push(Entry::Advance(to));
                }
                clock = Some(next);
            }
        }
        entries.push(entry.clone());
    }
    Case { entries, ..case.clone() }
}

#[test]
fn a_restart_anywhere_goes_on_as_if_nothing_had_happened() {
    holds(seeds(SEEDS), |case| {
        let given = by_model(case, &mut model(case));
        for (cut, entry) in case.entries.iter().enumerate() {
            if matches!(entry, Entry::Record { luck, .. } if luck % 16 == 0) {
                let (before, after) = given.split_at(cut);
                let restarted = [before, &by_restarted_detector(case, before)].concat();
                let expected = [before, after].concat();
                same(case, ("model", &expected), ("detector restarted", &restarted)).map_err(
                    |it| Difference { what: format!("with a restart at {cut}, {}", it.what), ..it },
                )?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_restart_from_a_snapshot_anywhere_goes_on_as_if_nothing_had_happened() {
    holds(seeds(SEEDS), |case| {
        let given = by_detector(case);
        let mut random = Random::new(case.seed);
        let cut = random.below(case.entries.len() + 1);
        let (before, after) = given.split_at(cut);
        let snapshot = random.below(cut + 1);
        let restored = [before, &by_restored_detector(case, snapshot, before)].concat();
        let expected = [before, after].concat();
        same(case, ("detector", &expected), ("detector restored", &restored)).map_err(|it| {
            let what = format!("snapshot at {snapshot}, restart at {cut}: {}", it.what);
            Difference { what, ..it }
        })
    });
}

#[test]
fn settings_that_change_between_two_records_hold_from_there_on() {
    holds(seeds(SEEDS), |case| {
        let mut random = Random::new(case.seed ^ 0x5e77);
        let others: Vec<Rules> = (0..3).map(|_| other_settings(case, &mut random)).collect();
        let changes: Changes<'_> =
            others.iter().map(|rules| (random.below(case.entries.len() + 1), rules)).collect();
        changed_on_the_way(case, drive::Change::Retention, &changes)
    });
}

#[test]
fn policies_that_change_between_two_records_hold_from_there_on() {
    holds(seeds(SEEDS), |case| {
        let mut random = Random::new(case.seed ^ 0x9011);
        let others: Vec<Rules> = (0..3).map(|_| other_policies(case, &mut random)).collect();
        let changes: Changes<'_> =
            others.iter().map(|rules| (random.below(case.entries.len() + 1), rules)).collect();
        changed_on_the_way(case, drive::Change::Policies, &changes)
    });
}

fn changed_on_the_way(case: &Case, change: drive::Change, changes: &Changes<'_>) -> Verdict {
    let by_model = by_changing_model(case, change, changes);
    let by_detector = by_changing_detector(case, change, changes);
    same(case, ("model", &by_model), ("detector", &by_detector))
}

/// Policies that have nothing in common with the first, with spans of their size.
fn other_policies(case: &Case, random: &mut Random) -> Rules {
    loop {
        let rules = generate::rules(random, case.unit);
        if rules.set().is_some() {
            return rules;
        }
    }
}

/// The same policies; packages are known for another time.
fn other_settings(case: &Case, random: &mut Random) -> Rules {
    loop {
        let mut rules = case.rules.clone();
        let forget_after = rules.defaults.forget_after;
        rules.defaults.forget_after = random.between(forget_after / 2, 2 * forget_after);
        rules.defaults.settled_retention = random.between(1, rules.defaults.forget_after);
        if rules.set().is_some() {
            return rules;
        }
    }
}

#[test]
fn what_is_open_at_a_first_start_and_all_after_it_equals_the_model() {
    holds(seeds(SEEDS), |case| {
        let mut random = Random::new(case.seed ^ 0xf1);
        let history = random.below(case.entries.len() + 1);
        let clock = clock_after(&case.entries[..history]).unwrap_or(case.base);
        let frontier = clock + random.between(0, case.rules.defaults.forget_after);
        let [by_model, by_detector] = first_start(case, history, frontier);
        same_events(case, ("model", &by_model), ("detector", &by_detector))
    });
}

#[test]
fn the_same_seed_gives_the_same_bytes_twice() {
    holds(seeds(SEEDS), |case| {
        let once = format!("{:?}", by_detector(case));
        let again = generate(case.seed);
        let again = Case { entries: case.entries.clone(), rules: case.rules.clone(), ..again };
        let twice = format!("{:?}", by_detector(&again));
        assert_eq!(once, twice, "the bytes of two runs");
        Ok(())
    });
    for seed in seeds(SEEDS) {
        let twice = [generate(seed), generate(seed)].map(|case| format!("{case:?}"));
        assert_eq!(twice[0], twice[1], "the cases of seed {seed}");
    }
}

#[test]
fn random_logs_bring_up_everything_that_can_happen() {
    let mut missing: BTreeSet<String> = BTreeSet::new();
    let names = |group: &str, all: Vec<&str>| -> Vec<String> {
        all.into_iter().map(|name| format!("{group} {name}")).collect()
    };
    missing.extend(names("outcome", Outcome::ALL.iter().map(|it| it.as_str()).collect()));
    missing.extend(names("severity", Severity::ALL.iter().map(|it| it.as_str()).collect()));
    missing.extend(names("situation", model::SITUATIONS.to_vec()));
    for kind in Kind::ALL {
        let changes = Change::ALL.iter().map(|change| change.as_str()).collect();
        missing.extend(names(kind.as_str(), changes));
    }
    for seed in 0..SEEDS_THAT_COVER {
        let case = generate(seed);
        let mut model = model(&case);
        for given in by_model(&case, &mut model) {
            if let Some(outcome) = given.outcome {
                missing.remove(&format!("outcome {}", outcome.as_str()));
            }
            for event in given.events {
                missing.remove(&format!("severity {}", event.severity.as_str()));
                missing.remove(&format!("{} {}", event.kind.as_str(), event.change.as_str()));
            }
        }
        for situation in model.situations() {
            assert!(model::SITUATIONS.contains(situation), "\"{situation}\" is not listed");
            missing.remove(&format!("situation {situation}"));
        }
    }
    assert!(missing.is_empty(), "what no random log brought up: {missing:#?}");
}
