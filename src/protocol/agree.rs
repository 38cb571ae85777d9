//! Whether what is durable about a partition agrees, and what an operator may answer where it does
//! not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cut::{CutRecord, Source};
use super::decisions::{Decisions, StateSettings};
use super::halt::About;
use super::rejections::{Differ, Rejections};
use super::rules::Rules;
use crate::detector::time::floor_to_seconds;

/// Key of an operator's answer in the `open` topic. No carrier is empty, so no exception has it.
pub const ANSWER_KEY: &str = ":accept";

/// How every command that answers a halt begins.
const COMMAND: &str = "stallwatch recover";

/// What an operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// The cut counts, whatever the group's offset is.
    Cut,
    /// Records were deleted before they were read: go on behind the gap.
    Gap,
    /// The topic was made anew: its records begin another log; what is open stays open.
    NewLog,
    /// The topic has another number of partitions: packages may be on two of them.
    Partitions,
    /// The cut is lost: begin as at a first start.
    FirstStart,
    /// The log is right where an open exception contradicts it: it is closed as expired.
    TrustLog,
    /// The frontier was stored ahead of time: it goes back to what is known to be complete.
    Frontier,
    /// The other group has stopped for good: this one goes on in its place.
    Group,
    /// The records count as they are read now.
    Rejections,
    /// The open topic counts as it is.
    OpenTable,
}

impl Accept {
    /// Every answer.
    pub const ALL: &'static [Self] = &[
        Self::Cut,
        Self::Gap,
        Self::NewLog,
        Self::Partitions,
        Self::FirstStart,
        Self::TrustLog,
        Self::Frontier,
        Self::Group,
        Self::Rejections,
        Self::OpenTable,
    ];

    /// As it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Gap => "gap",
            Self::NewLog => "new-log",
            Self::Partitions => "partitions",
            Self::FirstStart => "first-start",
            Self::TrustLog => "trust-log",
            Self::Frontier => "frontier",
            Self::Group => "group",
            Self::Rejections => "rejections",
            Self::OpenTable => "open-table",
        }
    }

    /// How an operator gives it; [`of_partition`] fills it in.
    pub fn command(self) -> String {
        format!("{COMMAND} --accept {} --partition P (or --all)", self.as_str())
    }

    /// What subscribers see then.
    pub const fn seen(self) -> &'static str {
        match self {
            Self::Cut => "nothing new: what was published stands, and publishing goes on behind it",
            Self::Gap => {
                "nothing is repeated; packages that moved in the deleted records may be reported as silent until their next scan, and packages known from these alone are reported only once they are scanned again"
            }
            Self::NewLog => {
                "nothing is repeated: what is open stays open and ends by what the new log says; packages known from the old log alone are reported only once they are scanned again"
            }
            Self::Partitions => {
                "nothing is repeated; a package whose later scans go to another partition may be reported as silent in its old one, by alarms that end as expired after forget_after"
            }
            Self::FirstStart => {
                "REPEATS under the same exception_id: with input.backfill = \"silent\" what is open now comes once more as opened with backfilled = true, and what ended since the cut was lost gets no end; with \"publish\" the whole history of the log comes once more"
            }
            Self::TrustLog => {
                "each open exception that contradicts the log is closed: as resolved or retracted, without a closed_by, where the log shows that its package moved, else as expired; nothing else is published"
            }
            Self::Frontier => {
                "nothing is repeated or taken back: what was published too early stands and is retracted once its package moves"
            }
            Self::Group => {
                "what the other group has published stands, and this one goes on behind it; while both run, everything comes twice"
            }
            Self::Rejections => {
                "nothing is repeated; packages count by the records as they are read now, and an open exception that these contradict is closed as they say"
            }
            Self::OpenTable => {
                "nothing, where the message says that it is known what the open topic held: that is written again; else REPEATS: what is silent by the log and has no entry comes once more as opened under the same exception_id, and what the log contradicts is closed"
            }
        }
    }

    /// The answer of exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|accept| accept.as_str() == text)
    }
}

/// An operator's answer. It holds for the one state of things that the operator saw: with the next
/// commit it means nothing any more, and given twice it means the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What is accepted; one thing accepted may show another that must be.
    pub accept: Vec<Accept>,
    /// What was stored.
    #[serde(flatten)]
    pub about: About,
}

impl Answer {
    /// An answer to this state of things, together with what has been accepted in it before.
    pub fn to(durable: &Durable, accept: Accept) -> Self {
        let mut answer = Self { accept: Vec::new(), about: About::of(durable) };
        let before = durable.answer.iter().filter(|before| before.about == answer.about);
        answer.accept = before.flat_map(|before| before.accept.clone()).collect();
        if !answer.accept.contains(&accept) {
            answer.accept.push(accept);
        }
        answer
    }

    /// The record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and texts always serialise")
    }

    /// Reads a record's value; one that cannot be read is no answer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// A group that writes to our output topics, and the owner of its cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherGroup {
    /// The group.
    pub group: String,
    /// Instance and start of the process that committed.
    pub owner: String,
}

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
    /// What an operator has answered.
    pub answer: Option<Answer>,
    /// A group that has been seen to commit beside ours, whatever the last cut is.
    pub other: Option<OtherGroup>,
    /// The brokers' clock at some moment since all this was read, in milliseconds.
    pub now_ms: i64,
    /// By how much clocks may differ, in milliseconds.
    pub margin_ms: i64,
}

impl Durable {
    /// Whether an operator has accepted this, in this very state of things.
    pub fn accepts(&self, accept: Accept) -> bool {
        let about = About::of(self);
        let given = self.answer.as_ref().filter(|given| given.about == about);
        given.is_some_and(|given| given.accept.contains(&accept))
    }
}

/// What to do with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
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

/// A halt's text with configuration (as a word for a shell) and partition in its commands.
pub fn of_partition(text: &str, config: &str, partition: i32) -> String {
    text.replace(&format!("{COMMAND} --accept"), &format!("{COMMAND} --config {config} --accept"))
        .replace("--partition P ", &format!("--partition {partition} "))
}

/// A halt's text without its commands, and these if there are any.
pub fn parted(text: &str) -> (&str, Option<&str>) {
    let at = text.find(&format!(": {COMMAND} "));
    at.map_or((text, None), |at| (&text[..at], Some(&text[at + 2..])))
}

/// Decides; `again` when offset and cut have been read a second time.
pub fn decide(durable: &Durable, source: &Source, again: bool, rules: Rules) -> Decision {
    let halt = |reason| if again { Decision::Halt(reason) } else { Decision::ReadAgain };
    if let Some(reason) = other_group(durable, &source.group).filter(|_| rules.group_in_cut) {
        return halt(reason);
    }
    match (&durable.cut, &durable.group) {
        (None, None) => Decision::FirstStart,
        (None, Some(_)) if durable.accepts(Accept::FirstStart) => Decision::FirstStart,
        (None, Some((group, _))) => halt(HaltReason::CutMissing { group: *group }),
        (Some(cut), Some((group, metadata)))
            if (*group != cut.offset || *metadata != cut.metadata())
                && rules.offset_agrees_with_cut
                && !accepts_any(durable) =>
        {
            halt(HaltReason::OffsetDisagrees {
                group: *group,
                metadata: metadata.clone(),
                cut: cut.offset,
            })
        }
        (Some(cut), _) => match within_log(durable, cut, source.partitions) {
            Decision::Continue(cut) if rules.frontier_not_ahead => within_time(durable, cut),
            decision => decision,
        },
    }
}

/// Another group's cut, unless somebody has accepted to go on in its place.
fn other_group(durable: &Durable, ours: &str) -> Option<HaltReason> {
    let of_cut = durable.cut.as_ref().and_then(|cut| {
        let group = cut.group.clone().filter(|theirs| theirs != ours)?;
        Some(OtherGroup { group, owner: cut.owner.clone() })
    });
    let theirs = of_cut.or_else(|| durable.other.clone())?;
    let accepted = durable.accepts(Accept::Group);
    (!accepted).then(|| HaltReason::OtherGroup { theirs, ours: ours.to_owned() })
}

/// A frontier that our own clock led astray says nothing of the log; the log clock does.
fn within_time(durable: &Durable, cut: CutRecord) -> Decision {
    let Durable { now_ms, margin_ms, .. } = *durable;
    let latest = floor_to_seconds(now_ms.saturating_add(margin_ms));
    let log_clock = cut.log_clock.max(cut.cursor.as_ref().map(|cursor| cursor.to));
    let Some(frontier) = cut.frontier.filter(|&it| Some(it) > log_clock && it > latest) else {
        return Decision::Continue(cut);
    };
    if durable.accepts(Accept::Frontier) {
        let proven = floor_to_seconds(now_ms.saturating_sub(margin_ms));
        let frontier = log_clock.max(Some(proven));
        return Decision::Continue(CutRecord { frontier, ..cut });
    }
    let ahead = frontier - floor_to_seconds(now_ms);
    Decision::Halt(HaltReason::FrontierAhead { frontier, ahead })
}

/// Whoever accepts more than the cut accepts the cut.
fn accepts_any(durable: &Durable) -> bool {
    Accept::ALL.iter().any(|accept| durable.accepts(*accept))
}

fn within_log(durable: &Durable, cut: &CutRecord, partitions: i32) -> Decision {
    let (log_start, log_end) = (durable.log_start, durable.log_end);
    if durable.accepts(Accept::NewLog) {
        return Decision::Continue(on_new_log(cut, log_start));
    }
    if let Some(then) = cut.partitions.filter(|then| *then != partitions)
        && !durable.accepts(Accept::Partitions)
    {
        return Decision::Halt(HaltReason::PartitionsChanged { then, now: partitions });
    }
    if cut.offset > log_end {
        return Decision::Halt(HaltReason::TooShort { cut: cut.offset, log_end });
    }
    if cut.offset >= log_start {
        return Decision::Continue(cut.clone());
    }
    if durable.accepts(Accept::Gap) {
        let (last, cursor) = (None, None);
        return Decision::Continue(CutRecord { offset: log_start, last, cursor, ..cut.clone() });
    }
    Decision::Halt(HaltReason::Truncated { cut: cut.offset, log_start })
}

fn on_new_log(cut: &CutRecord, log_start: i64) -> CutRecord {
    let (last, cursor) = (None, None);
    let line = cut.decisions.settings.last();
    let decisions = Decisions {
        settings: line.map(|line| StateSettings { from: log_start, ..*line }).into_iter().collect(),
        start: log_start,
        rejected: Some(Rejections::from(0)),
        ..Decisions::default()
    };
    CutRecord { offset: log_start, last, cursor, decisions, topic_id: None, ..cut.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::cut::example;
    use super::*;

    fn durable(cut: Option<CutRecord>, group: Option<(i64, String)>) -> Durable {
        let (now_ms, margin_ms) = (1_772_438_401_000, 2_000);
        Durable {
            cut,
            group,
            log_start: 0,
            log_end: 100,
            answer: None,
            other: None,
            now_ms,
            margin_ms,
        }
    }

    fn decide(durable: &Durable, again: bool) -> Decision {
        let source = Source { group: "ours".to_owned(), topic_id: None, partitions: 1 };
        super::decide(durable, &source, again, Rules::ALL)
    }

    /// The same once an operator has accepted what the halt names.
    fn accepted(durable: &Durable) -> Decision {
        let Decision::Halt(reason) = decide(durable, true) else { panic!("it halts") };
        let &[accept] = reason.answers() else { panic!("one answer") };
        assert!(reason.to_string().contains(&format!("--accept {}", accept.as_str())), "{reason}");
        assert_eq!(Accept::parse(accept.as_str()), Some(accept));
        let answer = Answer::to(durable, accept);
        let answer = Answer::from_bytes(&answer.to_bytes());
        let answered = Durable { answer: answer.clone(), ..durable.clone() };
        let later = Durable {
            cut: answered.cut.clone().map(|cut| CutRecord { commit: cut.commit + 1, ..cut }),
            group: answered.group.clone().map(|(offset, metadata)| (offset + 1, metadata)),
            ..answered.clone()
        };
        if later.cut.is_some() || later.group.is_some() {
            assert!(!later.accepts(accept), "an answer holds for what the operator saw");
        }
        decide(&answered, true)
    }

    #[test]
    fn a_halt_names_its_answers_as_commands_that_run_as_they_are_printed() {
        let reason = HaltReason::Truncated { cut: 3, log_start: 5 };
        let text = of_partition(&reason.to_string(), "'/a b/c.toml'", 7);
        let (says, command) = parted(&text);
        assert!(says.ends_with("to go on without them"), "{says}");
        assert_eq!(
            command,
            Some("stallwatch recover --config '/a b/c.toml' --accept gap --partition 7 (or --all)")
        );
        assert_eq!(parted("no answer: none"), ("no answer: none", None));
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
        assert_eq!(decide(&agreeing, false), Decision::Continue(cut.clone()));
        assert_eq!(accepted(&reset), Decision::Continue(cut));
    }

    #[test]
    fn a_frontier_ahead_of_time_halts_until_its_way_back_is_accepted() {
        let cut = example(12, 3);
        let (frontier, log_clock) = (cut.frontier.unwrap(), cut.log_clock.unwrap());
        let stored = durable(Some(cut.clone()), None);
        let at_the_time = |secs| Durable { now_ms: secs * 1_000, ..stored.clone() };
        let in_time = at_the_time(frontier - 2);
        assert_eq!(decide(&in_time, false), Decision::Continue(cut.clone()));
        let ahead = at_the_time(frontier - 3);
        let halt = Decision::Halt(HaltReason::FrontierAhead { frontier, ahead: 3 });
        assert_eq!(decide(&ahead, false), halt);
        let back = CutRecord { frontier: Some(frontier - 5), ..cut.clone() };
        assert_eq!(accepted(&ahead), Decision::Continue(back));
        let at_the_log_clock = CutRecord { frontier: Some(log_clock), ..cut.clone() };
        assert_eq!(accepted(&at_the_time(log_clock)), Decision::Continue(at_the_log_clock));
        let by_a_record = CutRecord { log_clock: Some(frontier), ..cut };
        let ahead = Durable { cut: Some(by_a_record.clone()), ..ahead };
        assert_eq!(decide(&ahead, false), Decision::Continue(by_a_record), "the log says so");
    }

    #[test]
    fn a_cut_that_is_missing_halts_unless_a_first_start_is_accepted() {
        assert_eq!(accepted(&durable(None, Some((4, String::new())))), Decision::FirstStart);
    }

    #[test]
    fn a_cut_outside_the_log_halts_unless_that_is_accepted() {
        let cut = example(12, 3);
        let truncated = Durable { log_start: 13, ..durable(Some(cut.clone()), None) };
        assert!(matches!(decide(&truncated, false), Decision::Halt(HaltReason::Truncated { .. })));
        let behind = CutRecord { offset: 13, ..cut.clone() };
        assert_eq!(accepted(&truncated), Decision::Continue(behind));
        let recreated = Durable { log_end: 11, ..durable(Some(cut), None) };
        assert!(matches!(decide(&recreated, false), Decision::Halt(HaltReason::TooShort { .. })));
        let Decision::Continue(anew) = accepted(&recreated) else { panic!("it goes on") };
        assert_eq!((anew.offset, anew.commit), (0, 3));
        assert!(anew.decisions.refused.is_empty());
    }

    #[test]
    fn another_group_halts_until_it_is_said_to_have_stopped() {
        let of = |group: &str| CutRecord { group: Some(group.to_owned()), ..example(12, 3) };
        let agreeing = durable(Some(of("ours")), None);
        assert_eq!(decide(&agreeing, false), Decision::Continue(of("ours")));
        let theirs = durable(Some(of("theirs")), None);
        assert_eq!(decide(&theirs, false), Decision::ReadAgain);
        assert!(matches!(decide(&theirs, true), Decision::Halt(HaltReason::OtherGroup { .. })));
        assert_eq!(accepted(&theirs), Decision::Continue(of("theirs")));
    }

    #[test]
    fn another_number_of_partitions_halts_unless_that_is_accepted() {
        let cut = example(12, 3);
        let grown = durable(Some(CutRecord { partitions: Some(2), ..cut }), None);
        assert!(matches!(
            decide(&grown, false),
            Decision::Halt(HaltReason::PartitionsChanged { then: 2, now: 1 })
        ));
        assert!(matches!(accepted(&grown), Decision::Continue(_)));
    }
}
