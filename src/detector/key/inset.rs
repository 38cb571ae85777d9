//! A text and what stands behind it in its record.

use super::swar::{first_bytes, word};

/// A text in the midst of other bytes. To read a few bytes too many and drop them is faster than to
/// ask how few there are, where that differs from record to record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inset<'a> {
    /// The text, and whatever is behind it.
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Inset<'a> {
    /// The text that so many of these bytes are, from the first on.
    ///
    /// # Panics
    /// When there are fewer.
    #[inline]
    pub fn new(bytes: &'a [u8], length: usize) -> Self {
        assert!(length <= bytes.len(), "a text ends within its record");
        Self { bytes, length }
    }

    /// The text alone.
    #[inline]
    pub fn text(self) -> &'a [u8] {
        &self.bytes[..self.length]
    }

    /// The text in a word, zeros behind it; `None` where it is longer.
    #[inline]
    pub(super) fn short(self) -> Option<u64> {
        if self.length > 8 {
            return None;
        }
        Some(match self.bytes.first_chunk() {
            Some(start) => u64::from_le_bytes(*start) & first_bytes(self.length),
            None => word(self.text(), 0),
        })
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        self.length
    }
}
