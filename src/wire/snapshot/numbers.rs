//! The keys of a block: tracking numbers as dense integers, and of those the steps from one to the
//! next.
//!
//! Serial numbers are all that a tracking number tells beyond its form, and no code can make them
//! shorter. So the form is taken out: the rows are cut into stretches, for each is noted which
//! characters occur at which place, and a number is counted among all those that could be written
//! with these, as two integers of the first twelve and the last ten characters. Since rows are in
//! order, the steps between them are small, and their lower bytes as random as the serials are.
//!
//! ```text
//!  stretch   kind u8 | rows | first: 2 numbers | forms: 22 × 40 bits, a bit a character
//! ```
//!
//! Numbers of more than 22 digits and those that stand elsewhere are their keys, less the one before.

use super::bytes::{Bytes, put};
use crate::detector::key::{FIRST_HALF, from_halves, halves};
use crate::detector::snapshot::{MOST_SHORT_CARRIERS, Row};

/// Values of a character: 0 for none, digits, letters.
const VALUES: usize = 37;
/// Pairs of characters have so many.
const PAIR: usize = VALUES * VALUES;
/// As many that no number of 11 bits is beyond them.
const PAIR_SLOTS: usize = 2_048;
/// Pairs of a number, and of those the first ones that make up its first half.
const PAIRS: usize = 11;
const FIRST: usize = FIRST_HALF / 2;
/// Three pairs have so many.
const SIX: u64 = (PAIR * PAIR * PAIR) as u64;
/// A stretch is not cut below so many rows.
const LEAST: usize = 1_024;
const DENSE: u8 = 0;
const WHOLE: u8 = 1;

/// Two integers that stand for a number.
type Dense = [u64; 2];
/// Which characters there are at each place.
type Forms = [[u64; 2]; PAIRS];
/// Something of each pair there could be, at each place of one.
type OfPairs<T> = Box<[[T; PAIR_SLOTS]; PAIRS]>;

/// A number's pairs of characters, and behind them its kind: where it ends, or that it has none.
type Split = [u16; PAIRS + 1];
const NO_PAIRS: u16 = u16::MAX;

/// Steps of all rows of a block, to be filled and emptied again and again.
pub(super) struct Steps {
    pub(super) first: Vec<u64>,
    pub(super) last: Vec<u64>,
    /// Of the rows of the stretch.
    split: Vec<Split>,
    /// Not zero for the pairs that the stretch has.
    marks: OfPairs<u8>,
    tables: OfPairs<u16>,
}

/// The carrier and code of a key that is made of characters.
fn dense_parts(row: &Row) -> Option<(u32, [u64; 2])> {
    let (carrier, code) = row.key_parts();
    let (first, last) = halves(code).filter(|_| carrier < MOST_SHORT_CARRIERS)?;
    Some((carrier, [first, last]))
}

/// Three pairs of a piece of six characters: the piece as a fraction of all there are, and of that
/// the whole of each product with [`PAIR`].
#[inline]
fn three(piece: u64) -> [u16; 3] {
    const BITS: u32 = 53;
    const RECIPROCAL: u64 = (1 << BITS) / (PAIR * PAIR) as u64 + 1;
    // The reciprocal is too large by less than one, so the fraction by less than 1369³ / 2^53: less
    // than the 1 / 1369² from one fraction to the next. All products stay below 2^64.
    let first = piece * RECIPROCAL;
    let second = (first & ((1 << BITS) - 1)) * PAIR as u64;
    let third = (second & ((1 << BITS) - 1)) * PAIR as u64;
    [first, second, third].map(|product| (product >> BITS) as u16)
}

#[inline]
fn split(row: &Row) -> Split {
    let Some((_, [first, last])) = dense_parts(row) else {
        return [NO_PAIRS; PAIRS + 1];
    };
    let [a, b, c] = three(first / SIX);
    let [d, e, f] = three(first % SIX);
    let [_, g, h] = three(last / SIX);
    let [i, j, k] = three(last % SIX);
    let mut split = [a, b, c, d, e, f, g, h, i, j, k, 0];
    // Where it ends: equal for numbers of one length.
    let end = split[..PAIRS].iter().rposition(|pair| *pair != 0).unwrap_or_default();
    split[PAIRS] = (end * 2) as u16 + u16::from(split[end].is_multiple_of(VALUES as u16));
    split
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            last: Vec::new(),
            split: Vec::new(),
            marks: Box::new([[0; PAIR_SLOTS]; PAIRS]),
            tables: Box::new([[0; PAIR_SLOTS]; PAIRS]),
        }
    }
}

impl Steps {
    /// Fills the steps; what is needed to go back goes to the end of `into`.
    pub(super) fn of(&mut self, rows: &[Row], into: &mut Vec<u8>) {
        self.first.clear();
        self.last.clear();
        put_runs(rows, into);
        let mut start = 0;
        while start < rows.len() {
            start += self.stretch(&rows[start..], into);
        }
    }

    /// Takes the rows of one stretch; returns how many they are.
    fn stretch(&mut self, rows: &[Row], into: &mut Vec<u8>) -> usize {
        self.split.clear();
        self.marks.as_flattened_mut().fill(0);
        let mut before = None;
        for row in rows {
            let split = split(row);
            let kind = (split[PAIRS], row.key_parts().0);
            if before.is_some_and(|before| ends(before, kind, self.split.len())) {
                break;
            }
            before = Some(kind);
            for (marks, pair) in self.marks.iter_mut().zip(split) {
                marks[usize::from(pair) % PAIR_SLOTS] = 1;
            }
            self.split.push(split);
        }
        let count = self.split.len();
        match before {
            Some((NO_PAIRS, _)) => self.whole(&rows[..count], into),
            _ => self.dense(into),
        }
        count
    }

    fn whole(&mut self, rows: &[Row], into: &mut Vec<u8>) {
        into.push(WHOLE);
        put(into, rows.len() as u64);
        let mut before = 0u128;
        for row in rows {
            let step = row.key().wrapping_sub(before);
            before = row.key();
            self.first.push((step >> 64) as u64);
            self.last.push(step as u64);
        }
    }

    fn dense(&mut self, into: &mut Vec<u8>) {
        let forms = self.forms();
        let ranges = ranges(&forms);
        for (table, form) in self.tables.iter_mut().zip(&forms) {
            to_dense(form, table);
        }
        into.push(DENSE);
        put(into, self.split.len() as u64);
        let sizes = forms.map(|form| u64::from(form[0].count_ones() * form[1].count_ones()));
        let tables = &*self.tables;
        // A pair that all numbers have is the one of one: it adds nothing to any.
        let half = |split: &Split, pairs: std::ops::Range<usize>| {
            pairs.fold(0, |all, at| {
                all * sizes[at] + u64::from(tables[at][usize::from(split[at]) % PAIR_SLOTS])
            })
        };
        let dense = |split: &Split| [half(split, 0..FIRST), half(split, FIRST..PAIRS)];
        let mut before = self.split.first().map_or([0; 2], dense);
        put(into, before[0]);
        put(into, before[1]);
        for split in &self.split {
            let dense = dense(split);
            let (first, last) = step(before, dense, ranges);
            self.first.push(first);
            self.last.push(last);
            before = dense;
        }
        for place in forms.as_flattened() {
            into.extend(&place.to_le_bytes()[..5]);
        }
    }

    fn forms(&self) -> Forms {
        std::array::from_fn(|at| {
            let pairs = (0..PAIR).filter(|pair| self.marks[at][*pair] != 0);
            pairs.fold([0, 0], |[a, b], pair| [a | 1 << (pair / VALUES), b | 1 << (pair % VALUES)])
        })
    }
}

/// Whether a stretch of so many rows ends between two rows of these kinds and carriers.
#[inline]
fn ends(before: (u16, u32), kind: (u16, u32), rows: usize) -> bool {
    let (was_whole, is_whole) = (before.0 == NO_PAIRS, kind.0 == NO_PAIRS);
    was_whole != is_whole || rows >= LEAST && !is_whole && kind != before
}

/// How many first and last halves there could be.
fn ranges(forms: &Forms) -> Dense {
    let count = |pairs: &[[u64; 2]]| {
        pairs.as_flattened().iter().map(|place| u64::from(place.count_ones())).product()
    };
    [count(&forms[..FIRST]), count(&forms[FIRST..])]
}

/// The place of a character among those that there are.
fn place_in(form: u64, value: usize) -> u64 {
    u64::from((form & ((1 << value) - 1)).count_ones())
}

/// The place of each pair among those that could be.
fn to_dense(form: &[u64; 2], table: &mut [u16; PAIR_SLOTS]) {
    let size = u64::from(form[1].count_ones());
    for (pair, place) in table[..PAIR].iter_mut().enumerate() {
        *place =
            (place_in(form[0], pair / VALUES) * size + place_in(form[1], pair % VALUES)) as u16;
    }
}

/// From one to the next: counted on from the highest to zero.
#[inline]
fn step(before: Dense, after: Dense, ranges: Dense) -> (u64, u64) {
    let (last, borrows) = match after[1].checked_sub(before[1]) {
        Some(step) => (step, 0),
        None => (after[1] + (ranges[1] - before[1]), 1),
    };
    let wanted = before[0] + borrows;
    let first = match after[0].checked_sub(wanted) {
        Some(step) => step,
        None => after[0] + (ranges[0] - wanted),
    };
    (first, last)
}

/// Carriers of the rows, each with how many rows it has, one after the other.
fn put_runs(rows: &[Row], into: &mut Vec<u8>) {
    let carrier = |row: &Row| row.key_parts().0;
    let mut runs: Vec<(u32, usize)> = Vec::new();
    let mut left = rows;
    while let Some(first) = left.first().map(carrier) {
        // Rows are in order, so that equal ones at both ends have none other between them.
        let run = match left.last().map(carrier) == Some(first) {
            true => left.len(),
            false => left.partition_point(|row| carrier(row) <= first),
        };
        runs.push((first, run));
        left = &left[run..];
    }
    put(into, runs.len() as u64);
    for (carrier, rows) in runs {
        put(into, u64::from(carrier));
        put(into, rows as u64);
    }
}

/// A pair of a number, to be taken off its end.
struct Taker {
    size: u64,
    /// 2^64 / size, rounded down.
    reciprocal: u64,
    /// Values of pairs by their place, as they stand in the code.
    codes: Vec<u64>,
}

impl Taker {
    fn new(form: [u64; 2], weight: u64) -> Self {
        let values = |form: u64| (0..VALUES as u64).filter(move |value| form >> value & 1 == 1);
        let codes: Vec<u64> = values(form[0])
            .flat_map(|a| values(form[1]).map(move |b| (a * VALUES as u64 + b) * weight))
            .collect();
        let size = codes.len() as u64;
        let reciprocal = ((1u128 << 64) / u128::from(size.max(2))) as u64;
        Self { size, reciprocal, codes }
    }

    /// Takes the pair off the end of a number.
    #[inline]
    fn take(&self, number: &mut u64) -> u64 {
        if self.size == 1 {
            return self.codes[0];
        }
        // The quotient is one too low at most: one for the reciprocal and the product rounded down
        // together, as numbers are below 2^63.
        let mut quotient = ((u128::from(*number) * u128::from(self.reciprocal)) >> 64) as u64;
        let mut place = *number - quotient * self.size;
        if place >= self.size {
            quotient += 1;
            place -= self.size;
        }
        *number = quotient;
        self.codes.get(place as usize).copied().unwrap_or_default()
    }
}

/// The takers of both halves, each from its end on.
fn takers(forms: &Forms) -> [Vec<Taker>; 2] {
    let half = |pairs: std::ops::Range<usize>| {
        let mut weight = 1;
        let mut takers = Vec::new();
        for at in pairs.rev() {
            takers.push(Taker::new(forms[at], weight));
            weight *= PAIR as u64;
        }
        takers
    };
    [half(0..FIRST), half(FIRST..PAIRS)]
}

const CUT: &str = "the keys are cut off";

/// The keys of so many rows from their steps and what [`Steps::of`] left; otherwise what is wrong.
pub(super) fn keys(
    bytes: &mut Bytes<'_>,
    (firsts, lasts): (&[u64], &[u64]),
    into: &mut Vec<u128>,
) -> Result<(), &'static str> {
    into.clear();
    let rows = firsts.len();
    let carriers = carriers(bytes, rows)?;
    let mut runs = carriers.iter().copied();
    let mut run = (0, 0);
    while into.len() < rows {
        let kind = bytes.byte().ok_or(CUT)?;
        let count = usize::try_from(bytes.number().ok_or(CUT)?).map_err(|_| CUT)?;
        let stretch = into.len()..into.len().saturating_add(count);
        let (firsts, lasts) = match (firsts.get(stretch.clone()), lasts.get(stretch)) {
            (Some(firsts), Some(lasts)) if count > 0 => (firsts, lasts),
            _ => return Err("a stretch of keys has more rows than there are"),
        };
        let mut carrier = || {
            while run.1 == 0 {
                run = runs.next()?;
            }
            run.1 -= 1;
            Some(run.0)
        };
        match kind {
            DENSE => dense_keys(bytes, (firsts, lasts), carrier, into)?,
            WHOLE => {
                let mut key = 0u128;
                for (first, last) in firsts.iter().zip(lasts) {
                    carrier();
                    key = key.wrapping_add(u128::from(*first) << 64 | u128::from(*last));
                    into.push(key);
                }
            }
            _ => return Err("a stretch of keys is of no known kind"),
        }
    }
    Ok(())
}

fn carriers(bytes: &mut Bytes<'_>, rows: usize) -> Result<Vec<(u32, usize)>, &'static str> {
    let count = bytes.number().ok_or(CUT)?;
    let mut runs = Vec::new();
    let mut left = rows;
    for _ in 0..count {
        let (carrier, rows) = (bytes.u32().ok_or(CUT)?, bytes.u32().ok_or(CUT)? as usize);
        left = left.checked_sub(rows).ok_or("carriers have more rows than there are")?;
        runs.push((carrier, rows));
    }
    if left > 0 { Err("carriers have fewer rows than there are") } else { Ok(runs) }
}

fn dense_keys(
    bytes: &mut Bytes<'_>,
    (firsts, lasts): (&[u64], &[u64]),
    mut carrier: impl FnMut() -> Option<u32>,
    into: &mut Vec<u128>,
) -> Result<(), &'static str> {
    const WIDE: &str = "a step of a key is larger than all keys";
    let mut dense = [bytes.number().ok_or(CUT)?, bytes.number().ok_or(CUT)?];
    let mut forms: Forms = [[0; 2]; PAIRS];
    for place in forms.as_flattened_mut() {
        let mut form = [0; 8];
        form[..5].copy_from_slice(&bytes.array::<5>().ok_or(CUT)?);
        *place = u64::from_le_bytes(form);
        if *place == 0 || *place >> VALUES != 0 {
            return Err("a place of tracking numbers has no characters");
        }
    }
    let ranges = ranges(&forms);
    if dense[0] >= ranges[0] || dense[1] >= ranges[1] {
        return Err(WIDE);
    }
    let [first_takers, last_takers] = takers(&forms);
    let code_of = |mut number: u64, takers: &[Taker]| {
        takers.iter().fold(0, |code, taker| code + taker.take(&mut number))
    };
    for (first, last) in firsts.iter().zip(lasts) {
        if *first >= ranges[0] || *last >= ranges[1] {
            return Err(WIDE);
        }
        dense[1] += last;
        let carries = dense[1] >= ranges[1];
        dense[1] -= if carries { ranges[1] } else { 0 };
        dense[0] += first + u64::from(carries);
        dense[0] -= if dense[0] >= ranges[0] { ranges[0] } else { 0 };
        let code = from_halves(code_of(dense[0], &first_takers), code_of(dense[1], &last_takers));
        let carrier = carrier().ok_or("carriers have fewer rows than there are")?;
        into.push(Row::short_key(carrier, code));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_six_characters_is_three_pairs() {
        let pair = |piece: u64, weight: usize| (piece / weight as u64 % PAIR as u64) as u16;
        let near = |piece: u64| piece.saturating_sub(3)..(piece + 3).min(SIX);
        let hundreds = (0..SIX).step_by(997_331).flat_map(near);
        let edges = (0..SIX).step_by(PAIR * PAIR).chain([SIX]).flat_map(near);
        for piece in hundreds.chain(edges) {
            assert_eq!(three(piece), [pair(piece, PAIR * PAIR), pair(piece, PAIR), pair(piece, 1)]);
        }
    }

    #[test]
    fn a_pair_comes_off_the_end_of_any_number_below_two_to_the_63() {
        for size in 1..=VALUES as u32 {
            let form = [(1u64 << size) - 1, (1u64 << (VALUES as u32 - size / 2)) - 1];
            let taker = Taker::new(form, 1);
            let numbers = [0, 1, taker.size - 1, taker.size, 10u64.pow(12) + 7, (1 << 63) - 1];
            let around = (1..=taker.size.min(64)).map(|less| (1u64 << 63) - less);
            for number in numbers.into_iter().chain(around) {
                let mut left = number;
                let code = taker.take(&mut left);
                if taker.size > 1 {
                    assert_eq!(left, number / taker.size, "{number} by {}", taker.size);
                    assert_eq!(code, taker.codes[(number % taker.size) as usize]);
                }
            }
        }
    }
}
