//! What a scan costs the detector: against the memory of this machine, and against other designs.
//!
//! ```text
//! cargo bench --no-default-features --bench shard -- --packages 10000000
//! cargo bench --no-default-features --bench shard -- --packages 1000000 --peers hashbrown_ring --json
//! ```
//!
//! Every contestant gets the same log (`log`) in a process of its own, in which the bounds (`bound`)
//! are measured as well, before and after. All must find the same exceptions at the same seconds;
//! where they do not, nothing that was measured means anything, and the exit code is 1.
//!
//! Run by `cargo test` it measures nothing: it checks on a small log that all agree.

mod bound;
mod check;
mod contest;
mod dice;
mod lengths;
mod log;
mod machine;
mod numbers;
mod ours;
mod peers;
mod records;
mod report;

use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stallwatch::prefault::ReadyBlocks;

use contest::{Measured, Plan, SEGMENTS, measure};
use ours::{Growth, Ours, TwoShards, growth, two_shards};
use peers::{PEERS, Peer};
use records::Texts;
use report::Report;

/// Measures what a scan costs the detector, and what it costs other designs
#[derive(Parser)]
struct Arguments {
    /// Packages known in the steady state
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    packages: u32,
    /// Events of the steady state that are timed; by default one a package, from 2 to 10 million
    #[arg(long)]
    events: Option<u32>,
    /// Other numbers, other logs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Designs to measure against: all, none, or names with commas between
    #[arg(long, value_delimiter = ',', default_value = "all")]
    peers: Vec<String>,
    /// Scans without attributes: no texts to be found, for nobody
    #[arg(long)]
    bare: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Measures one contestant and prints what was found.
    #[arg(long, hide = true)]
    child: Option<String>,
    /// Given by cargo bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--bench") {
        return check::run();
    }
    let arguments = Arguments::parse();
    let done = match &arguments.child {
        Some(name) => be_child(name, &arguments.plan()).map(|()| true),
        None => run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the bench failed: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn plan(&self) -> Plan {
        let events = self.events.unwrap_or(self.packages.clamp(2_000_000, 10_000_000));
        Plan {
            packages: self.packages as usize,
            events: events as usize,
            seed: self.seed,
            bare: self.bare,
        }
    }

    fn peers(&self) -> io::Result<Vec<&'static Peer>> {
        match self.peers.as_slice() {
            [one] if one == "all" => Ok(PEERS.iter().collect()),
            [one] if one == "none" => Ok(Vec::new()),
            names => names.iter().map(|name| peer(name)).collect(),
        }
    }
}

fn peer(name: &str) -> io::Result<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name).ok_or_else(|| {
        let known: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
        io::Error::other(format!("there is no peer '{name}', but {}", known.join(", ")))
    })
}

/// Returns whether all agree.
fn run(arguments: &Arguments) -> io::Result<bool> {
    let report = contest(&arguments.plan(), &arguments.peers()?)?;
    let text = if arguments.json { report.json().to_string() } else { report.table() };
    writeln!(io::stdout(), "{text}")?;
    for disagreement in report.disagreements() {
        eprintln!("MISMATCH: {disagreement}");
    }
    Ok(report.disagreements().is_empty())
}

/// The heap of a process, as the service has it.
const AS_IT_IS: &str = "";
/// The heap that suits designs best that have everything in it.
const IN_HUGE_PAGES: &str = "glibc.malloc.hugetlb=1";

/// Measures the detector and these peers, each in a process of its own.
fn contest(plan: &Plan, peers: &[&'static Peer]) -> io::Result<Report> {
    let ours: Measured = child("stallwatch", plan, AS_IT_IS)?;
    let growth: Growth = child("growth", plan, AS_IT_IS)?;
    let two_shards: TwoShards = child("two_shards", plan, AS_IT_IS)?;
    let peers = peers.iter().map(|peer| Ok((*peer, child(peer.name, plan, IN_HUGE_PAGES)?)));
    Ok(Report { plan: *plan, ours, growth, two_shards, peers: peers.collect::<io::Result<_>>()? })
}

fn child<T: DeserializeOwned>(name: &str, plan: &Plan, heap: &str) -> io::Result<T> {
    eprintln!("measuring {name}");
    let output = Command::new(std::env::current_exe()?)
        .args(["--bench", "--child", name])
        .args(["--packages", &plan.packages.to_string()])
        .args(["--events", &plan.events.to_string()])
        .args(["--seed", &plan.seed.to_string()])
        .args(plan.bare.then_some("--bare"))
        .env("GLIBC_TUNABLES", heap)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{name} ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn be_child(name: &str, plan: &Plan) -> io::Result<()> {
    match name {
        "stallwatch" => {
            let texts = Texts::new(plan.bare);
            let memory = Arc::new(ReadyBlocks::start()?);
            memory.wait();
            print(&measure(plan, SEGMENTS, true, || Ours::new(&texts, &memory))?)
        }
        "growth" => print(&growth(plan)?),
        "two_shards" => print(&two_shards(plan)?),
        name => print(&peer(name)?.run(plan)?),
    }
}

fn print(found: &impl Serialize) -> io::Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(found)?)
}
