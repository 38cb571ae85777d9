//! A record whose look is out in part is read otherwise by whoever goes on with it.

use crate::broker::shared;
use crate::client::{NewRecord, produce, read};
use crate::flood::{assert_each_once, out};
use crate::halts::{command, wait_answered};
use crate::scans::{Scan, one_step};
use crate::service::Setup;
use crate::wait::now_ms;

const PACKAGES: usize = 24_000;
/// With more of them each puts less into a transaction.
const PARTITIONS: i32 = 16;
/// Records of ends of transactions that a start may add to the exceptions topic, and more.
const MARKERS: usize = 700;
const HOUR_MS: i64 = 3_600_000;

/// Packages that have been silent for hours, and behind them one record that says what time it is. It has
/// no other log time than its event time, the beginning of a day.
fn produce_a_record_that_makes_all_due(setup: &Setup, day_ms: i64) {
    let silent = |at| Scan::new(&format!("F{at:05}"), "arrived", day_ms - 3 * HOUR_MS).json();
    let last = Scan { event_ms: Some(day_ms), ..Scan::new("1ZLAST", "arrived", -1) }.json();
    let all = (0..PACKAGES).map(silent).chain([last]);
    let first = |record| NewRecord { partition: Some(0), ..record };
    produce(&setup.bootstrap, &setup.scans(), all.map(first));
}

/// Events that subscribers see.
fn seen(setup: &Setup) -> usize {
    read(&setup.bootstrap, &setup.exceptions()).len()
}

/// Starts it and kills it once something more comes out, and before all is out.
fn killed_amid(setup: &Setup, seen_before: usize) -> usize {
    let before = out(setup);
    let mut service = setup.spawn();
    service.wait("events", |_| (out(setup) > before + MARKERS).then_some(()));
    service.kill();
    let seen = seen(setup);
    assert!((seen_before + 1..PACKAGES).contains(&seen), "{seen_before}, then {seen}");
    seen
}

/// How often the state of the first partition was rebuilt.
fn rebuilt(log: &str) -> usize {
    let lines = log.lines().filter(|line| line.contains("package state rebuilt"));
    lines.filter(|line| line.contains("partition=0 ")).count()
}

#[test]
fn a_record_that_is_read_otherwise_amid_its_look_halts_until_it_is_put_back_or_accepted() {
    let settings = [("message.timestamp.type", "CreateTime")];
    let setup = Setup::with_scans(shared(), "amid-look", PARTITIONS, "json", &settings)
        .policies(one_step("1h"))
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"");
    let day_ms = now_ms() - now_ms().rem_euclid(24 * HOUR_MS);
    produce_a_record_that_makes_all_due(&setup, day_ms);
    let said = killed_amid(&setup, 0);

    // That day stands for no time: the record is no scan any more.
    let day = jiff::Timestamp::from_millisecond(day_ms).expect("a time").strftime("%F").to_string();
    let otherwise = format!("no_time = [\"{day}\"]");
    let setup = setup.with("input", &otherwise);
    let mut service = setup.spawn();
    let command = command(&setup, "rejections");
    service.wait("the halt", |service| service.log().contains(&command).then_some(()));
    service.stop();
    assert_eq!(seen(&setup), said, "nothing comes out");

    let setup = setup.with("input", "no_time = []");
    killed_amid(&setup, said);

    let debug = "level = \"info,stallwatch::service::restore=debug\"";
    let setup = setup.with("input", &otherwise).with("log", debug);
    let before = std::fs::read_to_string(setup.file("service.log")).expect("a log").len();
    let mut service = setup.spawn();
    service.wait("two looks", |service| {
        let looks = service.log().matches("nothing has changed since it halted").count();
        (looks >= 2).then_some(())
    });
    let log = service.log().split_off(before);
    assert_eq!(rebuilt(&log), 1, "nothing is read again until something changes\n{log}");
    wait_answered(&setup, &mut service, "rejections");
    service.wait("the dead letter", |_| {
        (read(&setup.bootstrap, &setup.dead_letters()).len() == 1).then_some(())
    });
    service.stop();
    assert_each_once(&setup, PACKAGES);
}
