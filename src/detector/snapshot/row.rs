//! One package in the form that all copies of it have.

use super::super::keyring::{NUMBER_BITS, PackedKey, SPILLED};
use super::super::profile::Traits;
use super::super::record::{LONG_LAG, Record};

/// Carriers from this number on have no room in a key: their packages' numbers are kept as text.
pub const MOST_SHORT_CARRIERS: u32 = SPILLED;

/// A package: its key and what the records say of it, by the numbers of
/// [`Contents`](super::Contents).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    key: [u64; 2],
    /// Anchor 32 bits | lag 22 | phase, milestone and tendered 8.
    state: u64,
    profile: u32,
    place: u32,
}

impl Row {
    /// Bits of [`Row::lag`].
    pub const LAG_BITS: u32 = 22;
    /// The lag that says that the real one stands in
    /// [`Contents::long_lags`](super::Contents::long_lags).
    pub const LONG_LAG: u32 = LONG_LAG as u32;

    /// A package from its parts; see the functions of their names.
    #[inline]
    pub fn new(key: u128, (anchor, lag, kind): (u32, u32, u8), profile: u32, place: u32) -> Self {
        let state = u64::from(anchor) | u64::from(lag & Self::LONG_LAG) << 32;
        let state = state | u64::from(kind) << (32 + Self::LAG_BITS);
        Self { key: [key as u64, (key >> 64) as u64], state, profile, place }
    }

    #[inline]
    pub(super) fn of(key: u128, record: &Record, profile: u32, place: u32) -> Self {
        let key = [key as u64, (key >> 64) as u64];
        Self { key, state: record.state(), profile, place }
    }

    #[inline]
    pub(super) fn record(&self) -> Record {
        let traits = Traits { profile: self.profile, place: self.place };
        Record::with_state(PackedKey::from_words(self.key), traits, self.state)
    }

    /// Number of the carrier in 12 bits, code of the tracking number in 116. Where the former is
    /// [`MOST_SHORT_CARRIERS`], the latter is a place in
    /// [`Contents::long_numbers`](super::Contents::long_numbers). Rows stand in order of this.
    #[inline]
    pub fn key(&self) -> u128 {
        u128::from(self.key[1]) << 64 | u128::from(self.key[0])
    }

    /// The key of a carrier's number below [`MOST_SHORT_CARRIERS`] and the code of a tracking number;
    /// of other numbers it is none of any row.
    #[inline]
    pub fn short_key(carrier: u32, code: u128) -> u128 {
        short_key(carrier.min(SPILLED), code)
    }

    /// The two parts of [`Row::key`].
    #[inline]
    pub fn key_parts(&self) -> (u32, u128) {
        PackedKey::from_words(self.key).parts()
    }

    /// The anchor, in seconds since 1970.
    #[inline]
    pub fn anchor(&self) -> u32 {
        self.state as u32
    }

    /// Seconds from the anchor until it was set, or [`Row::LONG_LAG`].
    #[inline]
    pub fn lag(&self) -> u32 {
        (self.state >> 32) as u32 & Self::LONG_LAG
    }

    /// Phase (from 1 on, 2 bits), milestone (5 bits) and whether it was tendered (1 bit).
    #[inline]
    pub fn kind(&self) -> u8 {
        (self.state >> (32 + Self::LAG_BITS)) as u8
    }

    /// Place in [`Contents::profiles`](super::Contents::profiles).
    #[inline]
    pub fn profile(&self) -> u32 {
        self.profile
    }

    /// Place in [`Contents::places`](super::Contents::places).
    #[inline]
    pub fn place(&self) -> u32 {
        self.place
    }
}

/// The key of a carrier's number and the code of a tracking number.
#[inline]
pub(super) fn short_key(carrier: u32, code: u128) -> u128 {
    u128::from(carrier) << NUMBER_BITS | code
}

/// The key of a place in the list of long numbers.
#[inline]
pub(super) fn long_key(place: u32) -> u128 {
    short_key(SPILLED, u128::from(place))
}
