//! What a second costs in which every package comes up.
//!
//! ```text
//! cargo bench --no-default-features --bench expire -- --packages 10000000
//! ```
//!
//! Thread processor time, in calls whose work is bounded: taking the packages down from the wheel
//! (collect), putting them in order (order, of the same keys), giving each its event or its end
//! (give), and the longest calls, beside those of a loop that touches random lines for as long: what
//! the machine takes away. Memory is made ready by a thread of its own, all that the order takes
//! before the second begins.

#![allow(missing_docs)]

#[path = "shard/bound.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod bound;
#[path = "shard/dice.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod dice;
#[path = "shard/lengths.rs"]
mod lengths;
#[path = "shard/machine.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod machine;
#[path = "shard/numbers.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod numbers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use stallwatch::detector::exception::Severity;
use stallwatch::detector::keyring::{Keyring, PackedKey};
use stallwatch::detector::memory::BLOCK;
use stallwatch::detector::order::Order;
use stallwatch::detector::policy::{Defaults, Policy, PolicySet, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::shard::Shard;
use stallwatch::detector::time::{Frontier, LogTime};
use stallwatch::prefault::ReadyBlocks;

use lengths::{Calls, Lengths};
use machine::thread_time;
use numbers::key_of;

const START: i64 = 1_772_409_600;
const SILENCE: i64 = 48 * 3_600;
/// Bytes of the order for each package, at most.
const ORDER_BYTES: usize = 64;
/// Work of one call, as a shard's own default.
const WORK: u32 = 512;

#[derive(Parser)]
struct Arguments {
    /// How many packages come up in the second
    #[arg(long, default_value_t = 1_000_000)]
    packages: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Given by cargo bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Nanoseconds a package, and the longest calls.
struct Figures {
    collect_ns: f64,
    give_ns: f64,
    order_ns: f64,
    lengths: Calls,
    /// What the machine takes away.
    memory: Calls,
    calls: u64,
}

impl Figures {
    fn json(&self, packages: u32) -> serde_json::Value {
        serde_json::json!({
            "packages": packages,
            "collect_ns": self.collect_ns,
            "order_ns": self.order_ns,
            "give_ns": self.give_ns,
            "longest_call_us": self.lengths.max_us,
            "p9999_call_us": self.lengths.p9999_us,
            "max_memory_us": self.memory.max_us,
            "p9999_memory_us": self.memory.p9999_us,
            "calls": self.calls,
        })
    }
}

fn main() -> std::io::Result<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let packages = if measured { Arguments::parse().packages } else { 20_000 };
    let memory = Arc::new(ReadyBlocks::start_with(packages as usize * ORDER_BYTES / BLOCK + 32)?);
    memory.wait();
    let figures = expire(packages, memory)?;
    if !measured {
        println!("test every_package_comes_up_in_order ... ok");
        println!("test result: ok. 1 passed; 0 failed; 0 ignored");
    } else if Arguments::parse().json {
        println!("{}", figures.json(packages));
    } else {
        println!("{packages} packages in one second, {} calls", figures.calls);
        println!("collect {:>8.1} ns a package", figures.collect_ns);
        println!("order   {:>8.1} ns a package", figures.order_ns);
        println!("give    {:>8.1} ns a package, order and event included", figures.give_ns);
        let of = |Calls { max_us, p9999_us }| format!("{max_us:.1} µs, 99.99 % {p9999_us:.1} µs");
        println!("calls: at most {}", of(figures.lengths));
        println!("the machine's own, 4 µs of random lines: at most {}", of(figures.memory));
    }
    Ok(())
}

fn expire(packages: u32, memory: Arc<ReadyBlocks>) -> std::io::Result<Figures> {
    let mut shard = Shard::with_memory(policies(), memory.clone());
    let mut outcomes = Vec::new();
    for start in (0..packages).step_by(512) {
        let keys = start..packages.min(start + 512);
        let records: Vec<_> = keys.map(record).collect();
        outcomes.clear();
        while outcomes.len() < records.len() {
            let _ = shard.apply(&records[outcomes.len()..], &mut outcomes);
        }
    }
    while !shard.advance(Frontier::from_secs(START + SILENCE - 1)) {}
    memory.wait();
    let start = Instant::now();
    let mut figures = up(&mut shard, packages);
    let lasted = start.elapsed();
    drop(shard);
    figures.order_ns = order(packages, &memory);
    drop(memory);
    figures.memory = bound::calls(packages as usize, lasted, 1)?.summary();
    Ok(figures)
}

/// The second in which all are due.
fn up(shard: &mut Shard, packages: u32) -> Figures {
    let (mut collect, mut give) = (Duration::ZERO, Duration::ZERO);
    let mut lengths = Lengths::default();
    let (mut calls, mut events, mut last) = (0, 0, None);
    let mut done = false;
    while !done {
        let start = thread_time();
        done = shard.advance(Frontier::from_secs(START + SILENCE));
        let spent = thread_time().saturating_sub(start);
        lengths.add(spent);
        calls += 1;
        for event in shard.take_outbox() {
            assert!(last.is_none_or(|last| last < event.key), "out of order");
            last = Some(event.key);
            events += 1;
        }
        if events == 0 { collect += spent } else { give += spent }
    }
    assert_eq!(events, packages, "packages that came up");
    let each = |time: Duration| time.as_nanos() as f64 / f64::from(packages);
    Figures {
        collect_ns: each(collect),
        give_ns: each(give),
        order_ns: 0.0,
        lengths: lengths.summary(),
        memory: Lengths::default().summary(),
        calls,
    }
}

/// The same keys through the order alone, in calls of the same work.
fn order(packages: u32, memory: &Arc<ReadyBlocks>) -> f64 {
    let mut ring = Keyring::default();
    let keys: Vec<PackedKey> = (0..packages).map(|package| ring.hold(&key_of(package))).collect();
    ring.rank();
    let mut order = Order::new(memory.clone());
    for (slot, &key) in (0..).zip(&keys) {
        order.push(slot, key, &ring);
    }
    let key_of = |slot: u32| keys[slot as usize];
    let (mut spent, mut given) = (Duration::ZERO, 0);
    while !order.is_empty() {
        let start = thread_time();
        let mut budget = WORK;
        while budget > 0 {
            let Some(slot) = order.next(&ring, &key_of, &mut budget) else { break };
            std::hint::black_box(slot);
            budget = budget.saturating_sub(1);
            given += 1;
        }
        spent += thread_time().saturating_sub(start);
    }
    assert_eq!(given, packages, "packages in order");
    spent.as_nanos() as f64 / f64::from(packages)
}

fn record(package: u32) -> Record<'static> {
    Record::Scan(Scan {
        key: key_of(package),
        milestone: Milestone::Arrived,
        evidence: Evidence::Physical,
        event_time: None,
        log_time: LogTime::from_secs(START),
        offset: i64::from(package),
        attributes: Attributes {
            facility: Some("MEM"),
            country: Some("US"),
            ..Attributes::default()
        },
    })
}

fn policies() -> Arc<PolicySet> {
    let step = Step { after: SILENCE, severity: Severity::Warning, name: "stalled".into() };
    let everything = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![step.clone()],
        no_movement: vec![step],
    };
    let set = PolicySet::new(Defaults::default(), BTreeMap::new(), vec![everything]);
    Arc::new(set.expect("the policies are sound"))
}
