//! The snapshots that a restore may begin with.

use std::sync::Arc;

use super::Failure;
use crate::detector::memory::BlockSource;
use crate::detector::policy::PolicySet;
use crate::protocol::restore::SnapshotMeta;
use crate::service::Shared;
use crate::service::commands;
use crate::service::room::BoundedShard;
use crate::service::snapshots::{Found, SnapshotStore, StoreError, meta_of};

/// What the store has of a partition. One that fails is asked nothing more: what it would have had
/// costs time, not truth.
pub struct Kept<'a> {
    shared: &'a Shared,
    partition: i32,
    policies: Arc<PolicySet>,
    found: Vec<Found>,
    unreachable: bool,
}

impl<'a> Kept<'a> {
    /// Nothing has been asked yet.
    pub fn new(shared: &'a Shared, partition: i32, policies: Arc<PolicySet>) -> Self {
        Self { shared, partition, policies, found: Vec::new(), unreachable: false }
    }

    fn store(&self) -> Option<&'a SnapshotStore> {
        let keeping = self.shared.keeping.as_ref()?;
        (!self.unreachable).then(|| keeping.store())
    }

    /// What the snapshots say of themselves.
    pub fn list(&mut self) -> Vec<SnapshotMeta> {
        let Some(store) = self.store() else { return Vec::new() };
        match store.listing(&self.shared.input, self.partition) {
            Ok(listing) => {
                for (name, refusal) in listing.refused {
                    self.unusable(&name, &refusal.to_string());
                }
                self.found = listing.found;
            }
            Err(error) => self.fail(&error),
        }
        self.found.iter().map(|found| meta_of(&found.header)).collect()
    }

    /// One of them, or why it is of no use.
    ///
    /// # Errors
    /// When there is no room for its packages.
    pub fn load(&mut self, index: usize) -> Result<Result<BoundedShard, String>, Failure> {
        let (Some(store), Some(found)) = (self.store(), self.found.get(index)) else {
            return Ok(Err("the store cannot be reached".to_owned()));
        };
        let memory: Arc<dyn BlockSource> = self.shared.memory.clone();
        let shard = match store.load(found, &self.policies, &memory) {
            Ok(Ok(shard)) => shard,
            Ok(Err(refusal)) => return Ok(Err(refusal.to_string())),
            Err(error) => {
                self.fail(&error);
                return Ok(Err(error.to_string()));
            }
        };
        let (partition, snapshot, packages) = (self.partition, found.name(), shard.len());
        tracing::info!(partition, snapshot, packages, "going on from a snapshot");
        let bounded = BoundedShard::loaded(shard, &self.shared.room);
        bounded.map(Ok).map_err(Failure::NoRoomForAll)
    }

    /// The name of one of them.
    pub fn name(&self, index: usize) -> Option<&str> {
        self.found.get(index).map(Found::name)
    }

    /// Tells of those that were passed over. One that reaches past what is committed is as good as
    /// any: whoever took it could not commit any more.
    pub fn tell(&self, set_aside: &[(usize, String)], committed: i64) {
        for (index, why) in set_aside {
            let Some(found) = self.found.get(*index) else { continue };
            let (partition, snapshot) = (self.partition, found.name());
            if found.header.offset > committed {
                tracing::info!(partition, snapshot, "a snapshot is passed over: {why}");
            } else if !self.unreachable {
                self.unusable(snapshot, why);
            }
        }
    }

    fn unusable(&self, snapshot: &str, why: &str) {
        let partition = self.partition;
        tracing::warn!(partition, snapshot, "a snapshot cannot be used: {why}");
        self.shared.metrics.snapshot_unusable();
    }

    fn fail(&mut self, error: &StoreError) {
        self.unreachable = true;
        self.shared.metrics.snapshot_failed();
        let partition = self.partition;
        let store = self.shared.keeping.as_ref().map(|keeping| keeping.store().url());
        let doctor = commands::ours(&self.shared.config, "doctor");
        tracing::warn!(
            partition,
            store,
            "{error}; package state is rebuilt from the log instead; to try the store and see what it lacks: {doctor}; it takes longer and changes nothing that is published"
        );
    }
}
