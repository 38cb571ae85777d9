//! Whether our clock and the broker's agree. A broker does not tell its time; the timestamps that it
//! puts on records do. None is written for that: those that others write are watched.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Report;
use crate::config::Config;
use crate::service::clock::{Clock, Stopwatch, SystemClock};
use crate::service::kafka::{self, REQUEST};
use crate::service::native::{Event, EventQueue};

const CHECK: &str = "clock";
/// How long a record is waited for.
const WATCH: Duration = Duration::from_secs(5);
/// How far the clocks may be apart.
const APART_MS: i64 = 1_000;

/// What the records of the input tell.
#[derive(Default)]
struct Told {
    /// Timestamp less our time, of a record that came while we looked on.
    fresh: Option<i64>,
    /// The same of the newest that was there before: at most this far is the broker behind us.
    newest: Option<i64>,
    producers: bool,
}

pub(super) fn check(config: &Config, report: &mut Report) {
    let input = config.input.topics.first().map_or("", String::as_str);
    let told = match watch(config, input) {
        Ok(told) => told,
        Err(error) => {
            report.skip(CHECK, kafka::explain(&error, &format!("reading {input}")));
            return;
        }
    };
    let remedy = "let NTP set the clocks of both machines";
    match told {
        Told { fresh: Some(apart), .. } if apart.abs() > APART_MS => {
            let (apart, side) = (apart.abs(), if apart > 0 { "ahead of" } else { "behind" });
            report.warn(CHECK, format!("the broker's clock is {apart} ms {side} ours"), remedy);
        }
        Told { fresh: Some(apart), .. } => report.ok(
            CHECK,
            format!("the broker's clock and ours are {} ms apart, by a record that came", apart.abs()),
        ),
        Told { newest: Some(ahead), .. } if ahead > APART_MS => {
            let says = format!("the broker's clock is at least {ahead} ms ahead of ours");
            report.warn(CHECK, says, remedy);
        }
        Told { newest: Some(_), .. } => report.ok(
            CHECK,
            "the broker's clock was not ahead of ours at the newest scan; whether it is behind shows only while scans come",
        ),
        Told { producers: true, .. } => report.skip(
            CHECK,
            format!("the producers of {input} set its timestamps (CreateTime), so no record shows the broker's time"),
        ),
        Told { .. } => report.skip(
            CHECK,
            format!("{input} has no record, and none came within {} s; one would have to be written", WATCH.as_secs()),
        ),
    }
}

/// Reads the last record of each partition and what comes meanwhile.
fn watch(config: &Config, topic: &str) -> Result<Told, rdkafka::error::KafkaError> {
    let reader = kafka::asker(&config.kafka)?;
    let count = i32::try_from(kafka::partition_count(&reader, topic)?).unwrap_or(i32::MAX);
    let partitions: Vec<i32> = (0..count).collect();
    let ends: BTreeMap<i32, i64> =
        kafka::end_offsets(&reader, topic, &partitions)?.into_iter().collect();
    let mut list = TopicPartitionList::new();
    for (&partition, &end) in &ends {
        let (start, _) = reader.fetch_watermarks(topic, partition, REQUEST)?;
        list.add_partition_offset(topic, partition, Offset::Offset((end - 1).max(start)))?;
    }
    reader.assign(&list)?;
    let queue = EventQueue::of(&reader);
    let (mut told, watch) = (Told::default(), Stopwatch::start());
    while told.fresh.is_none() && watch.elapsed() < WATCH {
        let mut failed = None;
        queue.poll(Duration::from_millis(100), |event| match event {
            Event::Record(record) => {
                let Some(timestamp) = record.timestamp_ms else { return };
                if !record.log_append_time {
                    told.producers = true;
                    return;
                }
                let apart = timestamp - SystemClock.now_ms();
                if ends.get(&record.partition).is_some_and(|end| record.offset >= *end) {
                    told.fresh = Some(apart);
                } else {
                    told.newest = told.newest.max(Some(apart));
                }
            }
            Event::Error { code, .. } if kafka::meaning(code) == kafka::Meaning::Forbidden => {
                failed = Some(code);
            }
            _ => {}
        });
        if let Some(code) = failed {
            return Err(rdkafka::error::KafkaError::MessageConsumption(code));
        }
        if told.producers {
            break;
        }
    }
    Ok(told)
}
