//! Eight bytes at a time in a `u64`, the first byte lowest.
//!
//! Marks are words with the high bit of each byte set or clear.

const ONES: u64 = 0x0101_0101_0101_0101;
/// A mark in every byte.
pub const ALL: u64 = ONES << 7;

/// The same byte eight times.
pub const fn eight_times(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The eight bytes from `at` on, zeros past the end.
#[inline]
pub fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(chunk) = rest.first_chunk() {
        return u64::from_le_bytes(*chunk);
    }
    match bytes.last_chunk() {
        Some(last) => (u64::from_le_bytes(*last) >> (8 * (7 - rest.len()))) >> 8,
        None => short_word(rest),
    }
}

/// 8 to 24 bytes as three words, zeros behind them. Nothing in it branches on how many there are,
/// for numbers of all lengths come in any order. `None`: fewer or more bytes.
#[inline]
pub fn three_words(bytes: &[u8]) -> Option<[u64; 3]> {
    let last_at = bytes.len().checked_sub(8).filter(|at| *at <= 16)?;
    let middle_at = last_at.min(8);
    let first = u64::from_le_bytes(*bytes.first_chunk()?);
    let middle = u64::from_le_bytes(*bytes.get(middle_at..)?.first_chunk()?);
    let last = u64::from_le_bytes(*bytes.last_chunk()?);
    let behind = |word: u64, bits: usize| word.checked_shr(bits as u32).unwrap_or(0);
    Some([first, behind(middle, 8 * (8 - middle_at)), behind(last, 8 * (16 - last_at))])
}

/// Up to seven bytes: pieces of them, which overlap where they are fewer.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            let tail = u64::from(u32::from_le_bytes(*last)) << (8 * (len - 4));
            u64::from(u32::from_le_bytes(*first)) | tail
        }
        _ if len == 0 => 0,
        _ => {
            let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
            byte(0) | byte(len / 2) | byte(len - 1)
        }
    }
}

/// Marks in the first `count` bytes, eight at most.
#[inline]
pub fn first_marks(count: usize) -> u64 {
    ALL & first_bytes(count)
}

/// Ones in the first `count` bytes, eight at most.
#[inline]
pub fn first_bytes(count: usize) -> u64 {
    !u64::MAX.checked_shl(8 * count as u32).unwrap_or(0)
}

/// Marks the bytes from `low` to `high` inclusive, where `high` is below 0x7f; a byte of 0x80 or
/// more is never marked.
#[inline]
pub fn within(word: u64, low: u8, high: u8) -> u64 {
    let ascii = word & !ALL;
    let from = ascii + eight_times(0x80 - low);
    let above = ascii + eight_times(0x7f - high);
    from & !above & !word & ALL
}

/// Marks the upper case letters, and those together with the digits, where all bytes are ASCII. Bits
/// besides the marks are clear in the first word, and anything in the second.
#[inline]
pub fn letters_and_digits(word: u64) -> (u64, u64) {
    let ascii = word & !ALL;
    let from = |low: u8| ascii + eight_times(0x80 - low);
    // Each of these marks the bytes of the one before it but for a range.
    let [digits, above_digits] = [from(b'0'), from(b'9' + 1)];
    let letters = from(b'A') ^ from(b'Z' + 1);
    (letters & ALL, digits ^ above_digits ^ letters)
}

/// `value` in every marked byte.
#[inline]
pub fn at_marks(marks: u64, value: u8) -> u64 {
    (marks >> 7) * u64::from(value)
}

/// The number that eight digits make, the first byte the highest digit.
///
/// `BASE` is 37 at most, each byte is less than it.
#[inline]
pub fn join<const BASE: u64>(digits: u64) -> u64 {
    const BYTES: u64 = 0x00ff_00ff_00ff_00ff;
    const PAIRS: u64 = 0x0000_ffff_0000_ffff;
    let pairs = (digits & BYTES) * BASE + ((digits >> 8) & BYTES);
    let quads = (pairs & PAIRS) * BASE.pow(2) + ((pairs >> 16) & PAIRS);
    (quads & 0xffff_ffff) * BASE.pow(4) + (quads >> 32)
}

/// The eight digits of a number below `BASE` to the eighth; the reverse of [`join`].
#[inline]
pub fn split<const BASE: u64>(number: u64) -> u64 {
    let pairs_of = |quad: u64| {
        let (quad, square) = (quad as u32, BASE.pow(2) as u32);
        u64::from(quad / square) | u64::from(quad % square) << 32
    };
    digits_of::<BASE>(pairs_of(number / BASE.pow(4)))
        | digits_of::<BASE>(pairs_of(number % BASE.pow(4))) << 32
}

/// Four digits in the lower half, from two pairs of them, 32 bits each.
#[inline]
fn digits_of<const BASE: u64>(pairs: u64) -> u64 {
    const LOW: u64 = 0x0000_ffff_0000_ffff;
    let high = ((pairs * (65536 / BASE + 1)) >> 16) & LOW;
    let both = high | (pairs - high * BASE) << 8;
    (both & 0xffff) | (both >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_bytes_and_zeros_past_the_end() {
        let bytes: Vec<u8> = (1..=40).collect();
        for len in 0..=40 {
            let mut padded = [0; 48];
            padded[..len].copy_from_slice(&bytes[..len]);
            for at in 0..40 {
                let read = word(&bytes[..len], at);
                assert_eq!(read.to_le_bytes(), padded[at..at + 8], "{at} of {len}");
            }
        }
    }

    #[test]
    fn three_words_are_the_bytes_and_zeros_past_the_end() {
        let bytes: Vec<u8> = (1..=40).collect();
        for len in 0..=40 {
            let words = three_words(&bytes[..len]);
            let expected = [0, 8, 16].map(|at| word(&bytes[..len], at));
            assert_eq!(words, (8..=24).contains(&len).then_some(expected), "{len}");
        }
    }

    #[test]
    fn a_range_marks_its_bytes_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut bytes = [b'5'; 8];
                bytes[at] = byte;
                let expected = bytes.map(|byte: u8| u8::from(byte.is_ascii_digit()) << 7);
                assert_eq!(within(u64::from_le_bytes(bytes), b'0', b'9').to_le_bytes(), expected);
            }
        }
    }

    #[test]
    fn every_pair_of_digits_splits_as_it_was_joined() {
        for high in 0..37 {
            for low in 0..37 {
                let digits = u64::from_le_bytes([high, low, low, high, 36, 0, high, low]);
                assert_eq!(split::<37>(join::<37>(digits)), digits);
                let decimal = u64::from_le_bytes([high % 10, low % 10, 9, 0, low % 10, 9, 9, 1]);
                assert_eq!(split::<10>(join::<10>(decimal)), decimal);
            }
        }
        assert_eq!(join::<10>(u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8])), 12_345_678);
    }
}
