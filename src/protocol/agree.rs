//! Whether what is durable about a partition agrees: it goes on, or halts for a reason that names what
//! an operator may answer.

use super::cut::{CutRecord, Source};
use super::decisions::{Decisions, StateSettings};
use super::halt::About;
use super::rejections::Rejections;
use super::rules::Rules;
use crate::detector::time::floor_to_seconds;

pub use answer::{ANSWER_KEY, Accept, Answer, of_partition, parted};
pub use reason::HaltReason;

mod answer;
mod reason;

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

/// Decides; `before`: what has been read the time before.
pub fn decide(
    durable: &Durable,
    source: &Source,
    before: Option<&About>,
    rules: Rules,
) -> Decision {
    if let Some(reason) = other_group(durable, &source.group).filter(|_| rules.group_in_cut) {
        return match before {
            Some(_) => Decision::Halt(reason),
            None => Decision::ReadAgain,
        };
    }
    // Whoever commits in between leaves another cut, however often that happens.
    let is_same = before.is_some_and(|before| before.cut == About::of(durable).cut);
    let halt = |reason| if is_same { Decision::Halt(reason) } else { Decision::ReadAgain };
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
        decide_behind(durable, again.then(|| About::of(durable)).as_ref())
    }

    fn decide_behind(durable: &Durable, before: Option<&About>) -> Decision {
        let source = Source { group: "ours".to_owned(), topic_id: None, partitions: 1 };
        super::decide(durable, &source, before, Rules::ALL)
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
    fn commits_that_come_between_readings_time_and_again_halt_nothing() {
        let cut = example(12, 3);
        let of_the_next = durable(Some(cut.clone()), Some((13, "4 a/1 5".to_owned())));
        let none = durable(None, of_the_next.group.clone());
        assert_eq!(decide_behind(&of_the_next, Some(&About::of(&none))), Decision::ReadAgain);
        let earlier = durable(Some(example(12, 2)), Some((12, cut.metadata())));
        assert_eq!(decide_behind(&of_the_next, Some(&About::of(&earlier))), Decision::ReadAgain);
        let found = decide_behind(&of_the_next, Some(&About::of(&of_the_next)));
        assert!(matches!(found, Decision::Halt(HaltReason::OffsetDisagrees { .. })), "{found:?}");
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
