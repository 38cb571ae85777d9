//! A partition that halts names what an operator may accept, and goes on once that is done.

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::shared;
use crate::client::{NewRecord, committing, create_topic, delete_topic, produce};
use crate::equality::{assert_equals_replay, journeys_on_a_topic, run_to_the_end};
use crate::printed;
use crate::scans::Scan;
use crate::service::{PATIENCE, SCANS_SETTINGS, Service, Setup};
use crate::wait::{now_ms, now_secs, until};

/// Sets the group's offset, as soon as the group has no member left.
pub fn reset_offset(setup: &Setup, partition: i32, offset: i64) {
    let consumer = committing(&setup.bootstrap, &setup.group());
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&setup.scans(), partition, Offset::Offset(offset)).expect("a list");
    until(
        "the group takes an offset by hand",
        PATIENCE,
        || consumer.commit(&list, CommitMode::Sync).ok(),
        String::new,
    );
}

/// Waits until the group has no member left.
pub fn wait_until_left(setup: &Setup) {
    let (group, consumer) = (setup.group(), committing(&setup.bootstrap, "test-reader"));
    let is_left = || {
        let found = consumer.fetch_group_list(Some(&group), PATIENCE).ok()?;
        found.groups().iter().all(|group| group.members().is_empty()).then_some(())
    };
    until("the group has no member", PATIENCE, is_left, || group.clone());
}

#[test]
fn an_offset_reset_by_hand_halts_the_partition_until_the_cut_is_accepted() {
    let setup = journeys_on_a_topic("reset", 300, 1, "json")
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"");
    run_to_the_end(&setup);
    reset_offset(&setup, 0, 3);

    let mut service = setup.spawn();
    let command = crate::halts::command(&setup, "cut");
    service.wait("the halt", |service| service.log().contains(&command).then_some(()));
    let (done, said) = setup.recover(0, "gap");
    assert!(!done && said.contains(&command), "another answer is refused: {said}");
    let (done, said) = setup.recover(0, "cut");
    assert!(done, "{said}");
    let (done, said) = setup.recover(0, "cut");
    assert!(done || said.contains("goes on at offset"), "given twice it means the same: {said}");

    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    assert_equals_replay(&setup);
}

/// A service of two partitions that has read a scan of each.
fn two_partitions(name: &str) -> (Setup, Service) {
    let setup = Setup::new(shared(), name, 2, "json")
        .policies(crate::evidence::SHORT_POLICIES)
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"");
    come_to_each(&setup);
    let mut service = setup.start();
    service.wait_scans(2);
    (setup, service)
}

fn come_to_each(setup: &Setup) {
    let scan = |partition| {
        let scan = Scan::new(&format!("1Z{partition}"), "arrived", now_ms()).json();
        NewRecord { partition: Some(partition), ..scan }
    };
    produce(&setup.bootstrap, &setup.scans(), [0, 1].map(scan));
}

fn list(setup: &Setup, more: &[&str]) -> String {
    let said = setup.run_verb(&[&["recover", "--list"], more].concat());
    assert_eq!(said.code, 0, "{said:?}");
    said.out
}

fn wait_halted(service: &mut Service, count: usize) {
    service.wait("the halts", |service| {
        (service.log().matches("the partition is halted").count() == count).then_some(())
    });
}

#[test]
fn what_a_partition_does_not_halt_for_is_refused() {
    let (setup, service) = two_partitions("refused");
    for accept in ["cut", "gap", "new-log", "partitions", "first-start", "trust-log", "frontier"] {
        let (done, said) = setup.recover(1, accept);
        assert!(!done && said.contains("goes on at offset 1"), "{accept}: {said}");
        let said = setup.run_verb(&["recover", "--accept", accept, "--all"]);
        assert!(said.code == 1 && said.err.contains("none is halted"), "{said:?}");
    }
    let (done, said) = setup.recover(2, "cut");
    assert!(!done && said.contains("the input has 2"), "{said}");
    assert_eq!(list(&setup, &[]), "nothing halts (the input has 2 partitions)\n");
    service.stop();
    let answers = crate::client::read(&setup.bootstrap, &setup.open());
    let answers = answers.iter().filter_map(rdkafka::Message::key).filter(|it| *it == b":accept");
    assert_eq!(answers.count(), 0);
}

#[test]
fn the_list_tells_what_subscribers_will_see_and_its_command_answers_all_that_halt_alike() {
    let (setup, service) = two_partitions("list-all");
    service.stop();
    for partition in [0, 1] {
        reset_offset(&setup, partition, 0);
    }
    let before = list(&setup, &[]);
    assert!(before.contains("partition 1 halts: offset-disagrees\n"), "{before}");
    let mut service = setup.spawn();
    wait_halted(&mut service, 2);
    let shown = list(&setup, &[]);
    assert!(shown.contains("partition 0 halts since 20"), "{shown}");
    assert!(shown.contains("was the offset reset by hand?"), "{shown}");
    assert!(shown.contains("    subscribers see: nothing new"), "{shown}");
    let one = list(&setup, &["--partition", "1", "-o", "json"]);
    let one: serde_json::Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!(one["halted"][0]["answers"][0]["accept"], "cut", "{one}");
    assert_eq!(one["halted"][1], serde_json::Value::Null, "{one}");
    let command = printed::last(&shown, "stallwatch recover");
    assert!(command.ends_with("--accept cut --all --reason offset-disagrees"), "{command}");
    let said = printed::run(&setup, shared(), &command).out;
    assert_eq!(said.matches(": cut is accepted").count(), 2, "{said}");
    service.wait_ready();
    service.wait_frontier(2, now_secs() - 2);
    until(
        "nothing halts",
        PATIENCE,
        || list(&setup, &[]).contains("nothing halts").then_some(()),
        || list(&setup, &[]),
    );
    service.stop();
}

#[test]
fn partitions_that_halt_for_several_reasons_are_answered_reason_by_reason() {
    let (setup, service) = two_partitions("several");
    service.stop();
    delete_topic(&setup.bootstrap, &setup.scans());
    create_topic(&setup.bootstrap, &setup.scans(), 2, SCANS_SETTINGS);
    let scan = Scan::new("1ZNEW", "arrived", now_ms()).json();
    produce(&setup.bootstrap, &setup.scans(), [NewRecord { partition: Some(1), ..scan }]);
    let mut service = setup.spawn();
    wait_halted(&mut service, 2);
    // The log alone shows the second; the word that the service has left does.
    service.stop();
    let all = ["recover", "--accept", "new-log", "--all"];
    let said = setup.run_verb(&all);
    let named = "recreated (1 partitions), too-short (1 partitions): name one with --reason";
    assert!(said.code == 1 && said.err.contains(named), "{said:?}");
    let said = setup.run_verb(&["recover", "--accept", "gap", "--all"]);
    let other = "halted are 0 for too-short, 1 for recreated";
    assert!(said.code == 1 && said.err.contains(other), "{said:?}");
    for (reason, partition) in [("too-short", 0), ("recreated", 1)] {
        let said = setup.run_verb(&[&all[..], &["--reason", reason]].concat());
        let answered = format!("partition {partition}: new-log is accepted");
        assert!(said.code == 0 && said.out.contains(&answered), "{said:?}");
        assert_eq!(said.out.lines().count(), 1, "{said:?}");
    }
    assert!(list(&setup, &[]).contains("new-log is accepted already"));
    let mut service = setup.start();
    service.wait_frontier(2, now_secs() - 2);
    service.stop();
}
