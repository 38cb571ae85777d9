//! A subscriber in Rust: reshipment. A parcel that is critically silent is sent again; the second
//! parcel is stopped where the first turns up before it has left.
//!
//! ```text
//! cargo run --example subscribe -- --bootstrap localhost:9092 --journal reshipments.ndjson
//! ```
//!
//! - `start`: a critical silence; the second parcel leaves after `--dispatch-after`
//! - `stop`: resolved or retracted before it left
//! - `recall`: resolved or retracted too late; the customer gets two, ask for one back
//!
//! Each decision is one line of JSON, first in a journal (a database in earnest), synced, then on
//! standard output. Offsets are committed after it, and the journal says what was decided already:
//! a record that comes twice decides nothing twice.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message};
use serde::{Deserialize, Serialize};
use sha2::Digest;

#[derive(Parser)]
struct Arguments {
    /// Addresses of brokers
    #[arg(long)]
    bootstrap: String,
    #[arg(long, default_value = "tracking.exceptions.v1")]
    topic: String,
    #[arg(long, default_value = "reshipment")]
    group: String,
    /// Decisions so far; made where it is missing
    #[arg(long, default_value = "reshipments.ndjson")]
    journal: PathBuf,
    /// Seconds until a second parcel leaves
    #[arg(long, default_value_t = 7200)]
    dispatch_after: u64,
    /// The folder of all published versions of the schema
    #[arg(long, default_value = "schemas/history")]
    history: PathBuf,
}

/// What this service needs of an event. Enums are texts: a later version may say what we do not know.
#[derive(Deserialize)]
struct Event {
    exception_id: String,
    sequence: u32,
    change: String,
    kind: String,
    severity: String,
    carrier: String,
    tracking_number: String,
}

/// A line of the journal.
#[derive(Clone, Serialize, Deserialize)]
struct Decision {
    decision: What,
    exception_id: String,
    sequence: u32,
    carrier: String,
    tracking_number: String,
    /// Seconds since 1970.
    leaves_at: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Start,
    Stop,
    Recall,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stopping.clone())?;
    }
    let schemas = Schemas::new(&arguments.history)?;
    let mut journal = Journal::open(&arguments.journal)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.bootstrap)
        .set("group.id", &arguments.group)
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&[&arguments.topic])?;
    let mut outcome = Ok(());
    while outcome.is_ok() && !stopping.load(Ordering::Relaxed) {
        outcome = step(&consumer, &schemas, &mut journal, arguments.dispatch_after);
    }
    match consumer.commit_consumer_state(CommitMode::Sync) {
        // Nothing new was read.
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => outcome,
        Err(error) => outcome.and(Err(error.into())),
    }
}

/// Takes the next event, if one comes within a second.
#[allow(clippy::disallowed_methods, reason = "a second parcel leaves by the wall clock")]
fn step(
    consumer: &BaseConsumer,
    schemas: &Schemas,
    journal: &mut Journal,
    dispatch_after: u64,
) -> Result<(), Box<dyn Error>> {
    let record = match consumer.poll(Duration::from_secs(1)) {
        None => return Ok(()),
        Some(Ok(record)) => record,
        Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) => {
            return Err(error.into());
        }
        Some(Err(error)) => {
            eprintln!("{error}"); // the client goes on by itself
            return Ok(());
        }
    };
    // An event that is passed over may be the one that takes something back: better to stop.
    let event = schemas.event(record.payload().unwrap_or_default()).map_err(|problem| {
        let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
        format!("{topic}/{partition} at offset {offset} cannot be read: {problem}")
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    if let Some(decision) = decide(&event, journal.last(&event.exception_id), now, dispatch_after) {
        journal.append(decision)?;
    }
    consumer.store_offset_from_message(&record)?; // committed every few seconds and at the end
    Ok(())
}

/// What an event calls for, after what was decided for its exception so far.
fn decide(
    event: &Event,
    so_far: Option<&Decision>,
    now: u64,
    dispatch_after: u64,
) -> Option<Decision> {
    let known_kind = ["no_movement", "missing_first_scan"].contains(&event.kind.as_str());
    let (decision, leaves_at) = match (event.change.as_str(), so_far) {
        (_, Some(last)) if event.sequence <= last.sequence => return None,
        ("opened" | "escalated", None) if known_kind && event.severity == "critical" => {
            (What::Start, now + dispatch_after)
        }
        ("resolved" | "retracted", Some(last)) if last.decision == What::Start => {
            (if now < last.leaves_at { What::Stop } else { What::Recall }, last.leaves_at)
        }
        // Expired: it was not found, the second parcel goes on. Whatever a later version says,
        // changes nothing.
        _ => return None,
    };
    Some(Decision {
        decision,
        exception_id: event.exception_id.clone(),
        sequence: event.sequence,
        carrier: event.carrier.clone(),
        tracking_number: event.tracking_number.clone(),
        leaves_at,
    })
}

/// The decisions so far: a file of JSON lines, and the last of each exception.
struct Journal {
    file: File,
    last: HashMap<String, Decision>,
}

impl Journal {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A crash may have left half a line; its event comes again.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)?;
        file.seek(io::SeekFrom::End(0))?;
        let decisions = text.lines().map(serde_json::from_str::<Decision>);
        let last = decisions.map(|one| one.map(|one| (one.exception_id.clone(), one)));
        Ok(Self { file, last: last.collect::<Result<_, _>>()? })
    }

    fn last(&self, exception_id: &str) -> Option<&Decision> {
        self.last.get(exception_id)
    }

    fn append(&mut self, decision: Decision) -> Result<(), Box<dyn Error>> {
        let line = serde_json::to_string(&decision)?;
        writeln!(self.file, "{line}")?;
        self.file.sync_data()?;
        println!("{line}");
        self.last.insert(decision.exception_id.clone(), decision);
        Ok(())
    }
}

/// The schema that this program was written for, and all that a value may have been written with.
struct Schemas {
    reader: Schema,
    writers: HashMap<[u8; 8], Schema>,
}

impl Schemas {
    fn new(history: &Path) -> Result<Self, Box<dyn Error>> {
        let reader = Schema::parse_str(include_str!("../schemas/tracking-exception.v1.avsc"))?;
        let mut writers = HashMap::from([(fingerprint(&reader), reader.clone())]);
        for entry in fs::read_dir(history).map_err(|error| format!("{history:?}: {error}"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("tracking-exception.") {
                let schema = Schema::parse_str(&fs::read_to_string(&path)?)?;
                writers.insert(fingerprint(&schema), schema);
            }
        }
        Ok(Self { reader, writers })
    }

    /// The event of a value: an Avro single object, or JSON.
    fn event(&self, value: &[u8]) -> Result<Event, Box<dyn Error>> {
        let [0xc3, 0x01, rest @ ..] = value else {
            return Ok(serde_json::from_slice(value)?);
        };
        let (written_with, mut datum) =
            rest.split_first_chunk::<8>().ok_or("it ends within the schema's fingerprint")?;
        let writer = self.writers.get(written_with).ok_or_else(|| {
            format!(
                "written with the schema of fingerprint {:016x}, which is none of {} known: add the newest tracking-exception.v1.*.avsc",
                u64::from_le_bytes(*written_with),
                self.writers.len()
            )
        })?;
        let reader = GenericDatumReader::builder(writer).reader_schema(&self.reader).build()?;
        let value = serde_json::Value::try_from(reader.read_value(&mut datum)?)?;
        Ok(serde_json::from_value(value)?)
    }
}

/// CRC-64-AVRO of the canonical form. The library keeps `{"type":"long"}` where a long has a logical
/// type; by the specification, and in Java and Python, it is `"long"`.
fn fingerprint(schema: &Schema) -> [u8; 8] {
    let form = schema.canonical_form().replace(r#"{"type":"long"}"#, r#""long""#);
    Rabin::digest(form).into()
}
