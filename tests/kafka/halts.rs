//! What no rule can decide halts a partition by name: each halt is brought about on a real broker,
//! answered as it says, and the partition goes on with what is open.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::broker::shared;
use crate::client::{NewRecord, create_topic, delete_records, delete_topic, end_offsets, produce};
use crate::equality::by_package;
use crate::evidence::SHORT_POLICIES;
use crate::printed;
use crate::scans::Scan;
use crate::service::{OPEN_SETTINGS, SCANS_SETTINGS, Service, Setup};
use crate::wait::now_ms;

const DAY_MS: i64 = 86_400_000;

/// Has run over one silent package, which is open, and has stopped.
pub fn stopped_with_one_open(name: &str) -> Setup {
    stopped_with_one_open_and(name, |setup| setup)
}

/// Has the cut say nothing of what the open topic holds, as one of an earlier version does.
fn forget_sums(setup: &Setup) {
    store_cut(setup, |cut| drop(cut.remove("open").expect("count and sum")));
}

/// Writes the last cut of the first partition once more, changed.
pub fn store_cut(setup: &Setup, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let records = crate::client::read(&setup.bootstrap, &setup.open());
    let mut cuts = records.iter().filter(|it| rdkafka::Message::key(*it) == Some(b":cut"));
    let cut = cuts.next_back().and_then(rdkafka::Message::payload).expect("a cut");
    let mut cut: Value = serde_json::from_slice(cut).expect("JSON");
    change(cut.as_object_mut().expect("an object"));
    let cut = NewRecord {
        key: Some(b":cut".to_vec()),
        value: Some(cut.to_string().into_bytes()),
        partition: Some(0),
        ..NewRecord::default()
    };
    produce(&setup.bootstrap, &setup.open(), [cut]);
}

/// The same, set up a little differently.
pub fn stopped_with_one_open_and(name: &str, more: impl FnOnce(Setup) -> Setup) -> Setup {
    let setup = Setup::new(shared(), name, 1, "json")
        .policies(SHORT_POLICIES)
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"");
    let setup = more(setup);
    come(&setup, "1ZOPEN", "arrived", now_ms() - DAY_MS);
    let mut service = setup.start();
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened")]);
    service.stop();
    setup
}

pub fn come(setup: &Setup, number: &str, milestone: &'static str, time_ms: i64) {
    let scan = Scan::new(number, milestone, time_ms).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { partition: Some(0), ..scan }]);
}

/// Number and change of every event, in order.
fn told(setup: &Setup) -> Vec<(String, String)> {
    let text = |event: &Value, name: &str| event[name].as_str().expect("a text").to_owned();
    let mut events = setup.published();
    events.sort_by_key(|event| (event["tracking_number"].to_string(), event["sequence"].as_i64()));
    events.iter().map(|event| (text(event, "tracking_number"), text(event, "change"))).collect()
}

pub fn wait_told(service: &mut Service, setup: &Setup, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect();
    service.wait("the events", |_| (told(setup) == expected).then_some(()));
}

/// Starts, sees the halt with its command, runs that as it is printed, and goes on with the service.
pub fn answered(setup: &Setup, accept: &str) -> Service {
    let mut service = setup.spawn();
    wait_answered(setup, &mut service, accept);
    service
}

/// Sees the halt of a service with its command, runs that as it is printed, and sees it go on.
pub fn wait_answered(setup: &Setup, service: &mut Service, accept: &str) {
    let command = command(setup, accept);
    service.wait("the halt", |service| service.log().contains(&command).then_some(()));
    let held = service.wait("the metric", |service| {
        let held = service
            .metrics()?
            .value("stallwatch_frontier_held", &[("reason", "halted".to_owned())])?;
        (held >= 1.0).then_some(held)
    });
    assert!(held >= 1.0);
    assert_eq!(printed::last(&service.log(), "stallwatch recover"), command);
    printed::run(setup, shared(), &command);
    service.wait_ready();
}

/// The command that answers a halt of the first partition.
pub fn command(setup: &Setup, accept: &str) -> String {
    let config = setup.file("stallwatch.toml");
    format!("stallwatch recover --config {} --accept {accept} --partition 0", config.display())
}

/// What subscribers that read from the beginning see of each exception: its numbers without a gap and
/// none twice, nothing behind its end, and the open table has what has no end.
pub fn assert_no_contradiction(setup: &Setup) {
    let published = setup.published();
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in &published {
        let id = event["exception_id"].as_str().expect("an id");
        let sequence = event["sequence"].as_i64().expect("a number");
        match last.insert(id, event) {
            None => assert_eq!(event["change"], "opened", "{event}"),
            Some(before) => {
                assert_eq!(before["sequence"].as_i64(), Some(sequence - 1), "{before}\n{event}");
                assert!(!closes(before), "{before}\n{event}");
            }
        }
    }
    let open = by_package(last.into_values().filter(|event| !closes(event)).cloned());
    assert_eq!(open, by_package(setup.open_table_of_any_partition()), "the open table");
}

fn closes(event: &Value) -> bool {
    ["resolved", "retracted", "expired"].iter().any(|change| event["change"] == *change)
}

#[test]
fn records_deleted_before_they_were_read_halt_until_the_gap_is_accepted() {
    let setup = stopped_with_one_open("gap");
    come(&setup, "1ZLOST", "arrived", now_ms() - DAY_MS);
    let ends = end_offsets(&setup.bootstrap, &setup.scans());
    delete_records(&setup.bootstrap, &setup.scans(), &ends);
    let mut service = answered(&setup, "gap");
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert!(setup.open_table().is_empty());
    assert_no_contradiction(&setup);
}

#[test]
fn records_deleted_before_a_running_service_reads_them_halt_it_until_the_gap_is_accepted() {
    let setup = stopped_with_one_open("gap-live");
    let mut service = setup.start();
    service.send("STOP");
    // What the broker answers to a fetch that waits ends with the first of them.
    come(&setup, "1ZOPEN", "arrived", now_ms() - DAY_MS);
    come(&setup, "1ZLOST", "arrived", now_ms() - DAY_MS);
    let ends = end_offsets(&setup.bootstrap, &setup.scans());
    delete_records(&setup.bootstrap, &setup.scans(), &ends);
    service.send("CONT");
    wait_answered(&setup, &mut service, "gap");
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert!(setup.open_table().is_empty());
    assert_no_contradiction(&setup);
}

#[test]
fn records_deleted_behind_the_newest_snapshot_halt_until_the_gap_is_accepted() {
    let setup = stopped_with_one_open_and("gap-snapshot", |setup| {
        let url = format!("url = \"file://{}\"", setup.file("snapshots").display());
        setup.with("state", url)
    });
    let mut service = setup.start();
    come(&setup, "1ZLATER", "arrived", now_ms() - DAY_MS);
    let opened = [("1ZLATER", "opened"), ("1ZOPEN", "opened")];
    wait_told(&mut service, &setup, &opened);
    service.kill();
    let ends = end_offsets(&setup.bootstrap, &setup.scans());
    delete_records(&setup.bootstrap, &setup.scans(), &ends);
    let mut service = answered(&setup, "gap");
    assert!(service.log().contains("the newest usable snapshot ends at offset"));
    for number in ["1ZLATER", "1ZOPEN"] {
        come(&setup, number, "departed", now_ms());
    }
    let [later, open] = opened;
    let resolved = |number| (number, "resolved");
    wait_told(&mut service, &setup, &[later, resolved("1ZLATER"), open, resolved("1ZOPEN")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn a_topic_made_anew_halts_until_the_new_log_is_accepted_and_what_is_open_stays_open() {
    let setup = stopped_with_one_open("new-log");
    delete_topic(&setup.bootstrap, &setup.scans());
    create_topic(&setup.bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
    come(&setup, "1ZNEW", "arrived", now_ms() - DAY_MS);
    let mut service = answered(&setup, "new-log");
    wait_told(&mut service, &setup, &[("1ZNEW", "opened"), ("1ZOPEN", "opened")]);
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(
        &mut service,
        &setup,
        &[("1ZNEW", "opened"), ("1ZOPEN", "opened"), ("1ZOPEN", "resolved")],
    );
    service.stop();
}

#[test]
fn a_topic_made_anew_with_more_records_is_told_by_its_content_and_its_old_snapshots_are_left_alone()
{
    let setup = stopped_with_one_open_and("new-log-longer", |setup| {
        let url = format!("url = \"file://{}\"", setup.file("snapshots").display());
        setup.with("state", url)
    });
    delete_topic(&setup.bootstrap, &setup.scans());
    create_topic(&setup.bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
    for number in ["1ZNEW1", "1ZNEW2", "1ZNEW3"] {
        come(&setup, number, "arrived", now_ms() - DAY_MS);
    }
    let mut service = answered(&setup, "new-log");
    let by_content = "the record at offset 0 is not the one that was applied last";
    assert!(service.log().contains(by_content), "{}", service.log());
    let opened = ["1ZNEW1", "1ZNEW2", "1ZNEW3", "1ZOPEN"].map(|number| (number, "opened"));
    wait_told(&mut service, &setup, &opened);
    service.kill();

    // Snapshots of the old log and of the same offsets are still there.
    let mut service = setup.start();
    let log = service.log();
    assert_eq!(log.matches("the partition is halted").count(), 1, "{log}");
    for number in ["1ZNEW2", "1ZOPEN"] {
        come(&setup, number, "departed", now_ms());
    }
    let [first, second, third, open] = opened;
    let resolved = |number| (number, "resolved");
    let all = [first, second, resolved("1ZNEW2"), third, open, resolved("1ZOPEN")];
    wait_told(&mut service, &setup, &all);
    service.stop();
    assert_eq!(setup.open_table().len(), 2);
    assert_no_contradiction(&setup);
}

#[test]
fn another_number_of_partitions_halts_until_it_is_accepted() {
    let setup = stopped_with_one_open("partitions");
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .create()
        .expect("a client");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for topic in [setup.scans(), setup.open()] {
        let more = [NewPartitions::new(&topic, 2)];
        let made = admin.create_partitions(&more, &AdminOptions::new());
        let made = runtime.block_on(made).expect("the broker answers");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }
    let mut service = answered(&setup, "partitions");
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
}

#[test]
fn an_open_topic_made_anew_halts_until_a_first_start_is_accepted() {
    let setup = stopped_with_one_open("first-start");
    delete_topic(&setup.bootstrap, &setup.open());
    create_topic(&setup.bootstrap, &setup.open(), 1, &[("cleanup.policy", "compact")]);
    let mut service = answered(&setup, "first-start");
    // With backfill = "publish" the history is told again, under the same identity.
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "opened")]);
    service.stop();
    let ids: BTreeMap<String, usize> =
        setup.published().iter().fold(BTreeMap::new(), |mut ids, event| {
            *ids.entry(event["exception_id"].to_string()).or_default() += 1;
            ids
        });
    assert_eq!(ids.into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(setup.open_table().len(), 1);
}

#[test]
fn a_first_start_that_is_accepted_in_silence_tells_once_more_what_is_open_and_says_so_before() {
    let setup = stopped_with_one_open_and("first-silent", |setup| {
        setup.with("input", "backfill = \"silent\"")
    });
    delete_topic(&setup.bootstrap, &setup.open());
    create_topic(&setup.bootstrap, &setup.open(), 1, OPEN_SETTINGS);
    let said = setup.run_verb(&["recover", "--list"]).out;
    assert!(said.contains("subscribers see: REPEATS under the same exception_id"), "{said}");
    let mut service = answered(&setup, "first-start");
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "opened")]);
    service.stop();
    let published = setup.published();
    assert_eq!(published[0]["exception_id"], published[1]["exception_id"]);
    assert_eq!(published[1]["backfilled"], true);
    assert_eq!(setup.open_table().len(), 1);
}

#[test]
fn an_open_exception_that_the_log_contradicts_halts_until_the_log_is_trusted() {
    let setup = stopped_with_one_open("trust-log");
    let entry = crate::client::read(&setup.bootstrap, &setup.open());
    let entry = entry
        .iter()
        .find(|record| rdkafka::Message::key(*record).is_some_and(|key| !key.starts_with(b":")))
        .expect("the open exception");
    let copied = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let entry = NewRecord {
        key: copied(rdkafka::Message::key(entry)),
        value: copied(rdkafka::Message::payload(entry)),
        partition: Some(0),
        ..NewRecord::default()
    };
    let mut service = setup.start();
    come(&setup, "1ZOPEN", "delivered", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    produce(&setup.bootstrap, &setup.open(), [entry]);
    forget_sums(&setup);
    let mut service = answered(&setup, "trust-log");
    service.wait("the entry is gone", |_| setup.open_table().is_empty().then_some(()));
    service.stop();
    let changes = told(&setup).into_iter().map(|(_, change)| change).collect::<Vec<_>>();
    let as_the_log_says = ["opened", "resolved", "resolved"];
    assert_eq!(changes, as_the_log_says, "it is closed: its package moved");
    let closing = |event: &&Value| closes(event) && event["closed_by"].is_null();
    assert_eq!(setup.published().iter().filter(closing).count(), 1);
}
