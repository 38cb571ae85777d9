//! A partition that halts names what an operator may accept, and goes on once that is done.

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::committing;
use crate::equality::{assert_equals_replay, journeys_on_a_topic, run_to_the_end};
use crate::service::{PATIENCE, Setup};
use crate::wait::{now_secs, until};

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

#[test]
fn an_offset_reset_by_hand_halts_the_partition_until_the_cut_is_accepted() {
    let setup = journeys_on_a_topic("reset", 300, 1, "json")
        .with("kafka", "session_timeout = \"6s\"")
        .with("kafka", "transaction_timeout = \"4s\"");
    run_to_the_end(&setup);
    reset_offset(&setup, 0, 3);

    let mut service = setup.spawn();
    let command = "stallwatch recover --partition 0 --accept cut";
    service.wait("the halt", |service| service.log().contains(command).then_some(()));
    let (done, said) = setup.recover(0, "gap");
    assert!(!done && said.contains(command), "another answer is refused: {said}");
    let (done, said) = setup.recover(0, "cut");
    assert!(done, "{said}");
    let (done, said) = setup.recover(0, "cut");
    assert!(done || said.contains("goes on at offset"), "given twice it means the same: {said}");

    service.wait_frontier(1, now_secs() - 2);
    service.stop();
    assert_equals_replay(&setup);
}
