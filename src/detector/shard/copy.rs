//! Package state taken out of a shard and put into another.

use std::sync::Arc;

use super::super::key::PackageKey;
use super::super::package::{Package, Taken};
use super::super::profile::Sighted;
use super::super::scan::Attributes;
use super::super::time::LogTime;
use super::restore::borrowed;
use super::{PackageView, Shard};

impl Shard {
    /// Every package that is known, in no order that means anything.
    pub fn packages(&self) -> impl Iterator<Item = (PackageKey, PackageView)> {
        self.table.slots().filter_map(|slot| {
            let key = self.keyring.key(self.table.get(slot).key());
            let view = self.package(&key)?;
            Some((key, view))
        })
    }

    /// Puts a package in place that this shard, which is being rebuilt, does not know.
    ///
    /// # Panics
    /// When ladders are awake already.
    pub fn put(&mut self, key: &PackageKey, package: &Package, attributes: &Attributes<Arc<str>>) {
        assert!(!self.live, "packages are put into a shard that is being rebuilt");
        let slot = self.keep(
            key,
            package,
            (&borrowed(attributes), Taken::TextsAndPlace),
            &Sighted::UNKNOWN,
        );
        self.hang(slot);
    }

    /// The log clock of a shard that is being rebuilt and into which packages have been put.
    pub fn set_log_clock(&mut self, log_clock: Option<LogTime>) {
        self.log_clock = log_clock;
        self.hang_up_anew();
    }
}
