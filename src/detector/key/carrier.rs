//! A carrier's name in normal form.

use std::fmt;
use std::ops::Deref;

use super::KeyError;
use super::swar::{at_marks, first_marks, within, word};

/// Longest carrier name in normal form, in bytes.
pub const MAX_CARRIER: usize = 32;

/// A carrier in normal form: 1 to 32 of `[a-z0-9._-]`, without an allocation. Ordered as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Carrier {
    /// Zeros after the name: they tell its length, and the arrays compare as the names do.
    bytes: [u8; MAX_CARRIER],
}

impl Carrier {
    /// The normal form of a carrier as a feed or a policy names it.
    #[inline]
    pub fn new(text: &str) -> Result<Self, KeyError> {
        match Self::lower(text.as_bytes()) {
            Some(carrier) => Ok(carrier),
            None => Self::trimmed(text),
        }
    }

    #[cold]
    fn trimmed(text: &str) -> Result<Self, KeyError> {
        let trimmed = text.trim_matches([' ', '\t']);
        if trimmed.is_empty() {
            return Err(KeyError::NoCarrier);
        }
        Self::lower(trimmed.as_bytes()).ok_or(KeyError::BadCarrier)
    }

    /// In lower case; `None` for what is empty, too long, or has a character that cannot be.
    #[inline]
    fn lower(text: &[u8]) -> Option<Self> {
        if !(1..=MAX_CARRIER).contains(&text.len()) {
            return None;
        }
        let part = |at| {
            let (lower, allowed) = lower_word(word(text, at));
            (lower, allowed ^ first_marks(text.len().saturating_sub(at)))
        };
        let rest = |at| if text.len() > 8 { part(at) } else { (0, 0) };
        let parts = [part(0), rest(8), rest(16), rest(24)];
        // Put together from whole words at fixed places: a short store that a wide load follows
        // would stall.
        let mut bytes = [0; MAX_CARRIER];
        for (to, (lower, _)) in bytes.chunks_exact_mut(8).zip(parts) {
            to.copy_from_slice(&lower.to_le_bytes());
        }
        let faults = parts.iter().fold(0, |faults, (_, fault)| faults | fault);
        (faults == 0).then_some(Self { bytes })
    }

    #[inline]
    fn len(&self) -> usize {
        let used = |at| 8 - word(&self.bytes, at).leading_zeros() as usize / 8;
        let last = (8..MAX_CARRIER).step_by(8).take_while(|at| self.bytes[*at] != 0).last();
        last.unwrap_or(0) + used(last.unwrap_or(0))
    }

    /// The name, and zeros behind it.
    #[inline]
    pub(in crate::detector) fn padded(&self) -> &[u8; MAX_CARRIER] {
        &self.bytes
    }

    /// The name.
    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len()]).expect("a carrier in normal form is ASCII")
    }
}

/// Eight bytes in lower case, and marks where they may stand in a carrier's name.
#[inline]
fn lower_word(word: u64) -> (u64, u64) {
    let upper = within(word, b'A', b'Z');
    let lower = within(word, b'a', b'z');
    let digits = within(word, b'0', b'9');
    let others = within(word, b'-', b'.') | within(word, b'_', b'_');
    (word | at_marks(upper, 0x20), upper | lower | digits | others)
}

impl Deref for Carrier {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}
