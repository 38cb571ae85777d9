//! A package's identity: carrier and tracking number in normal form.

use compact_str::CompactString;
use std::fmt;

/// Longest carrier name in normal form, in bytes.
pub const MAX_CARRIER: usize = 32;
/// Longest tracking number in normal form, in bytes.
pub const MAX_NUMBER: usize = 64;

/// (carrier, tracking number), both in normal form. Ordered by carrier as text, then number as bytes.
///
/// Never the number alone: carriers' number spaces overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageKey {
    carrier: CompactString,
    number: CompactString,
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
        let carrier = normal_carrier(carrier)?;
        let mut number = normal_number(number)?;
        if carrier == "usps" {
            let routing = usps_routing_prefix(&number);
            if routing > 0 {
                number = CompactString::from(&number[routing..]);
            }
        }
        Ok(Self { carrier, number })
    }

    /// From texts that are in normal form already.
    pub(super) fn from_normal(carrier: &str, number: &str) -> Self {
        Self { carrier: CompactString::from(carrier), number: CompactString::from(number) }
    }

    /// The carrier: 1 to 32 of `[a-z0-9._-]`.
    pub fn carrier(&self) -> &str {
        &self.carrier
    }

    /// The tracking number: 1 to 64 characters of U+0021 to U+007E.
    pub fn number(&self) -> &str {
        &self.number
    }
}

impl fmt::Display for PackageKey {
    /// `carrier:number`, the key of Kafka records.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.carrier, self.number)
    }
}

/// The normal form of a carrier alone, as policies name it.
pub fn normal_carrier(text: &str) -> Result<CompactString, KeyError> {
    let trimmed = text.trim_matches([' ', '\t']);
    if trimmed.is_empty() {
        return Err(KeyError::NoCarrier);
    }
    if trimmed.len() > MAX_CARRIER {
        return Err(KeyError::BadCarrier);
    }
    let mut buffer = [0u8; MAX_CARRIER];
    for (to, from) in buffer.iter_mut().zip(trimmed.bytes()) {
        let lower = from.to_ascii_lowercase();
        if !matches!(lower, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-') {
            return Err(KeyError::BadCarrier);
        }
        *to = lower;
    }
    Ok(ascii(&buffer[..trimmed.len()]))
}

fn normal_number(text: &str) -> Result<CompactString, KeyError> {
    let mut buffer = [0u8; MAX_NUMBER];
    let mut length = 0;
    for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
        if !matches!(byte, 0x21..=0x7e) {
            return Err(KeyError::BadNumber);
        }
        if length == MAX_NUMBER {
            return Err(KeyError::LongNumber);
        }
        buffer[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    if length == 0 {
        return Err(KeyError::NoNumber);
    }
    Ok(ascii(&buffer[..length]))
}

fn ascii(bytes: &[u8]) -> CompactString {
    CompactString::from(std::str::from_utf8(bytes).expect("checked to be ASCII"))
}

/// How many characters of routing (`420` and a ZIP code) stand in front of a USPS number.
fn usps_routing_prefix(number: &str) -> usize {
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !number.starts_with("420") {
        return 0;
    }
    match number.len() {
        28 | 30 => 8,
        32 | 38 => 12,
        // 420 + ZIP + 26 digits (9…) where only the last 26 begin with 9, else 420 + ZIP+4 + 22.
        34 if !number[12..].starts_with('9') && number[8..].starts_with('9') => 8,
        34 => 12,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(carrier: &str, number: &str) -> String {
        PackageKey::new(carrier, number).unwrap().number().to_owned()
    }

    #[test]
    fn spaces_hyphens_and_case_do_not_make_another_package() {
        let key = PackageKey::new(" \tUPS ", "1z 999-aa1 0123456784").unwrap();
        assert_eq!(key.to_string(), "ups:1Z999AA10123456784");
    }

    #[test]
    fn the_routing_prefix_of_usps_is_cut_and_only_there() {
        let bare20 = "71234567890123456789";
        let bare22 = "9400111899223197428490";
        let bare26 = "92001234567890123456789012";
        assert_eq!(number("usps", &format!("42090210{bare20}")), bare20);
        assert_eq!(number("usps", &format!("42090210{bare22}")), bare22);
        assert_eq!(number("usps", &format!("420902101234{bare20}")), bare20);
        assert_eq!(number("usps", &format!("420902101234{bare22}")), bare22);
        assert_eq!(number("usps", &format!("420902101234{bare26}")), bare26);
        let bare26_alone = "91001234567890123456789012";
        assert_eq!(number("usps", &format!("42090210{bare26_alone}")), bare26_alone);
        let other = format!("42090210{bare22}");
        assert_eq!(number("ups", &other), other);
    }

    #[test]
    fn what_has_no_normal_form_says_why() {
        let new = PackageKey::new;
        assert_eq!(new(" ", "1"), Err(KeyError::NoCarrier));
        assert_eq!(new("dhl express", "1"), Err(KeyError::BadCarrier));
        assert_eq!(new(&"c".repeat(33), "1"), Err(KeyError::BadCarrier));
        assert_eq!(new("ups", " - "), Err(KeyError::NoNumber));
        assert_eq!(new("ups", &"1".repeat(65)), Err(KeyError::LongNumber));
        assert_eq!(new("ups", "1\t2"), Err(KeyError::BadNumber));
        assert_eq!(new("ups", "Ä1"), Err(KeyError::BadNumber));
        assert!(new("ups", &format!("{}-", "1".repeat(64))).is_ok());
    }
}
