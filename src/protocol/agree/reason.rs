//! Why a partition halts, in words, and the answers that let it go on.

use std::fmt;

use super::{Accept, OtherGroup};
use crate::protocol::rejections::Differ;

/// Why a partition halts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HaltReason {
    /// Somebody moved the group's offset by hand.
    OffsetDisagrees {
        /// The group's offset.
        group: i64,
        /// Its metadata.
        metadata: String,
        /// The cut's offset.
        cut: i64,
    },
    /// The group has an offset and the `open` topic has no cut.
    CutMissing {
        /// The group's offset.
        group: i64,
    },
    /// The records from the cut's offset on have been deleted.
    Truncated {
        /// The cut's offset.
        cut: i64,
        /// First offset of the log.
        log_start: i64,
    },
    /// The log ends before the cut's offset.
    TooShort {
        /// The cut's offset.
        cut: i64,
        /// End of the log.
        log_end: i64,
    },
    /// The log has another record where the cut's last one was.
    Recreated {
        /// Its offset.
        offset: i64,
    },
    /// The topic has another number of partitions than at the cut.
    PartitionsChanged {
        /// At the cut.
        then: i32,
        /// At present.
        now: i32,
    },
    /// The records behind the newest usable snapshot have been deleted.
    SnapshotBelowLog {
        /// The snapshot's offset.
        snapshot: i64,
        /// First offset of the log.
        log_start: i64,
    },
    /// The stored frontier is ahead of what time it can be.
    FrontierAhead {
        /// The frontier. Seconds since 1970 UTC.
        frontier: i64,
        /// How far it is ahead. Seconds.
        ahead: i64,
    },
    /// Another group has committed to the output topics.
    OtherGroup {
        /// Theirs.
        theirs: OtherGroup,
        /// Our group.
        ours: String,
    },
    /// The topic is another one, and no record shows that it has the same log.
    OtherTopic {
        /// Its identity at the cut.
        then: String,
        /// At present.
        now: String,
    },
    /// The records are read otherwise than they were.
    RejectionsDiffer(Differ),
    /// The open topic does not hold what the cut says.
    OpenDiffers {
        /// Open exceptions at the cut.
        then: u64,
        /// Entries of the open topic.
        now: u64,
        /// Packages whose entry is gone, by the log.
        missing: Vec<String>,
        /// Packages with an entry that nobody has published, as far as can be told.
        foreign: Vec<String>,
        /// It is known what the topic must hold.
        proven: bool,
    },
}

impl HaltReason {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::OffsetDisagrees { .. } => "offset-disagrees",
            Self::CutMissing { .. } => "cut-missing",
            Self::Truncated { .. } => "truncated",
            Self::TooShort { .. } => "too-short",
            Self::Recreated { .. } => "recreated",
            Self::PartitionsChanged { .. } => "partitions-changed",
            Self::SnapshotBelowLog { .. } => "snapshot-below-log",
            Self::FrontierAhead { .. } => "frontier-ahead",
            Self::OtherGroup { .. } => "group",
            Self::OtherTopic { .. } => "topic-id",
            Self::RejectionsDiffer(_) => "rejections-differ",
            Self::OpenDiffers { .. } => "open-differs",
        }
    }

    /// The answers that let the partition go on, each of them.
    pub const fn answers(&self) -> &'static [Accept] {
        match self {
            Self::OffsetDisagrees { .. } => &[Accept::Cut],
            Self::CutMissing { .. } => &[Accept::FirstStart],
            Self::Truncated { .. } | Self::SnapshotBelowLog { .. } => &[Accept::Gap],
            Self::TooShort { .. } | Self::Recreated { .. } | Self::OtherTopic { .. } => {
                &[Accept::NewLog]
            }
            Self::PartitionsChanged { .. } => &[Accept::Partitions],
            Self::FrontierAhead { .. } => &[Accept::Frontier],
            Self::OtherGroup { .. } => &[Accept::Group],
            Self::RejectionsDiffer(_) => &[Accept::Rejections],
            Self::OpenDiffers { .. } => &[Accept::OpenTable],
        }
    }
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetDisagrees { group, metadata, cut } => write!(
                f,
                "the group's offset {group} ({metadata:?}) does not belong to the cut at offset {cut}: was the offset reset by hand? What was published up to {cut} stands; to go on there"
            ),
            Self::CutMissing { group } => write!(
                f,
                "the group has offset {group} but the open topic has no cut record: was the open topic recreated? What was published before may be published again; to begin as at a first start"
            ),
            Self::Truncated { cut, log_start } => write!(
                f,
                "the records from the cut's offset {cut} up to {log_start} were deleted before they were read; to go on without them"
            ),
            Self::TooShort { cut, log_end } => write!(
                f,
                "the cut's offset {cut} lies behind the end of the log, {log_end}: was the topic recreated? To go on with the new log and what is open"
            ),
            Self::Recreated { offset } => write!(
                f,
                "the record at offset {offset} is not the one that was applied last: was the topic recreated? To go on with the new log and what is open"
            ),
            Self::PartitionsChanged { then, now } => write!(
                f,
                "the input topic has {now} partitions, at the cut it had {then}: a package may now be on two of them; to go on all the same"
            ),
            Self::SnapshotBelowLog { snapshot, log_start } => write!(
                f,
                "the newest usable snapshot ends at offset {snapshot}, and the records from there to {log_start} were deleted; to go on without them"
            ),
            Self::FrontierAhead { frontier, ahead } => write!(
                f,
                "the stored frontier ({frontier}, in seconds since 1970) lies {ahead} s ahead of the brokers' clock, and nothing would be reported until then: did a clock run ahead? To go on from the present; what was published stays, and what moves is retracted"
            ),
            Self::OtherGroup { theirs: OtherGroup { group: theirs, owner }, ours } => write!(
                f,
                "group {theirs:?} ({owner}) has committed to the output topics of group {ours:?}: two groups on one set of them publish everything twice; give one of them topics of its own, or, if {theirs:?} has stopped for good, go on in its place"
            ),
            Self::OtherTopic { then, now } => write!(
                f,
                "the input topic is another one than at the cut (topic id {now}, it was {then}), and no record shows that its log is the same: was it recreated? To go on with the new log and what is open"
            ),
            Self::RejectionsDiffer(Differ { from, to, then, now }) => write!(
                f,
                "rejections-differ: of the records from offset {from} up to {to}, {then} were rejected when they were read first, and others are now ({now}): was a schema or a setting of the input changed? Put it back, or go on with the records as they are read now; an exception that they contradict is closed as they say"
            ),
            Self::OpenDiffers { then, now, missing, foreign, proven } => {
                write!(
                    f,
                    "the open topic does not hold what was published: {now} entries, {then} were open at the cut"
                )?;
                named(f, "gone by the log", missing)?;
                named(f, "of nobody", foreign)?;
                let then = match proven {
                    true => "To have it written as it was, which is known; nothing is published",
                    false => {
                        "To go on with it as it is: what is silent by the log and has no entry is published again, and what the log contradicts is closed"
                    }
                };
                write!(f, "; did somebody write to it or delete from it? {then}")
            }
        }?;
        let commands: Vec<_> = self.answers().iter().map(|accept| accept.command()).collect();
        if commands.is_empty() { Ok(()) } else { write!(f, ": {}", commands.join("; or ")) }
    }
}

impl std::error::Error for HaltReason {}

/// The first of some packages.
fn named(f: &mut fmt::Formatter<'_>, what: &str, packages: &[String]) -> fmt::Result {
    const MOST: usize = 10;
    let Some(more) = packages.len().checked_sub(1) else { return Ok(()) };
    let first = packages[..packages.len().min(MOST)].join(", ");
    let more = (more + 1).saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    write!(f, "; {what}: {first}{more}")
}
