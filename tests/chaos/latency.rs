//! From a deadline to the moment at which a read_committed subscriber has the exception.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::client::{NewRecord, end_offsets, send};
use crate::scans::{Dice, Scan, one_step};
use crate::service::Setup;
use crate::wait::{now_ms, until_second};

const PARTITIONS: i32 = 4;
const STEP_S: i64 = 5;
const ROUNDS: usize = 10;
/// Packages of a round; all of them fall silent.
const SILENT: usize = 40;
const BUSY_SCANS_A_SECOND: usize = 4_000;
/// Packages that move all the time on the busy topic.
const MOVING: usize = 4_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures on an idle and on a busy topic; prints a line of JSON and a table.
pub fn measure() {
    let broker = Broker::start();
    let idle = on_a_topic(&broker, "idle", 0);
    let busy = on_a_topic(&broker, "busy", BUSY_SCANS_A_SECOND);
    println!("{}", json!({"delay_ms": {"idle": idle.json(), "busy": busy.json()}}));
    println!("| topic | scans/s | openings | median | p99 | longest |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, delays) in [("idle", &idle), ("busy", &busy)] {
        let Delays { sorted, scans_a_second } = delays;
        let [median, p99, longest] = [50, 99, 100].map(|percent| delays.percentile(percent));
        let count = sorted.len();
        println!(
            "| {name} | {scans_a_second:.0} | {count} | {median} ms | {p99} ms | {longest} ms |"
        );
    }
}

struct Delays {
    sorted: Vec<i64>,
    scans_a_second: f64,
}

impl Delays {
    /// Nearest rank.
    fn percentile(&self, percent: usize) -> i64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted[rank - 1]
    }

    fn json(&self) -> Value {
        json!({
            "openings": self.sorted.len(), "scans_a_second": self.scans_a_second.round(),
            "median": self.percentile(50), "p99": self.percentile(99),
            "longest": self.percentile(100),
        })
    }
}

fn on_a_topic(broker: &Broker, name: &str, scans_a_second: usize) -> Delays {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let setup = Setup::with_scans(broker, name, PARTITIONS, "json", &settings)
        .policies(one_step("5s"))
        .with("input", "clock_margin = \"2s\"")
        .with("output", "commit_interval = \"500ms\"");
    let service = setup.start();
    let flowing = AtomicBool::new(true);
    let begun = Instant::now();
    let delays = thread::scope(|scope| {
        scope.spawn(|| traffic(&setup, scans_a_second, &flowing));
        let measured = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rounds(&setup)));
        flowing.store(false, Ordering::Relaxed);
        measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let seconds = begun.elapsed().as_secs_f64();
    let scans: i64 = end_offsets(&setup.bootstrap, &setup.scans()).values().sum();
    service.stop();
    Delays { sorted: delays, scans_a_second: scans as f64 / seconds }
}

/// Rounds of packages that are seen once, at moments spread over a second and more, each waited for.
fn rounds(setup: &Setup) -> Vec<i64> {
    let (subscriber, producer) = (subscriber(setup), producer(setup));
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        for package in 0..SILENT {
            let scan = Scan::new(&format!("SILENT{round:02}X{package:02}"), "arrived", now_ms());
            send(&producer, &setup.scans(), &scan.json());
            thread::sleep(Duration::from_millis(37));
        }
        producer.flush(PATIENCE).expect("the broker takes every record");
        let wanted = (round + 1) * SILENT;
        let end = Instant::now() + PATIENCE;
        while delays.len() < wanted {
            assert!(Instant::now() < end, "{} of {wanted} exceptions came", delays.len());
            let Some(record) = subscriber.poll(Duration::from_millis(100)) else { continue };
            let seen = now_ms();
            let record = record.expect("the topic can be read");
            let event: Value =
                serde_json::from_slice(record.payload().expect("an event")).expect("a JSON object");
            assert_eq!(event["change"], "opened", "{event}");
            let deadline = event["deadline"].as_str().expect("a time");
            let deadline: jiff::Timestamp = deadline.parse().expect("RFC 3339");
            delays.push(seen - deadline.as_millisecond());
        }
        until_second(now_ms() / 1000 + 1);
    }
    delays.sort_unstable();
    delays
}

fn subscriber(setup: &Setup) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("group.id", "delay")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let topic = setup.exceptions();
    let mut list = TopicPartitionList::new();
    for partition in end_offsets(&setup.bootstrap, &topic).into_keys() {
        list.add_partition_offset(&topic, partition, Offset::Beginning).expect("a list");
    }
    consumer.assign(&list).expect("an assignment");
    consumer
}

fn producer(setup: &Setup) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .create()
        .expect("a producer")
}

/// So many scans a second, each package well before its step of [`STEP_S`].
fn traffic(setup: &Setup, scans_a_second: usize, flowing: &AtomicBool) {
    const { assert!(MOVING < BUSY_SCANS_A_SECOND * (STEP_S as usize - 2)) }
    let producer = producer(setup);
    let (mut dice, mut sent, begun) = (Dice(1), 0, Instant::now());
    while flowing.load(Ordering::Relaxed) {
        let wanted = begun.elapsed().as_secs_f64() * scans_a_second as f64;
        while (sent as f64) < wanted {
            let number = format!("MOVING{:06}", sent % MOVING);
            let milestone = dice.pick(&["arrived", "departed"]);
            let scan: NewRecord = Scan::new(&number, milestone, now_ms()).json();
            send(&producer, &setup.scans(), &scan);
            sent += 1;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
