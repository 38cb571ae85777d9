//! The feed that deploy/compose.yaml starts, with the policies that it is made for.

use std::fs;
use std::process::Command;

use crate::broker::{project, shared};
use crate::python;
use crate::service::Setup;

/// Runs the feed for a few seconds; how many scans it says it has sent.
fn feed(setup: &Setup) -> u64 {
    let mut command: Command = python::command("deploy/demo-feed/feed.py");
    command.args(["--bootstrap", &setup.bootstrap, "--topic", &setup.scans()]);
    command.args(["--scans-per-second", "2000", "--seconds", "4", "--seed", "7"]);
    let ran = command.output().expect("Python can be run");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let last = said.lines().last().expect("a line");
    last.strip_suffix(" scans sent").and_then(|count| count.parse().ok()).expect("a count")
}

#[test]
fn every_scan_of_the_demo_feed_is_one_and_each_package_stays_in_its_partition() {
    let policies = project().join("deploy/compose/policies.toml");
    let policies = fs::read_to_string(policies).expect("the policies can be read");
    let setup = Setup::new(shared(), "demo-feed", 3, "json").policies(policies);
    let mut service = setup.start();
    let sent = feed(&setup);
    assert!(sent > 500, "{sent}");
    service.wait_scans(sent);
    let metrics = service.metrics().expect("metrics");
    assert_eq!(metrics.sum("stallwatch_records_rejected_total"), 0.0);
    assert_eq!(metrics.sum("stallwatch_misrouted_packages_total"), 0.0);
    let applied = [("outcome", "applied".to_owned())];
    assert!(metrics.value("stallwatch_scans_total", &applied).is_some_and(|scans| scans > 0.0));
    service.stop();
}
