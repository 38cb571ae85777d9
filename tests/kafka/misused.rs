//! What others do to our topics halts the partitions concerned, by name; what the halts say is done.

use rdkafka::Message;
use serde_json::Value;

use crate::client::{NewRecord, create_topic, delete_records, delete_topic, produce, read};
use crate::evidence::SHORT_POLICIES;
use crate::halts::{
    answered, assert_no_contradiction, come, stopped_with_one_open, store_cut, wait_answered,
    wait_told,
};
use crate::service::{SCANS_SETTINGS, Setup};
use crate::wait::{now_ms, now_secs};

const DAY_MS: i64 = 86_400_000;

/// Number, change and sequence of every event, whichever group it is of.
fn by_any_group(setup: &Setup) -> Vec<String> {
    let events = read(&setup.bootstrap, &setup.exceptions());
    let text = |event: &Value, name: &str| event[name].to_string().replace('"', "");
    let told = |record: &rdkafka::message::OwnedMessage| {
        let event: Value =
            serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
        ["tracking_number", "change", "sequence"].map(|name| text(&event, name)).join(" ")
    };
    events.iter().map(told).collect()
}

#[test]
fn a_second_group_on_the_same_output_topics_halts_until_the_first_is_said_to_have_stopped() {
    let setup = stopped_with_one_open("two-groups");
    let other = setup.with("kafka", "group_id = \"the-other-one\"");
    let mut service = answered(&other, "group");
    assert!(service.log().contains("two groups on one set of them publish everything twice"));
    come(&other, "1ZOPEN", "departed", now_ms());
    service.wait("the end of it", |_| (by_any_group(&other).len() == 2).then_some(()));
    service.wait_frontier(1, now_secs());
    service.stop();
    assert_eq!(by_any_group(&other), ["1ZOPEN opened 0", "1ZOPEN resolved 1"]);
    assert!(other.open_table().is_empty());
}

#[test]
fn a_group_that_commits_beside_a_running_instance_halts_it_until_it_is_said_to_have_stopped() {
    let setup = stopped_with_one_open("beside");
    let mut service = setup.start();
    // The instance commits before, so that it notices what stands between that and the next.
    service.wait_frontier(1, now_secs());
    store_cut(&setup, |cut| {
        cut.insert("group".to_owned(), "the-other-one".into());
        cut.insert("owner".to_owned(), "other/1".into());
    });
    wait_answered(&setup, &mut service, "group");
    assert!(service.log().contains("group \"the-other-one\" (other/1) has committed"));
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn of_a_topic_made_anew_under_a_frozen_instance_every_record_is_read_once_that_is_accepted() {
    const RECORDS: usize = 50;
    let setup = stopped_with_one_open("anew-frozen");
    let mut service = setup.start();
    service.wait_frontier(1, now_secs());
    service.send("STOP");
    delete_topic(&setup.bootstrap, &setup.scans());
    create_topic(&setup.bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
    for number in 0..RECORDS {
        come(&setup, &format!("1ZNEW{number}"), "arrived", now_ms() - DAY_MS);
    }
    service.send("CONT");
    wait_answered(&setup, &mut service, "new-log");
    service.wait("every package", |_| {
        let opened = setup.published().iter().filter(|event| event["change"] == "opened").count();
        (opened == RECORDS + 1).then_some(())
    });
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn a_topic_made_anew_whose_records_show_nothing_is_told_by_its_identity() {
    let setup = stopped_with_one_open("topic-id");
    delete_topic(&setup.bootstrap, &setup.scans());
    create_topic(&setup.bootstrap, &setup.scans(), 1, SCANS_SETTINGS);
    for number in ["1ZGONE", "1ZNEW"] {
        come(&setup, number, "arrived", now_ms() - DAY_MS);
    }
    // The record that would show it is deleted: the log looks like the old one.
    delete_records(&setup.bootstrap, &setup.scans(), &[(0, 1)].into());
    let mut service = answered(&setup, "new-log");
    assert!(service.log().contains("the input topic is another one than at the cut"));
    wait_told(&mut service, &setup, &[("1ZNEW", "opened"), ("1ZOPEN", "opened")]);
    come(&setup, "1ZOPEN", "departed", now_ms());
    let all = [("1ZNEW", "opened"), ("1ZOPEN", "opened"), ("1ZOPEN", "resolved")];
    wait_told(&mut service, &setup, &all);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn records_that_are_read_otherwise_than_before_halt_until_they_are_put_back_or_accepted() {
    let setup = stopped_with_one_open("rejections");
    let (avro, json) = ("format = \"avro\"", "format = \"json\"");
    let setup = setup.with("input", avro);
    let mut service = setup.spawn();
    service.wait("the halt", |service| {
        service.log().contains("Put it back, or go on with the records").then_some(())
    });
    service.stop();
    // Put back, nothing has happened.
    let setup = setup.with("input", json);
    let mut service = setup.start();
    come(&setup, "1ZMORE", "arrived", now_ms() - DAY_MS);
    let before = [("1ZMORE", "opened"), ("1ZOPEN", "opened")];
    wait_told(&mut service, &setup, &before);
    service.stop();
    // Accepted, what is open stays open although its records are not read.
    let setup = setup.with("input", avro);
    let mut service = answered(&setup, "rejections");
    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    assert_no_contradiction(&setup);
    // And back once more, it ends by its next scan.
    let setup = setup.with("input", json);
    let mut service = setup.spawn();
    wait_answered(&setup, &mut service, "rejections");
    come(&setup, "1ZOPEN", "departed", now_ms());
    let [more, open] = before;
    wait_told(&mut service, &setup, &[more, open, ("1ZOPEN", "resolved")]);
    service.stop();
    assert_no_contradiction(&setup);
}

#[test]
fn an_entry_deleted_from_the_open_topic_halts_and_is_written_again_and_nothing_is_published() {
    let setup = stopped_with_one_open("open-differs");
    let before = setup.open_table();
    delete_entry(&setup);
    let mut service = answered(&setup, "open-table");
    assert!(service.log().contains("gone by the log: ups:1ZOPEN"), "{}", service.log());
    assert!(service.log().contains("which is known; nothing is published"), "{}", service.log());
    service.wait("the entry", |_| (setup.open_table().len() == 1).then_some(()));
    let id = |table: &[Value]| (table[0]["exception_id"].clone(), table[0]["sequence"].clone());
    assert_eq!(id(&setup.open_table()), id(&before));
    come(&setup, "1ZOPEN", "departed", now_ms());
    wait_told(&mut service, &setup, &[("1ZOPEN", "opened"), ("1ZOPEN", "resolved")]);
    service.stop();
    assert!(setup.open_table().is_empty());
    assert_no_contradiction(&setup);
}

#[test]
fn entries_of_which_it_is_not_known_what_they_were_come_once_more_as_the_list_says() {
    let setup = stopped_with_one_open("open-unknown");
    // Under other policies it is not known which step it was.
    let more =
        r#"{ after = "8s", severity = "warning" }, { after = "9s", severity = "critical" } ]"#;
    let policies = SHORT_POLICIES
        .replace(r#"{ after = "8s", severity = "warning", name = "stalled" } ]"#, more);
    assert_ne!(policies, SHORT_POLICIES);
    let setup = setup.policies(policies);
    delete_entry(&setup);
    let mut service = setup.spawn();
    service.wait("the halt", |service| {
        service.log().contains("To go on with it as it is").then_some(())
    });
    let list = setup.run_verb(&["recover", "--list"]).out;
    assert!(list.contains("else REPEATS: what is silent by the log"), "{list}");
    wait_answered(&setup, &mut service, "open-table");
    service.wait("it comes once more", |_| (setup.published().len() >= 2).then_some(()));
    let published = setup.published();
    assert_eq!(published[0]["exception_id"], published[1]["exception_id"]);
    assert_eq!(published[1]["change"], "opened");
    service.stop();
    assert_eq!(setup.open_table().len(), 1);
}

/// Deletes the entry of the open package, as somebody may do.
fn delete_entry(setup: &Setup) {
    let tombstone = NewRecord {
        key: Some(b"ups:1ZOPEN:no_movement".to_vec()),
        partition: Some(0),
        ..NewRecord::default()
    };
    produce(&setup.bootstrap, &setup.open(), [tombstone]);
}
