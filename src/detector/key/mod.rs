//! A package's identity: carrier and tracking number in normal form.

use std::cmp::Ordering;
use std::fmt;

mod carrier;
mod pack;
mod swar;
#[cfg(test)]
mod tests;
mod text;

pub use carrier::{Carrier, MAX_CARRIER};
pub use pack::{FIRST_HALF, from_halves, halves};
pub(super) use pack::{is_code, is_ordered, order_code};
pub(super) use swar::word;
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
    /// What [`pack::pack`] makes of it, lowest bits first: pieces that leave a byte for the kind,
    /// so that a number takes 16 bytes.
    Packed(u64, u32, u16, u8),
    /// What has no code.
    Long(Box<NumberText>),
}

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
    pub fn new(carrier: &str, number: &str) -> Result<Self, KeyError> {
        let carrier = Carrier::new(carrier)?;
        let number = Number::new(&carrier, number)?;
        Ok(Self { carrier, number })
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
    /// The normal form of a number as a feed sends it.
    #[inline]
    fn new(carrier: &Carrier, text: &str) -> Result<Self, KeyError> {
        // What has a code has no character that the normal form changes.
        match pack::pack(bare(carrier, text.as_bytes())) {
            Some(code) => Ok(Self::packed(code)),
            None => Self::cleaned(carrier, text),
        }
    }

    #[inline(never)]
    fn cleaned(carrier: &Carrier, text: &str) -> Result<Self, KeyError> {
        let number = normal_number(text)?;
        let routing = number.len() - bare(carrier, number.as_bytes()).len();
        Ok(Self::from_normal(&number[routing..]))
    }

    fn from_normal(number: &str) -> Self {
        match pack::pack(number.as_bytes()) {
            Some(code) => Self::packed(code),
            None => Self::Long(Box::new(NumberText::new(number))),
        }
    }

    #[inline]
    fn packed(code: u128) -> Self {
        Self::Packed(code as u64, (code >> 64) as u32, (code >> 96) as u16, (code >> 112) as u8)
    }

    #[inline]
    fn code(&self) -> Option<u128> {
        match *self {
            Self::Packed(a, b, c, d) => Some(joined(a, b, c, d)),
            Self::Long(_) => None,
        }
    }

    fn text(&self) -> NumberText {
        match *self {
            Self::Packed(a, b, c, d) => pack::unpack(joined(a, b, c, d)),
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

/// The pieces of a code, lowest first, as one again.
#[inline]
fn joined(a: u64, b: u32, c: u16, d: u8) -> u128 {
    let upper = u64::from(b) | u64::from(c) << 32 | u64::from(d) << 48;
    u128::from(a) | u128::from(upper) << 64
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

/// A number without the routing that only USPS puts in front.
#[inline]
fn bare<'a>(carrier: &Carrier, number: &'a [u8]) -> &'a [u8] {
    let routed = number.starts_with(b"420") && carrier.as_str() == "usps";
    if routed { &number[usps_routing_prefix(number)..] } else { number }
}

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
