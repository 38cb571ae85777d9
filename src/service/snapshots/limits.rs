//! How long a store of snapshots is waited for.

use std::time::Duration;

use crate::service::clock::Stopwatch;

/// How long the store is waited for. A restore waits for a listing and for each piece of the snapshot
/// that it takes; a save takes time that nobody waits for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A connection to a bucket that is made, and one that brings nothing; the question is put again.
    pub silence: Duration,
    /// One part that is sent to a bucket.
    pub part: Duration,
    /// A listing with the headers of what it lists, and any other short answer.
    pub listing: Duration,
    /// Each MiB of a snapshot that is fetched, and its beginning.
    pub piece: Duration,
    /// A snapshot to be saved.
    pub whole: Duration,
    /// How often a request of a bucket that failed is made again.
    pub retries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(10),
            part: Duration::from_secs(30),
            listing: Duration::from_secs(30),
            piece: Duration::from_secs(30),
            whole: Duration::from_secs(300),
            retries: 3,
        }
    }
}

/// What is left of the time that several requests have together.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// All of it.
    pub(super) limit: Duration,
    since: Stopwatch,
}

impl Patience {
    pub(super) fn of(limit: Duration) -> Self {
        Self { limit, since: Stopwatch::start() }
    }

    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }
}
