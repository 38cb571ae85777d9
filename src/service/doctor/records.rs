//! Whether what the feed writes can be read: the newest records of the input are decoded as the
//! service would decode them. Nothing is committed and nothing is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Report;
use crate::config::{Config, SchemaRegistry};
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, REQUEST};
use crate::service::native::{Event, EventQueue, RecordView};
use crate::service::schemas::{self, Schemas};
use crate::service::status::Status;
use crate::service::unread::remedy;
use crate::service::{decoder, listed};
use crate::wire::reject::Reason;
use crate::wire::scan::framing::{self, Mark};
use crate::wire::scan::unknown::UnknownCounts;
use crate::wire::scan::{Origin, Remarks, ScanDecoder, UnknownSchema, Unread};

const CHECK: &str = "records";
/// Records that are looked at, of a partition and in all.
const OF_PARTITION: i64 = 100;
const IN_ALL: i64 = 2_000;
/// How long they are read for.
const LONGEST: Duration = Duration::from_secs(15);

pub(super) fn check(config: &Config, report: &mut Report) {
    if let Some(registry) = &config.schema_registry {
        check_registry(registry, report);
    }
    let topic = config.input.topics.first().map_or("", String::as_str);
    let known = Schemas::new(config, Status::new(1));
    let reading = match known {
        Ok(schemas) => Reading { decoder: decoder(config, schemas.get()), schemas, given: 0 },
        Err(problems) => {
            let remedy = "name the schemas of those who write in input.schema_files";
            report.fail(CHECK, listed(&problems), remedy);
            return;
        }
    };
    match newest(config, topic, reading) {
        Ok(found) => found.tell(topic, report),
        Err(error) => report.skip(CHECK, kafka::explain(&error, &format!("reading {topic}"))),
    }
}

fn check_registry(registry: &SchemaRegistry, report: &mut Report) {
    const CHECK: &str = "schema registry";
    let url = &registry.url;
    match schemas::reach(registry) {
        Ok(()) => report.ok(CHECK, format!("{url} answers")),
        Err(why) => report.fail(
            CHECK,
            format!("{url} does not answer as a registry does: {why}"),
            "look at schema_registry.url, auth and ca_file, and at the registry; records whose schema only it has wait for it",
        ),
    }
}

/// What reads them.
struct Reading {
    decoder: ScanDecoder,
    schemas: Arc<Schemas>,
    given: u64,
}

/// What the newest records are.
struct Found {
    reading: Reading,
    records: u64,
    partitions: usize,
    /// How many are no scans, by reason, and where the last lies and what is wrong with it.
    rejected: BTreeMap<Reason, (u64, String)>,
    /// How many wait for a schema, by what they call it, and where the last lies.
    without_schema: BTreeMap<Mark, (u64, String)>,
    unknown: UnknownCounts,
    /// Scans with a word that is unknown.
    with_unknown: u64,
    /// Not all could be read in time.
    cut_short: bool,
}

fn newest(config: &Config, topic: &str, reading: Reading) -> Result<Found, KafkaError> {
    let reader = kafka::reader(&config.kafka)?;
    let count = kafka::partition_count(&reader, topic)?;
    let each = (IN_ALL / i64::try_from(count).unwrap_or(IN_ALL).max(1)).clamp(1, OF_PARTITION);
    let mut list = TopicPartitionList::new();
    // Where each partition ends; those that are read to there are taken out.
    let mut ends = BTreeMap::new();
    for partition in 0..i32::try_from(count).unwrap_or(i32::MAX) {
        let (start, end) = reader.fetch_watermarks(topic, partition, REQUEST)?;
        if start < end {
            ends.insert(partition, end);
            let from = Offset::Offset((end - each).max(start));
            list.add_partition_offset(topic, partition, from)?;
        }
    }
    let mut found = Found {
        reading,
        records: 0,
        partitions: ends.len(),
        rejected: BTreeMap::new(),
        without_schema: BTreeMap::new(),
        unknown: UnknownCounts::default(),
        with_unknown: 0,
        cut_short: false,
    };
    reader.assign(&list)?;
    let (queue, watch) = (EventQueue::of(&reader), Stopwatch::start());
    while !ends.is_empty() {
        if watch.elapsed() >= LONGEST {
            found.cut_short = true;
            break;
        }
        let mut forbidden = None;
        queue.poll(Duration::from_millis(100), |event| match event {
            Event::Record(record) => {
                let end = ends.get(&record.partition).copied();
                if end.is_some_and(|end| record.offset < end) {
                    found.look(&record);
                }
                if end.is_some_and(|end| record.offset + 1 >= end) {
                    ends.remove(&record.partition);
                }
            }
            // What is behind the last record is of transactions, open ones too.
            Event::EndOfPartition { partition, .. } => drop(ends.remove(&partition)),
            Event::Error { code, .. } if kafka::meaning(code) == kafka::Meaning::Forbidden => {
                forbidden = Some(code);
            }
            Event::Error { .. } | Event::Assigned(_) | Event::Revoked(_) => {}
        });
        if let Some(code) = forbidden {
            return Err(KafkaError::MessageConsumption(code));
        }
    }
    Ok(found)
}

impl Found {
    fn look(&mut self, record: &RecordView<'_>) {
        let (partition, offset) = (record.partition, record.offset);
        self.records += 1;
        let origin = Origin { log_time: record.timestamp_ms, offset };
        let mut remarks = Remarks::default();
        let payload = record.value.unwrap_or_default();
        let Reading { decoder, schemas, given } = &mut self.reading;
        if let Err(Unread::UnknownSchema(UnknownSchema { mark })) = decoder.decode(payload, origin)
            && schemas.ask_now(mark)
        {
            schemas.renew(decoder, given);
        }
        match decoder.batch().decode_telling(payload, origin, |of_scan| remarks = of_scan) {
            Ok(scan) => {
                let unknown = remarks.unknown;
                self.with_unknown += u64::from(!unknown.is_empty());
                for (field, text) in unknown.each() {
                    self.unknown.add(scan.key.carrier(), field, text);
                }
            }
            Err(why) => {
                let names = record.headers().map(|(name, _)| name);
                let place = format!("partition {partition}, offset {offset}");
                let (count, says) = match framing::with_headers(why, names) {
                    Unread::Rejected(why) => {
                        let rejected = self.rejected.entry(why.reason).or_default();
                        (rejected, format!("{place}: {}", why.message))
                    }
                    Unread::UnknownSchema(unknown) => {
                        let place = format!("{place}: {unknown}");
                        (self.without_schema.entry(unknown.mark).or_default(), place)
                    }
                };
                *count = (count.0 + 1, says);
            }
        }
    }

    fn tell(self, topic: &str, report: &mut Report) {
        let Self { records, partitions, rejected, without_schema, unknown, with_unknown, .. } =
            self;
        let short = if self.cut_short { ", as many as came in time" } else { "" };
        if records == 0 {
            report.skip(CHECK, format!("{topic} has no record that could be read{short}"));
            return;
        }
        let of = format!("of the newest {records} records of {partitions} partitions{short}");
        let count: u64 = rejected.values().map(|(count, _)| count).sum();
        let most = rejected.iter().max_by_key(|(_, (count, _))| count);
        if let Some((reason, (_, last))) = most {
            let reasons = rejected.iter().map(|(reason, (count, _))| format!("{count} {reason}"));
            let reasons = reasons.collect::<Vec<_>>().join(", ");
            let says = format!("{topic}: {of} {count} are no scans: {reasons}; {last}");
            worst(report, count * 2 >= records, says, remedy(*reason));
        }
        if !without_schema.is_empty() {
            let waiting: u64 = without_schema.values().map(|(count, _)| count).sum();
            let marks =
                without_schema.iter().map(|(mark, (count, _))| format!("{count} of {mark}"));
            let marks = marks.collect::<Vec<_>>().join(", ");
            let last = without_schema.values().next_back().map_or("", |(_, last)| last);
            report.fail(
                CHECK,
                format!("{topic}: {of} {waiting} were written with schemas that nobody has, and their partitions wait there: {marks}; {last}"),
                "name the schemas of those who write in input.schema_files or input.schemas, and have them read anew: systemctl reload, or POST /v1/schemas/reload",
            );
        }
        if !unknown.is_empty() {
            let says = format!(
                "{topic}: {of} {with_unknown} have words that are none of the vocabulary, which only inform: {unknown}"
            );
            let remedy = "map the carrier's words to those of schemas/scan.v1.avsc in front of it";
            worst(report, with_unknown * 2 >= records, says, remedy);
        }
        if count == 0 && without_schema.is_empty() && unknown.is_empty() {
            report.ok(CHECK, format!("{topic}: {of} all are scans, and every word is known"));
        }
    }
}

/// A problem where it concerns at least half of the records, else a warning.
fn worst(report: &mut Report, is_problem: bool, says: String, remedy: &str) {
    match is_problem {
        true => report.fail(CHECK, says, remedy),
        false => report.warn(CHECK, says, remedy),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;
    use crate::wire::scan::JsonScans;

    fn told(records: u64, rejected: u64, unknown: u64) -> String {
        let config =
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\n[policies]\nfile = \"p\"";
        let config = Config::parse("c", config, Path::new(""), &Environment::ignored()).unwrap();
        let schemas = Schemas::new(&config, Status::new(1)).unwrap();
        let decoder = ScanDecoder::Json(JsonScans::new());
        let mut found = Found {
            reading: Reading { decoder, schemas, given: 0 },
            without_schema: BTreeMap::new(),
            records,
            partitions: 8,
            rejected: BTreeMap::new(),
            unknown: UnknownCounts::default(),
            with_unknown: unknown,
            cut_short: false,
        };
        if rejected > 0 {
            let last = "partition 3, offset 17: expected value".to_owned();
            found.rejected.insert(Reason::NotJson, (rejected, last));
        }
        for _ in 0..unknown {
            found.unknown.add("dhl", crate::wire::scan::unknown::Vocabulary::Milestone, "SORTED");
        }
        let mut report = Report::default();
        found.tell("scans", &mut report);
        report.to_string()
    }

    #[test]
    fn a_feed_of_which_half_is_not_read_is_a_problem_and_less_a_warning() {
        assert!(told(800, 0, 0).starts_with("ok    records: scans: of the newest 800 records"));
        let few = told(800, 3, 0);
        assert!(few.starts_with("warn  records: scans: "), "{few}");
        assert!(few.contains("3 are no scans: 3 not_json; partition 3, offset 17: "), "{few}");
        assert!(told(800, 800, 0).starts_with("FAIL  "));
        let words = told(800, 0, 400);
        assert!(words.starts_with("FAIL  ") && words.contains("400 dhl milestone \"SORTED\""));
        assert!(told(0, 0, 0).starts_with("skip  records: not checked: scans has no record"));
    }
}
