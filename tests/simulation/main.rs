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
use world::options::Options;

/// Seeds that are run here; campaigns run more.
const SEEDS: u64 = 400;
/// Within so many seeds the lack of any rule is found.
const SEEDS_THAT_FIND: u64 = 1_000;

#[test]
fn whatever_happens_what_is_published_is_what_a_replay_gives() {
    for seed in 0..SEEDS {
        let run = world::run(seed, Rules::ALL, false);
        if let Err(why) = run.verdict {
            let traced = world::run(seed, Rules::ALL, true);
            let trace = traced.trace.join("\n");
            panic!("{}\n{trace}\n{why}", Options::of(seed).line());
        }
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
