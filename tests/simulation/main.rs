//! The recovery protocol, simulated: the real machines and the real detector on a fake broker that
//! has what bites, under faults, against oracles that look on at every moment.
//!
//! ```text
//! cargo test --no-default-features --test simulation
//! cargo run --release --no-default-features --example simulate -- --seeds 200000 --from 0
//! cargo run --release --no-default-features --example simulate -- --trace 4711
//! ```

#[path = "../properties/generate.rs"]
#[allow(dead_code)]
mod generate;
#[path = "../properties/model.rs"]
#[allow(dead_code)]
mod model;
mod world;

use stallwatch::protocol::rules::Rules;
use world::options::{Fault, Options};

/// Seeds that are run here; campaigns run more.
const SEEDS: u64 = 400;
/// Within so many seeds the lack of any rule is found.
const SEEDS_THAT_FIND: u64 = 1_000;

#[test]
fn whatever_happens_what_is_published_is_what_a_replay_gives() {
    let mut faults = vec![0; Fault::ALL.len()];
    let (mut commits, mut restores, mut events) = (0, 0, 0);
    for seed in 0..SEEDS {
        let run = world::run(seed, Rules::ALL, false);
        if let Err(why) = run.verdict {
            let trace = world::run(seed, Rules::ALL, true).trace.join("\n");
            panic!("{}\n{trace}\n{why}", Options::of(seed).line());
        }
        for (total, count) in faults.iter_mut().zip(&run.faults) {
            *total += count;
        }
        (commits, restores, events) =
            (commits + run.commits, restores + run.restores, events + run.events);
    }
    for (name, count) in Fault::NAMES.iter().zip(faults) {
        assert!(count > 0, "no seed brought {name} about");
    }
    assert!(commits > SEEDS && restores > SEEDS && events > SEEDS, "hardly anything happened");
}

#[test]
fn the_same_seed_gives_the_same_run_twice() {
    for seed in 0..20 {
        let traces = [(); 2].map(|()| world::run(seed, Rules::ALL, true).trace);
        assert_eq!(traces[0], traces[1], "seed {seed}");
    }
}

#[test]
fn each_rule_is_needed() {
    let mut not_found = Vec::new();
    for name in Rules::NAMES {
        let rules = Rules::without(name).expect("a rule of this name");
        let found =
            (0..SEEDS_THAT_FIND).find(|&seed| world::run(seed, rules, false).verdict.is_err());
        match found {
            Some(seed) => println!("{name}: found by seed {seed}"),
            None => not_found.push(*name),
        }
    }
    assert!(not_found.is_empty(), "what no seed found: {not_found:?}");
}
