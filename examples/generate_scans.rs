//! Writes a log of scans to measure with: the same arguments, the same bytes.
//!
//! ```text
//! cargo run --release --no-default-features --example generate_scans -- \
//!     --packages 1000000 --scans 5000000 --format avro --output scans.avro
//! ```
//!
//! Every package travels from a label over hubs to its delivery. All begin within the first three
//! days, so that towards the end nearly all of them are in flight at once. Carriers, services and
//! facilities have the proportions of a large shipper; one scan in a hundred comes twice, one in
//! eight is delayed by hours, as feeds that work in batches do, and one pause in thirty is long
//! enough to be a stall. The log is sorted by log_time and spread over partitions by package; its
//! records carry log_time, partition and offset, as an export of a topic would.
//!
//! The file is streamed; memory holds 32 bytes a package.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use stallwatch::detector::scan::{Evidence, Milestone};

#[derive(Parser)]
struct Arguments {
    /// How many packages
    #[arg(long, default_value_t = 1_000_000)]
    packages: u32,
    /// How many scans in all; at least two a package
    #[arg(long, default_value_t = 5_000_000)]
    scans: u64,
    /// How many partitions
    #[arg(long, default_value_t = 8)]
    partitions: u32,
    /// How many shippers they are of; 0: of one, which no scan names
    #[arg(long, default_value_t = 400)]
    shippers: u64,
    /// Other numbers, other logs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, value_enum, default_value_t = Format::Avro)]
    format: Format,
    /// The file, or - for standard output
    #[arg(long)]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Avro,
    Ndjson,
}

/// 2026-03-02T00:00:00Z, in milliseconds.
const START: u64 = 1_772_409_600_000;
const HOUR: u64 = 3_600_000;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let output: Box<dyn Write> = match arguments.output.as_os_str() == "-" {
        true => Box::new(io::stdout().lock()),
        false => Box::new(File::create(&arguments.output)?),
    };
    let output = BufWriter::with_capacity(1 << 20, output);
    match arguments.format {
        Format::Avro => write(&arguments, Container::new(output)?),
        Format::Ndjson => write(&arguments, Lines(output)),
    }
}

fn write(arguments: &Arguments, mut log: impl Log) -> io::Result<()> {
    let world = World::new(arguments);
    let mut agenda: BinaryHeap<_> =
        (0..arguments.packages).map(|id| Reverse(world.first(id))).collect();
    let mut offsets = vec![0; arguments.partitions.max(1) as usize];
    let mut scan = Scan::default();
    while let Some(Reverse(stop)) = agenda.pop() {
        world.tell(stop, &mut scan);
        let partition = mix(world.seed, u64::from(stop.package), 77) % offsets.len() as u64;
        scan.partition = partition as u32;
        scan.offset = offsets[partition as usize];
        offsets[partition as usize] += 1;
        log.append(&scan)?;
        agenda.extend(world.next(stop).map(Reverse));
    }
    log.finish()
}

/// One scan to come. Ordered by log time, then package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stop {
    log_time: u64,
    package: u32,
    number: u32,
    event_time: u64,
}

struct World {
    seed: u64,
    packages: u64,
    scans: u64,
    shippers: u64,
}

struct Carrier {
    name: &'static str,
    share: u64,
    services: &'static [&'static str],
    number: fn(u64, &mut String),
}

const CARRIERS: &[Carrier] = &[
    Carrier {
        name: "ups",
        share: 30,
        services: &["ground", "2nd-day-air", "next-day-air"],
        number: ups,
    },
    Carrier {
        name: "fedex",
        share: 25,
        services: &["ground", "express-saver", "overnight"],
        number: fedex,
    },
    Carrier { name: "usps", share: 25, services: &["ground-advantage", "priority"], number: usps },
    Carrier { name: "dhl", share: 12, services: &["paket", "express"], number: dhl },
    Carrier { name: "ontrac", share: 5, services: &["ground"], number: ontrac },
    Carrier {
        name: "royal-mail",
        share: 3,
        services: &["tracked-24", "tracked-48"],
        number: royal_mail,
    },
];

fn ups(id: u64, number: &mut String) {
    *number = format!("1Z999AA1{id:010}");
}

fn fedex(id: u64, number: &mut String) {
    *number = format!("77{id:010}");
}

fn usps(id: u64, number: &mut String) {
    *number = format!("940011189922{id:010}");
}

fn dhl(id: u64, number: &mut String) {
    *number = format!("JJD0003{id:013}");
}

fn ontrac(id: u64, number: &mut String) {
    *number = format!("C{id:014}");
}

fn royal_mail(id: u64, number: &mut String) {
    *number = format!("RM{id:09}GB");
}

impl World {
    fn new(arguments: &Arguments) -> Self {
        let packages = u64::from(arguments.packages.max(1));
        let &Arguments { seed, scans, shippers, .. } = arguments;
        Self { seed, packages, scans, shippers }
    }

    /// A number that depends on the package and a purpose alone.
    fn of(&self, package: u32, purpose: u64) -> u64 {
        mix(self.seed, u64::from(package), purpose)
    }

    /// How many scans a package gets: neighbours share unevenly, in all as many as asked for.
    fn stops(&self, package: u32) -> u32 {
        let id = u64::from(package);
        let share = self.scans / self.packages + u64::from(id < self.scans % self.packages);
        let pair = self.of(package / 2, 1) % 3;
        let paired = id ^ 1 < self.packages;
        let moved = pair.min(share.saturating_sub(3));
        let stops = match (paired, id % 2) {
            (true, 0) => share + moved,
            (true, _) => share - self.moved_to_neighbour(package),
            _ => share,
        };
        stops as u32
    }

    /// What the even neighbour of an odd package took.
    fn moved_to_neighbour(&self, package: u32) -> u64 {
        let neighbour = u64::from(package) ^ 1;
        let share = self.scans / self.packages + u64::from(neighbour < self.scans % self.packages);
        (self.of(package / 2, 1) % 3).min(share.saturating_sub(3))
    }

    fn first(&self, package: u32) -> Stop {
        let log_time = START + self.of(package, 2) % (72 * HOUR);
        Stop { log_time, package, number: 0, event_time: log_time - 1_000 }
    }

    fn next(&self, stop: Stop) -> Option<Stop> {
        let number = stop.number + 1;
        if number >= self.stops(stop.package) {
            return None;
        }
        let dice = self.of(stop.package, 1_000 + u64::from(number));
        if dice.is_multiple_of(100) {
            // The same scan once more, a little later.
            return Some(Stop { number, log_time: stop.log_time + 30_000, ..stop });
        }
        let pause = match dice / 100 % 30 {
            0 => 50 * HOUR + dice / 3_000 % (100 * HOUR),
            _ => HOUR + dice / 3_000 % (30 * HOUR),
        };
        let delay = match dice / 7_919 % 8 {
            0 => HOUR + dice / 64_000 % (6 * HOUR),
            _ => dice / 64_000 % 120_000,
        };
        let event_time = stop.event_time + pause;
        let log_time = (event_time + delay).max(stop.log_time);
        Some(Stop { log_time, package: stop.package, number, event_time })
    }

    fn tell(&self, stop: Stop, scan: &mut Scan) {
        let Stop { package, number, .. } = stop;
        let carrier = pick_carrier(self.of(package, 3) % 100);
        let last = number + 1 == self.stops(package);
        (carrier.number)(u64::from(package), &mut scan.number);
        scan.carrier = carrier.name;
        scan.milestone = match number {
            0 => Milestone::LabelCreated,
            _ if last => Milestone::Delivered,
            1 => Milestone::PickedUp,
            _ if number % 2 == 0 => Milestone::Arrived,
            _ => Milestone::Departed,
        };
        scan.evidence = if number == 0 { Evidence::System } else { Evidence::Physical };
        scan.event_time = stop.event_time;
        scan.log_time = stop.log_time;
        let services = carrier.services;
        scan.service = services[(self.of(package, 4) % services.len() as u64) as usize];
        scan.direction = if self.of(package, 5).is_multiple_of(20) { "return" } else { "outbound" };
        scan.destination_country =
            pick(&["US", "US", "US", "US", "CA", "GB", "DE", "MX"], self.of(package, 6));
        scan.value_tier = pick(&["standard", "standard", "standard", "high"], self.of(package, 7));
        let shipper = self.of(package, 8).checked_rem(self.shippers);
        scan.shipper = shipper.map_or_else(String::new, |shipper| format!("shipper-{shipper:03}"));
        let facility = self.of(package, 2_000 + u64::from(number) / 2) % 180;
        scan.facility = if number == 0 { String::new() } else { format!("HUB{facility:03}") };
        scan.country = if number == 0 { "" } else { "US" };
    }
}

fn pick_carrier(percent: u64) -> &'static Carrier {
    let mut rest = percent;
    for carrier in CARRIERS {
        if rest < carrier.share {
            return carrier;
        }
        rest -= carrier.share;
    }
    &CARRIERS[0]
}

fn pick(from: &[&'static str], dice: u64) -> &'static str {
    from[(dice % from.len() as u64) as usize]
}

/// SplitMix64 over three numbers.
fn mix(seed: u64, a: u64, b: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(a.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(b.wrapping_mul(0x8cb9_2ba7_2f3d_8dd7));
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
    }
    z
}

struct Scan {
    number: String,
    carrier: &'static str,
    milestone: Milestone,
    evidence: Evidence,
    event_time: u64,
    log_time: u64,
    service: &'static str,
    direction: &'static str,
    destination_country: &'static str,
    shipper: String,
    value_tier: &'static str,
    /// Empty: none.
    facility: String,
    /// Empty: none.
    country: &'static str,
    partition: u32,
    offset: u64,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            number: String::new(),
            carrier: "",
            milestone: Milestone::Info,
            evidence: Evidence::Physical,
            event_time: 0,
            log_time: 0,
            service: "",
            direction: "",
            destination_country: "",
            shipper: String::new(),
            value_tier: "",
            facility: String::new(),
            country: "",
            partition: 0,
            offset: 0,
        }
    }
}

/// A file of scans in the making.
trait Log {
    fn append(&mut self, scan: &Scan) -> io::Result<()>;
    fn finish(self) -> io::Result<()>;
}

struct Lines<W>(W);

impl<W: Write> Log for Lines<W> {
    fn append(&mut self, scan: &Scan) -> io::Result<()> {
        let out = &mut self.0;
        write!(
            out,
            r#"{{"tracking_number":"{}","carrier":"{}","milestone":"{}","event_time":{},"evidence":"{}","#,
            scan.number,
            scan.carrier,
            scan.milestone.as_str(),
            scan.event_time,
            scan.evidence.as_str(),
        )?;
        let texts = [
            ("service", scan.service),
            ("direction", scan.direction),
            ("destination_country", scan.destination_country),
            ("shipper", &scan.shipper),
            ("value_tier", scan.value_tier),
            ("facility", &scan.facility),
            ("country", scan.country),
        ];
        for (name, text) in texts {
            if !text.is_empty() {
                write!(out, r#""{name}":"{text}","#)?;
            }
        }
        let Scan { log_time, partition, offset, .. } = scan;
        writeln!(out, r#""log_time":{log_time},"partition":{partition},"offset":{offset}}}"#)
    }

    fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An Avro object container, written by hand: it is measured how it is read, not how it is written.
struct Container<W> {
    out: W,
    block: Vec<u8>,
    count: u64,
}

const SCHEMA: &str = include_str!("../schemas/scan-log.v1.avsc");
const SYNC: &[u8; 16] = b"generated scans.";

impl<W: Write> Container<W> {
    fn new(mut out: W) -> io::Result<Self> {
        let mut header = b"Obj\x01".to_vec();
        long(&mut header, 2);
        text(&mut header, "avro.codec");
        text(&mut header, "null");
        text(&mut header, "avro.schema");
        text(&mut header, SCHEMA);
        long(&mut header, 0);
        header.extend_from_slice(SYNC);
        out.write_all(&header)?;
        Ok(Self { out, block: Vec::new(), count: 0 })
    }

    fn end_block(&mut self) -> io::Result<()> {
        let mut head = Vec::new();
        long(&mut head, self.count);
        long(&mut head, self.block.len() as u64);
        self.out.write_all(&head)?;
        self.out.write_all(&self.block)?;
        self.out.write_all(SYNC)?;
        self.block.clear();
        self.count = 0;
        Ok(())
    }
}

impl<W: Write> Log for Container<W> {
    fn append(&mut self, scan: &Scan) -> io::Result<()> {
        let out = &mut self.block;
        text(out, &scan.number);
        text(out, scan.carrier);
        long(out, scan.milestone as u64);
        present(out, |out| long(out, scan.event_time));
        long(out, scan.evidence as u64);
        optional(out, scan.service);
        optional(out, scan.direction);
        optional(out, scan.destination_country);
        optional(out, &scan.shipper);
        optional(out, scan.value_tier);
        optional(out, &scan.facility);
        optional(out, scan.country);
        // event_id, carrier_code: null; attributes: an empty map.
        out.extend_from_slice(&[0, 0, 0]);
        present(out, |out| long(out, scan.log_time));
        present(out, |out| long(out, u64::from(scan.partition)));
        present(out, |out| long(out, scan.offset));
        self.count += 1;
        if self.block.len() >= 64 << 10 { self.end_block() } else { Ok(()) }
    }

    fn finish(mut self) -> io::Result<()> {
        if self.count > 0 {
            self.end_block()?;
        }
        self.out.flush()
    }
}

/// A number that is not negative, as Avro's zig-zag long.
fn long(out: &mut Vec<u8>, number: u64) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    long(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn present(out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.push(2);
    value(out);
}

fn optional(out: &mut Vec<u8>, value: &str) {
    if value.is_empty() {
        out.push(0);
    } else {
        present(out, |out| text(out, value));
    }
}
