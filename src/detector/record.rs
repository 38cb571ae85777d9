//! One package in 32 bytes, half a cache line.
//!
//! ```text
//!  key     128 bits   carrier 12 | tracking number 116
//!  times    64 bits   anchor 32 | lag 22 | phase 2 | milestone 5 | tendered 1 | open 1 | – 1
//!  traits   64 bits   profile 25 | place 25 | hung 14
//! ```
//!
//! Times are whole seconds since 1970 and lie within the years 2000 to 2099. The lag is the time
//! from the anchor until it was set; one that is too long for its bits stands beside the table.

use super::keyring::PackedKey;
use super::memory::Plain;
use super::package::{Package, Phase};
use super::profile::Traits;
use super::scan::Milestone;
use super::time::{EffectiveTime, LogTime};
use super::wheel::Hung;

/// Profiles and places have numbers below this.
pub const TRAITS: u32 = 1 << 25;
/// The lag that says that the real one stands elsewhere.
pub const LONG_LAG: u64 = (1 << 22) - 1;

const LAG: u32 = 32;
const PHASE: u32 = 54;
const MILESTONE: u32 = 56;
const TENDERED: u32 = 61;
const OPEN: u32 = 62;
const PLACE: u32 = 25;
const HUNG: u32 = 50;

/// The compact state of a package, or a free place for one.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub struct Record {
    key: [u64; 2],
    times: u64,
    traits: u64,
}

// SAFETY: zero bytes are a free record; the size is 32, the alignment 32.
unsafe impl Plain for Record {}

impl Record {
    /// A free place, and the number of the next one.
    pub fn free(next: u32) -> Self {
        Self { key: [u64::from(next), 0], times: 0, traits: 0 }
    }

    /// A package that nothing is known of but its key and traits; see [`Self::set_package`].
    pub fn of(key: PackedKey, traits: Traits) -> Self {
        let mut record = Self { key: key.words(), times: 1 << PHASE, traits: 0 };
        record.set_hung(Hung::NOWHERE);
        record.set_traits(traits);
        record
    }

    /// Whether a package stands here.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.times >> PHASE & 3 != 0
    }

    /// The next free place, of one that is free.
    pub fn next_free(&self) -> u32 {
        self.key[0] as u32
    }

    /// Carrier and number.
    #[inline]
    pub fn key(&self) -> PackedKey {
        PackedKey::from_words(self.key)
    }

    /// What the records of the log say, and whether `set_at` is known here. Where it is not, it is
    /// the anchor until [`super::table::Table`] puts the real one in place.
    #[inline]
    pub fn package(&self) -> (Package, bool) {
        let anchor = i64::from(self.anchor());
        let lag = self.lag();
        let known = lag != LONG_LAG;
        let package = Package {
            phase: self.phase(),
            milestone: Milestone::ALL[(self.times >> MILESTONE & 31) as usize],
            tendered: self.times >> TENDERED & 1 == 1,
            anchor: EffectiveTime::from_secs(anchor),
            set_at: LogTime::from_secs(anchor + if known { lag as i64 } else { 0 }),
        };
        (package, known)
    }

    /// Overwrites what the records of the log say; all else stays. Returns false where the lag is
    /// too long to be kept here.
    #[inline]
    #[must_use]
    pub fn set_package(&mut self, package: &Package) -> bool {
        let anchor =
            u32::try_from(package.anchor.secs()).expect("times are of the years 2000 to 2099");
        let lag = u64::try_from(package.set_at.secs() - i64::from(anchor)).unwrap_or(LONG_LAG);
        self.times = u64::from(anchor)
            | lag.min(LONG_LAG) << LAG
            | (package.phase as u64 + 1) << PHASE
            | (package.milestone as u64) << MILESTONE
            | u64::from(package.tendered) << TENDERED
            | self.times & (1 << OPEN);
        lag < LONG_LAG
    }

    /// The phase.
    #[inline]
    pub fn phase(&self) -> Phase {
        Phase::ALL[(self.times >> PHASE & 3).saturating_sub(1) as usize]
    }

    /// The time silence is measured from, in seconds.
    #[inline]
    pub fn anchor(&self) -> u32 {
        self.times as u32
    }

    /// Seconds from the anchor until it was set, or [`LONG_LAG`].
    #[inline]
    pub fn lag(&self) -> u64 {
        self.times >> LAG & LONG_LAG
    }

    /// Moves the anchor of a package on its way on, as [`super::package::observe`] would for a scan
    /// that moves it at `anchor`, set `lag` seconds later. Returns false, and nothing is changed,
    /// where that is not all there is to do: in another phase, with an open exception, for a time
    /// that is not later, or where a lag stands elsewhere.
    #[inline]
    #[must_use]
    pub fn move_on(&mut self, milestone: Milestone, anchor: u32, lag: u64) -> bool {
        const STATE: u64 = 3 << PHASE | 1 << OPEN;
        const ON_ITS_WAY: u64 = (Phase::Moving as u64 + 1) << PHASE;
        let all = self.times & STATE == ON_ITS_WAY
            && self.anchor() < anchor
            && self.lag() != LONG_LAG
            && lag < LONG_LAG;
        if all {
            let milestone = (milestone as u64) << MILESTONE;
            self.times = u64::from(anchor) | lag << LAG | ON_ITS_WAY | milestone;
        }
        all
    }

    /// Whether the side table has an open exception for it.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.times >> OPEN & 1 == 1
    }

    /// Says whether the side table has an open exception for it.
    pub fn set_open(&mut self, open: bool) {
        self.times = self.times & !(1 << OPEN) | u64::from(open) << OPEN;
    }

    /// Numbers of its profile and place.
    #[inline]
    pub fn traits(&self) -> Traits {
        let mask = u64::from(TRAITS - 1);
        Traits { profile: (self.traits & mask) as u32, place: (self.traits >> PLACE & mask) as u32 }
    }

    /// Sets the numbers of its profile and place, which are below [`TRAITS`].
    #[inline]
    pub fn set_traits(&mut self, traits: Traits) {
        debug_assert!(traits.profile < TRAITS && traits.place < TRAITS);
        self.traits = u64::from(traits.profile)
            | u64::from(traits.place) << PLACE
            | self.traits >> HUNG << HUNG;
    }

    /// Sets the number of its place, which is below [`TRAITS`].
    #[inline]
    pub fn set_place(&mut self, place: u32) {
        debug_assert!(place < TRAITS);
        self.traits = self.traits & !(u64::from(TRAITS - 1) << PLACE) | u64::from(place) << PLACE;
    }

    /// What the records of the log say, as they stand here: anchor 32 bits | lag 22 | phase,
    /// milestone and tendered 8.
    #[inline]
    pub fn state(&self) -> u64 {
        self.times & ((1 << OPEN) - 1)
    }

    /// A package that hangs nowhere, with what [`Self::state`] gave of it.
    #[inline]
    pub fn with_state(key: PackedKey, traits: Traits, state: u64) -> Self {
        let mut record = Self::of(key, traits);
        record.times = state;
        record
    }

    /// Where it hangs in a wheel.
    #[inline]
    pub fn hung(&self) -> Hung {
        Hung::from_bits((self.traits >> HUNG) as u16)
    }

    /// Says where it hangs in a wheel.
    #[inline]
    pub fn set_hung(&mut self, hung: Hung) {
        self.traits = self.traits & ((1 << HUNG) - 1) | u64::from(hung.bits()) << HUNG;
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::PackageKey;
    use super::super::keyring::Keyring;
    use super::super::package::{Transition, observe};
    use super::super::scan::{Attributes, Effect, Evidence, Scan};
    use super::super::time::EventTime;
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_780_000_000;
    /// More than the lag of a record can be.
    const LONG: i64 = LONG_LAG as i64 + 2;

    fn record(package: &Package, open: bool) -> (Record, bool) {
        let key = PackageKey::new("ups", "1Z999").unwrap();
        let traits = Traits { profile: 3, place: 5 };
        let mut record = Record::of(Keyring::default().hold(&key), traits);
        let kept = record.set_package(package);
        record.set_open(open);
        (record, kept)
    }

    prop_compose! {
        fn package()(
            phase in prop::sample::select(Phase::ALL),
            milestone in prop::sample::select(Milestone::ALL),
            tendered: bool,
            (back, lag) in prop_oneof![(0..9i64, 0..9i64), (0..2 * LONG, 0..2 * LONG)],
        ) -> Package {
            let anchor = NOW - back - lag;
            let set_at = LogTime::from_secs(anchor + lag);
            let anchor = EffectiveTime::from_secs(anchor);
            Package { phase, milestone, tendered, anchor, set_at }
        }
    }

    prop_compose! {
        fn scan()(
            milestone in prop::sample::select(Milestone::ALL)
                .prop_filter("it moves", |milestone| milestone.nominal_effect() == Effect::Moves),
            late in prop_oneof![0..20i64, 0..2 * LONG],
        ) -> Scan<'static> {
            Scan {
                key: PackageKey::new("ups", "1Z999").unwrap(),
                milestone,
                evidence: Evidence::Physical,
                event_time: Some(EventTime::from_secs(NOW - late)),
                log_time: LogTime::from_secs(NOW),
                offset: 0,
                attributes: Attributes::default(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn a_package_moves_on_only_as_observe_says_and_whenever_nothing_else_is_to_be_done(
            package in package(),
            open in prop::bool::weighted(0.2),
            scan in scan(),
        ) {
            let (mut record, kept) = record(&package, open);
            let before = record;
            let e = scan.effective_time().secs();
            let lag = (scan.log_time.secs() - e) as u64;
            let moved = record.move_on(scan.milestone, e as u32, lag);
            let transition = observe(Some(&package), &scan, scan.log_time, 86_400);
            let later = package.phase == Phase::Moving && package.anchor < scan.effective_time();
            prop_assert_eq!(moved, later && !open && kept && lag < LONG_LAG);
            if moved {
                let (package, known) = record.package();
                prop_assert!(known && !record.is_open());
                prop_assert_eq!(transition, Transition::Changed { package, closes: true });
                prop_assert_eq!(record.traits(), before.traits());
                prop_assert_eq!(record.hung(), before.hung());
            } else {
                prop_assert_eq!(record.state(), before.state());
                prop_assert_eq!(record.is_open(), open);
            }
        }

        #[test]
        fn a_place_is_set_alone(place in 0..TRAITS, profile in 0..TRAITS, hung in 0..1u16 << 14) {
            let (mut record, _) = record(&Package {
                phase: Phase::Moving,
                milestone: Milestone::Arrived,
                tendered: false,
                anchor: EffectiveTime::from_secs(NOW),
                set_at: LogTime::from_secs(NOW),
            }, false);
            record.set_traits(Traits { profile, place: TRAITS - 1 });
            record.set_hung(Hung::from_bits(hung));
            record.set_place(place);
            prop_assert_eq!(record.traits(), Traits { profile, place });
            prop_assert_eq!(record.hung(), Hung::from_bits(hung));
        }
    }
}
