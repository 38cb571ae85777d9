//! Very many packages that fall due within one second, with defaults: the process is killed twice in the
//! middle of it and told to end once. Every opening comes out once, at a pace, in bounded memory.

use std::fs;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::backlog;
use crate::broker::Broker;
use crate::client::{end_offsets, send};
use crate::scans::{Scan, one_step};
use crate::service::{Service, Setup};
use crate::wait::{now_secs, until_second};

const PARTITIONS: i32 = 8;
const PATIENCE: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_millis(100);
/// `shutdown.deadline`, and what an end may take beyond it.
const DEADLINE: Duration = Duration::from_secs(25 + 5);
/// Memory that the process may take beyond what it had and the open exceptions, behind a restart too.
const BEYOND: u64 = 64 << 20;
/// What an open exception takes itself: its entry of 96 bytes, its slot and its place in the index.
const BYTES_OF_OPEN: u64 = 112;
/// A start ends what hangs: so many end markers are no opening.
const MARKERS: u64 = 64;
const LEAST_A_SECOND: f64 = 20_000.0;

/// Measures with so many packages; prints a line of JSON. Panics where a bound does not hold.
pub fn measure(packages: usize) {
    let broker = Broker::start();
    let settings = [("message.timestamp.type", "CreateTime")];
    // Long enough for all of them to be read before.
    let after = 30 + packages as i64 / 10_000;
    let setup = Setup::with_scans(&broker, "flood", PARTITIONS, "json", &settings)
        .policies(one_step(&format!("{after}s")));
    let mut service = setup.start();
    let second = now_secs();
    log_scans(&setup, packages, second);
    service.wait("every package is known", |service| {
        let metrics = service.metrics()?;
        (metrics.sum("stallwatch_packages_tracked") as usize == packages).then_some(())
    });
    let due = second + after;
    assert!(now_secs() < due, "the scans were not read in time");
    let before = Memory::of(&service);
    until_second(due);

    let flood = Flood { setup: &setup, packages, before };
    let (begun, mut phases) = (Instant::now(), Vec::new());
    for (end, share) in [(End::Kill, 0.25), (End::Kill, 0.5), (End::Term, 0.75)] {
        phases.push(flood.until(&mut service, (packages as f64 * share) as u64));
        let watch = Instant::now();
        service = match end {
            End::Kill => {
                service.kill();
                setup.spawn()
            }
            End::Term => {
                service.send("TERM");
                assert!(service.wait_exit().success(), "{}", service.log());
                assert!(watch.elapsed() < DEADLINE, "the end took {:?}", watch.elapsed());
                setup.spawn()
            }
        };
    }
    phases.push(flood.until(&mut service, packages as u64));
    let all_out = begun.elapsed().as_secs_f64();
    service.wait_frontier(PARTITIONS, due);
    service.stop();
    let read = once_each(&setup, packages);
    println!(
        "{}",
        json!({"packages": packages, "events": read, "all_out_s": all_out, "mb_before": before.now / 1_000_000,
            "phases": phases.iter().map(Phase::json).collect::<Vec<_>>()})
    );
    for phase in &phases {
        assert!(phase.beyond() <= BEYOND as i64, "memory: {}", phase.json());
        assert!(phase.a_second() >= LEAST_A_SECOND, "pace: {}", phase.json());
    }
}

enum End {
    Kill,
    Term,
}

/// One scan of each package, all of one second.
fn log_scans(setup: &Setup, packages: usize, second: i64) {
    let producer = backlog::producer(setup);
    for at in 0..packages {
        let scan = Scan::new(&format!("1Z{at:016}"), "arrived", second * 1_000);
        send(&producer, &setup.scans(), &scan.json());
    }
    producer.flush(PATIENCE).expect("the broker takes every record");
}

/// What a process has in memory, and had at most since it was last asked, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    now: u64,
    most: u64,
}

impl Memory {
    /// Begins to count the most anew.
    fn of(service: &Service) -> Self {
        let process = format!("/proc/{}", service.id());
        let status = fs::read_to_string(format!("{process}/status")).expect("a process");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
        };
        let memory = Self { now: of("VmRSS:"), most: of("VmHWM:") };
        fs::write(format!("{process}/clear_refs"), "5").expect("the most is forgotten");
        memory
    }
}

struct Flood<'f> {
    setup: &'f Setup,
    packages: usize,
    before: Memory,
}

/// One life of the process.
struct Phase {
    /// From its start, or the due second, to the first event,
    until_first: Duration,
    /// and until every partition was restored as well.
    until_restored: Duration,
    /// From then on.
    events: u64,
    took: Duration,
    memory: Memory,
    before: Memory,
    /// Bytes of open exceptions.
    open: u64,
}

impl Flood<'_> {
    /// Waits until so many events are out in all.
    fn until(&self, service: &mut Service, events: u64) -> Phase {
        let begun = Instant::now();
        let out = || self.out();
        let (first, mut seen) = (out(), out());
        let (mut until_first, mut began) = (None, None);
        let end = begun + PATIENCE;
        while seen < events {
            assert!(Instant::now() < end, "{seen} of {events} are out\n{}", service.log());
            assert!(service.ended().is_none(), "it ended by itself\n{}", service.log());
            std::thread::sleep(LOOK);
            seen = out();
            if seen > first + MARKERS {
                until_first.get_or_insert(begun.elapsed());
            }
            if until_first.is_some() && began.is_none() && is_ready(service) {
                began = Some((Instant::now(), seen));
            }
        }
        let (since, at) = began.expect("not all is out before every partition is restored");
        let until_first = until_first.unwrap_or_default();
        let until_restored = since - begun;
        let (memory, took) = (Memory::of(service), since.elapsed());
        let open = seen * BYTES_OF_OPEN;
        let (events, before) = (seen - at, self.before);
        Phase { until_first, until_restored, events, took, memory, before, open }
    }

    /// Records in the exceptions topic: events, and end markers of transactions.
    fn out(&self) -> u64 {
        let ends = end_offsets(&self.setup.bootstrap, &self.setup.exceptions());
        let out: i64 = ends.values().sum();
        out.unsigned_abs().min(self.packages as u64)
    }
}

/// Whether all that it is assigned is restored.
fn is_ready(service: &Service) -> bool {
    service.get("/readyz").is_some_and(|(status, _)| status == 200)
}

impl Phase {
    fn a_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// The most that it took beyond what there was before and the open exceptions.
    fn beyond(&self) -> i64 {
        self.memory.most as i64 - self.before.now as i64 - self.open as i64
    }

    fn json(&self) -> Value {
        json!({"until_first_s": self.until_first.as_secs_f64(),
            "until_restored_s": self.until_restored.as_secs_f64(), "events": self.events,
            "events_a_second": self.a_second().round(), "mb_most": self.memory.most / 1_000_000,
            "mb_of_open": self.open / 1_000_000, "mb_beyond": self.beyond() / 1_000_000})
    }
}

/// Reads every event as a subscriber does; panics where a package has none, or more than one.
fn once_each(setup: &Setup, packages: usize) -> usize {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("group.id", "flood-reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    let mut unfinished: Vec<i32> =
        end_offsets(&setup.bootstrap, &setup.exceptions()).into_keys().collect();
    for &partition in &unfinished {
        list.add_partition_offset(&setup.exceptions(), partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let mut seen = vec![0_u8; packages];
    while !unfinished.is_empty() {
        match consumer.poll(PATIENCE).expect("an event, or the end") {
            Ok(record) => {
                let key = std::str::from_utf8(record.key().expect("a key")).expect("text");
                let at: usize = key.trim_start_matches("ups:1Z").parse().expect("a number");
                seen[at] = seen[at].saturating_add(1);
            }
            Err(KafkaError::PartitionEOF(partition)) => unfinished.retain(|it| *it != partition),
            Err(error) => panic!("{error}"),
        }
    }
    let none = seen.iter().filter(|count| **count == 0).count();
    let more = seen.iter().filter(|count| **count > 1).count();
    assert_eq!((none, more), (0, 0), "packages without an opening, and with more than one");
    seen.len()
}
