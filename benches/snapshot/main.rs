//! What a snapshot costs: the pause of its shard, the bytes, the way to them and back.
//!
//! ```text
//! cargo bench --no-default-features --bench snapshot -- --packages 10000000 [--json]
//! ```
//!
//! The log and the mix of numbers are those of the bench `shard`: filled, then one event of the
//! steady state for every ten packages, so that slots have been used again. Processor time of the
//! one thread, and the time that passes; medians of several runs. The pause is measured for 1.5
//! million packages as well. What comes back must have the digest of what was copied, and the bytes
//! must be the same when it is written once more; where that is not so, the exit code is 1.

#![allow(missing_docs)]

#[path = "../shard/dice.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod dice;
#[path = "../shard/log.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod log;
#[path = "../shard/machine.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod machine;
#[path = "../shard/numbers.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod numbers;
#[path = "../shard/records.rs"]
#[allow(dead_code, reason = "a part of what the other bench uses")]
mod records;

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use stallwatch::detector::exception::Severity;
use stallwatch::detector::policy::{Defaults, Policy, PolicySet, Step};
use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::{Shard, Stop};
use stallwatch::detector::snapshot::Image;
use stallwatch::prefault::ReadyBlocks;
use stallwatch::wire::snapshot::{Encoder, Header, read};

use log::{Event, Log, RETENTION};
use machine::thread_time;
use records::Texts;

/// Packages of the pause that the goal is set for.
const PAUSED: u32 = 1_500_000;
const BATCH: usize = 4_096;

/// Measures what a snapshot costs
#[derive(Parser)]
struct Arguments {
    /// Packages known in the steady state
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    packages: u32,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Other numbers, other logs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Given by cargo bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Processor time of the thread, and the time that passed.
#[derive(Clone, Copy, Default)]
struct Time {
    cpu: Duration,
    wall: Duration,
}

impl Time {
    fn of<T>(run: impl FnOnce() -> T) -> (Self, T) {
        let (wall, cpu) = (Instant::now(), thread_time());
        let result = run();
        (Self { cpu: thread_time().saturating_sub(cpu), wall: wall.elapsed() }, result)
    }

    fn median(times: &[Self]) -> Self {
        let middle = |mut times: Vec<Duration>| {
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or_default()
        };
        Self {
            cpu: middle(times.iter().map(|time| time.cpu).collect()),
            wall: middle(times.iter().map(|time| time.wall).collect()),
        }
    }

    fn longest(times: &[Self]) -> Duration {
        times.iter().map(|time| time.wall).max().unwrap_or_default()
    }

    fn rate(self, packages: usize) -> f64 {
        packages as f64 / self.cpu.as_secs_f64().max(1e-9)
    }
}

struct Figures {
    packages: usize,
    bytes: u64,
    pause: Vec<Time>,
    first_pause: Time,
    encode: Time,
    sort: Time,
    decode: Time,
    live: Time,
    same: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let packages = if arguments.bench { arguments.packages } else { 1_000 };
    let done = measure(packages, &arguments).and_then(|figures| {
        let paused = match arguments.bench && packages != PAUSED {
            true => Some(pauses(PAUSED, &arguments)?),
            false => None,
        };
        Ok((figures, paused))
    });
    let (figures, paused) = match done {
        Ok(done) => done,
        Err(error) => {
            eprintln!("the bench failed: {error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.bench {
        let text = match arguments.json {
            true => json_of(&figures, paused.as_ref()).to_string(),
            false => table(&figures, paused.as_ref()),
        };
        println!("{text}");
    }
    if !figures.same {
        eprintln!("MISMATCH: what came back is not what was copied");
    }
    if figures.same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(packages: u32, arguments: &Arguments) -> io::Result<Figures> {
    let memory = Arc::new(ReadyBlocks::start()?);
    let shard = filled(packages, arguments.seed, &memory);
    let (first_pause, pause, image) = copies(&shard, arguments.runs);
    let digest = shard.state_digest();
    let packages = shard.len();
    drop(shard);
    let header = Header { topic: "carrier.scans.v1".to_owned(), ..Header::default() };
    let mut encoder = Encoder::new()?;
    let mut bytes = Vec::new();
    let mut encodes = Vec::new();
    for _ in 0..=arguments.runs {
        bytes.clear();
        let (time, written) = Time::of(|| encoder.write(&image, &header, &mut bytes));
        written?;
        encodes.push(time);
    }
    let mut sorter = stallwatch::detector::snapshot::Sorter::default();
    let mut sorts = Vec::new();
    for _ in 0..=arguments.runs {
        let (time, _) = Time::of(|| {
            image.sort(&mut sorter);
            while sorter.next_block().is_some() {}
        });
        sorts.push(time);
    }
    drop((image, sorter));
    let (mut decodes, mut lives, mut same) = (Vec::new(), Vec::new(), true);
    for run in 0..arguments.runs {
        memory.wait();
        let (time, shard) = Time::of(|| read(&bytes, policies(), memory.clone()));
        decodes.push(time);
        let (_, mut shard) = shard.map_err(io::Error::other)?;
        if run == 0 {
            same &= shard.state_digest() == digest && again(&shard, &header)? == bytes;
        }
        let (time, ()) = Time::of(|| shard.go_live(None));
        lives.push(time);
    }
    Ok(Figures {
        packages,
        bytes: bytes.len() as u64,
        pause,
        first_pause,
        // The first run has its memory to get.
        encode: Time::median(&encodes[1..]),
        sort: Time::median(&sorts[1..]),
        decode: Time::median(&decodes),
        live: Time::median(&lives),
        same,
    })
}

fn again(shard: &Shard, header: &Header) -> io::Result<Vec<u8>> {
    let mut image = Image::default();
    shard.image(&mut image).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    Encoder::new()?.write(&image, header, &mut bytes)?;
    Ok(bytes)
}

fn pauses(packages: u32, arguments: &Arguments) -> io::Result<(Time, Vec<Time>)> {
    let memory = Arc::new(ReadyBlocks::start()?);
    let shard = filled(packages, arguments.seed, &memory);
    let (first, pause, _) = copies(&shard, arguments.runs.max(21));
    Ok((first, pause))
}

/// The first copy into memory that is not there yet, then copies into memory that is.
fn copies(shard: &Shard, runs: usize) -> (Time, Vec<Time>, Image) {
    let mut image = Image::default();
    let copy = |image: &mut Image| Time::of(|| shard.image(image)).0;
    let unprepared = copy(&mut image);
    let mut image = Image::default();
    image.prepare(shard.slots());
    let times = (0..runs).map(|_| copy(&mut image)).collect();
    (unprepared, times, image)
}

/// A shard in the steady state of so many packages.
fn filled(packages: u32, seed: u64, memory: &Arc<ReadyBlocks>) -> Shard {
    let mut shard = Shard::with_memory(policies(), memory.clone());
    let mut log = Log::new(packages as usize, seed);
    let texts = Texts::new(false);
    let (mut events, mut offset) = (Vec::new(), 0);
    loop {
        log.fill(BATCH, &mut events);
        if events.is_empty() {
            break;
        }
        apply(&mut shard, &events, &texts, &mut offset);
    }
    for _ in 0..(packages as usize / 10).div_ceil(BATCH) {
        log.steady(BATCH, &mut events);
        apply(&mut shard, &events, &texts, &mut offset);
    }
    while !shard.finish(None) {}
    shard.take_outbox();
    shard
}

fn apply(shard: &mut Shard, events: &[Event], texts: &Texts, offset: &mut i64) {
    let records: Vec<Record> =
        events.iter().zip(*offset..).map(|(event, offset)| texts.record(event, offset)).collect();
    *offset += events.len() as i64;
    let (mut rest, mut outcomes) = (&records[..], Vec::new());
    loop {
        let applied = shard.apply(rest, &mut outcomes);
        rest = &rest[applied.records..];
        shard.take_outbox();
        if applied.stop == Stop::End {
            return;
        }
    }
}

fn policies() -> Arc<PolicySet> {
    let step = || Step { after: 48 * 3_600, severity: Severity::Warning, name: "stalled".into() };
    let everything = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![step()],
        no_movement: vec![step()],
    };
    let defaults = Defaults { settled_retention: i64::from(RETENTION), ..Defaults::default() };
    let set = PolicySet::new(defaults, BTreeMap::new(), vec![everything]);
    Arc::new(set.expect("the policies are sound"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn table(figures: &Figures, paused: Option<&(Time, Vec<Time>)>) -> String {
    let packages = figures.packages;
    let pause = |(first, times): (Time, &[Time]), what: &str| {
        let median = Time::median(times);
        format!(
            "pause, {what}: {:.1} ms ({:.1} ms of the processor), longest of {} {:.1} ms; into memory not prepared {:.1} ms\n",
            millis(median.wall),
            millis(median.cpu),
            times.len(),
            millis(Time::longest(times)),
            millis(first.wall)
        )
    };
    let rate = |time: Time| format!("{:.2} M packages/s", time.rate(packages) / 1e6);
    let mut text = pause((figures.first_pause, &figures.pause), &format!("{packages} packages"));
    if let Some((first, times)) = paused {
        text += &pause((*first, times), "1.5 million packages");
    }
    text += &format!(
        "size: {:.2} bytes a package, {} in all\n",
        figures.bytes as f64 / packages as f64,
        figures.bytes
    );
    text +=
        &format!("write: {}, of which in order: {}\n", rate(figures.encode), rate(figures.sort));
    text += &format!("read and rebuild: {}\n", rate(figures.decode));
    text + &format!("go live: {}", rate(figures.live))
}

fn json_of(figures: &Figures, paused: Option<&(Time, Vec<Time>)>) -> Value {
    let pause = |(first, times): (Time, &[Time])| {
        let median = Time::median(times);
        json!({
            "cpu_ms": millis(median.cpu),
            "wall_ms": millis(median.wall),
            "longest_wall_ms": millis(Time::longest(times)),
            "unprepared_wall_ms": millis(first.wall),
        })
    };
    let packages = figures.packages;
    json!({
        "packages": packages,
        "pause": pause((figures.first_pause, &figures.pause)),
        "pause_1500000": paused.map(|(first, times)| pause((*first, times))),
        "bytes": figures.bytes,
        "bytes_per_package": figures.bytes as f64 / packages as f64,
        "write_packages_per_s": figures.encode.rate(packages),
        "sort_packages_per_s": figures.sort.rate(packages),
        "read_packages_per_s": figures.decode.rate(packages),
        "go_live_packages_per_s": figures.live.rate(packages),
        "same": figures.same,
    })
}
