//! What all rows of a snapshot have in common: its dictionaries.

use super::super::time::LogTime;

/// Carrier and texts that policies look at, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileTexts {
    /// Place in [`Contents::carriers`].
    pub carrier: u32,
    /// Service, direction, destination country, shipper and value tier: places in
    /// [`Contents::texts`] + 1; 0 where there is none.
    pub texts: [u32; 5],
}

/// Everything of a snapshot but its rows. Each list is in order and has nothing twice, and nothing
/// that no package has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The greatest log time of the records so far.
    pub log_clock: Option<LogTime>,
    /// How many rows there are.
    pub packages: u64,
    /// Names in normal form.
    pub carriers: Vec<Box<str>>,
    /// The texts of profiles and places.
    pub texts: Vec<Box<str>>,
    /// The profiles of rows.
    pub profiles: Vec<ProfileTexts>,
    /// The places of rows: facility and country, numbered as in [`ProfileTexts::texts`].
    pub places: Vec<[u32; 2]>,
    /// Tracking numbers that have no room in a key, each with its carrier's number: long or odd
    /// ones, and all those of carriers from
    /// [`MOST_SHORT_CARRIERS`](super::MOST_SHORT_CARRIERS) on. One row each.
    pub long_numbers: Vec<(u32, Box<str>)>,
    /// When anchors were set that were set too long after their time for a row: key of the row, and
    /// seconds since 1970.
    pub long_lags: Vec<(u128, i64)>,
}
