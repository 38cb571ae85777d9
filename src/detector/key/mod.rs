//! A package's identity: carrier and tracking number in normal form.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;

mod carrier;
mod inset;
mod pack;
mod swar;
#[cfg(test)]
mod tests;
mod text;

pub use carrier::{Carrier, MAX_CARRIER};
pub use inset::Inset;
pub use pack::{FIRST_HALF, from_halves, halves};
pub(super) use pack::{is_code, is_ordered, order_code};
pub use text::NumberText;

/// Longest tracking number in normal form, in bytes.
pub const MAX_NUMBER: usize = 64;

/// (carrier, tracking number), both in normal form. Ordered by carrier as text, then number as bytes.
///
/// Never the number alone: carriers' number spaces overlap.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackageKey {
    carrier: Carrier,
    number: Number,
}

/// Every number has one form only, so that equal numbers are equal values.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Number {
    /// What [`pack::pack`] makes of it, in two words: written and read whole.
    Packed {
        low: u64,
        /// With [`PRESENT`] set, so that a number takes 16 bytes: codes end below it.
        high: NonZeroU64,
    },
    /// What has no code.
    Long(Box<NumberText>),
}

const PRESENT: NonZeroU64 = NonZeroU64::new(1 << 63).unwrap();

/// Why a carrier or a tracking number has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is left of the carrier once spaces are trimmed.
    #[error("the carrier is empty")]
    NoCarrier,
    /// The carrier is longer than 32 bytes or has a character outside `[a-z0-9._-]`.
    #[error("the carrier must be 1 to 32 characters of a-z, 0-9, '.', '_' and '-'")]
    BadCarrier,
    /// Nothing is left of the number once spaces and hyphens are removed.
    #[error("the tracking number is empty")]
    NoNumber,
    /// The number is longer than 64 characters.
    #[error("the tracking number is longer than 64 characters")]
    LongNumber,
    /// The number has a character outside U+0021 to U+007E.
    #[error("the tracking number has a character that is not printable ASCII")]
    BadNumber,
}

impl PackageKey {
    /// The normal form of a carrier and a tracking number as a feed sends them.
    #[inline]
    pub fn new(carrier: &str, number: &str) -> Result<Self, KeyError> {
        match Self::quick(carrier::words(carrier.as_bytes()), number.as_bytes()) {
            Some(key) => Ok(key),
            None => Self::cleaned(carrier, number),
        }
    }

    /// The key of a carrier that is in normal form but for its case, and of a number that has a
    /// code as it stands: what nearly all feeds send. `None`: [`PackageKey::new`] knows more.
    #[inline(always)]
    pub fn of(carrier: Inset<'_>, number: &[u8]) -> Option<Self> {
        Self::quick(carrier::words_within(carrier), number)
    }

    /// All in registers, and written once: pieces in memory that are read as a whole would stall.
    #[inline(always)]
    fn quick(carrier: Option<[u64; 4]>, number: &[u8]) -> Option<Self> {
        let carrier = carrier?;
        let routed = number.starts_with(b"420") && carrier == USPS;
        let bare = if routed { &number[usps_routing_prefix(number)..] } else { number };
        // What has a code has no character that the normal form changes.
        let code = pack::pack(bare)?;
        Some(Self { carrier: Carrier::from_words(carrier), number: Number::packed(code) })
    }

    #[inline(never)]
    fn cleaned(carrier: &str, number: &str) -> Result<Self, KeyError> {
        let carrier = Carrier::new(carrier)?;
        let number = normal_number(number)?;
        let routed = carrier.as_str() == "usps" && number.starts_with("420");
        let routing = if routed { usps_routing_prefix(number.as_bytes()) } else { 0 };
        Ok(Self::from_normal(carrier, &number[routing..]))
    }

    /// From texts that are in normal form already.
    pub(super) fn from_normal(carrier: Carrier, number: &str) -> Self {
        Self { carrier, number: Number::from_normal(number) }
    }

    /// From a carrier in normal form and what [`Self::code`] gave.
    pub(super) fn from_code(carrier: Carrier, code: u128) -> Self {
        Self { carrier, number: Number::packed(code) }
    }

    /// The tracking number as an integer below 2^116, if it is of a kind that has one: up to 22
    /// letters and digits, or up to 34 digits.
    #[inline]
    pub fn code(&self) -> Option<u128> {
        self.number.code()
    }

    /// The carrier.
    #[inline]
    pub(super) fn carrier_name(&self) -> &Carrier {
        &self.carrier
    }

    /// The carrier: 1 to 32 of `[a-z0-9._-]`.
    pub fn carrier(&self) -> &str {
        &self.carrier
    }

    /// The tracking number: 1 to 64 characters of U+0021 to U+007E.
    pub fn number(&self) -> NumberText {
        self.number.text()
    }
}

impl fmt::Display for PackageKey {
    /// `carrier:number`, the key of Kafka records.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.carrier, self.number())
    }
}

impl fmt::Debug for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackageKey")
            .field("carrier", &self.carrier)
            .field("number", &self.number())
            .finish()
    }
}

impl PartialOrd for PackageKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PackageKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.carrier.cmp(&other.carrier).then_with(|| self.number.order(&other.number))
    }
}

impl Number {
    fn from_normal(number: &str) -> Self {
        match pack::pack(number.as_bytes()) {
            Some(code) => Self::packed(code),
            None => Self::Long(Box::new(NumberText::new(number))),
        }
    }

    #[inline(always)]
    fn packed(code: u128) -> Self {
        Self::Packed { low: code as u64, high: PRESENT | (code >> 64) as u64 }
    }

    #[inline]
    fn code(&self) -> Option<u128> {
        match *self {
            Self::Packed { low, high } => Some(joined(low, high)),
            Self::Long(_) => None,
        }
    }

    fn text(&self) -> NumberText {
        match *self {
            Self::Packed { low, high } => pack::unpack(joined(low, high)),
            Self::Long(ref text) => **text,
        }
    }

    /// The order as bytes.
    fn order(&self, other: &Self) -> Ordering {
        match (self.code(), other.code()) {
            (Some(a), Some(b)) if pack::is_ordered(a) && pack::is_ordered(b) => a.cmp(&b),
            _ => self.text().as_bytes().cmp(other.text().as_bytes()),
        }
    }
}

/// The words of a code as one again.
#[inline]
fn joined(low: u64, high: NonZeroU64) -> u128 {
    u128::from(low) | u128::from(high.get() ^ PRESENT.get()) << 64
}

fn normal_number(text: &str) -> Result<NumberText, KeyError> {
    let mut number = NumberText::default();
    for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        if !matches!(byte, 0x21..=0x7e) {
            return Err(KeyError::BadNumber);
        }
        number.push(byte.to_ascii_uppercase()).ok_or(KeyError::LongNumber)?;
    }
    if number.is_empty() { Err(KeyError::NoNumber) } else { Ok(number) }
}

/// The only carrier that puts routing in front of its numbers.
const USPS: [u64; 4] = [u32::from_le_bytes(*b"usps") as u64, 0, 0, 0];

/// How many characters of routing (`420` and a ZIP code) stand in front of a USPS number
/// that begins with `420`.
fn usps_routing_prefix(number: &[u8]) -> usize {
    if !number.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    match number.len() {
        28 | 30 => 8,
        32 | 38 => 12,
        // 420 + ZIP + 26 digits (9…) where only the last 26 begin with 9, else 420 + ZIP+4 + 22.
        34 if !number[12..].starts_with(b"9") && number[8..].starts_with(b"9") => 8,
        34 => 12,
        _ => 0,
    }
}
