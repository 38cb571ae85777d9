//! Open exceptions: the side table, and which step of a ladder comes next.
//!
//! The table is the truth about what has been published. It equals the compacted `open` topic, and
//! only the few packages that have an exception stand in it.

mod table;

use std::sync::Arc;

use super::exception::{ExceptionEvent, Kind, Severity};
use super::package::{Package, Phase};
use super::policy::Step;
use super::time::{Deadline, EffectiveTime, LogTime};
pub use table::OpenTable;

/// What is needed to go on with an exception that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenException {
    /// Which silence.
    pub kind: Kind,
    /// The time the silence is measured from; it stays, whatever the package's anchor does.
    pub anchor: EffectiveTime,
    /// The log clock when that anchor was set.
    pub set_at: LogTime,
    /// The deadline that the `opened` event reported.
    pub opened_deadline: Deadline,
    /// The deadline of the last event.
    pub deadline: Deadline,
    /// The greatest severity reported.
    pub severity: Severity,
    /// Step of the last event.
    pub step: u32,
    /// Its name.
    pub step_name: Arc<str>,
    /// Sequence number of the last event.
    pub sequence: u32,
    /// Policy of the last event.
    pub policy_id: Arc<str>,
    /// Policy set of the last event.
    pub policy_set: Arc<str>,
}

impl From<&ExceptionEvent> for OpenException {
    fn from(event: &ExceptionEvent) -> Self {
        Self {
            kind: event.kind,
            anchor: event.anchor,
            set_at: event.anchor_set_at,
            opened_deadline: event.opened_deadline,
            deadline: event.deadline,
            severity: event.severity,
            step: event.step,
            step_name: event.step_name.clone(),
            sequence: event.sequence,
            policy_id: event.policy_id.clone(),
            policy_set: event.policy_set.clone(),
        }
    }
}

/// The silence that a package of this phase can fall into.
pub fn kind_of(phase: Phase) -> Option<Kind> {
    match phase {
        Phase::AwaitingFirstScan => Some(Kind::MissingFirstScan),
        Phase::Moving => Some(Kind::NoMovement),
        Phase::Settled => None,
    }
}

/// A step that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// Index in the ladder in force.
    pub step: usize,
    /// Anchor + after + feed grace.
    pub deadline: Deadline,
    /// The second in which it happens, if nothing comes before.
    pub due: i64,
}

/// The graces that a deadline is given, and the end of all watching. Seconds.
pub struct Graces {
    /// Added to every deadline: the carrier's feed may lag.
    pub feed: i64,
    /// After an anchor was set, nothing opens before the log clock has moved on by this much.
    pub catch_up: i64,
    /// A package is given up this long after its anchor.
    pub forget_after: i64,
}

/// The next step of the ladder in force, `None` when nothing more is due.
pub fn next_step(
    package: &Package,
    open: Option<&OpenException>,
    ladder: &[Step],
    graces: &Graces,
) -> Option<NextStep> {
    let anchor = open.map_or(package.anchor, |open| open.anchor).secs();
    let deadline = |step: &Step| anchor + step.after + graces.feed;
    let (step, deadline) = match open {
        None => (0, deadline(ladder.first()?)),
        Some(open) => ladder.iter().enumerate().find_map(|(index, step)| {
            let deadline = deadline(step);
            (step.severity > open.severity || deadline > open.deadline.secs())
                .then_some((index, deadline))
        })?,
    };
    let due = match open {
        None => deadline.max(package.set_at.secs() + graces.catch_up),
        Some(_) => deadline,
    };
    let given_up = package.anchor.secs() + graces.forget_after;
    (due <= given_up).then_some(NextStep { step, deadline: Deadline::from_secs(deadline), due })
}
