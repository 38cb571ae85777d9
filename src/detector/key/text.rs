//! A tracking number as text on the stack.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use super::MAX_NUMBER;

/// A tracking number in normal form: up to 64 characters of U+0021 to U+007E, without an
/// allocation.
#[derive(Clone, Copy)]
pub struct NumberText {
    bytes: [u8; MAX_NUMBER],
    start: u8,
    end: u8,
}

impl NumberText {
    /// A copy of a number in normal form.
    pub(super) fn new(number: &str) -> Self {
        let mut bytes = [0; MAX_NUMBER];
        bytes[..number.len()].copy_from_slice(number.as_bytes());
        Self { bytes, start: 0, end: number.len() as u8 }
    }

    /// Adds a character at the end; `None` if there is no room.
    #[inline]
    pub(super) fn push(&mut self, ascii: u8) -> Option<()> {
        *self.bytes.get_mut(usize::from(self.end))? = ascii;
        self.end += 1;
        Some(())
    }

    /// Puts eight bytes at `at`, the lowest first; what is after them may be anything.
    #[inline]
    pub(super) fn put(&mut self, at: usize, word: u64) {
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// Keeps what stands from `start` to `end`, which is ASCII.
    #[inline]
    pub(super) fn cut(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end && end <= MAX_NUMBER);
        (self.start, self.end) = (start as u8, end as u8);
    }

    /// The number's characters.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// The number.
    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("a number in normal form is ASCII")
    }
}

impl Default for NumberText {
    #[inline]
    fn default() -> Self {
        Self { bytes: [0; MAX_NUMBER], start: 0, end: 0 }
    }
}

impl Deref for NumberText {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for NumberText {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Hash for NumberText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for NumberText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl PartialEq for NumberText {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for NumberText {}

impl PartialEq<str> for NumberText {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for NumberText {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}
