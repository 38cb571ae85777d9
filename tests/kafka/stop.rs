//! A stop has an end, whatever the client and the broker do.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::broker::{Broker, shared};
use crate::client::produce;
use crate::equality::{assert_equals_replay, run_to_the_end};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{PATIENCE, Service, Setup};
use crate::wait::{now_ms, until};

/// Seconds that a stop may take.
const DEADLINE_S: u64 = 2;

#[test]
fn a_stop_at_any_moment_of_the_start_ends_well_and_leaves_nothing_of_the_client_behind() {
    const STARTS: u32 = 16;
    let setup = Setup::new(shared(), "early", 4, "json").policies(SHORT_POLICIES);
    for start in 0..STARTS {
        let mut service = setup.spawn();
        let starting = |log: &str| log.matches("starting version").count() > start as usize;
        service.wait("signals are handled", |service| starting(&service.log()).then_some(()));
        // Each time a moment later: joining the group takes about two seconds.
        let moment = Instant::now() + Duration::from_millis(150) * start;
        until("the moment", PATIENCE, || (Instant::now() >= moment).then_some(()), String::new);
        service.send("TERM");
        let status = service.wait_exit();
        assert_eq!(status.code(), Some(0), "{}", service.log());
        assert!(!service.log().contains("left behind"), "{}", service.log());
    }
}

fn commits(service: &Service) -> f64 {
    service.metrics().map_or(0.0, |metrics| metrics.sum("stallwatch_transactions_total"))
}

#[test]
fn a_stop_without_the_broker_ends_in_time_and_says_that_not_all_is_committed() {
    let broker = Broker::start();
    let setup = Setup::new(&broker, "frozen-stop", 2, "json")
        .policies(SHORT_POLICIES)
        .with("output", "commit_interval = \"5s\"")
        .with("shutdown", format!("deadline = \"{DEADLINE_S}s\""));
    let mut service = setup.start();
    // Right behind a commit, so that what is read next waits for the following one.
    let before = commits(&service);
    service.wait("a commit", |service| (commits(service) > before).then_some(()));
    let scans = (0..6).map(|at| Scan::new(&format!("S{at}"), "arrived", now_ms()).json());
    produce(&setup.bootstrap, &setup.scans(), scans);
    service.wait_scans(6);
    broker.pause();
    let begun = Instant::now();
    service.send("TERM");
    let status = service.wait_exit();
    let took = begun.elapsed();
    broker.resume();
    let log = service.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("stopping took longer than shutdown.deadline"), "{log}");
    assert!(took < Duration::from_secs(DEADLINE_S + 5 + 2), "it took {took:?}\n{log}");
    run_to_the_end(&setup);
    assert_equals_replay(&setup);
}

#[test]
fn a_stop_does_not_wait_for_a_policies_file_whose_end_never_comes() {
    let setup = Setup::new(shared(), "endless", 1, "json").policies(SHORT_POLICIES);
    let mut service = setup.start();
    let file = setup.file("policies.toml");
    fs::remove_file(&file).expect("removed");
    let made = Command::new("mkfifo").arg(&file).status();
    assert!(made.expect("mkfifo can be run").success());
    service.send("HUP");
    // A pipe can be opened for writing once somebody reads it.
    let _end = service.wait("the file is being read", |_| {
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&file).ok()
    });
    service.stop();
}
