//! What decoding costs, beside a hand-written walk of the same bytes and the usual libraries.
//!
//! ```text
//! cargo bench --no-default-features --bench decode [-- --json] [--packages N]
//! ```
//!
//! The scans are those of [`data`]: a few thousand different ones, 118 bytes of Avro on average.
//! Figures are the medians of several runs, in nanoseconds a scan; the ways take turns within a run,
//! so that a disturbance hits all of them. With `--packages` decoding and applying are measured
//! together: scans of packages chosen at random, in batches, on one thread.

mod apply;
mod data;
mod hand;
mod library;

use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use stallwatch::wire::scan::{
    AvroScans, Framing, JsonScans, Origin, SCAN_SCHEMA, SchemaSource, WriterSchemas,
};

use data::Batch;
use library::Library;

#[derive(Parser)]
struct Arguments {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Also decode and apply scans of so many packages
    #[arg(long, value_name = "N")]
    packages: Option<u64>,
    /// Scans that are decoded and applied, with --packages
    #[arg(long, default_value_t = 4_000_000)]
    scans: u64,
    /// Records of a batch, with --packages
    #[arg(long, default_value_t = 256)]
    batch: usize,
    /// Runs, of which the median counts
    #[arg(long, default_value_t = 101)]
    runs: usize,
    /// Measure only this way
    #[arg(long, value_name = "WAY")]
    only: Option<String>,
    /// What cargo says: without it only a small check is made
    #[arg(long, hide = true)]
    bench: bool,
}

/// How many different scans.
const SCANS: u64 = 4096;

fn main() {
    let arguments = Arguments::parse();
    let batch = Batch::of(if arguments.bench { SCANS } else { 64 });
    check(&batch);
    if !arguments.bench {
        apply::measure(100, 1_000, 64);
        println!("every way reads the same scans");
        return;
    }
    let ways = measure(&batch, arguments.runs, arguments.only.as_deref());
    let applied = arguments
        .packages
        .map(|packages| apply::measure(packages, arguments.scans, arguments.batch));
    if arguments.json {
        println!("{}", as_json(&batch, &ways, applied.as_ref()));
    } else {
        print(&batch, &ways, applied.as_ref());
    }
}

/// The envelope of every record.
fn origin(number: usize) -> Origin {
    Origin { log_time: Some(data::LOG_TIME), offset: number as i64 }
}

/// All ways give the same scans.
fn check(batch: &Batch) {
    let plan = AvroScans::new(SCAN_SCHEMA, Framing::Bare).expect("our own schema");
    let library = Library::new();
    let mut json = JsonScans::new();
    for (number, (datum, text)) in batch.both().enumerate() {
        let origin = origin(number);
        let scan = plan.decode(datum, origin).expect("a good scan");
        assert_eq!(hand::decode::<true>(datum, origin).as_ref(), Some(&scan));
        assert_eq!(hand::decode::<false>(datum, origin).as_ref(), Some(&scan));
        let fields = plan.fields(datum).expect("a good scan");
        assert_eq!(hand::fields::<true>(datum), Some(fields));
        assert_eq!((fields.carrier, fields.attributes), (scan.key.carrier(), scan.attributes));
        assert!(*fields.tracking_number == *scan.key.number());
        assert_eq!(json.decode(text, origin).as_ref(), Ok(&scan));
        library.check(datum, &scan);
        let by_serde: library::Text<'_> = serde_json::from_slice(text).expect("good JSON");
        assert_eq!(by_serde.facility, scan.attributes.facility);
    }
}

/// A way of reading scans and what it cost.
struct Way {
    name: &'static str,
    what: &'static str,
    nanoseconds: f64,
}

fn measure(batch: &Batch, runs: usize, only: Option<&str>) -> Vec<Way> {
    let plan = AvroScans::new(SCAN_SCHEMA, Framing::Bare).expect("our own schema");
    let marked = Framing::Marked { schema_id: None };
    let marked = AvroScans::new(SCAN_SCHEMA, marked).expect("our own schema");
    let other = SCAN_SCHEMA.replacen("\"Scan\"", "\"OtherScan\"", 1);
    let both = [("other", other.as_str()), ("ours", SCAN_SCHEMA)];
    let both = both.map(|(name, text)| SchemaSource { name, text, id: None });
    let second = AvroScans::of(WriterSchemas::of(both).expect("two schemas"));
    let objects = library::single_objects(batch.data());
    let library = Library::new();
    let mut json = JsonScans::new();
    type Task<'t> = (&'static str, &'static str, Box<dyn FnMut() + 't>);
    let mut tasks: Vec<Task<'_>> = vec![
        (
            "hand_fields",
            "hand-written walk to the fields, without the key's normal form",
            Box::new(|| each(batch, |datum, _| hand::fields::<true>(datum))),
        ),
        (
            "plan_fields",
            "AvroScans::fields: the same by the plan",
            Box::new(|| {
                each(batch, |datum, _| plan.fields(datum));
            }),
        ),
        (
            "hand",
            "hand-written walk, ASCII checked eight bytes at a time",
            Box::new(|| each(batch, hand::decode::<true>)),
        ),
        (
            "hand_safe",
            "hand-written walk, from_utf8 for every text",
            Box::new(|| each(batch, hand::decode::<false>)),
        ),
        (
            "plan",
            "AvroScans::decode",
            Box::new(|| {
                each(batch, |datum, origin| plan.decode(datum, origin));
            }),
        ),
        (
            "marked",
            "AvroScans::decode of single objects, as they come from a topic",
            Box::new(|| {
                for (number, payload) in objects.iter().enumerate() {
                    let _ = black_box(&marked.decode(payload, origin(number)));
                }
            }),
        ),
        (
            "marked_second",
            "the same where our schema is the second of two",
            Box::new(|| {
                for (number, payload) in objects.iter().enumerate() {
                    let _ = black_box(&second.decode(payload, origin(number)));
                }
            }),
        ),
        (
            "library_serde",
            "apache-avro: GenericDatumReader::read_deser into a struct",
            Box::new(|| each(batch, |datum, _| library.direct(datum))),
        ),
        (
            "library_value",
            "apache-avro: GenericDatumReader::read_value",
            Box::new(|| each(batch, |datum, _| library.value(datum))),
        ),
        (
            "serde_json",
            "serde_json::from_slice into a struct of borrowed texts",
            Box::new(|| {
                for text in batch.texts() {
                    let _ = black_box(&serde_json::from_slice::<library::Text<'_>>(text));
                }
            }),
        ),
        (
            "json",
            "JsonScans::decode",
            Box::new(|| {
                for (number, text) in batch.texts().enumerate() {
                    let _ = black_box(&json.decode(text, origin(number)));
                }
            }),
        ),
    ];
    tasks.retain(|(name, ..)| only.is_none_or(|only| only == *name));
    let mut times = vec![Vec::new(); tasks.len()];
    for _ in 0..runs.max(1) {
        for ((.., task), times) in tasks.iter_mut().zip(&mut times) {
            times.push(timed(task));
        }
    }
    let of = batch.len() as f64;
    tasks
        .iter()
        .zip(times)
        .map(|((name, what, _), times)| Way {
            name,
            what,
            nanoseconds: median(times).as_nanos() as f64 / of,
        })
        .collect()
}

fn each<'b, T>(batch: &'b Batch, decode: impl Fn(&'b [u8], Origin) -> T) {
    for (number, datum) in batch.data().enumerate() {
        // By reference: a result of two hundred bytes is not to be copied for the measurement's sake.
        black_box(&decode(datum, origin(number)));
    }
}

fn timed(task: &mut dyn FnMut()) -> Duration {
    let start = processor_time();
    task();
    processor_time() - start
}

/// What this thread has computed so far: others on the machine do not count.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// What is worth comparing. The libraries build no key, so like is compared with like by the fields.
const RATIOS: [(&str, &str); 6] = [
    ("plan_fields", "hand_fields"),
    ("plan", "hand"),
    ("library_serde", "plan_fields"),
    ("library_serde", "plan"),
    ("library_value", "plan"),
    ("json", "plan"),
];

fn ratio(ways: &[Way], above: &str, below: &str) -> f64 {
    let of = |name| ways.iter().find(|way| way.name == name).map_or(f64::NAN, |w| w.nanoseconds);
    of(above) / of(below)
}

fn print(batch: &Batch, ways: &[Way], applied: Option<&apply::Applied>) {
    println!("{} scans of {:.1} bytes on average\n", batch.len(), batch.mean());
    for way in ways {
        println!("{:>8.1} ns  {:<14} {}", way.nanoseconds, way.name, way.what);
    }
    if ways.len() < 2 {
        return;
    }
    println!();
    for (above, below) in RATIOS {
        println!("{:<28} {:.2}", format!("{above} / {below}"), ratio(ways, above, below));
    }
    if let Some(applied) = applied {
        println!(
            "\ndecode and apply, {} packages, batches of {}: {:.2} million scans per second",
            applied.packages,
            applied.batch,
            applied.scans_per_second / 1e6
        );
    }
}

fn as_json(batch: &Batch, ways: &[Way], applied: Option<&apply::Applied>) -> serde_json::Value {
    let nanoseconds: serde_json::Map<_, _> =
        ways.iter().map(|way| (way.name.to_owned(), json!(way.nanoseconds))).collect();
    let ratios: serde_json::Map<_, _> = RATIOS
        .iter()
        .map(|(above, below)| (format!("{above}_by_{below}"), json!(ratio(ways, above, below))))
        .collect();
    json!({
        "scans": batch.len(),
        "bytes_per_scan": batch.mean(),
        "ns_per_scan": nanoseconds,
        "ratios": ratios,
        "decode_and_apply": applied.map(|applied| json!({
            "packages": applied.packages,
            "batch": applied.batch,
            "scans": applied.scans,
            "scans_per_second": applied.scans_per_second,
        })),
    })
}
