use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::detector::exception::{self, Change, ExceptionEvent, Severity};
use crate::detector::policy::{Defaults, Policy, PolicySet, Step};
use crate::detector::shard::Shard;
use crate::detector::time::{Deadline, EffectiveTime};
use crate::protocol::cut::{Cursor, example};
use crate::protocol::plain::Plain;

const CUT: i64 = 100;

type Machine = Restore<Plain, fn(bool) -> Plain>;

fn made(awake: bool) -> Plain {
    let step = Step { after: 86_400, severity: Severity::Warning, name: "stalled".into() };
    let policy = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![step.clone()],
        no_movement: vec![step],
    };
    let policies = PolicySet::new(Defaults::default(), BTreeMap::new(), vec![policy]).unwrap();
    Plain(match awake {
        true => Shard::new(Arc::new(policies)),
        false => Shard::rebuilding(Arc::new(policies)),
    })
}

fn last(offset: i64) -> LastRecord {
    LastRecord { offset, time_ms: Some(7), hash: 11 }
}

fn meta(offset: i64) -> SnapshotMeta {
    SnapshotMeta {
        topic: "scans".to_owned(),
        topic_id: Some("one".to_owned()),
        partition: 0,
        partitions: 1,
        offset,
        decisions: example(CUT, 1).decisions.below(offset),
        last: Some(last(offset - 1)),
    }
}

fn setup() -> Setup {
    let source =
        Source { group: "ours".to_owned(), topic_id: Some("one".to_owned()), partitions: 1 };
    Setup {
        topic: "scans".to_owned(),
        partition: 0,
        source,
        today: Retention { forget_after: 60, settled_retention: 7 },
        first_start: FirstStart::Silent,
        on_inconsistency: OnInconsistency::Halt,
        max_future_skew_ms: 0,
        rules: Rules::ALL,
    }
}

/// A restore at the cut, of a log that begins at an offset, which asks for snapshots.
fn asking(log_start: i64) -> Machine {
    let (restore, ask) = begun(example(CUT, 1), log_start, None);
    assert_eq!(ask, Ask::Snapshots);
    restore
}

/// A restore at this cut, of a log that begins at an offset; with this accepted.
fn begun(cut: CutRecord, log_start: i64, accepted: Option<Accept>) -> (Machine, Ask) {
    begun_with(cut, log_start, accepted, OpenSum::default())
}

/// The same with what the rows of the `open` table come to.
fn begun_with(
    cut: CutRecord,
    log_start: i64,
    accepted: Option<Accept>,
    table: OpenSum,
) -> (Machine, Ask) {
    let group = Some((CUT, cut.metadata()));
    let now_ms = cut.frontier.unwrap() * 1_000;
    let (cut, log_end, margin_ms) = (Some(cut), 200, 0);
    let (answer, other) = (None, None);
    let durable = Durable { cut, group, log_start, log_end, answer, other, now_ms, margin_ms };
    let answer = accepted.map(|accept| Answer::to(&durable, accept));
    let (mut restore, _) = Restore::begin(setup(), made as fn(bool) -> Plain);
    let ask = restore.durable(Durable { answer, ..durable }, table);
    (restore, ask)
}

/// The cut of an owner that rejected these records.
fn having_rejected(offsets: &[i64]) -> CutRecord {
    let mut cut = example(CUT, 1);
    let mut rejected = Rejections::from(0);
    offsets.iter().for_each(|offset| rejected.note(*offset));
    cut.decisions.rejected = Some(rejected);
    cut
}

/// What a rebuild of all records comes to that rejects these.
fn rejecting(cut: CutRecord, accepted: Option<Accept>, offsets: &[i64]) -> (Ask, Decisions) {
    let (mut restore, ask) = begun(cut, 0, accepted);
    assert_eq!(ask, Ask::Snapshots);
    assert_eq!(restore.snapshots(Vec::new()), Ask::Records { from: 0, to: CUT });
    offsets.iter().for_each(|offset| restore.rejected(*offset));
    (restore.records_end(), restore.decisions.clone())
}

#[test]
fn a_rebuild_that_rejects_other_records_halts_until_what_it_reads_is_accepted() {
    let cut = having_rejected(&[3, 40]);
    assert_eq!(rejecting(cut.clone(), None, &[3, 40]).0, Ask::Rows);
    let (ask, _) = rejecting(cut.clone(), None, &[3]);
    let Ask::Halt(reason @ HaltReason::RejectionsDiffer(differ)) = ask else { panic!("{ask:?}") };
    assert_eq!((differ.then, differ.now), (2, 1));
    assert_eq!(reason.answers(), [Accept::Rejections]);
    let (ask, decisions) = rejecting(cut, Some(Accept::Rejections), &[3]);
    assert_eq!((ask, decisions.rejected), (Ask::Rows, having_rejected(&[3]).decisions.rejected));
}

#[test]
fn what_an_earlier_version_rejected_is_not_known_and_is_from_now_on() {
    let (ask, decisions) = rejecting(example(CUT, 1), None, &[7]);
    assert_eq!((ask, decisions.rejected), (Ask::Rows, having_rejected(&[7]).decisions.rejected));
}

#[test]
fn what_a_snapshot_says_of_rejected_records_counts_for_the_rebuild() {
    let cut = having_rejected(&[3, 90]);
    let of_snapshot = having_rejected(&[3]).decisions.below(80);
    for (rejected, expected) in [(Some(90), true), (None, false)] {
        let (mut restore, _) = begun(cut.clone(), 0, None);
        let meta = SnapshotMeta { decisions: of_snapshot.clone(), ..meta(80) };
        assert_eq!(restore.snapshots(vec![meta]), Ask::Probe(79));
        assert_eq!(restore.probed(Some(last(79))), Ask::Load(0));
        restore.loaded(Ok(made(false)));
        rejected.into_iter().for_each(|offset| restore.rejected(offset));
        assert_eq!(restore.records_end() == Ask::Rows, expected);
    }
}

#[test]
fn another_topic_goes_on_only_where_a_record_shows_that_the_log_is_the_same() {
    let of = |id: &str, last| CutRecord { topic_id: Some(id.to_owned()), last, ..example(CUT, 1) };
    let (_, ask) = begun(of("other", None), 0, None);
    assert!(matches!(ask, Ask::Halt(HaltReason::OtherTopic { .. })), "{ask:?}");
    assert_eq!(begun(of("one", None), 0, None).1, Ask::Snapshots);
    let (_, ask) = begun(of("other", None), 0, Some(Accept::NewLog));
    assert_eq!(ask, Ask::Snapshots);
    let known = last(CUT - 1);
    for (found, goes_on) in [(Some(known), true), (None, false)] {
        let (mut restore, ask) = begun(of("other", Some(known)), 0, None);
        assert_eq!(ask, Ask::Probe(CUT - 1));
        assert_eq!(restore.probed(found) == Ask::Snapshots, goes_on);
    }
}

#[test]
fn a_snapshot_is_loaded_once_the_log_has_shown_its_last_record() {
    let mut restore = asking(0);
    assert_eq!(restore.snapshots(vec![meta(40), meta(80)]), Ask::Probe(79));
    assert_eq!(restore.probed(Some(last(79))), Ask::Load(1));
    let expected = Ask::Records { from: 80, to: CUT };
    assert_eq!(restore.loaded(Ok(made(false))), expected);
    assert!(restore.set_aside().is_empty());
}

#[test]
fn a_snapshot_of_another_log_under_the_same_name_is_set_aside() {
    let mut restore = asking(0);
    assert_eq!(restore.snapshots(vec![meta(40), meta(80)]), Ask::Probe(79));
    let other = LastRecord { hash: 12, ..last(79) };
    assert_eq!(restore.probed(Some(other)), Ask::Probe(39));
    let other = LastRecord { time_ms: None, ..last(39) };
    assert_eq!(restore.probed(Some(other)), Ask::Records { from: 0, to: CUT });
    let set_aside: Vec<usize> = restore.set_aside().iter().map(|(index, _)| *index).collect();
    assert_eq!(set_aside, [1, 0]);
}

#[test]
fn a_snapshot_from_before_the_topic_was_made_anew_is_set_aside_whatever_its_last_record_is() {
    let cut = CutRecord { topic_id: Some("one".to_owned()), ..example(CUT, 1) };
    let (mut restore, _) = begun(cut, 0, None);
    let of = |topic_id: Option<&str>, offset| SnapshotMeta {
        topic_id: topic_id.map(str::to_owned),
        ..meta(offset)
    };
    let found = vec![of(Some("another"), 80), of(None, 40)];
    assert_eq!(restore.snapshots(found), Ask::Probe(39), "one that does not say is tried");
    let set_aside: Vec<usize> = restore.set_aside().iter().map(|(index, _)| *index).collect();
    assert_eq!(set_aside, [0]);
}

#[test]
fn a_cut_amid_the_look_of_the_first_record_tells_another_topic_by_its_identity() {
    let cursor = Cursor { to: 9, second: 8, carrier: "ups".to_owned(), number: "1Z".to_owned() };
    let start = example(CUT, 1).decisions.start;
    let cut = CutRecord {
        offset: start,
        topic_id: Some("another".to_owned()),
        last: None,
        ..example(CUT, 1)
    };
    let at = |cut: CutRecord| {
        let group = Some((start, cut.metadata()));
        let now_ms = cut.frontier.unwrap() * 1_000;
        let (answer, other) = (None, None);
        let (cut, log_start, log_end, margin_ms) = (Some(cut), 0, 200, 0);
        let durable = Durable { cut, group, log_start, log_end, answer, other, now_ms, margin_ms };
        let (mut restore, _): (Machine, Ask) = Restore::begin(setup(), |_| panic!("it is made"));
        restore.durable(durable, OpenSum::default())
    };
    assert_eq!(at(cut.clone()), Ask::Snapshots, "nothing of it has been read");
    let amid = CutRecord { cursor: Some(Box::new(cursor)), ..cut };
    assert!(matches!(at(amid), Ask::Halt(HaltReason::OtherTopic { .. })));
}

#[test]
fn a_last_record_that_the_log_has_no_more_is_not_asked_for() {
    let mut restore = asking(80);
    assert_eq!(restore.snapshots(vec![meta(80)]), Ask::Load(0));
    let mut restore = asking(0);
    restore.snapshots(vec![meta(80)]);
    assert_eq!(restore.probed(None), Ask::Load(0), "it may have been compacted away");
}

#[test]
fn a_record_whose_schema_nobody_has_is_left_out_where_that_was_decided_and_waited_for_elsewhere() {
    let mut restore = asking(0);
    assert_eq!(restore.snapshots(Vec::new()), Ask::Records { from: 0, to: CUT });
    let refused = example(CUT, 1).decisions.refused.iter().next().unwrap();
    for given_up in [false, true] {
        assert_eq!(restore.takes_without_schema(refused, given_up), Taken::LeftOut);
        assert_eq!(restore.takes_without_schema(refused + 1, given_up), Taken::Waits);
    }
    assert_eq!(restore.takes(refused, None, false), Taken::LeftOut, "whoever has it by now");
    assert_eq!(restore.takes(refused + 1, None, false), Taken::Applied);
}

#[test]
fn a_first_start_refuses_a_record_whose_schema_is_waited_for_no_more_and_that_is_durable() {
    let durable = Durable {
        cut: None,
        group: None,
        log_start: 0,
        log_end: 20,
        answer: None,
        other: None,
        now_ms: 0,
        margin_ms: 0,
    };
    let (mut restore, _) = Restore::begin(setup(), made as fn(bool) -> Plain);
    assert_eq!(restore.durable(durable, OpenSum::default()), Ask::Start);
    assert_eq!(restore.start(0), Ask::End);
    assert_eq!(restore.end(1_000, 20, 1_000), Ask::Records { from: 0, to: 20 });
    assert_eq!(restore.takes_without_schema(8, false), Taken::Waits);
    assert_eq!(restore.takes_without_schema(8, true), Taken::LeftOut);
    assert_eq!(restore.records_end(), Ask::Done);
    let refused = restore.finish(0).unwrap().decisions.refused;
    assert_eq!(refused.iter().collect::<Vec<_>>(), [8]);
}

/// A row of a package that no record tells of.
fn row(number: u32) -> ExceptionEvent {
    let deadline = Deadline::from_secs(86_407);
    ExceptionEvent {
        opened_deadline: deadline,
        deadline,
        silent_for_s: 86_400,
        policy_id: "everything".into(),
        ..exception::example(number, 0, Change::Opened)
    }
}

/// A restore that has taken these rows, where others may have been published.
fn given(
    rows: &[ExceptionEvent],
    published: &[ExceptionEvent],
    accepted: Option<Accept>,
) -> Machine {
    let cut = CutRecord { open: Some(OpenSum::of(published)), ..example(CUT, 1) };
    let (mut restore, _) = begun_with(cut, 0, accepted, OpenSum::of(rows));
    restore.snapshots(Vec::new());
    assert_eq!(restore.records_end(), Ask::Rows);
    rows.iter().for_each(|row| restore.row(row.clone()).unwrap());
    assert_eq!(restore.rows_end(), Ask::Done);
    restore
}

#[test]
fn rows_that_are_what_was_published_are_taken_over_one_by_one_and_none_is_kept() {
    let rows = [row(1), row(2)];
    let restore = given(&rows, &rows, None);
    assert!(restore.open.is_empty());
    assert_eq!(restore.known(), 2);
    let ready = restore.finish(0).unwrap();
    assert_eq!(ready.open, OpenSum::of(&rows));
    assert!(rows.iter().all(|row| ready.packages.package(&row.key).is_some()));
}

#[test]
fn rows_that_are_not_what_was_published_are_kept_and_none_is_taken_over_before_that_is_accepted() {
    let (rows, published) = ([row(1), row(2)], [row(2)]);
    let restore = given(&rows, &published, None);
    assert_eq!((restore.open.len(), restore.known()), (2, 0));
    let Err(Failed::OpenDiffers(differs)) = restore.finish(0) else { panic!("it goes on") };
    assert_eq!((differs.then, differs.now, differs.proven), (1, 2, true));
    let ready = given(&rows, &published, Some(Accept::OpenTable)).finish(0).unwrap();
    assert_eq!(ready.open, OpenSum::of(&published));
    assert_eq!(ready.packages.len(), 1);
    let changes: Vec<_> = ready.rows.iter().map(|row| (&row.event.key, row.open)).collect();
    assert_eq!(changes, [(&rows[0].key, false)]);
}

#[test]
fn what_comes_of_rows_is_in_order_of_their_packages_whatever_order_they_came_in() {
    let rows = [row(3), row(1), row(2)];
    let published = [row(1)];
    let restore = given(&rows, &published, None);
    assert_eq!(restore.open, [row(1), row(2), row(3)]);
    // Rows whose packages have moved, as the log says.
    let mut restore = asking(0);
    assert_eq!(restore.snapshots(Vec::new()), Ask::Records { from: 0, to: CUT });
    let _ = restore.records_end();
    restore.trust_log = true;
    let packages = restore.packages.as_mut().unwrap();
    let later = |event: &ExceptionEvent| {
        let anchor = EffectiveTime::from_secs(event.anchor.secs() + 1);
        ExceptionEvent { anchor, ..event.clone() }
    };
    rows.iter().for_each(|row| packages.restore_open(&later(row)).unwrap());
    rows.iter().for_each(|row| restore.row(row.clone()).unwrap());
    assert_eq!(restore.rows_end(), Ask::Done);
    let closed: Vec<_> = restore.closings.iter().map(|event| &event.key).collect();
    assert_eq!(closed, [&row(1).key, &row(2).key, &row(3).key]);
}
