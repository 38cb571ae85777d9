//! Numbers by short texts: a small table in front of an interner, exact and cheap to ask.
//!
//! A busy feed names the same few thousand facilities, services and shippers again and again. What a
//! text came to is remembered by its very bytes, so that neither a long hash nor a look at the text
//! itself is needed. Two entries share a cache line; a newer one takes the place of the older.

/// Texts up to this length in bytes are remembered.
pub const LONGEST: usize = 24;

/// What is remembered by: three words and a length that is never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct Words {
    words: [u64; 3],
    length: u32,
    number: u32,
}

impl Words {
    /// The bytes of a text, exactly; `None` where it is empty or longer than [`LONGEST`].
    #[inline]
    pub fn of(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let [first, last] = two_words(bytes);
        let words = match bytes.len() {
            0 => return None,
            1..=16 => [first, last, 0],
            17..=LONGEST => {
                let middle = bytes[8..].first_chunk().copied().unwrap_or_default();
                [first, last, u64::from_le_bytes(middle)]
            }
            _ => return None,
        };
        Some(Self { words, length: bytes.len() as u32, number: 0 })
    }

    /// Two texts together, exactly; `None` where either is empty, the first is longer than 16 bytes
    /// or the second longer than 7.
    #[inline]
    pub fn of_two(first: &str, second: &str) -> Option<Self> {
        let mut words = Self::of(first)?;
        let second = second.as_bytes();
        if words.length > 16 || second.is_empty() || second.len() > 7 {
            return None;
        }
        words.words[2] = short(second);
        words.length |= (second.len() as u32) << 8;
        Some(words)
    }

    #[inline]
    fn same(&self, other: &Self) -> bool {
        let [a, b, c] = [0, 1, 2].map(|at| self.words[at] ^ other.words[at]);
        a | b | c | u64::from(self.length ^ other.length) == 0
    }

    #[inline]
    fn hash(&self) -> u64 {
        let [a, b, c] = self.words;
        let [ab, cl] = [(a, b), (c, u64::from(self.length))].map(|(one, other)| {
            let product =
                u128::from(one ^ 0x9e37_79b9_7f4a_7c15) * u128::from(other ^ 0xd6e8_feb8_6659_fd93);
            product as u64 ^ (product >> 64) as u64
        });
        (ab ^ cl.rotate_left(32)).wrapping_mul(0xa076_1d64_78bd_642f)
    }
}

/// The first eight bytes and the last; of fewer all and nothing. With their number they are exact for
/// up to sixteen, and the first alone for up to eight.
#[inline]
pub fn two_words(bytes: &[u8]) -> [u64; 2] {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => [first, last].map(|chunk| u64::from_le_bytes(*chunk)),
        _ => [short(bytes), 0],
    }
}

/// Up to seven bytes: pieces of them, which overlap where they are fewer.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            let [first, last] = [first, last].map(|chunk| u64::from(u32::from_le_bytes(*chunk)));
            first | last << 32
        }
        _ => match bytes {
            [] => 0,
            [first, .., last] => {
                let middle = bytes[bytes.len() / 2];
                u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
            }
            [only] => u64::from(*only),
        },
    }
}

/// Numbers by words.
pub struct Memo {
    /// None until the first number is kept: no memory is touched for what is never remembered.
    entries: Option<Box<[Words; 1 << ENTRIES]>>,
}

/// Entries of a memo, as a power of two.
const ENTRIES: u32 = 12;

impl Memo {
    /// Remembers nothing.
    pub fn new() -> Self {
        Self { entries: None }
    }

    /// The number of these words, if it is remembered.
    #[inline]
    pub fn get(&self, words: &Words) -> Option<u32> {
        let (entries, at) = (self.entries.as_ref()?, place(words));
        let [first, second] = [&entries[at], &entries[at ^ 1]];
        // No branch on which of the two it is: that would be guessed wrong too often.
        let [is_first, is_second] = [first.same(words), second.same(words)];
        let number = if is_first { first.number } else { second.number };
        (is_first | is_second).then_some(number)
    }

    /// Remembers a number. The one that had the first of the two entries moves on to the second.
    pub fn keep(&mut self, words: &Words, number: u32) {
        // Not by way of the stack, where it would touch as many pages once more.
        let nothing = || vec![Words::default(); 1 << ENTRIES].try_into().expect("as many entries");
        let entries = self.entries.get_or_insert_with(nothing);
        let at = place(words);
        entries[at ^ 1] = entries[at];
        entries[at] = Words { number, ..*words };
    }

    /// The number is going to be another's.
    pub fn forget(&mut self, words: &Words) {
        let at = place(words);
        let Some(entries) = &mut self.entries else { return };
        for at in [at, at ^ 1] {
            if entries[at].same(words) {
                entries[at] = Words::default();
            }
        }
    }
}

#[inline]
fn place(words: &Words) -> usize {
    (words.hash() >> (u64::BITS - ENTRIES)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn what_is_too_long_or_empty_is_not_remembered() {
        assert_eq!(Words::of(""), None);
        assert_eq!(Words::of(&"x".repeat(LONGEST + 1)), None);
        assert!(Words::of(&"x".repeat(LONGEST)).is_some());
        assert_eq!(Words::of_two("MEM", ""), None);
        assert_eq!(Words::of_two("", "US"), None);
        assert_eq!(Words::of_two("MEM", "ELSEWHERE"), None);
        assert_eq!(Words::of_two(&"x".repeat(17), "US"), None);
    }

    #[test]
    fn a_number_that_was_forgotten_is_not_found() {
        let mut memo = Memo::new();
        let words = Words::of("MEM").unwrap();
        memo.forget(&words);
        assert_eq!(memo.get(&words), None);
        memo.keep(&words, 7);
        assert_eq!(memo.get(&words), Some(7));
        memo.forget(&words);
        assert_eq!(memo.get(&words), None);
    }

    proptest! {
        #[test]
        fn different_texts_have_different_words(
            texts in prop::collection::vec("[ab\u{0}]{1,24}", 2..200)
        ) {
            let mut seen: HashMap<[u64; 4], String> = HashMap::new();
            for text in texts {
                let words = Words::of(&text).unwrap();
                let [a, b, c] = words.words;
                let before = seen.insert([a, b, c, words.length.into()], text.clone());
                prop_assert!(before.is_none_or(|before| before == text));
            }
        }

        #[test]
        fn two_texts_are_not_taken_for_two_others(
            texts in prop::collection::vec(("[ab\u{0}]{1,16}", "[ab\u{0}]{1,7}"), 2..200)
        ) {
            let mut seen = HashMap::new();
            for (first, second) in texts {
                let words = Words::of_two(&first, &second).unwrap();
                let [a, b, c] = words.words;
                let texts = (first, second);
                let before = seen.insert([a, b, c, words.length.into()], texts.clone());
                prop_assert!(before.is_none_or(|before| before == texts));
            }
        }

        #[test]
        fn a_memo_gives_no_number_but_the_last_that_was_kept(
            texts in prop::collection::vec("[a-c]{1,9}", 1..400)
        ) {
            let mut memo = Memo::new();
            let mut kept: HashMap<String, u32> = HashMap::new();
            for (number, text) in (0..).zip(texts) {
                let words = Words::of(&text).unwrap();
                if let Some(found) = memo.get(&words) {
                    prop_assert_eq!(Some(&found), kept.get(&text));
                    memo.forget(&words);
                }
                memo.keep(&words, number);
                kept.insert(text, number);
                prop_assert_eq!(memo.get(&words), Some(number));
            }
        }
    }
}
