//! A store of snapshots: copies of package state, each with what it says of itself.

use std::sync::Arc;

use stallwatch::detector::key::PackageKey;
use stallwatch::detector::package::Package;
use stallwatch::detector::scan::Attributes;
use stallwatch::detector::shard::Shard;
use stallwatch::detector::time::LogTime;
use stallwatch::protocol::restore::SnapshotMeta;

/// A snapshot.
pub struct Snapshot {
    pub meta: SnapshotMeta,
    pub corrupt: bool,
    /// It has been deleted.
    pub gone: bool,
    /// Nobody sees it before.
    pub visible_at_ms: i64,
    log_clock: Option<LogTime>,
    packages: Vec<(PackageKey, Package, Attributes<Arc<str>>)>,
}

impl Snapshot {
    /// A copy of what a shard holds.
    pub fn of(meta: SnapshotMeta, shard: &Shard, visible_at_ms: i64) -> Self {
        let packages =
            shard.packages().map(|(key, view)| (key, view.package, view.attributes)).collect();
        Self {
            meta,
            corrupt: false,
            gone: false,
            visible_at_ms,
            log_clock: shard.log_clock(),
            packages,
        }
    }

    /// Puts it into a shard that is being rebuilt.
    pub fn load(&self, into: &mut Shard) {
        for (key, package, attributes) in &self.packages {
            into.put(key, package, attributes);
        }
        into.set_log_clock(self.log_clock);
    }
}
