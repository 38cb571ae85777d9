//! What a snapshot says of itself: of which log it is, up to where, and under which decisions.

use serde::{Deserialize, Serialize};

/// The first frame, as JSON: what a restore asks before it reads on, and a person with `zstd` and
/// `jq` can read as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The input topic.
    pub topic: String,
    /// The broker's identity of the input topic; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
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
    /// Offsets of records that were refused because their log time lay in the future: the first and
    /// last of each range, ascending.
    #[serde(with = "ranges")]
    pub refused: Vec<(i64, i64)>,
    /// The records that were rejected; none: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejections>,
    /// Settings from an offset on, ascending.
    pub settings: Vec<Settings>,
    /// What concerned offsets below this one only has been dropped; 0: nothing has.
    pub dropped_below: i64,
    /// A sum over what has been dropped; 0: nothing has.
    #[serde(default)]
    pub dropped: u64,
}

/// The records that could not be read, as the cut record has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejections {
    /// They are all reckoned with from this offset on.
    pub from: i64,
    /// A block holds 2 to this power offsets.
    pub bits: u32,
    /// Number of each block with any, how many they are, and a sum over their offsets.
    pub blocks: Vec<(i64, u64, u64)>,
}

/// A single offset is written as a number, as earlier versions wrote all of them.
mod ranges {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(i64),
        Several(i64, i64),
    }

    pub fn serialize<S: Serializer>(ranges: &[(i64, i64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(ranges.iter().map(|&(first, last)| match first == last {
            true => Written::One(first),
            false => Written::Several(first, last),
        }))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<(i64, i64)>, D::Error> {
        let ranges = Vec::<Written>::deserialize(from)?;
        Ok(ranges
            .into_iter()
            .map(|range| match range {
                Written::One(offset) => (offset, offset),
                Written::Several(first, last) => (first, last),
            })
            .collect())
    }
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
