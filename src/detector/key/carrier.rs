//! A carrier's name in normal form.

use std::fmt;
use std::ops::Deref;

use super::KeyError;
use super::inset::Inset;
use super::swar::{at_marks, first_marks, within, word};

/// Longest carrier name in normal form, in bytes.
pub const MAX_CARRIER: usize = 32;

/// A carrier in normal form: 1 to 32 of `[a-z0-9._-]`, without an allocation. Ordered as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(8))]
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
        words(text).map(Self::from_words)
    }

    /// From what [`words`] gave. Whole words at fixed places: a short store that a wide load follows
    /// would stall.
    #[inline(always)]
    pub(super) fn from_words(words: [u64; 4]) -> Self {
        let mut bytes = [0; MAX_CARRIER];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        Self { bytes }
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

/// The words of a name that is in normal form but for its case; `None` for any other.
#[inline(always)]
pub(super) fn words(text: &[u8]) -> Option<[u64; 4]> {
    if text.len() <= 8 { short(word(text, 0), text.len()) } else { long(text) }
}

/// The same of a name within its record.
#[inline(always)]
pub(super) fn words_within(text: Inset<'_>) -> Option<[u64; 4]> {
    match text.short() {
        Some(word) => short(word, text.len()),
        None => long(text.text()),
    }
}

/// The words of a name of up to eight bytes, zeros behind them.
#[inline(always)]
fn short(text: u64, length: usize) -> Option<[u64; 4]> {
    let (lower, allowed) = lower_word(text);
    (length > 0 && allowed == first_marks(length)).then_some([lower, 0, 0, 0])
}

/// The words of a longer name.
#[inline(never)]
fn long(text: &[u8]) -> Option<[u64; 4]> {
    if text.len() > MAX_CARRIER {
        return None;
    }
    let mut words = [0; 4];
    let mut faults = 0;
    for (index, lower) in words.iter_mut().enumerate().take(text.len().div_ceil(8)) {
        let allowed;
        (*lower, allowed) = lower_word(word(text, 8 * index));
        faults |= allowed ^ first_marks(text.len().saturating_sub(8 * index));
    }
    (faults == 0).then_some(words)
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
