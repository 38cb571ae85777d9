//! Reads well-formed data quickly, and leaves everything else to the [`Cursor`].
//!
//! Whatever is not as it should be is `None` here, without a reason: who asks reads once more with
//! the [`Cursor`], which knows why.

use ascii::AsciiStr;

use super::cursor::{Cursor, unzigzag};
use crate::detector::key::Inset;

/// How many bytes are checked for UTF-8 at once. Lengths, branches and symbols of up to 63 are
/// ASCII, so the texts of a datum seldom need more than one check between two numbers.
const WINDOW: usize = 128;

/// The uppermost bit of each of eight bytes.
const UPPER: u64 = 0x8080_8080_8080_8080;

/// A position in a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What is known to be UTF-8, from `window_at` on.
    window: &'a str,
    window_at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, window: "", window_at: 0 }
    }

    /// How many bytes have been read.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(crate) fn skip(&mut self, length: usize) -> Option<()> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at = end;
        Some(())
    }

    /// A `long`, zigzag.
    #[inline]
    pub(crate) fn long(&mut self) -> Option<i64> {
        let first = *self.bytes.get(self.at)?;
        if first < 0x80 {
            self.at += 1;
            return Some(unzigzag(u64::from(first)));
        }
        self.wide()
    }

    /// A `long` that seldom fits one byte.
    #[inline]
    pub(crate) fn wide(&mut self) -> Option<i64> {
        if let Some(word) = self.bytes.get(self.at..)?.first_chunk::<8>() {
            let word = u64::from_le_bytes(*word);
            let last = !word & UPPER;
            if last != 0 {
                let bits = last.trailing_zeros() + 1;
                self.at += bits as usize / 8;
                return Some(unzigzag(gather(word & (u64::MAX >> (64 - bits)))));
            }
        }
        self.by_cursor(|cursor| cursor.long().ok())
    }

    /// `bytes`, not looked at.
    #[inline]
    pub(crate) fn skip_bytes(&mut self) -> Option<()> {
        let length = usize::try_from(self.long()?).ok()?;
        self.skip(length)
    }

    /// Goes behind a `string` of at most so many bytes, which are not looked at, and tells its
    /// length. Up to 63 bytes are always allowed.
    #[inline(always)]
    pub(crate) fn skip_text(&mut self, most: usize) -> Option<usize> {
        let first = *self.bytes.get(self.at)?;
        if first & 0x81 != 0 {
            return self.skip_long_text(most);
        }
        let length = usize::from(first >> 1);
        let end = self.at + 1 + length;
        if end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some(length)
    }

    /// The same where the length does not fit one byte.
    #[cold]
    fn skip_long_text(&mut self, most: usize) -> Option<usize> {
        let length = usize::try_from(self.long()?).ok().filter(|length| *length <= most)?;
        self.skip(length)?;
        Some(length)
    }

    /// The last bytes that were read, and those behind them.
    #[inline]
    pub(crate) fn last(&self, length: usize) -> Inset<'a> {
        Inset::new(&self.bytes[self.at - length..], length)
    }

    /// The bytes from a position up to the present one.
    #[inline]
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The same where they are ASCII.
    #[inline]
    pub(crate) fn ascii_since(&self, start: usize) -> Option<&'a AsciiStr> {
        // Whole words are checked faster than what is left of one, so the bytes behind are too,
        // where they are ASCII as well.
        let whole = (self.at - start).next_multiple_of(8);
        if let Some(bytes) = self.bytes.get(start..start + whole)
            && whole < 64
            && let Ok(text) = AsciiStr::from_ascii(bytes)
        {
            return Some(text);
        }
        AsciiStr::from_ascii(self.since(start)).ok()
    }

    /// So many `string`s, or nulls in the first branch of a union with them, read over.
    #[inline(always)]
    pub(crate) fn skip_texts<const NULLABLE: bool>(&mut self, count: usize) -> Option<()> {
        let start = self.at;
        for _ in 0..count {
            if NULLABLE {
                match self.byte()? {
                    0 => continue,
                    2 => {}
                    _ => return None,
                }
            }
            self.skip_text(usize::MAX)?;
        }
        if is_ascii(self.since(start)) {
            return Some(());
        }
        self.at = start;
        self.skip_texts_one_by_one::<NULLABLE>(count)
    }

    #[cold]
    fn skip_texts_one_by_one<const NULLABLE: bool>(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            if !NULLABLE || self.byte()? == 2 {
                self.text()?;
            }
        }
        Some(())
    }

    /// A `string`.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.long()?).ok()?;
        let end = self.at.checked_add(length)?;
        let range = self.at.wrapping_sub(self.window_at)..end.wrapping_sub(self.window_at);
        if let Some(text) = self.window.get(range) {
            self.at = end;
            return Some(text);
        }
        self.text_behind_window(end)
    }

    fn text_behind_window(&mut self, end: usize) -> Option<&'a str> {
        let start = self.at;
        if end > self.bytes.len() {
            return None;
        }
        let bytes = &self.bytes[start..end.max(self.bytes.len().min(start + WINDOW))];
        self.window = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?,
        };
        self.window_at = start;
        self.at = end;
        self.window.get(..end - start)
    }

    /// A map of strings, read over.
    #[inline]
    pub(crate) fn skip_text_map(&mut self) -> Option<()> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                // The size of the block in bytes: not trusted.
                self.long().filter(|size| *size >= 0)?;
                count = count.checked_neg()?;
            }
            for _ in 0..count {
                self.text()?;
                self.text()?;
            }
        }
    }

    /// Whatever else a [`Cursor`] reads.
    pub(crate) fn by_cursor<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'a>) -> Option<T>,
    ) -> Option<T> {
        let mut cursor = Cursor::new(self.bytes.get(self.at..)?);
        let found = read(&mut cursor)?;
        self.at = self.bytes.len() - cursor.rest().len();
        Some(found)
    }
}

/// Eight bytes at a time, the last ones perhaps twice.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().fold(0, |all, byte| all | byte) < 0x80;
    };
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().chain([last]).map(|word| u64::from_le_bytes(*word));
    words.fold(0, |all, word| all | word) & UPPER == 0
}

/// The lower seven bits of each of eight bytes behind one another.
#[inline]
fn gather(word: u64) -> u64 {
    let word = word & !UPPER;
    let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
    (word & 0x0000_0000_0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4)
}

#[cfg(test)]
mod tests {
    use super::super::write;
    use super::*;

    #[test]
    fn numbers_of_every_length_are_what_the_cursor_reads() {
        for shift in 0..64 {
            for number in [1_i64 << shift, (1_i64 << shift).wrapping_sub(1), i64::MIN >> shift] {
                let mut bytes = Vec::new();
                write::long(&mut bytes, number);
                for behind in [0, 1, 9] {
                    let length = bytes.len();
                    let followed = [&bytes[..], &vec![0xff; behind]].concat();
                    let mut reader = Reader::new(&followed);
                    assert_eq!(reader.long(), Some(number));
                    assert_eq!(reader.position(), length);
                    assert_eq!(Reader::new(&followed[..length - 1]).long(), None);
                }
            }
        }
        assert_eq!(Reader::new(&[0x80, 0]).long(), Some(0));
        assert_eq!(Reader::new(&[0xff; 11]).long(), None);
    }

    #[test]
    fn texts_on_both_sides_of_other_bytes_are_read() {
        let texts = ["a", "", "Köln", "ß", &"x".repeat(300), "é", "東京"];
        let mut bytes = Vec::new();
        for text in texts {
            write::text(&mut bytes, text);
            bytes.extend_from_slice(&[0xff, 0x80]);
        }
        let mut reader = Reader::new(&bytes);
        for text in texts {
            assert_eq!(reader.text(), Some(text));
            assert_eq!(reader.skip(2), Some(()));
        }
        assert_eq!(reader.text(), None);
    }

    #[test]
    fn a_text_that_ends_within_a_character_is_none() {
        let mut reader = Reader::new(&[2, b'a', 2, 0xc3, 0xa4, 0]);
        assert_eq!(reader.text(), Some("a"));
        assert_eq!(reader.text(), None);
        let mut reader = Reader::new(&[2, 0xc3, 0xa4]);
        assert_eq!(reader.text(), None);
    }

    #[test]
    fn texts_that_take_no_part_are_checked_all_the_same() {
        let of = |texts: &[&str], nullable: bool| {
            let mut bytes = Vec::new();
            for text in texts {
                if nullable {
                    bytes.push(2);
                }
                write::text(&mut bytes, text);
            }
            bytes
        };
        for texts in [&["a", "", "b"][..], &["Köln", "x"], &["x", &"y".repeat(64)]] {
            let (plain, nullable) = (of(texts, false), of(texts, true));
            for behind in [&[][..], &[0xff; 9]] {
                let bytes = [&plain[..], behind].concat();
                let mut reader = Reader::new(&bytes);
                assert_eq!(reader.skip_texts::<false>(texts.len()), Some(()));
                assert_eq!(reader.position(), plain.len());
                let bytes = [&nullable[..], &[0], behind].concat();
                let mut reader = Reader::new(&bytes);
                assert_eq!(reader.skip_texts::<true>(texts.len() + 1), Some(()));
                assert_eq!(reader.position(), nullable.len() + 1);
            }
            for end in 0..plain.len() {
                assert_eq!(Reader::new(&plain[..end]).skip_texts::<false>(texts.len()), None);
            }
        }
        assert_eq!(Reader::new(&[2, b'a', 4, 0xc3, 0xc3]).skip_texts::<false>(2), None);
        assert_eq!(Reader::new(&[2, 2, b'a', 4, 0]).skip_texts::<true>(2), None);
    }

    #[test]
    fn what_is_not_ascii_is_not_taken_for_it_and_what_stands_behind_does_not_count() {
        for length in 0..80 {
            for behind in [&[][..], b"behind it", &[0xff; 9]] {
                let bytes = [&vec![b'x'; length][..], behind].concat();
                let mut reader = Reader::new(&bytes);
                reader.skip(length).unwrap();
                let text = reader.ascii_since(0).expect("ASCII");
                assert_eq!(text.as_bytes()[..length], bytes[..length]);
                for at in 0..length {
                    let mut bytes = bytes.clone();
                    bytes[at] = 0x80;
                    let mut reader = Reader::new(&bytes);
                    reader.skip(length).unwrap();
                    assert!(reader.ascii_since(0).is_none());
                }
            }
        }
    }

    #[test]
    fn maps_with_and_without_sizes_are_read_over() {
        for map in [&[0][..], &[2, 2, b'a', 2, b'b', 0], &[1, 8, 2, b'a', 2, b'b', 0]] {
            let mut reader = Reader::new(map);
            assert_eq!(reader.skip_text_map(), Some(()));
            assert_eq!(reader.position(), map.len());
        }
        assert_eq!(Reader::new(&[1, 1, 0]).skip_text_map(), None);
        assert_eq!(Reader::new(&[2, 2, b'a', 2]).skip_text_map(), None);
    }
}
