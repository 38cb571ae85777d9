//! What a snapshot says of itself: of which log it is, up to where, and under which decisions.

use serde::{Deserialize, Serialize};

/// The first frame, as JSON: what a restore asks before it reads on, and a person with `zstd` and
/// `jq` can read as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The input topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// How many partitions the topic had.
    pub partitions: i32,
    /// S: the first offset whose record is not in the state.
    pub offset: i64,
    /// The decisions below S.
    pub decisions: Decisions,
    /// The last record below S that was applied; none where there was no record yet.
    pub last: Option<LastRecord>,
}

/// What the outcome of records below an offset depended on, beside the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// The offset that package state was first built from.
    pub start: i64,
    /// Offsets of records that were refused because their log time lay in the future, ascending.
    pub refused: Vec<i64>,
    /// Settings from an offset on, ascending.
    pub settings: Vec<Settings>,
    /// What concerned offsets below this one only has been dropped; 0: nothing has.
    pub dropped_below: i64,
    /// A sum over what has been dropped; 0: nothing has.
    #[serde(default)]
    pub dropped: u64,
}

/// What package state depends on, from one offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The first offset that they hold for.
    pub from: i64,
    /// Seconds.
    pub forget_after: i64,
    /// Seconds.
    pub settled_retention: i64,
}

/// A record to know the log again by: a topic that was made anew has another at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970; none where it has no timestamp.
    pub time_ms: Option<i64>,
    /// Hash of its key and value, as the cut record has it.
    pub hash: u64,
}
