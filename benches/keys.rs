//! What a package's key costs, in nanoseconds: `cargo bench --no-default-features --bench keys`.
//!
//! Every figure is the median of several runs over the same seeded numbers. `-- --json` prints one
//! JSON object instead of a table.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::time::Instant;

use compact_str::CompactString;
use foldhash::fast::FixedState;
use stallwatch::detector::key::PackageKey;

/// The packing alone, which the library keeps to itself.
#[path = "../src/detector/key"]
#[allow(dead_code, unused_imports, reason = "a part of what the library uses")]
mod key {
    pub mod pack;
    mod swar;
    mod text;

    const MAX_NUMBER: usize = stallwatch::detector::key::MAX_NUMBER;
}
use key::pack::{pack, unpack};

const NUMBERS: usize = 4096;
const PASSES: usize = 1;
/// Many short ones, so that most of them run undisturbed.
const RUNS: usize = 401;

/// One text of a feed and what is made of it.
struct Sample {
    carrier: &'static str,
    number: String,
    code: u128,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of(&mut self, alphabet: &[u8], count: usize) -> String {
        let one = |_| char::from(alphabet[self.below(alphabet.len() as u64) as usize]);
        (0..count).map(one).collect()
    }
}

const DIGITS: &[u8] = b"0123456789";
const TEXT: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

type Make = fn(&mut Random) -> (&'static str, String);

/// Kinds of numbers by name.
const KINDS: &[(&str, Make)] = &[
    ("mix", mix),
    ("ups", ups),
    ("usps", usps),
    ("fedex", fedex),
    ("s10", s10),
    ("other", other),
    ("grouped", grouped),
];

fn ups(random: &mut Random) -> (&'static str, String) {
    ("ups", format!("1Z{}", random.of(TEXT, 16)))
}

fn usps(random: &mut Random) -> (&'static str, String) {
    ("usps", format!("94{}", random.of(DIGITS, 20)))
}

fn fedex(random: &mut Random) -> (&'static str, String) {
    ("fedex", random.of(DIGITS, 12))
}

fn s10(random: &mut Random) -> (&'static str, String) {
    ("royalmail", format!("RR{}DE", random.of(DIGITS, 9)))
}

fn other(random: &mut Random) -> (&'static str, String) {
    let len = 10 + random.below(25) as usize;
    ("ontrac", random.of(if len > 22 { DIGITS } else { TEXT }, len))
}

/// As printed on a label, which is rare in feeds and no part of the mix.
fn grouped(random: &mut Random) -> (&'static str, String) {
    let [a, b, c] = [4, 4, 4].map(|count| random.of(DIGITS, count));
    ("fedex", format!("{a} {b} {c}"))
}

fn mix(random: &mut Random) -> (&'static str, String) {
    match random.below(100) {
        0..35 => ups(random),
        35..60 => usps(random),
        60..80 => fedex(random),
        80..90 => s10(random),
        _ => other(random),
    }
}

fn samples(make: Make) -> Vec<Sample> {
    let mut random = Random(0x5ca1_ab1e);
    let sample = |_| {
        let (carrier, number) = make(&mut random);
        let key = PackageKey::new(carrier, &number).expect("a carrier and a number");
        let code = key.code().expect("every kind here has a code");
        Sample { carrier, number, code }
    };
    (0..NUMBERS).map(sample).collect()
}

/// Nanoseconds per sample: the median of the runs.
fn measure<T>(samples: &[Sample], mut work: impl FnMut(&Sample) -> T) -> f64 {
    let mut run = || {
        let start = Instant::now();
        for _ in 0..PASSES {
            for sample in samples {
                black_box(work(black_box(sample)));
            }
        }
        start.elapsed().as_nanos() as f64 / (PASSES * samples.len()) as f64
    };
    run();
    let mut runs: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

/// What is measured, by name.
fn figures(samples: &[Sample]) -> Vec<(&'static str, f64)> {
    let hash = FixedState::with_seed(7);
    vec![
        ("text to key", measure(samples, |it| PackageKey::new(it.carrier, &it.number))),
        ("pack", measure(samples, |it| pack(it.number.as_bytes()))),
        ("unpack", measure(samples, |it| unpack(it.code))),
        ("hash of the code", measure(samples, |it| hash.hash_one(it.code))),
        ("hash of the text", measure(samples, |it| hash.hash_one(it.number.as_bytes()))),
        ("copy of the text", measure(samples, |it| CompactString::from(it.number.as_str()))),
    ]
}

fn main() {
    let table: Vec<_> =
        KINDS.iter().map(|(kind, make)| (*kind, figures(&samples(*make)))).collect();
    if std::env::args().any(|argument| argument == "--json") {
        let rows = table.iter().map(|(kind, row)| {
            let cells = row.iter().map(|(what, ns)| ((*what).to_owned(), (*ns).into()));
            ((*kind).to_owned(), serde_json::Value::Object(cells.collect()))
        });
        println!(
            "{}",
            serde_json::json!({ "ns_per_key": serde_json::Value::Object(rows.collect()) })
        );
        return;
    }
    print!("{:<18}", "ns per key");
    table.iter().for_each(|(kind, _)| print!("{kind:>9}"));
    println!();
    for (index, (what, _)) in table[0].1.iter().enumerate() {
        print!("{what:<18}");
        table.iter().for_each(|(_, row)| print!("{:>9.1}", row[index].1));
        println!();
    }
}
