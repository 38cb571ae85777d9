//! A clock that lies decides nothing: the wall clock of the service is shifted while it runs, while it
//! starts and after it was killed, and the brokers' time stays what exceptions are decided by.

use std::path::PathBuf;
use std::process::Command;

use crate::broker::{project, shared};
use crate::client::{self, NewRecord, produce};
use crate::evidence::{SHORT_POLICIES, STEP_S, told, wait_for_exceptions};
use crate::halts::{answered, assert_no_contradiction, wait_told};
use crate::printed;
use crate::scans::Scan;
use crate::service::{SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs, until_second};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// To the year 2060 and back.
fn year_2060() -> i64 {
    2_840_140_800_000 - now_ms()
}

/// A service whose wall clock can be shifted.
struct Shifted {
    setup: Setup,
    file: PathBuf,
}

impl Shifted {
    fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        let setup = Setup::with_scans(shared(), name, 2, "json", settings);
        Self::with(setup)
    }

    fn with(setup: Setup) -> Self {
        let mut setup = setup.policies(SHORT_POLICIES).with("input", "clock_margin = \"2s\"");
        let (file, shim) = (setup.file("clock_shift"), setup.file("clock_shim.so"));
        let source = project().join("tests/kafka/clock_shim.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut compile = Command::new(compiler);
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        assert!(compile.status().expect("a C compiler").success());
        let path = |path: &PathBuf| path.display().to_string();
        setup.environment.push(("LD_PRELOAD".to_owned(), path(&shim)));
        setup.environment.push(("CLOCK_SHIFT".to_owned(), path(&file)));
        let shifted = Self { setup, file };
        shifted.shift(0);
        shifted
    }

    fn shift(&self, ms: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, ms.to_string()).expect("written");
        std::fs::rename(new, &self.file).expect("renamed");
    }

    fn produce(&self, scans: impl IntoIterator<Item = Scan>) {
        let scans = scans.into_iter().map(|scan| scan.json());
        produce(&self.setup.bootstrap, &self.setup.scans(), scans);
    }

    /// Packages that are scanned again and again, so that none is ever silent for long.
    fn keep_moving(&self) {
        let number = |package| format!("MOVES{package}");
        self.produce((0..10).map(|it| Scan::new(&number(it), "in_transit", now_ms())));
    }
}

fn offset(service: &Service) -> Option<f64> {
    service.metrics()?.value("stallwatch_clock_offset_seconds", &[])
}

/// Waits until the service knows how far its clock is off.
fn wait_for_offset(service: &mut Service, shift_ms: i64) {
    service.wait("the clock's offset", |service| {
        let off = offset(service)? - shift_ms as f64 / 1_000.0;
        (off.abs() < 1.0).then_some(())
    });
}

/// Whatever the clock of the service says, in life and through restarts: nothing is reported that
/// moves, what is silent is reported once, no scan is refused.
fn a_clock_that_lies_decides_nothing(name: &str, settings: &[(&str, &str)]) {
    let shifted = Shifted::new(name, settings);
    let mut service = shifted.setup.start();
    shifted.keep_moving();
    service.wait_scans(10);
    for shift_ms in [10 * MINUTE_MS, -10 * MINUTE_MS, HOUR_MS, -HOUR_MS, year_2060()] {
        shifted.shift(shift_ms);
        wait_for_offset(&mut service, shift_ms);
        let log = service.log();
        let side = if shift_ms > 0 { "ahead of" } else { "behind" };
        assert!(log.contains(&format!("s {side} the brokers' clock")), "{log}");
        shifted.keep_moving();
        service.wait_frontier(2, now_secs() - 1);
        service.kill();
        service = shifted.setup.start();
        shifted.keep_moving();
        wait_for_offset(&mut service, shift_ms);
        service.wait_frontier(2, now_secs() - 1);
    }
    shifted.shift(0);
    wait_for_offset(&mut service, 0);
    assert_eq!(told(&shifted.setup.published()), [], "a false alarm");
    shifted.keep_moving();
    shifted.produce([Scan::new("QUIET", "arrived", now_ms())]);
    until_second(now_secs() + STEP_S / 2);
    shifted.keep_moving();
    wait_for_exceptions(&shifted.setup, &mut service, 1);
    service.stop();
    let quiet = ("QUIET".to_owned(), "opened".to_owned());
    assert_eq!(told(&shifted.setup.published())[..1], [quiet]);
    assert!(client::read(&shifted.setup.bootstrap, &shifted.setup.dead_letters()).is_empty());
}

#[test]
fn a_clock_that_lies_decides_nothing_where_producers_set_timestamps() {
    a_clock_that_lies_decides_nothing("lies-create", &[]);
}

#[test]
fn a_clock_that_lies_decides_nothing_where_the_broker_sets_timestamps() {
    let by_the_broker = [("message.timestamp.type", "LogAppendTime")];
    a_clock_that_lies_decides_nothing("lies-append", &by_the_broker);
}

/// A service whose open topic no broker stamps, so that its own clock tells the time.
fn unstamped(name: &str, partitions: i32) -> Setup {
    let setup = Setup::on(shared().bootstrap(), name, partitions, "json");
    let bootstrap = &setup.bootstrap;
    client::create_topic(bootstrap, &setup.scans(), partitions, SCANS_SETTINGS);
    client::create_topic(bootstrap, &setup.open(), partitions, &[("cleanup.policy", "compact")]);
    client::create_topic(bootstrap, &setup.exceptions(), 1, &[]);
    client::create_topic(bootstrap, &setup.dead_letters(), 1, &[]);
    setup
}

#[test]
fn a_frontier_that_a_lying_clock_led_ahead_halts_until_its_way_back_is_accepted() {
    let mut shifted = Shifted::with(unstamped("ahead", 1));
    shifted.setup.policies = SHORT_POLICIES.replace("8s", "30m");
    shifted.shift(HOUR_MS);
    let mut service = shifted.setup.start();
    let scan = |number| Scan::new(number, "arrived", now_ms());
    shifted.produce([scan("MOVES"), scan("STAYS")]);
    let early = [("MOVES", "opened"), ("STAYS", "opened")];
    wait_told(&mut service, &shifted.setup, &early);
    service.stop();
    shifted.shift(0);
    // As a warning says; the brokers' clock is known from then on.
    let doctor = shifted.setup.run_verb(&["doctor"]).out;
    let mut commands = printed::commands(&doctor, "kafka-configs.sh");
    commands
        .retain(|command| command.contains(&format!("--entity-name {} ", shifted.setup.open())));
    commands.retain(|command| command.ends_with("message.timestamp.type=LogAppendTime"));
    let [command] = &commands[..] else { panic!("{doctor}") };
    printed::run(&shifted.setup, shared(), command);

    let mut service = answered(&shifted.setup, "frontier");
    assert!(service.log().contains("s ahead of the brokers' clock"), "{}", service.log());
    service.wait_frontier(1, now_secs() - 2);
    let frontier = [("partition", "0".to_owned())];
    let metrics = service.metrics().expect("an answer");
    let frontier = metrics.value("stallwatch_frontier_timestamp_seconds", &frontier);
    assert!(frontier.is_some_and(|it| it <= (now_secs() + 1) as f64), "{frontier:?}");
    shifted.produce([Scan::new("MOVES", "departed", now_ms()), scan("FRESH")]);
    let [moves, stays] = early;
    wait_told(&mut service, &shifted.setup, &[moves, ("MOVES", "retracted"), stays]);
    service.wait_frontier(1, now_secs());
    service.stop();
    assert_no_contradiction(&shifted.setup);
    let list = shifted.setup.run_verb(&["recover", "--list"]).out;
    assert!(list.contains("nothing halts"), "{list}");
}

#[test]
fn where_nobody_stamps_the_open_topic_a_clock_that_steps_holds_the_frontier_and_says_so() {
    let shifted = Shifted::with(unstamped("unstamped", 2));
    let mut service = shifted.setup.start();
    assert!(service.log().contains("--add-config message.timestamp.type=LogAppendTime"));
    shifted.produce([Scan::new("SEEN", "arrived", now_ms())]);
    service.wait_scans(1);
    service.wait_frontier(2, now_secs() - 3);
    shifted.shift(HOUR_MS);
    service.wait("the hold", |service| {
        let reason = [("reason", "clock_stepped".to_owned())];
        (service.metrics()?.value("stallwatch_frontier_held", &reason)? == 2.0).then_some(())
    });
    service.wait("a line in the log", |service| {
        service.log().contains("the clock of this machine has stepped").then_some(())
    });
    assert_eq!(told(&shifted.setup.published()), [], "no silence was seen, only a clock");
    service.kill();
}

#[test]
fn a_record_without_a_timestamp_is_judged_by_its_event_time() {
    let setup = Setup::new(shared(), "no-timestamp", 1, "json").policies(SHORT_POLICIES);
    let setup = setup.with("input", "clock_margin = \"2s\"");
    let mut service = setup.start();
    let (far, near) = (4_070_908_800_000, now_ms() + 2 * HOUR_MS);
    let scan = |number: &str, event_ms: i64, milestone: &str| {
        NewRecord {
        value: Some(
            format!(
                r#"{{"carrier":"ups","tracking_number":"{number}","milestone":"{milestone}","event_time":{event_ms}}}"#
            )
            .into_bytes(),
        ),
        time_ms: Some(-1),
        ..NewRecord::default()
    }
    };
    let in_order = [scan("FAR", far, "arrived"), scan("NEAR", near, "arrived")];
    let rejected = [scan("", far, "arrived"), scan("", near, "arrived")];
    let bad = [in_order, rejected].concat();
    produce(
        &setup.bootstrap,
        &setup.scans(),
        bad.into_iter().chain([scan("NOW", now_ms(), "arrived")]),
    );
    wait_for_exceptions(&setup, &mut service, 1);
    service.stop();
    assert_eq!(told(&setup.published()), [("NOW".to_owned(), "opened".to_owned())]);
    let dead = client::read(&setup.bootstrap, &setup.dead_letters());
    let reason = |one| client::header(one, "__stallwatch.errors.reason").expect("a reason");
    let mut reasons: Vec<_> = dead.iter().map(reason).collect();
    reasons.sort();
    assert_eq!(
        reasons.iter().filter(|reason| *reason == "future_log_time").count(),
        2,
        "{reasons:?}"
    );
    assert_eq!(reasons.len(), 4);
}
