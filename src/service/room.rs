//! How many packages this process may know at once: one count that all its partitions share.
//!
//! A partition takes places as its packages need them and gives back those it no longer needs; its
//! shard is limited to the places it has. So the partitions together never know more packages than
//! the limit, however the work is scheduled; only where a partition halts depends on that.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::status::Halt;
use crate::detector::exception::ExceptionEvent;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::{Inconsistent, Shard, Stop};
use crate::protocol::held::Packages;

/// Most places taken at once.
const MOST_AT_ONCE: usize = 1024;
/// The part of the free places that is taken at once: the fewer are left, the more exact the count.
const PART: usize = 1024;
/// The part of all places that must be free before a partition that halted for want of them goes
/// on: less, and it would halt again with the next few packages.
const PART_TO_GO_ON: usize = 100;

/// The places of all packages.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    taken: AtomicUsize,
}

impl Room {
    /// Room for so many packages; `None`: for as many as there is memory for.
    pub fn new(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self { limit: limit.unwrap_or(usize::MAX), taken: AtomicUsize::new(0) })
    }

    /// Places that no partition has taken.
    pub fn free(&self) -> usize {
        self.limit - self.taken.load(Ordering::Relaxed)
    }

    /// Takes some places and says how many; 0: none are left.
    fn take(&self) -> usize {
        let share = |taken: usize| {
            let free = self.limit - taken;
            (free / PART).clamp(1, MOST_AT_ONCE).min(free)
        };
        let before = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| Some(taken + share(taken)));
        before.map_or(0, share)
    }

    /// Takes so many places, or none where they are not all there.
    fn take_all(&self, places: usize) -> bool {
        let with = |taken: usize| taken.checked_add(places).filter(|sum| *sum <= self.limit);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
    }

    fn give_back(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::Relaxed);
    }

    /// Places that must be free before a partition without one more goes on.
    fn to_go_on(&self) -> usize {
        (self.limit / PART_TO_GO_ON).max(1)
    }
}

/// A package found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {limit} packages that engine.max_packages allows are known, {here} of them in this partition; raise engine.max_packages and restart, or add instances"
)]
pub struct NoRoom {
    limit: usize,
    here: usize,
    to_go_on: usize,
}

impl NoRoom {
    /// The halt of a partition that stays as it is, before the record at this offset.
    pub fn before(&self, offset: i64) -> Halt {
        let needed = self.to_go_on;
        Halt::for_room(
            format!(
                "max_packages: no room for the package that the record at offset {offset} brings: {self}; it goes on by itself once {needed} are forgotten or handed over"
            ),
            needed,
        )
    }

    /// The halt of a restore that gives up all it has, and could not place this.
    pub fn restoring(&self, what: &str) -> Halt {
        let needed = self.here + self.to_go_on;
        Halt::for_room(
            format!(
                "max_packages: while its state was rebuilt there was no room for {what}: {self}; it begins again by itself once there is room for {needed}"
            ),
            needed,
        )
    }
}

/// The packages of a snapshot found no places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the snapshot that its state is rebuilt from has {packages} packages, and of the {limit} that engine.max_packages allows only {free} are not in use; raise engine.max_packages and restart, or add instances"
)]
pub struct NoRoomForAll {
    limit: usize,
    free: usize,
    packages: usize,
}

impl NoRoomForAll {
    /// The halt of a restore that gives up all it has.
    pub fn halt(&self) -> Halt {
        let needed = self.packages;
        Halt::for_room(
            format!(
                "max_packages: {self}; it begins again by itself once there is room for {needed}"
            ),
            needed,
        )
    }
}

/// A shard with its places; they are given back when it is dropped.
pub struct BoundedShard {
    shard: Shard,
    room: Arc<Room>,
    places: usize,
    /// Places taken last; so many may lie idle between two records.
    spare: usize,
}

impl BoundedShard {
    /// A shard that knows no package yet.
    pub fn new(mut shard: Shard, room: &Arc<Room>) -> Self {
        shard.set_max_packages(Some(0));
        Self { shard, room: room.clone(), places: 0, spare: 0 }
    }

    /// A shard that knows packages already.
    ///
    /// # Errors
    /// When there are not so many places left.
    pub fn loaded(mut shard: Shard, room: &Arc<Room>) -> Result<Self, NoRoomForAll> {
        let places = shard.len();
        if !room.take_all(places) {
            let (limit, free) = (room.limit, room.free());
            return Err(NoRoomForAll { limit, free, packages: places });
        }
        shard.set_max_packages(Some(places));
        Ok(Self { shard, room: room.clone(), places, spare: 0 })
    }

    fn grow(&mut self) -> Result<(), NoRoom> {
        self.spare = self.room.take();
        if self.spare == 0 {
            return Err(self.no_room());
        }
        self.set_places(self.places + self.spare);
        Ok(())
    }

    fn no_room(&self) -> NoRoom {
        NoRoom { limit: self.room.limit, here: self.places, to_go_on: self.room.to_go_on() }
    }

    fn set_places(&mut self, places: usize) {
        self.places = places;
        self.shard.set_max_packages(Some(places));
    }
}

impl Packages for BoundedShard {
    type NoRoom = NoRoom;

    /// When no place is left the clocks have advanced to the record, nothing else has happened, and
    /// it may be applied again.
    fn apply_all(
        &mut self,
        mut records: &[Record<'_>],
        most: usize,
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> Result<(), NoRoom> {
        while !records.is_empty() && self.shard.waiting() < most {
            let applied = self.shard.apply(records, outcomes);
            records = &records[applied.records..];
            if applied.stop == Stop::Full {
                // With places left it is the distinct attributes that have no number left.
                if self.places > self.shard.len() {
                    return Err(self.no_room());
                }
                self.grow()?;
            }
            if self.places > self.shard.len() + self.spare {
                self.settle();
            }
        }
        Ok(())
    }

    fn take_open(&mut self, event: &ExceptionEvent) -> Result<Result<(), Inconsistent>, NoRoom> {
        let restored = self.shard.restore_open(event);
        while self.places < self.shard.len() {
            self.grow()?;
        }
        Ok(restored)
    }

    /// Gives back the places that no package needs.
    fn settle(&mut self) {
        self.room.give_back(self.places - self.shard.len());
        self.set_places(self.shard.len());
    }
}

impl Deref for BoundedShard {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for BoundedShard {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl Drop for BoundedShard {
    fn drop(&mut self) {
        self.room.give_back(self.places);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::key::PackageKey;
    use crate::detector::scan::{Attributes, Evidence, Milestone, Scan};
    use crate::detector::time::LogTime;
    use crate::wire::policy_file;

    const POLICIES: &str = "version = 1\n[defaults]\nforget_after = \"10d\"\n\
        [[policy]]\nid = \"all\"\nno_movement = [ { after = \"2d\", severity = \"warning\" } ]\n";

    fn shard(room: &Arc<Room>) -> BoundedShard {
        let policies = policy_file::parse("policies.toml", POLICIES).unwrap();
        BoundedShard::new(Shard::new(Arc::new(policies)), room)
    }

    /// The event of a package that has been silent for too long.
    fn opened() -> ExceptionEvent {
        let mut shard = shard(&Room::new(None));
        fill(&mut shard, 1);
        shard.apply_all(&[arrived(1, 3)], usize::MAX, &mut Vec::new()).unwrap();
        shard.take_outbox().remove(0)
    }

    /// The first scan of a package so many days after the log's beginning.
    fn arrived(number: usize, day: i64) -> Record<'static> {
        Record::Scan(Scan {
            key: PackageKey::new("ups", &format!("P{number}")).unwrap(),
            milestone: Milestone::Arrived,
            evidence: Evidence::Physical,
            event_time: None,
            log_time: LogTime::from_secs(1_772_438_400 + day * 86_400),
            offset: 0,
            attributes: Attributes::default(),
        })
    }

    /// Applies so many new packages, or as many as there is room for; how many.
    fn fill(shard: &mut BoundedShard, count: usize) -> usize {
        let fits = |number: &usize| {
            shard.apply_all(&[arrived(*number, 0)], usize::MAX, &mut Vec::new()).is_ok()
        };
        (0..count).take_while(fits).count()
    }

    #[test]
    fn partitions_share_the_places_and_the_last_one_is_used() {
        let room = Room::new(Some(100));
        let (mut one, mut other) = (shard(&room), shard(&room));
        assert_eq!(fill(&mut one, 60), 60);
        assert_eq!(fill(&mut other, 60), 40);
        assert_eq!((one.len(), other.len(), room.free()), (60, 40, 0));
        let no_room = other.apply_all(&[arrived(40, 0)], usize::MAX, &mut Vec::new()).unwrap_err();
        assert_eq!(no_room, NoRoom { limit: 100, here: 40, to_go_on: 1 });
        assert_eq!(no_room.before(7).places_needed, Some(1));
        assert_eq!(no_room.restoring("it").places_needed, Some(41));
    }

    #[test]
    fn places_of_forgotten_packages_and_of_partitions_that_are_gone_are_given_back() {
        let room = Room::new(Some(100));
        let (mut one, mut other) = (shard(&room), shard(&room));
        fill(&mut one, 70);
        fill(&mut other, 30);
        one.apply_all(&[arrived(0, 11)], usize::MAX, &mut Vec::new()).unwrap();
        one.settle();
        assert_eq!((one.len(), room.free()), (1, 69));
        drop(other);
        assert_eq!(room.free(), 99);
        drop(one);
        assert_eq!(room.free(), 100);
    }

    #[test]
    fn however_the_work_is_scheduled_the_limit_holds_and_is_reached() {
        const LIMIT: usize = 10_000;
        let room = Room::new(Some(LIMIT));
        let barrier = std::sync::Barrier::new(4);
        let known: usize = std::thread::scope(|scope| {
            let work = || {
                let mut shard = shard(&room);
                fill(&mut shard, LIMIT);
                barrier.wait();
                let known = shard.len();
                barrier.wait();
                known
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(known, LIMIT);
        assert_eq!(room.free(), LIMIT, "all are gone");
    }

    #[test]
    fn an_open_package_that_the_log_no_longer_has_needs_a_place_too() {
        let event = opened();
        let room = Room::new(Some(1));
        let mut one = shard(&room);
        assert_eq!(one.take_open(&event), Ok(Ok(())));
        assert_eq!((one.len(), room.free()), (1, 0));
        assert!(shard(&room).take_open(&event).is_err());
    }

    #[test]
    fn packages_that_come_at_once_take_their_places_or_none() {
        let room = Room::new(Some(10));
        let filled = |count| {
            let mut shard = shard(&Room::new(None));
            fill(&mut shard, count);
            let policies = policy_file::parse("policies.toml", POLICIES).unwrap();
            std::mem::replace(&mut shard.shard, Shard::new(Arc::new(policies)))
        };
        let mut one = BoundedShard::loaded(filled(6), &room).ok().unwrap();
        let no_room = BoundedShard::loaded(filled(5), &room).err().unwrap();
        assert_eq!(no_room, NoRoomForAll { limit: 10, free: 4, packages: 5 });
        assert_eq!(no_room.halt().places_needed, Some(5));
        assert_eq!(room.free(), 4, "nothing was taken");
        one.apply_all(&[arrived(6, 0)], usize::MAX, &mut Vec::new()).unwrap();
        assert_eq!((one.len(), room.free()), (7, 3));
        drop(one);
        assert_eq!(room.free(), 10);
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let room = Room::new(None);
        let mut shard = shard(&room);
        assert_eq!(fill(&mut shard, 5_000), 5_000);
        shard.settle();
        assert_eq!(room.free(), usize::MAX - 5_000);
    }
}
