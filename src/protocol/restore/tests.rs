use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::detector::exception::Severity;
use crate::detector::policy::{Defaults, Policy, PolicySet, Step};
use crate::detector::shard::Shard;
use crate::protocol::cut::example;
use crate::protocol::plain::Plain;

const CUT: i64 = 100;

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
        partition: 0,
        partitions: 1,
        offset,
        decisions: example(CUT, 1).decisions.below(offset),
        last: Some(last(offset - 1)),
    }
}

/// A restore at the cut, of a log that begins at an offset, which asks for snapshots.
fn asking(log_start: i64) -> Restore<Plain, fn(bool) -> Plain> {
    let setup = Setup {
        topic: "scans".to_owned(),
        partition: 0,
        partitions: 1,
        today: Retention { forget_after: 60, settled_retention: 7 },
        first_start: FirstStart::Silent,
        on_inconsistency: OnInconsistency::Halt,
        max_future_skew_ms: 0,
        rules: Rules::ALL,
    };
    let cut = example(CUT, 1);
    let group = Some((CUT, cut.metadata()));
    let now_ms = cut.frontier.unwrap() * 1_000;
    let (cut, log_end, answer) = (Some(cut), 200, None);
    let durable = Durable { cut, group, log_start, log_end, answer, now_ms, margin_ms: 0 };
    let (mut restore, _) = Restore::begin(setup, made as fn(bool) -> Plain);
    assert_eq!(restore.durable(durable, Vec::new()), Ask::Snapshots);
    restore
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
fn a_last_record_that_the_log_has_no_more_is_not_asked_for() {
    let mut restore = asking(80);
    assert_eq!(restore.snapshots(vec![meta(80)]), Ask::Load(0));
    let mut restore = asking(0);
    restore.snapshots(vec![meta(80)]);
    assert_eq!(restore.probed(None), Ask::Load(0), "it may have been compacted away");
}
