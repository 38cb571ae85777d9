//! Scans without an end, with all that goes wrong in a feed.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::client::{NewRecord, send};
use crate::scans::{AvroScans, COUNTRIES, Dice, FACILITIES, MOVES, Scan};
use crate::service::Setup;
use crate::wait::now_ms;

/// Steps after 2 to 12 seconds; packages are forgotten a minute after their last record.
pub const POLICIES: &str = r#"
version = 1
[defaults]
forget_after = "60s"
settled_retention = "15s"
catch_up_grace = "1s"
[carriers.dhl]
feed_grace = "1s"
[[policy]]
id = "express"
match = { service = ["express"] }
first_scan = [ { after = "3s", severity = "notice" }, { after = "7s", severity = "critical" } ]
no_movement = [
    { after = "2s", severity = "notice" },
    { after = "5s", severity = "warning" },
    { after = "9s", severity = "critical" },
]
[[policy]]
id = "held"
match = { milestone = ["on_hold"] }
no_movement = [ { after = "6s", severity = "warning", name = "held" } ]
[[policy]]
id = "everything-else"
first_scan = [ { after = "4s", severity = "warning" }, { after = "12s", severity = "critical" } ]
no_movement = [
    { after = "4s", severity = "warning", name = "stalled" },
    { after = "12s", severity = "critical", name = "presumed_lost" },
]
"#;
/// Seconds after the last scan by which nothing more falls due before packages are forgotten.
pub const QUIET_S: i64 = 18;
/// Seconds in which every package of the ring is visited once.
pub const CYCLE_S: u64 = 25;
/// Seconds after which a package that is seen no more is forgotten.
pub const FORGET_S: u64 = 60;

const TICK: Duration = Duration::from_millis(50);
const TICKS_A_SECOND: i64 = 20;
const CARRIERS: &[&str] = &["ups", "dhl", "gls"];
const SERVICES: &[&str] = &["ground", "express"];
/// Records of one visit, on average.
const PER_VISIT: i64 = 3;

/// What is produced at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Flow {
    /// Packages that come again and packages that fall silent for ever.
    All,
    /// Only packages that come again.
    Returning,
    /// Nothing more.
    Stopped,
}

/// Tells the producer what to do, and what it has done.
#[derive(Default)]
pub struct Tap {
    flow: AtomicU8,
    /// Records produced.
    pub records: AtomicU64,
    /// Records whose time lay further back than the margin when they were produced.
    pub late: AtomicU64,
}

impl Tap {
    pub fn set(&self, flow: Flow) {
        self.flow.store(flow as u8, Ordering::Relaxed);
    }

    fn is(&self, flow: Flow) -> bool {
        self.flow.load(Ordering::Relaxed) == flow as u8
    }
}

/// Where scans go.
pub struct Input {
    bootstrap: String,
    topic: String,
    format: &'static str,
}

impl Input {
    pub fn of(setup: &Setup) -> Self {
        let topic = setup.scans();
        Self { bootstrap: setup.bootstrap.clone(), topic, format: setup.format }
    }
}

/// Produces until the tap is closed, waiting for the broker however long it is away.
pub fn flow(to: &Input, tap: &Tap, seed: u64, rate: i64, late: bool) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &to.bootstrap)
        .set("partitioner", "murmur2_random")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "5")
        .set("compression.type", "zstd")
        .set("log_level", "0")
        .create()
        .expect("a producer");
    let topic = &to.topic;
    let mut feed = Feed::new(seed, to.format, rate, late);
    let mut owed = 0;
    while !tap.is(Flow::Stopped) {
        owed += rate;
        while owed >= TICKS_A_SECOND * PER_VISIT {
            owed -= TICKS_A_SECOND * PER_VISIT;
            for record in feed.visit(tap.is(Flow::All)) {
                send(&producer, topic, &record);
                tap.records.fetch_add(1, Ordering::Relaxed);
            }
        }
        for record in feed.retried(now_ms()) {
            send(&producer, topic, &record);
            tap.late.fetch_add(1, Ordering::Relaxed);
        }
        producer.poll(TICK);
        thread::sleep(TICK.saturating_sub(Duration::from_millis(1)));
    }
    producer.flush(Duration::from_secs(300)).expect("the broker takes every record");
}

struct Feed {
    dice: Dice,
    avro: Option<AvroScans>,
    ring: usize,
    turn: usize,
    once: usize,
    late: bool,
    held_back: Vec<(i64, NewRecord)>,
}

impl Feed {
    fn new(seed: u64, format: &str, rate: i64, late: bool) -> Self {
        let visits = usize::try_from(rate / PER_VISIT).expect("a rate of at least 1") * 7 / 10;
        let cycle = usize::try_from(CYCLE_S).expect("seconds");
        Self {
            dice: Dice(seed),
            avro: (format == "avro").then(AvroScans::new),
            ring: (visits * cycle).max(1),
            turn: 0,
            once: 0,
            late,
            held_back: Vec::new(),
        }
    }

    /// The records of one visit to a package.
    fn visit(&mut self, once_too: bool) -> Vec<NewRecord> {
        let number = match self.dice.of(10) {
            0..7 => {
                self.turn += 1;
                format!("RING{:06}", self.turn % self.ring)
            }
            7 if once_too => {
                self.once += 1;
                format!("ONCE{:06}", self.once)
            }
            _ => format!("EDGE{:04}", self.dice.below(40)),
        };
        let count = 1 + self.dice.of(2 * PER_VISIT - 1);
        let mut records = Vec::new();
        for _ in 0..count {
            self.scan(&number, &mut records);
        }
        records
    }

    fn scan(&mut self, number: &str, into: &mut Vec<NewRecord>) {
        let now = now_ms();
        let place = number.bytes().fold(0usize, |sum, byte| sum * 31 % 1009 + usize::from(byte));
        let (milestone, evidence) = self.milestone();
        let back = match self.dice.of(100) {
            0..50 => None,
            50..92 => Some(self.dice.of(2_000)),
            _ => Some(self.dice.of(15_000)),
        };
        let scan = Scan {
            carrier: CARRIERS[place % CARRIERS.len()],
            number: number.to_owned(),
            milestone,
            evidence,
            event_ms: back.map(|back| now - back),
            log_ms: now,
            service: (self.dice.of(3) > 0).then(|| SERVICES[place / 3 % SERVICES.len()]),
            facility: (self.dice.of(4) > 0).then(|| self.dice.pick(FACILITIES)),
            country: (self.dice.of(4) == 0).then(|| self.dice.pick(COUNTRIES)),
        };
        let mut record = match &mut self.avro {
            Some(avro) => avro.record(&scan),
            None => scan.json(),
        };
        match self.dice.of(100) {
            0..3 => record.value = Some(b"\xffpoison".to_vec()),
            3..8 => into.push(record.clone()),
            8..12 if self.late => {
                self.held_back.push((now + 1_500 + self.dice.of(8_000), record));
                return;
            }
            _ => {}
        }
        into.push(record);
    }

    /// Records whose producer got through only now, with the time of their first try.
    fn retried(&mut self, now: i64) -> Vec<NewRecord> {
        let (due, waiting) = self.held_back.drain(..).partition(|(at, _)| *at <= now);
        self.held_back = waiting;
        let due: Vec<(i64, NewRecord)> = due;
        due.into_iter().map(|(_, record)| record).collect()
    }

    fn milestone(&mut self) -> (&'static str, Option<&'static str>) {
        let physical = |milestone| (milestone, None);
        match self.dice.of(100) {
            0..5 => physical("delivered"),
            5..7 => physical("cancelled"),
            7..9 => ("lost", Some("system")),
            9..15 => ("departed", Some("predicted")),
            15..21 => ("label_created", Some("system")),
            21..24 => ("tendered", Some("system")),
            24..28 => physical("weighed_again"),
            28..34 => physical("on_hold"),
            34..36 => physical("returning"),
            36 => physical("returned"),
            _ => physical(self.dice.pick(MOVES)),
        }
    }
}
