//! Campaigns of the simulation in tests/simulation: many seeds, on all cores.

#[path = "../tests/properties/generate.rs"]
#[allow(dead_code)]
mod generate;
#[path = "../tests/properties/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "../tests/simulation/world/mod.rs"]
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use stallwatch::protocol::rules::Rules;
use world::options::{Fault, Options};
use world::{Run, run};

/// Runs seeds of the recovery simulation; ends with 1 if any of them differs from the oracle.
#[derive(Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone and print all that happens
    #[arg(long, value_name = "SEED")]
    trace: Option<u64>,
    /// Leave out a rule of the protocol, to see it found
    #[arg(long, value_name = "RULE")]
    without: Option<String>,
    /// Threads; as many as there are cores by default
    #[arg(long)]
    threads: Option<usize>,
    /// Print the options of every seed
    #[arg(short)]
    verbose: bool,
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    failed: u64,
    restores: u64,
    commits: u64,
    events: u64,
    faults: Vec<u64>,
}

impl Totals {
    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.failed += u64::from(run.verdict.is_err());
        self.restores += run.restores;
        self.commits += run.commits;
        self.events += run.events;
        self.faults.resize(Fault::ALL.len(), 0);
        for (total, count) in self.faults.iter_mut().zip(&run.faults) {
            *total += count;
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rules = match &arguments.without {
        None => Rules::ALL,
        Some(name) => match Rules::without(name) {
            Some(rules) => rules,
            None => {
                eprintln!("there is no rule {name}; there are {}", Rules::NAMES.join(", "));
                return ExitCode::from(2);
            }
        },
    };
    match arguments.trace {
        Some(seed) => trace(seed, rules),
        None => campaign(&arguments, rules),
    }
}

fn trace(seed: u64, rules: Rules) -> ExitCode {
    println!("{}", Options::of(seed).line());
    let run = run(seed, rules, true);
    for line in &run.trace {
        println!("{line}");
    }
    match run.verdict {
        Ok(()) => {
            println!("seed {seed}: no difference");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("seed {seed}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(arguments: &Arguments, rules: Rules) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    let totals = Mutex::new(Totals::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let run = run(seed, rules, false);
                    let failed = run.verdict.as_ref().err();
                    if arguments.verbose || failed.is_some() {
                        println!("{}", Options::of(seed).line());
                    }
                    if let Some(why) = failed {
                        println!("seed {seed}: {why}");
                    }
                    totals.lock().expect("no thread has panicked").add(&run);
                }
            });
        }
    });
    let totals = totals.into_inner().expect("no thread has panicked");
    let faults: Vec<String> = Fault::NAMES
        .iter()
        .zip(&totals.faults)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    println!(
        "{} seeds, {} different, {} commits, {} restores, {} events, faults: {}, {:.1} s",
        totals.seeds,
        totals.failed,
        totals.commits,
        totals.restores,
        totals.events,
        faults.join(", "),
        begun.elapsed().as_secs_f64()
    );
    if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
