//! What can be wrong with a store of snapshots, and with a snapshot.

use std::time::Duration;

use crate::wire::snapshot::SnapshotError;

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such store, or it cannot be reached as it is configured.
    #[error("snapshots cannot be kept at {url}: {why}")]
    Unusable {
        /// The configured place.
        url: String,
        /// What the store says.
        why: String,
    },
    /// No answer.
    #[error("{action} took longer than {} s", .limit.as_secs_f64())]
    Slow {
        /// What was asked for.
        action: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A beginning, and then too little.
    #[error("{action} stands still: not a MiB has come within {} s", .limit.as_secs_f64())]
    Stalled {
        /// What was asked for.
        action: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An answer that says no.
    #[error("{action} failed: {why}")]
    Failed {
        /// What was asked for.
        action: &'static str,
        /// What the store says.
        why: String,
    },
}

/// Why a snapshot is of no use, whatever is committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read, or is of another log than its name says; it has been set aside.
    #[error("{0}; it has been set aside")]
    Damaged(SnapshotError),
    /// It is of another topic or partition than its name says; it has been set aside.
    #[error("it is of {topic}/{partition}, offset {offset}; it has been set aside")]
    Misplaced {
        /// What its header says.
        topic: String,
        /// What its header says.
        partition: i32,
        /// What its header says.
        offset: i64,
    },
    /// Written by a later version of the program; it stays where it is.
    #[error("it was written by a later version of the program (format {0})")]
    Newer(u32),
}

impl From<SnapshotError> for Refusal {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Newer { found } => Self::Newer(found),
            error => Self::Damaged(error),
        }
    }
}
