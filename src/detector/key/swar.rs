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
    if count >= 8 { ALL } else { ALL & !(u64::MAX << (8 * count)) }
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
