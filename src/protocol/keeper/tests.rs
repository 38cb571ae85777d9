use super::*;
use crate::detector::shard::Stats;
use crate::protocol::decisions::Decisions;
use crate::protocol::open_sum::OpenSum;

fn cut(partition: i32, epoch: Epoch, offset: i64) -> Cut<()> {
    Cut {
        partition,
        epoch,
        offset,
        frontier: None,
        log_clock: None,
        events: Vec::new(),
        rows: Vec::new(),
        dead_letters: Vec::new(),
        traces: std::collections::BTreeMap::new(),
        decisions: Decisions::default(),
        policies: "".into(),
        policies_change: false,
        backfill: Backfill::Publish,
        last: None,
        cursor: None,
        open: OpenSum::default(),
        is_full: false,
        stats: Stats::default(),
        halt: None,
    }
}

fn ready(stamp: Option<(String, u64)>) -> Ready<()> {
    Ready {
        packages: (),
        offset: 5,
        decisions: Decisions::default(),
        backfill: Backfill::Publish,
        last: None,
        closings: Vec::new(),
        rows: Vec::new(),
        stamp,
        resume: None,
        open: OpenSum::default(),
        topic_id: Some("one".to_owned()),
        partitions: 1,
        read_anew: false,
    }
}

fn holding() -> (Keeper<()>, Epoch) {
    let mut keeper = Keeper::new("me/1".to_owned(), Rules::ALL);
    let epoch = keeper.assigned(0);
    assert_eq!(keeper.restored(0, epoch, &ready(None)), TakenOver::Live);
    (keeper, epoch)
}

#[test]
fn a_restore_for_an_earlier_assignment_is_stale() {
    let mut keeper = Keeper::<()>::new("me/1".to_owned(), Rules::ALL);
    let first = keeper.assigned(0);
    keeper.lost(0);
    let second = keeper.assigned(0);
    assert_eq!(keeper.restored(0, first, &ready(None)), TakenOver::Stale);
    assert_eq!(keeper.restored(0, second, &ready(None)), TakenOver::Live);
}

#[test]
fn a_cut_that_says_nothing_is_committed_with_the_heartbeat_only() {
    let (mut keeper, epoch) = holding();
    assert!(keeper.begin(vec![cut(0, epoch, 5)], false).is_empty(), "the first says where");
    keeper.sent(Sent::Committed);
    assert_eq!(keeper.finish().unwrap().committed.len(), 1);
    assert_eq!(keeper.begin(vec![cut(0, epoch, 5)], false).len(), 1);
    assert!(!keeper.is_committing());
    keeper.begin(vec![cut(0, epoch, 5)], true);
    let contents = keeper.contents(&[0], &source("one"));
    assert_eq!(contents[0].1.commit, 2);
}

fn source(topic_id: &str) -> Source {
    Source { group: "ours".to_owned(), topic_id: Some(topic_id.to_owned()), partitions: 1 }
}

#[test]
fn a_cut_names_the_group_and_the_topic_that_its_state_is_of() {
    let (mut keeper, epoch) = holding();
    keeper.begin(vec![cut(0, epoch, 5)], true);
    let contents = keeper.contents(&[0], &source("two"));
    let record = &contents[0].1;
    assert_eq!((record.group.as_deref(), record.topic_id.as_deref()), (Some("ours"), Some("one")));
    assert_eq!(keeper.of_another_topic("two"), [(0, "one".to_owned())]);
    assert!(keeper.of_another_topic("one").is_empty());
}

#[test]
fn a_cut_names_the_number_of_partitions_that_its_state_was_restored_with() {
    let (mut keeper, epoch) = holding();
    keeper.begin(vec![cut(0, epoch, 5)], true);
    let contents = keeper.contents(&[0], &Source { partitions: 3, ..source("one") });
    assert_eq!(contents[0].1.partitions, Some(1));
    assert_eq!(keeper.of_another_number(3), [(0, 1)]);
    assert!(keeper.of_another_number(1).is_empty());
}

#[test]
fn a_partition_that_came_back_is_not_given_up_for_what_was_lost() {
    let (mut keeper, epoch) = holding();
    keeper.begin(vec![cut(0, epoch, 7)], false);
    keeper.sent(Sent::Indefinite);
    keeper.replaced();
    let anothers = Stored { owner: "you/1".to_owned(), commit: 1, offset: 7 };
    keeper.cuts_read(&BTreeMap::from([(0, Some(anothers))]));
    keeper.lost(0);
    let again = keeper.assigned(0);
    assert!(keeper.finish().unwrap().given_up.is_empty());
    let stamp = Some(("you/1".to_owned(), 1));
    assert_eq!(keeper.restored(0, again, &ready(stamp)), TakenOver::Live);
}

#[test]
fn a_paused_frontier_stands_still_and_says_so() {
    let (mut keeper, _) = holding();
    keeper.set_paused(true);
    keeper.answered(0, Ok(10_000), 2_000, 5);
    assert!(keeper.advances().is_empty());
    assert_eq!(keeper.hold(0), Some(Hold::Paused));
    keeper.set_paused(false);
    assert_eq!(keeper.advances().len(), 1);
    assert_eq!(keeper.hold(0), None);
    keeper.asked(0);
    keeper.asked(0);
    assert_eq!(keeper.hold(0), Some(Hold::NoAnswer));
}

#[test]
fn a_frontier_stands_still_while_nobody_knows_the_time_and_says_so() {
    let (mut keeper, _) = holding();
    keeper.answered(0, Err(Hold::NoTrustedTime), 2_000, 5);
    assert!(keeper.advances().is_empty());
    assert_eq!(keeper.hold(0), Some(Hold::NoTrustedTime));
    keeper.answered(0, Ok(10_000), 2_000, 5);
    assert_eq!((keeper.advances().len(), keeper.hold(0)), (1, None));
}
