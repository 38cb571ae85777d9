//! Tracking numbers as integers below 2^116 and back, without loss.
//!
//! A number of up to 22 characters of `[0-9A-Z]` is a number to base 37, aligned to the left:
//! `0` to `9` are 1 to 10, `A` to `Z` are 11 to 36, the end is 0. The order of these codes is the
//! byte order of the numbers. 23 to 34 digits are their value plus the count of all shorter ones of
//! that kind, with bit 115 set. Whatever else there is has no code.

use super::swar::{
    self, at_marks, eight_times, first_marks, join, letters_and_digits, three_words, within, word,
};
use super::text::NumberText;

/// Longest number of letters and digits that has a code, in characters.
const LONGEST_TEXT: usize = 22;
/// Shortest and longest number that is digits alone and has a code for that, in characters.
const SHORTEST_DIGITS: usize = LONGEST_TEXT + 1;
const LONGEST_DIGITS: usize = 34;
const DIGITS: u128 = 1 << 115;

/// The code of a number; `None` for what is no non-empty text of the two kinds.
#[inline(always)]
pub(crate) fn pack(number: &[u8]) -> Option<u128> {
    match number.len() {
        1..=LONGEST_TEXT => pack_text(number),
        SHORTEST_DIGITS..=LONGEST_DIGITS => pack_digits(number),
        _ => None,
    }
}

/// The number of a code that [`pack`] gave.
#[inline]
pub(crate) fn unpack(code: u128) -> NumberText {
    if is_ordered(code) { unpack_text(code) } else { unpack_digits(code & !DIGITS) }
}

/// Whether the order among codes of this kind is the byte order of their numbers.
#[inline]
pub(crate) fn is_ordered(code: u128) -> bool {
    code < DIGITS
}

/// Characters in the first part of what [`halves`] gives.
pub const FIRST_HALF: usize = 12;

/// Of a number of up to 22 letters and digits, the first twelve characters and the last ten: each a
/// number to base 37. `None` for a code of another kind.
#[inline]
pub fn halves(code: u128) -> Option<(u64, u64)> {
    if !is_ordered(code) || code >= 37u128.pow(LONGEST_TEXT as u32) {
        return None;
    }
    let (first, last) = divide::<51, { 37u128.pow((LONGEST_TEXT - FIRST_HALF) as u32) }>(code);
    Some((first, last as u64))
}

/// The code of what [`halves`] gave.
#[inline]
pub fn from_halves(first: u64, last: u64) -> u128 {
    u128::from(first) * 37u128.pow((LONGEST_TEXT - FIRST_HALF) as u32) + u128::from(last)
}

/// Whether [`pack`] gives this code for any number.
#[inline]
pub(crate) fn is_code(code: u128) -> bool {
    if !is_ordered(code) {
        let of_longest =
            SHORTER[LONGEST_DIGITS - SHORTEST_DIGITS] + 10u128.pow(LONGEST_DIGITS as u32);
        return code & !DIGITS < of_longest;
    }
    if code == 0 || code >= 37u128.pow(LONGEST_TEXT as u32) {
        return false;
    }
    let (first, rest) = divide::<51, { 37u128.pow(14) }>(code);
    let (second, third) = divide::<9, { 37u128.pow(6) }>(rest);
    let mut before = 8;
    [(first, 0), (second, 0), (third as u64, 16)].into_iter().all(|(part, shift)| {
        let digits = swar::split::<37>(part) >> shift;
        let count = 8 - digits.leading_zeros() as usize / 8;
        let goes_on = count == 0 || before == 8;
        before = count;
        goes_on && within(digits, 1, 36) == first_marks(count)
    })
}

/// A code for ordering, of any number: those of smaller numbers are no larger, and those of up to 22
/// letters and digits are their codes. What follows the first 22 characters, or a character that is
/// neither letter nor digit, does not count.
pub(crate) fn order_code(number: &[u8]) -> u128 {
    let mut code = 0;
    // Once a character has none of the 37 values, all that follows is as low or as high as can be.
    let mut rest = None;
    for at in 0..LONGEST_TEXT {
        let character = number.get(at).copied().unwrap_or(0);
        let value = match (rest, character) {
            (Some(value), _) => value,
            (None, digit @ b'0'..=b'9') => digit - (b'0' - 1),
            (None, letter @ b'A'..=b'Z') => letter - (b'A' - 11),
            (None, ..b'0') => *rest.insert(0),
            (None, b':'..b'A') => {
                rest = Some(36);
                10
            }
            (None, _) => *rest.insert(36),
        };
        code = code * 37 + u128::from(value);
    }
    code
}

#[inline(always)]
fn pack_text(number: &[u8]) -> Option<u128> {
    let words = three_words(number).unwrap_or_else(|| [word(number, 0), 0, 0]);
    pack_words(words, number.len())
}

/// The code of so many letters and digits, zeros behind them.
#[inline(always)]
fn pack_words(words: [u64; 3], length: usize) -> Option<u128> {
    let present = PRESENT.get(length)?;
    let mut values = [0; 3];
    let mut faults = 0;
    for ((value, word), present) in values.iter_mut().zip(words).zip(present) {
        let (letters, both) = letters_and_digits(word);
        faults |= (both ^ present) | word;
        // Seven less for letters, whose marks are 0x80. Where there are faults, nonsense.
        let gap = (letters >> 4) - (letters >> 7);
        *value = word.wrapping_sub((present >> 7) * u64::from(b'0' - 1)).wrapping_sub(gap);
    }
    if faults & swar::ALL != 0 {
        return None;
    }
    let [first, second, third] = values;
    let sixteen = u128::from(join::<37>(first)) * 37u128.pow(8) + u128::from(join::<37>(second));
    Some(sixteen * 37u128.pow(6) + u128::from(join::<37>(third << 16)))
}

/// Marks in the first bytes of three words, by how many there are.
const PRESENT: [[u64; 3]; LONGEST_TEXT + 1] = {
    let mut table = [[0; 3]; LONGEST_TEXT + 1];
    let mut length = 0;
    while length <= LONGEST_TEXT {
        let mut at = 0;
        while at < length {
            table[length][at / 8] |= 0x80 << (8 * (at % 8));
            at += 1;
        }
        length += 1;
    }
    table
};

#[inline]
fn unpack_text(code: u128) -> NumberText {
    let (first, rest) = divide::<51, { 37u128.pow(14) }>(code);
    let (second, third) = divide::<9, { 37u128.pow(6) }>(rest);
    let third = swar::split::<37>(third as u64) >> 16;
    let words = [swar::split::<37>(first), swar::split::<37>(second), third].map(characters);
    let mut text = NumberText::default();
    for (index, (word, _)) in words.into_iter().enumerate() {
        text.put(8 * index, word);
    }
    text.cut(0, words.iter().map(|(_, count)| count).sum());
    text
}

/// The characters of eight digits to base 37, and how many there are.
#[inline]
fn characters(digits: u64) -> (u64, usize) {
    let present = within(digits, 1, 36);
    let letters = within(digits, 11, 36);
    let word = digits + at_marks(present, b'0' - 1) + at_marks(letters, b'A' - 10 - b'0');
    (word, 8 - present.leading_zeros() as usize / 8)
}

#[inline(never)]
fn pack_digits(number: &[u8]) -> Option<u128> {
    let (head, eights) = number.as_rchunks::<8>();
    let head_word = (word(number, 0) << 8 << (8 * (7 - head.len()))) | ZEROS >> (8 * head.len());
    let mut faults = 0;
    let mut value = 0;
    for word in [head_word].into_iter().chain(eights.iter().map(|eight| u64::from_le_bytes(*eight)))
    {
        faults |= within(word, b'0', b'9') ^ swar::ALL;
        value = value * 10u128.pow(8) + u128::from(join::<10>(word & eight_times(0x0f)));
    }
    (faults == 0).then(|| DIGITS | (value + SHORTER[number.len() - SHORTEST_DIGITS]))
}

const ZEROS: u64 = eight_times(b'0');

#[inline]
fn unpack_digits(place: u128) -> NumberText {
    let kind = SHORTER.iter().rposition(|shorter| *shorter <= place).unwrap_or_default();
    let (high, low) = divide::<49, { 10u128.pow(17) }>(place - SHORTER[kind]);
    let mut text = NumberText::default();
    for (at, half) in [(0, high), (17, low as u64)] {
        let (first, rest) = (half / 10u64.pow(16), half % 10u64.pow(16));
        text.put(at, first + u64::from(b'0'));
        text.put(at + 1, swar::split::<10>(rest / 10u64.pow(8)) + ZEROS);
        text.put(at + 9, swar::split::<10>(rest % 10u64.pow(8)) + ZEROS);
    }
    text.cut(LONGEST_DIGITS - SHORTEST_DIGITS - kind, LONGEST_DIGITS);
    text
}

/// How many numbers of digits are shorter than 23 digits, 24 digits …, among those of 23 or more.
const SHORTER: [u128; LONGEST_DIGITS - LONGEST_TEXT] = {
    let mut shorter = [0; LONGEST_DIGITS - LONGEST_TEXT];
    let mut kind = 1;
    while kind < shorter.len() {
        shorter[kind] = shorter[kind - 1] + 10u128.pow((SHORTEST_DIGITS + kind - 1) as u32);
        kind += 1;
    }
    shorter
};

/// Quotient and remainder, for a number below 2^(64 + `SHIFT`) and a quotient below 2^63.
///
/// A product with the reciprocal is 3 too low at most: 1 each for the bits shifted out, the
/// reciprocal rounded down and the product rounded down.
#[inline]
fn divide<const SHIFT: u32, const BY: u128>(number: u128) -> (u64, u128) {
    let reciprocal = const { (1u128 << (64 + SHIFT)) / BY };
    let mut quotient = ((number >> SHIFT) * reciprocal) >> 64;
    let mut rest = number - quotient * BY;
    while rest >= BY {
        quotient += 1;
        rest -= BY;
    }
    (quotient as u64, rest)
}
