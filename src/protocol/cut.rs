//! The cut: a partition between two applies, and the record in the `open` topic that keeps it.

use serde::{Deserialize, Serialize};

use super::decisions::Decisions;
use super::open_sum::OpenSum;
use crate::detector::key::PackageKey;
use crate::detector::shard::LookPosition;
use crate::detector::time::LogTime;

/// Key of the cut record in the `open` topic. No carrier is empty, so no exception has it.
pub const CUT_KEY: &str = ":cut";

/// How far a first start has come in publishing what was open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backfill {
    /// The whole history is published; nothing is derived.
    Publish,
    /// What was open at the first start has been fixed, and not all of it is out.
    Pending,
    /// All of it is out.
    Done,
}

/// The last record that was applied: by it a topic that was made anew is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970 UTC.
    pub time_ms: Option<i64>,
    /// Hash of its key and value; see [`LastRecord::hash`].
    pub hash: u64,
}

impl LastRecord {
    /// The hash of a record's bytes: FNV-1a, the same on every machine and in every version.
    pub fn hash(key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
        let parts = [key.unwrap_or_default(), value.unwrap_or_default()];
        fnv_1a(parts.iter().flat_map(|part| part.iter().copied().chain([0xff])))
    }
}

/// FNV-1a.
pub(super) fn fnv_1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What something adds to a sum, by its bytes. FNV-1a alone will not do: of two things that differ in
/// their last bit the differences are equal and opposite as often as not, and cancel. The finalizer of
/// MurmurHash3 spreads them.
pub(super) fn summand(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = fnv_1a(bytes);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

/// How far the look of the record at a cut's offset is out: the cut was taken in the midst of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Log time of the record, to which the look goes. Seconds since 1970 UTC.
    pub to: i64,
    /// Everything up to this second is out, in seconds since 1970 UTC;
    pub second: i64,
    /// and in it everything up to this package: its carrier,
    pub carrier: String,
    /// and its tracking number.
    pub number: String,
}

impl Cursor {
    /// The look of a record of this log time, as far as it has come.
    pub fn new(to: LogTime, position: &LookPosition) -> Self {
        let LookPosition { second, key } = position;
        let (carrier, number) = (key.carrier().to_owned(), key.number().to_string());
        Self { to: to.secs(), second: *second, carrier, number }
    }

    /// How far the look has come; `None` where that is no package.
    pub fn position(&self) -> Option<LookPosition> {
        let key = PackageKey::new(&self.carrier, &self.number).ok()?;
        Some(LookPosition { second: self.second, key })
    }

    /// The same look with nothing of it out.
    pub fn of_nothing(self) -> Self {
        Self { second: i64::MIN, ..self }
    }

    /// Log time of the record.
    pub fn log_time(&self) -> LogTime {
        LogTime::from_secs(self.to)
    }
}

/// Who commits, and of which input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The consumer group.
    pub group: String,
    /// The broker's identity of the input topic; `None`: not known.
    pub topic_id: Option<String>,
    /// Partitions that the input has.
    pub partitions: i32,
}

/// What a transaction says of a partition beside its exceptions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutRecord {
    /// Version of this record's form.
    pub version: u32,
    /// Last applied offset + 1, control records passed.
    pub offset: i64,
    /// The last finished second of the frontier, in seconds since 1970 UTC.
    pub frontier: Option<i64>,
    /// The log clock, in seconds since 1970 UTC. Records tell it; it is kept for the case that they
    /// have been deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_clock: Option<i64>,
    /// Number of this commit in its partition, from 1.
    pub commit: u64,
    /// Instance and start of the process that committed.
    pub owner: String,
    /// SHA-256 of the policy set in force.
    pub policies: String,
    /// State of a first start.
    pub backfill: Backfill,
    /// What was decided about the records.
    #[serde(flatten)]
    pub decisions: Decisions,
    /// Partitions that the input had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// The consumer group that commits; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The broker's identity of the input topic; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// What the `open` table holds with this commit; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenSum>,
    /// The last record that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastRecord>,
    /// The look of the record at the offset, where it is out in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Box<Cursor>>,
}

/// A cut record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// Not the JSON that this version writes.
    #[error("the cut record cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Written by a later version.
    #[error(
        "the cut record has version {0}, this program knows up to {VERSION_WITH_CURSOR}; upgrade it"
    )]
    Newer(u32),
}

/// The version of a cut between two applies.
pub const VERSION: u32 = 1;
/// The version of a cut with a cursor, which programs that know none must not go on at.
pub const VERSION_WITH_CURSOR: u32 = 2;

impl CutRecord {
    /// The record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and texts always serialise")
    }

    /// Reads a record's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CutError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let version = serde_json::from_slice::<Version>(bytes)?.version;
        if version > VERSION_WITH_CURSOR {
            return Err(CutError::Newer(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Metadata of the group's offset, by which offset and cut can be seen to belong together.
    pub fn metadata(&self) -> String {
        match self.frontier {
            Some(frontier) => format!("{} {} {frontier}", self.commit, self.owner),
            None => format!("{} {} -", self.commit, self.owner),
        }
    }
}

#[cfg(test)]
use super::decisions::StateSettings;

#[cfg(test)]
pub(crate) fn example(offset: i64, commit: u64) -> CutRecord {
    CutRecord {
        version: VERSION,
        offset,
        frontier: Some(1_772_438_400),
        log_clock: Some(1_772_438_390),
        commit,
        owner: "a/1".to_owned(),
        policies: "00".to_owned(),
        backfill: Backfill::Publish,
        decisions: Decisions {
            start: 0,
            refused: [(7, 7)].into_iter().collect(),
            settings: vec![StateSettings { from: 0, forget_after: 60, settled_retention: 7 }],
            ..Decisions::default()
        },
        partitions: Some(1),
        group: None,
        topic_id: None,
        open: None,
        last: None,
        cursor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_record_comes_back_as_it_was_written() {
        let cut = example(12, 3);
        assert_eq!(CutRecord::from_bytes(&cut.to_bytes()).unwrap(), cut);
        assert_eq!(cut.metadata(), "3 a/1 1772438400");
    }

    #[test]
    fn a_cut_record_of_a_later_version_is_not_guessed_at() {
        let later = br#"{"version": 3, "what": "ever"}"#;
        assert!(matches!(CutRecord::from_bytes(later), Err(CutError::Newer(3))));
        assert!(matches!(CutRecord::from_bytes(b"{"), Err(CutError::Unreadable(_))));
    }
}
