//! What subscribers are told: one silence that went past the first step of its ladder.

use std::sync::Arc;

use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

use super::key::PackageKey;
use super::scan::{Attributes, Milestone, vocabulary};
use super::time::{Deadline, EffectiveTime, EventTime, LogTime};

/// Namespace of every exception identity (UUID v5).
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c7d52_6f3a_5c1e_9b51_6d0f3d8f7a10);

vocabulary! {
    /// Which silence: nothing since the label, or nothing since the last movement.
    #[allow(missing_docs)]
    Kind {
        MissingFirstScan = "missing_first_scan",
        NoMovement = "no_movement",
    }
}

vocabulary! {
    /// What an event says of its exception.
    Change {
        /// The first step of the ladder was reached.
        Opened = "opened",
        /// A further step was reached.
        Escalated = "escalated",
        /// The package moved again.
        Resolved = "resolved",
        /// It had moved in time; only the feed was late.
        Retracted = "retracted",
        /// We gave up watching; the package was not found.
        Expired = "expired",
    }
}

impl Change {
    /// Whether the exception is over after this event.
    pub const fn closes(self) -> bool {
        matches!(self, Self::Resolved | Self::Retracted | Self::Expired)
    }
}

vocabulary! {
    /// How much a silence matters, in growing order.
    #[allow(missing_docs)]
    Severity {
        Notice = "notice",
        Warning = "warning",
        Critical = "critical",
    }
}

/// The scan that closed an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedBy {
    /// Its milestone.
    pub milestone: Milestone,
    /// Its event time, if it had one.
    pub event_time: Option<EventTime>,
    /// The earlier of its event and log time.
    pub effective_time: EffectiveTime,
    /// When the feed received it.
    pub log_time: LogTime,
    /// Its offset in the partition; in a replay without offsets its record number.
    pub offset: i64,
}

/// One event in the life of one exception. Everything but `detected_time`, topic and partition,
/// which are the carrier's to add, is a function of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionEvent {
    /// UUID v5 of the exception: the same for all of its events.
    pub exception_id: Uuid,
    /// Counts the events of one exception: 0 for `opened`, then one more each.
    pub sequence: u32,
    /// What this event says.
    pub change: Change,
    /// Which silence.
    pub kind: Kind,
    /// The greatest severity reported so far.
    pub severity: Severity,
    /// Index of the step in the ladder in force, from 0.
    pub step: u32,
    /// The step's name; its severity where it has none.
    pub step_name: Arc<str>,
    /// Carrier and tracking number.
    pub key: PackageKey,
    /// The time the silence is measured from.
    pub anchor: EffectiveTime,
    /// The log clock when the anchor was set.
    pub anchor_set_at: LogTime,
    /// The deadline that the `opened` event reported.
    pub opened_deadline: Deadline,
    /// The step's deadline; a closing event repeats the last one.
    pub deadline: Deadline,
    /// Seconds of silence, as semantics has it for each change.
    pub silent_for_s: i64,
    /// The milestone before the closing scan.
    pub last_milestone: Milestone,
    /// The attributes before the closing scan.
    pub attributes: Attributes<Arc<str>>,
    /// The policy that matched.
    pub policy_id: Arc<str>,
    /// SHA-256 of the policy set, in hexadecimal.
    pub policy_set: Arc<str>,
    /// What closed it: on `resolved` and `retracted`.
    pub closed_by: Option<ClosedBy>,
    /// Published once at a first start for what was already open.
    pub backfilled: bool,
}

/// The identity of the exception of this package, kind and anchor.
///
/// `set_at` is the log clock when the anchor was set: the anchor alone could come back after a
/// number was forgotten and seen again.
pub fn exception_id(key: &PackageKey, kind: Kind, anchor: EffectiveTime, set_at: LogTime) -> Uuid {
    let name = format!(
        "{}|{}|{}|{}|{}",
        key.carrier(),
        key.number(),
        kind.as_str(),
        anchor.secs(),
        set_at.secs()
    );
    let sha1 = Sha1::new().chain_update(NAMESPACE).chain_update(name).finalize();
    let [first @ .., _, _, _, _] = <[u8; 20]>::from(sha1);
    Builder::from_sha1_bytes(first).into_uuid()
}

/// An event of a silence of package `P{number}`, which every test may change.
#[cfg(test)]
pub(crate) fn example(number: u32, sequence: u32, change: Change) -> ExceptionEvent {
    let key = PackageKey::new("ups", &format!("P{number}")).unwrap();
    let (anchor, set_at) = (EffectiveTime::from_secs(7), LogTime::from_secs(7));
    ExceptionEvent {
        exception_id: exception_id(&key, Kind::NoMovement, anchor, set_at),
        sequence,
        change,
        kind: Kind::NoMovement,
        severity: Severity::Warning,
        step: sequence,
        step_name: "stalled".into(),
        key,
        anchor,
        anchor_set_at: set_at,
        opened_deadline: Deadline::from_secs(9),
        deadline: Deadline::from_secs(9),
        silent_for_s: 2,
        last_milestone: Milestone::Arrived,
        attributes: Attributes::default(),
        policy_id: "all".into(),
        policy_set: "00".into(),
        closed_by: None,
        backfilled: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_uuid_of_version_5_of_what_tells_the_exception_apart() {
        let key = PackageKey::new("ups", "1Z999AA10123456784").unwrap();
        let [anchor, set_at] = [1_772_409_600, 1_772_409_660];
        let times = (EffectiveTime::from_secs(anchor), LogTime::from_secs(set_at));
        let id = exception_id(&key, Kind::NoMovement, times.0, times.1);
        let name = b"ups|1Z999AA10123456784|no_movement|1772409600|1772409660";
        assert_eq!(id, Uuid::new_v5(&NAMESPACE, name));
    }
}
