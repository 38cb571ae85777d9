//! `doctor` over a service that is well, and over each thing that may be wrong.

use serde_json::Value;

use super::{grant, listed, logged_in, over_tls, with_certificate};
use crate::broker::{free_port, shared};
use crate::client::{create_topic, produce};
use crate::evidence::SHORT_POLICIES;
use crate::scans::Scan;
use crate::service::{Said, Setup};
use crate::wait::now_ms;

/// Whether a line of this verdict has all these parts.
fn has(said: &Said, verdict: &str, parts: &[&str]) -> bool {
    let wanted =
        |line: &str| line.starts_with(verdict) && parts.iter().all(|part| line.contains(part));
    said.out.lines().any(wanted)
}

fn assert_has(said: &Said, verdict: &str, parts: &[&str]) {
    assert!(has(said, verdict, parts), "no {verdict} {parts:?}:\n{}{}", said.out, said.err);
}

/// A service on the open listener whose topics the broker stamps.
fn sound(name: &str, open: i32, settings: &[(&str, &str)], of_open: &[(&str, &str)]) -> Setup {
    let setup = Setup::on(shared().bootstrap(), name, 2, "json").policies(SHORT_POLICIES);
    create_topic(&setup.bootstrap, &setup.scans(), 2, settings);
    create_topic(&setup.bootstrap, &setup.open(), open, of_open);
    create_topic(&setup.bootstrap, &setup.exceptions(), 1, &[]);
    create_topic(&setup.bootstrap, &setup.dead_letters(), 1, &[]);
    setup
}

const STAMPED: [(&str, &str); 2] =
    [("retention.ms", "-1"), ("message.timestamp.type", "LogAppendTime")];
const COMPACTED: [(&str, &str); 1] = [("cleanup.policy", "compact")];

#[test]
fn a_service_that_is_well_is_told_so_line_by_line_and_the_same_in_json() {
    let broker = shared();
    let setup = over_tls(broker, "well");
    let store = setup.file("snapshots");
    let setup = setup.with("state", format!("url = \"file://{}\"", store.display()));
    let rights = listed(&setup);
    grant(broker, &rights);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_has(&said, "ok", &["tls: ", "ca.pem: CN=ca is valid for"]);
    assert_has(&said, "ok", &["tls: ", "CN=localhost is valid for"]);
    assert_has(&said, "ok", &["login: user clerk by SCRAM-SHA-512 over sasl_ssl"]);
    for right in &rights {
        assert_has(&said, "ok", &["rights: ", &format!("{} on ", right.operation), &right.name]);
    }
    assert_has(&said, "ok", &["group: ", "0 partitions go on, 1 begin for the first time"]);
    assert_has(&said, "ok", &["snapshots: ", "written, read, listed and deleted"]);
    assert_has(&said, "skip", &["topics: ", &setup.exceptions(), "acls print --doctor"]);
    let left: Vec<_> = std::fs::read_dir(store.join(setup.group())).into_iter().flatten().collect();
    assert!(left.is_empty(), "nothing stays in the store: {left:?}");

    let json: Value = serde_json::from_str(&setup.run_verb(&["doctor", "-o", "json"]).out).unwrap();
    assert_eq!(json["ok"], true);
    let findings = json["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), said.out.lines().count(), "{json:#}");
}

#[test]
fn doctor_beside_a_running_service_fences_nobody_and_sees_its_members() {
    let broker = shared();
    let setup = logged_in(broker, "beside");
    grant(broker, &listed(&setup));
    let mut service = setup.start();
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_has(&said, "ok", &["group: ", "with 1 members"]);
    let scan = Scan::new("1Z1", "arrived", now_ms() - 86_400_000);
    produce(&broker.bootstrap(), &setup.scans(), [scan.json()]);
    service.wait("an exception", |_| (super::exceptions_end(broker, &setup) > 0).then_some(()));
    let log = service.log();
    service.stop();
    assert!(!log.to_lowercase().contains("fenced"), "{log}");
}

#[test]
fn the_clock_is_compared_by_the_records_that_the_broker_stamps() {
    let setup = sound("clock", 2, &STAMPED, &COMPACTED);
    let said = setup.run_verb(&["doctor"]);
    assert_has(&said, "skip", &["clock: not checked: ", "has no record"]);
    assert_has(&said, "ok", &["group: ", &setup.group(), "does not exist yet"]);
    assert!(!said.out.contains("Dead"), "{said:?}");
    produce(&setup.bootstrap, &setup.scans(), [Scan::new("1Z1", "arrived", now_ms()).json()]);
    let said = setup.run_verb(&["doctor"]);
    assert_has(&said, "ok", &["clock: the broker's clock was not ahead of ours"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn topics_that_are_not_as_they_should_be_are_told_with_the_remedy() {
    let short = [("retention.ms", "5000"), ("retention.bytes", "1000000")];
    let setup = sound("odd-topics", 1, &short, &[("cleanup.policy", "delete")]);
    produce(&setup.bootstrap, &setup.scans(), [Scan::new("1Z1", "arrived", now_ms()).json()]);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    let (scans, open) = (setup.scans(), setup.open());
    assert_has(&said, "FAIL", &[&open, "has 1 partitions", "has 2; they must be equal"]);
    assert_has(
        &said,
        "FAIL",
        &[&open, "cleanup.policy=delete", "--add-config cleanup.policy=compact"],
    );
    assert_has(&said, "FAIL", &[&scans, "the longest step is", "no snapshots", "retention.ms="]);
    assert_has(&said, "warn", &[&scans, "CreateTime", "message.timestamp.type=LogAppendTime"]);
    assert_has(&said, "FAIL", &[&scans, "retention.bytes=1000000", "no snapshots"]);
    assert_has(&said, "warn", &[&open, "delete.retention.ms=", "delete.retention.ms=21600000"]);
    assert_has(&said, "warn", &[&open, "segment.ms=604800000", "segment.ms=3600000"]);
    assert_has(&said, "warn", &[&open, "max.compaction.lag.ms=", "max.compaction.lag.ms=300000"]);
    assert_has(&said, "skip", &["clock: ", "CreateTime"]);
}

#[test]
fn fewer_replicas_than_must_be_in_sync_are_a_problem() {
    let more = [&STAMPED[..], &[("min.insync.replicas", "2")]].concat();
    let setup = sound("in-sync", 2, &more, &COMPACTED);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_has(
        &said,
        "FAIL",
        &[&setup.scans(), "min.insync.replicas is 2 of 1", "nothing can be written"],
    );
}

#[test]
fn a_topic_that_is_missing_is_a_problem_with_the_command_that_creates_it() {
    let setup = Setup::on(shared().bootstrap(), "nothing", 1, "json").policies(SHORT_POLICIES);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    for topic in [setup.scans(), setup.open(), setup.exceptions(), setup.dead_letters()] {
        assert_has(&said, "FAIL", &[&topic, "does not exist", "stallwatch topics create"]);
    }
}

#[test]
fn a_certificate_that_ends_soon_is_warned_of() {
    let broker = shared();
    let setup = with_certificate(broker, "soon", "soon");
    grant(broker, &listed(&setup));
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_has(&said, "warn", &["tls: ", "soon.pem: CN=clerk expires in 9 days"]);
}

#[test]
fn a_key_that_is_not_the_certificates_is_a_problem() {
    let broker = shared();
    let key = broker.certificate("expired.key").display().to_string();
    let setup = with_certificate(broker, "key", "clerk");
    let said = setup.with("kafka.security", format!("key_file = \"{key}\"")).run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_has(&said, "FAIL", &["tls: ", "expired.key is not the key of ", "clerk.pem"]);
    assert_has(&said, "FAIL", &["broker: no client can be made"]);
    assert_has(&said, "skip", &["rights: not checked: the broker is out of reach"]);
}

#[test]
fn a_right_to_one_transactional_id_alone_is_told_and_tried_only_while_nobody_would_be_fenced() {
    let broker = shared();
    let setup = logged_in(broker, "literal");
    let mut rights = listed(&setup);
    let own = rights.iter_mut().find(|right| right.resource == "transactional-id");
    let own = own.expect("a right of the list");
    own.pattern = "literal".to_owned();
    own.name = format!("{}/{}", setup.group(), setup.instance());
    let id = own.name.clone();
    grant(broker, &rights);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_has(&said, "warn", &["rights: ", &format!("Write on transactional id {id} alone")]);
    let service = setup.start();
    let said = setup.run_verb(&["doctor"]);
    let log = service.log();
    service.stop();
    assert_eq!(said.code, 0, "{said:?}");
    assert_has(&said, "warn", &["rights: ", &id, "cannot be tried while instances run"]);
    assert!(!log.to_lowercase().contains("fenced"), "{log}");
}

#[test]
fn a_broker_that_is_not_there_is_a_problem_and_what_needs_it_is_skipped() {
    let address = format!("127.0.0.1:{}", free_port());
    let setup = Setup::on(address.clone(), "nobody", 1, "json").policies(SHORT_POLICIES);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_has(&said, "FAIL", &["broker: ", &address, "cannot be reached"]);
    assert_has(&said, "skip", &["rights: not checked: the broker is out of reach"]);
    assert_has(&said, "warn", &["snapshots: state.url is not set"]);
}

#[test]
fn a_snapshot_store_that_cannot_be_written_is_a_problem() {
    let setup = sound("no-store", 2, &STAMPED, &COMPACTED);
    std::fs::write(setup.file("file"), "no folder").expect("written");
    let url = format!("url = \"file://{}\"", setup.file("file").display());
    let said = setup.with("state", url).run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert_has(&said, "FAIL", &["snapshots: ", "state.url"]);
}

#[test]
fn an_offset_that_was_reset_by_hand_is_a_problem_with_the_command_that_accepts_it() {
    let setup = sound("by-hand", 2, &STAMPED, &COMPACTED);
    let scan = Scan::new("1Z1", "arrived", now_ms()).json();
    let scan = crate::client::NewRecord { partition: Some(0), ..scan };
    produce(&setup.bootstrap, &setup.scans(), [scan.clone(), scan]);
    let mut service = setup.start();
    service.wait_scans(2);
    service.stop();
    crate::recover::reset_offset(&setup, 0, 1);
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 3, "{said:?}");
    let config = setup.file("verb.toml").display().to_string();
    let command =
        format!("stallwatch recover --config {config} --accept cut --partition 0 (or --all)");
    let halts = "group: partition 0 halts (offset-disagrees): ";
    assert_has(&said, "FAIL", &[halts, "reset by hand", &command]);
}

#[test]
fn a_configuration_that_is_wrong_is_no_matter_for_doctor() {
    let setup = logged_in(shared(), "wrong").with("kafka", "rock = \"x\"");
    let said = setup.run_verb(&["doctor"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.err.contains("rock"), "{said:?}");
}
