//! Where a partition goes on after a restart, or why it must not.

use super::cut::CutRecord;

/// What is durable about a partition, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The cut record of the `open` topic.
    pub cut: Option<CutRecord>,
    /// The group's committed offset and its metadata.
    pub group: Option<(i64, String)>,
    /// First offset that the log still has.
    pub log_start: i64,
    /// End of the log.
    pub log_end: i64,
}

/// What to do with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nobody has worked on it before.
    FirstStart,
    /// Go on at the cut.
    Continue(CutRecord),
    /// Offset and cut disagree: a commit may have come between, so read both again.
    ReadAgain,
    /// Stop this partition and name it; an operator decides.
    Halt(HaltReason),
}

/// Why a partition halts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// Somebody moved the group's offset by hand.
    #[error(
        "the group's offset {group} ({metadata:?}) does not belong to the cut at offset {cut}; was the offset reset by hand? Stop all instances and set the group's offset back to {cut}, or use a new group_id and a new open topic to start afresh"
    )]
    OffsetDisagrees {
        /// The group's offset.
        group: i64,
        /// Its metadata.
        metadata: String,
        /// The cut's offset.
        cut: i64,
    },
    /// The group has an offset and the `open` topic has no cut.
    #[error(
        "the group has offset {group} but the open topic has no cut record; was the open topic recreated? Delete the group's offsets to start afresh"
    )]
    CutMissing {
        /// The group's offset.
        group: i64,
    },
    /// The log no longer has the offset to go on at.
    #[error(
        "the cut's offset {cut} lies outside the log ({log_start} to {log_end}): records were deleted before they were read, or the topic was recreated"
    )]
    OutsideLog {
        /// The cut's offset.
        cut: i64,
        /// First offset of the log.
        log_start: i64,
        /// End of the log.
        log_end: i64,
    },
}

/// Decides; `again` when offset and cut have been read a second time.
pub fn decide(durable: &Durable, again: bool) -> Decision {
    let halt = |reason| if again { Decision::Halt(reason) } else { Decision::ReadAgain };
    match (&durable.cut, &durable.group) {
        (None, None) => Decision::FirstStart,
        (None, Some((group, _))) => halt(HaltReason::CutMissing { group: *group }),
        (Some(cut), Some((group, metadata)))
            if *group != cut.offset || *metadata != cut.metadata() =>
        {
            halt(HaltReason::OffsetDisagrees {
                group: *group,
                metadata: metadata.clone(),
                cut: cut.offset,
            })
        }
        (Some(cut), _) if cut.offset < durable.log_start || cut.offset > durable.log_end => {
            Decision::Halt(HaltReason::OutsideLog {
                cut: cut.offset,
                log_start: durable.log_start,
                log_end: durable.log_end,
            })
        }
        (Some(cut), _) => Decision::Continue(cut.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::example;
    use super::*;

    fn durable(cut: Option<CutRecord>, group: Option<(i64, String)>) -> Durable {
        Durable { cut, group, log_start: 0, log_end: 100 }
    }

    #[test]
    fn without_offset_and_cut_it_is_a_first_start() {
        assert_eq!(decide(&durable(None, None), false), Decision::FirstStart);
    }

    #[test]
    fn a_cut_whose_group_offset_has_expired_still_counts() {
        let cut = example(12, 3);
        let decision = decide(&durable(Some(cut.clone()), None), false);
        assert_eq!(decision, Decision::Continue(cut));
    }

    #[test]
    fn an_offset_reset_by_hand_halts_after_a_second_look() {
        let cut = example(12, 3);
        let reset = durable(Some(cut.clone()), Some((4, String::new())));
        assert_eq!(decide(&reset, false), Decision::ReadAgain);
        assert!(matches!(
            decide(&reset, true),
            Decision::Halt(HaltReason::OffsetDisagrees { group: 4, cut: 12, .. })
        ));
        let stale = durable(Some(cut.clone()), Some((12, "2 a/1 5".to_owned())));
        assert_eq!(decide(&stale, false), Decision::ReadAgain);
        let agreeing = durable(Some(cut.clone()), Some((12, cut.metadata())));
        assert_eq!(decide(&agreeing, false), Decision::Continue(cut));
    }

    #[test]
    fn a_cut_outside_the_log_halts() {
        let cut = example(12, 3);
        let truncated = Durable { log_start: 13, ..durable(Some(cut.clone()), None) };
        assert!(matches!(decide(&truncated, false), Decision::Halt(HaltReason::OutsideLog { .. })));
        let recreated = Durable { log_end: 11, ..durable(Some(cut), None) };
        assert!(matches!(decide(&recreated, false), Decision::Halt(HaltReason::OutsideLog { .. })));
    }
}
