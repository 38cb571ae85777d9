//! One run: traffic, faults, calm, and the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::faults::{Ledger, SESSION_S, Storm};
use crate::feed::{self, CYCLE_S, FORGET_S, Flow, Input, QUIET_S, Tap};
use crate::fleet::{Fleet, Happened, SETTLE};
use crate::scans::Dice;
use crate::service::Setup;
use crate::verdict;
use crate::wait::now_secs;
use crate::watch::Watch;
use crate::{Format, Options};

const PARTITIONS: i32 = 6;
const INSTANCES: usize = 3;
const LOOK: Duration = Duration::from_millis(50);
/// How long before the last fault packages stop to fall silent for ever, so that all of them are
/// forgotten when the verdict falls, and nothing else falls due then.
const LAST_ONCE: Duration = Duration::from_secs(30);
/// How far the frontier may lie behind the wall clock in the calm.
const NEAR_S: i64 = 5;

/// Runs and judges; what it did is printed, with every fault where it failed.
pub fn run(options: &Options, seed: u64) -> ExitCode {
    let mut broker = Broker::start();
    let mut setup = set_up(&broker, options, seed);
    let mut ledger = Ledger::new();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        Run::new(options, seed, &setup, &mut broker, &mut ledger).judged()
    }));
    let failure = match ran {
        Ok(Ok(line)) => {
            println!("{line}");
            return ExitCode::SUCCESS;
        }
        Ok(Err(why)) => why,
        Err(panic) => verdict::words(panic.as_ref()),
    };
    println!("chaos FAILED with seed {seed}; the faults in order:");
    ledger.lines.iter().for_each(|line| println!("  {line}"));
    println!("{failure}");
    keep(&mut setup, &broker);
    ExitCode::FAILURE
}

/// Keeps the logs of all instances and what the broker has on disk.
fn keep(setup: &mut Setup, broker: &Broker) {
    let folder = setup.keep_files();
    println!("logs of all instances, and the broker's data: {}", folder.display());
    let copied = std::process::Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args(broker.data_and_log())
        .arg(folder)
        .status();
    if !copied.is_ok_and(|status| status.success()) {
        println!("the broker's data could not be copied");
    }
}

fn set_up(broker: &Broker, options: &Options, seed: u64) -> Setup {
    let stamp = if options.create_time { "CreateTime" } else { "LogAppendTime" };
    let format = match options.format {
        Some(Format::Json) => "json",
        Some(Format::Avro) => "avro",
        None if seed.is_multiple_of(2) => "json",
        None => "avro",
    };
    let settings = [("message.timestamp.type", stamp)];
    let mut setup = Setup::with_scans(broker, "chaos", PARTITIONS, format, &settings)
        .policies(feed::POLICIES)
        .with("input", "clock_margin = \"2s\"")
        .with("kafka", format!("session_timeout = \"{SESSION_S}s\""))
        .with("kafka", format!("transaction_timeout = \"{}s\"", SESSION_S - 2));
    if options.snapshots {
        let folder = setup.file("snapshots");
        std::fs::create_dir(&folder).expect("a folder for snapshots");
        setup = setup
            .with("state", format!("url = \"file://{}\"", folder.display()))
            .with("state", "snapshot_interval = \"3s\"");
    }
    setup
}

struct Run<'r> {
    options: &'r Options,
    setup: &'r Setup,
    broker: &'r mut Broker,
    ledger: &'r mut Ledger,
    fleet: Fleet<'r>,
    watches: [Watch; 2],
    storm: Storm,
    tap: Arc<Tap>,
    seed: u64,
}

impl<'r> Run<'r> {
    fn new(
        options: &'r Options,
        seed: u64,
        setup: &'r Setup,
        broker: &'r mut Broker,
        ledger: &'r mut Ledger,
    ) -> Self {
        Self {
            fleet: Fleet::new(setup, INSTANCES),
            watches: [Watch::exceptions(setup), Watch::open(setup)],
            storm: Storm::new(seed, options.mostly, options.spare_broker),
            tap: Arc::new(Tap::default()),
            options,
            setup,
            broker,
            ledger,
            seed,
        }
    }

    fn judged(mut self) -> Result<Value, String> {
        let begun = Instant::now();
        let feed = self.open_the_tap();
        self.wait_near("every partition is live")?;
        match (self.options.outage, self.options.outages, self.options.kills) {
            (Some(length), _, _) => self.outage(length)?,
            (None, Some(count), _) => self.outages(count)?,
            (None, None, Some(count)) => self.rage_until(count)?,
            (None, None, None) => {
                self.rage(Duration::from_secs_f64(self.options.minutes * 60.0))?;
            }
        }
        self.calm()?;
        self.tap.set(Flow::Stopped);
        feed.join().map_err(|_| "the producer gave up".to_owned())?;
        let quiet = now_secs() + QUIET_S;
        self.wait(SETTLE, "nothing more is due", |fleet| fleet.frontier() >= quiet)?;
        let lateness = self.fleet.sum("stallwatch_input_timestamp_lateness_seconds_count") as u64;
        if !self.fleet.stop() {
            return Err("an instance did not end well".to_owned());
        }
        let [events, table] = self.watches.map(Watch::finish);
        let (events, table) = (events?, table?);
        let findings = if self.options.create_time {
            verdict::consistent(self.setup)
        } else {
            verdict::equal(self.setup)
        };
        verdict::watched_all(&findings, &events, &table)?;
        verdict::no_panic(self.setup, INSTANCES)?;
        Ok(json!({
            "seed": self.seed,
            "seconds": begun.elapsed().as_secs(),
            "mode": if self.options.create_time { "create_time" } else { "log_append_time" },
            "format": self.setup.format,
            "snapshots": self.options.snapshots,
            "outage_s": self.options.outage.map(|length| length.as_secs()),
            "faults": self.ledger.counts,
            "kills": self.ledger.count("kill"),
            "scans": self.tap.records.load(Ordering::Relaxed),
            "late_beyond_margin": self.tap.late.load(Ordering::Relaxed),
            "lateness_counted": lateness,
            "subscriber": events,
            "open_table": table,
            "verdict": findings.told,
        }))
    }

    fn open_the_tap(&self) -> thread::JoinHandle<()> {
        let (input, tap) = (Input::of(self.setup), self.tap.clone());
        let (seed, rate, late) = (self.seed, self.options.rate, self.options.create_time);
        thread::spawn(move || feed::flow(&input, &tap, seed, rate, late))
    }

    /// Random faults for so long.
    fn rage(&mut self, length: Duration) -> Result<(), String> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            if Instant::now() + LAST_ONCE > end {
                self.tap.set(Flow::Returning);
            }
            self.storm.blow(&mut self.fleet, self.broker, self.ledger);
            self.look()?;
        }
        Ok(())
    }

    /// Random faults until so many instances were killed.
    fn rage_until(&mut self, kills: u64) -> Result<(), String> {
        while self.ledger.count("kill") < kills {
            self.storm.blow(&mut self.fleet, self.broker, self.ledger);
            self.look()?;
        }
        self.rage(LAST_ONCE)
    }

    /// The broker is not there for so long; traffic before, so that much is open or about to be.
    fn outage(&mut self, length: Duration) -> Result<(), String> {
        let flows = Instant::now() + Duration::from_secs(CYCLE_S);
        self.wait(SETTLE, "traffic", |_| Instant::now() >= flows)?;
        self.tap.set(Flow::Returning);
        self.ledger.fault("outage", &format!("begins, for {length:?}"));
        self.broker.stop();
        let over = Instant::now() + length;
        self.wait(length + SETTLE, "the outage is over", |_| Instant::now() >= over)?;
        self.broker.run();
        self.ledger.note("the broker answers again");
        let forgotten = Instant::now() + Duration::from_secs(FORGET_S);
        self.wait(SETTLE, "packages are forgotten", |_| Instant::now() >= forgotten)
    }

    /// The broker is not there again and again, with all that runs in between.
    fn outages(&mut self, count: u64) -> Result<(), String> {
        let mut dice = Dice(self.seed);
        for number in 1..=count {
            if number == count {
                self.tap.set(Flow::Returning);
            }
            let length = Duration::from_secs(30 + dice.of(151).unsigned_abs());
            let kind = if number % 2 == 1 { "broker_restart" } else { "broker_freeze" };
            self.ledger.fault(kind, &format!("number {number}, for {length:?}"));
            match kind {
                "broker_restart" => self.broker.stop(),
                _ => self.broker.pause(),
            }
            let over = Instant::now() + length;
            self.wait(length + SETTLE, "the outage is over", |_| Instant::now() >= over)?;
            match kind {
                "broker_restart" => self.broker.run(),
                _ => self.broker.resume(),
            }
            self.ledger.note("the broker answers again");
            self.wait_near("every partition is live after the outage")?;
            let flows = Instant::now() + Duration::from_secs(dice.of(20).unsigned_abs());
            self.wait(SETTLE, "traffic", |_| Instant::now() >= flows)?;
        }
        let forgotten = Instant::now() + Duration::from_secs(FORGET_S);
        self.wait(SETTLE, "packages are forgotten", |_| Instant::now() >= forgotten)
    }

    /// No more faults: every partition comes back while traffic flows, every package comes once more.
    fn calm(&mut self) -> Result<(), String> {
        self.storm.abate(self.broker);
        self.fleet.calm();
        self.tap.set(Flow::Returning);
        self.ledger.note("calm");
        let cycle = Instant::now() + Duration::from_secs(CYCLE_S + 5);
        self.wait(SETTLE, "every package comes once more", |_| Instant::now() >= cycle)?;
        self.wait_near("every partition is live again")
    }

    fn wait_near(&mut self, what: &str) -> Result<(), String> {
        self.wait(SETTLE, what, |fleet| fleet.frontier() >= now_secs() - NEAR_S)
    }

    fn wait(
        &mut self,
        patience: Duration,
        what: &str,
        mut done: impl FnMut(&Fleet<'_>) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        while !done(&self.fleet) {
            if Instant::now() > end {
                let frontier = self.fleet.frontier();
                return Err(format!(
                    "not within {patience:?}: {what}; the least frontier is {frontier}, it is {}",
                    now_secs()
                ));
            }
            self.look()?;
        }
        Ok(())
    }

    /// Tends the instances and listens to the subscribers; then pauses.
    fn look(&mut self) -> Result<(), String> {
        for happened in self.fleet.tend() {
            match happened {
                Happened::DidNotEndWell(text) => self.ledger.note(&text),
                Happened::EndedByItself(text) => return Err(text),
            }
        }
        match self.watches.iter_mut().find_map(Watch::contradiction) {
            Some(contradiction) => Err(contradiction),
            None => {
                thread::sleep(LOOK);
                Ok(())
            }
        }
    }
}
