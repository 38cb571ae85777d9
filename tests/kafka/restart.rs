//! A service that ends in the middle and comes back neither repeats nor misses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::client::{committed, end_offsets, produce};
use crate::equality::{assert_equals_replay, journeys_on_a_topic, run_to_the_end};
use crate::evidence::{STEP_S, stamped_by_the_broker};
use crate::scans::Scan;
use crate::service::{Service, Setup};
use crate::wait::{now_ms, now_secs};

/// Waits until the group has committed more than before; how much it has.
fn wait_for_a_commit(setup: &Setup, service: &mut Service, before: i64) -> i64 {
    service.wait("a commit", |_| {
        let sum = committed_sum(setup);
        (sum > before).then_some(sum)
    })
}

fn committed_sum(setup: &Setup) -> i64 {
    committed(&setup.bootstrap, &setup.group(), &setup.scans()).values().sum()
}

fn end_sum(setup: &Setup) -> i64 {
    end_offsets(&setup.bootstrap, &setup.scans()).values().sum()
}

#[test]
fn a_service_ended_in_the_middle_of_a_log_by_term_and_by_kill_neither_repeats_nor_misses() {
    let setup = journeys_on_a_topic("middle", 10_000, 4, "avro")
        .with("output", "commit_interval = \"100ms\"");
    let mut service = setup.start();
    let first = wait_for_a_commit(&setup, &mut service, 0);
    service.kill();
    assert!(first < end_sum(&setup), "it was to be killed in the middle");

    let mut service = setup.start();
    wait_for_a_commit(&setup, &mut service, first);
    service.stop();

    run_to_the_end(&setup);
    assert_equals_replay(&setup);
}

#[test]
fn term_commits_all_that_was_read_and_ends_well() {
    let setup =
        journeys_on_a_topic("term", 200, 2, "json").with("output", "commit_interval = \"5s\"");
    let mut service = setup.start();
    service.wait_frontier(2, now_secs() - 2);
    service.stop();
    assert_eq!(
        committed(&setup.bootstrap, &setup.group(), &setup.scans()),
        end_offsets(&setup.bootstrap, &setup.scans())
    );
    assert_equals_replay(&setup);
}

#[test]
fn ends_and_starts_amid_live_traffic_change_nothing_of_what_is_published() {
    let setup = stamped_by_the_broker("live", 3);
    let flowing = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| live_traffic(&setup, &flowing));
        let turns = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for turn in 0..4 {
                let mut service = setup.start();
                let seen = events(&setup);
                service.wait("new events", |_| (events(&setup) > seen + 20).then_some(()));
                if turn % 2 == 0 { service.kill() } else { service.stop() }
            }
        }));
        flowing.store(false, Ordering::Relaxed);
        turns.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let quiet = now_secs() + STEP_S + 2;
    let mut service = setup.start();
    service.wait_frontier(3, quiet);
    service.stop();
    assert_equals_replay(&setup);
}

/// Packages of a ring, each scanned again just before or just after its step is due.
fn live_traffic(setup: &Setup, flowing: &AtomicBool) {
    for turn in 0.. {
        if !flowing.load(Ordering::Relaxed) {
            return;
        }
        let scans = (0..10).map(|lane| {
            let ring = if lane % 2 == 0 { 70 } else { 110 };
            let number = format!("LIVE{lane}X{}", turn % ring);
            Scan::new(&number, "departed", now_ms()).json()
        });
        produce(&setup.bootstrap, &setup.scans(), scans);
        thread::sleep(Duration::from_millis(80));
    }
}

/// How many records, with those of aborted transactions and markers, the exceptions topic has.
fn events(setup: &Setup) -> i64 {
    end_offsets(&setup.bootstrap, &setup.exceptions()).values().sum()
}
