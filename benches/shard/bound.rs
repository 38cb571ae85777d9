//! What the memory of this machine asks for at least: loops that do nothing but touch it.
//!
//! A detector that keeps each package in one record and finds it by an index reads two random
//! lines, the second where the first says. Both loops know their numbers ahead and fetch them in
//! batches, so that no order of the same accesses is much faster.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::lengths::Lengths;
use crate::machine::{Region, prefetch, thread_time};

const BATCH: usize = 32;
const BATCHES: usize = 1 << 16;
const ROUNDS: usize = 5;

/// What one access costs, in nanoseconds of processor time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Bound {
    /// A random record is read and written.
    pub one_line_ns: f64,
    /// A random index line is read, then the record it names is read and written.
    pub two_lines_ns: f64,
}

/// Several measurements over as many records of 32 bytes, with 8 bytes of index each.
pub fn measure(records: usize, seed: u64) -> io::Result<Vec<Bound>> {
    let mut dice = Dice::new(seed);
    let mut lines = Region::<[u64; 4]>::zeroed(records)?;
    lines.iter_mut().for_each(|line| line[0] = 1);
    let mut index = Region::<[u32; 16]>::zeroed(records.div_ceil(8))?;
    index.iter_mut().flatten().for_each(|entry| *entry = dice.below(records) as u32);
    let bounds = (0..ROUNDS).map(|_| Bound {
        one_line_ns: nanoseconds_each(|| touches(&mut lines, &mut dice, BATCHES)),
        two_lines_ns: nanoseconds_each(|| two_lines(&index, &mut lines, &mut dice)),
    });
    Ok(bounds.collect())
}

/// Lengths of calls of about 4 µs that read and write random records of 32 bytes, one after the other
/// for so long: what the machine takes away from whoever uses its memory, such as the time in which a
/// host maps the pages of its guest anew. That comes by the clock, whatever a thread does meanwhile.
pub fn calls(records: usize, lasting: Duration, seed: u64) -> io::Result<Lengths> {
    const TOUCHES: usize = 512;
    let mut dice = Dice::new(seed);
    let mut lines = Region::<[u64; 4]>::zeroed(records)?;
    lines.iter_mut().for_each(|line| line[0] = 1);
    let mut lengths = Lengths::default();
    let start = Instant::now();
    while start.elapsed() < lasting {
        lengths.time(|| touches(&mut lines, &mut dice, TOUCHES / BATCH));
    }
    Ok(lengths)
}

fn nanoseconds_each(run: impl FnOnce()) -> f64 {
    let start = thread_time();
    run();
    thread_time().saturating_sub(start).as_nanos() as f64 / (BATCH * BATCHES) as f64
}

/// One random line after the other.
fn touches(lines: &mut [[u64; 4]], dice: &mut Dice, batches: usize) {
    let mut fetched = [0; BATCH];
    for _ in 0..batches {
        let next: [usize; BATCH] = std::array::from_fn(|_| dice.below(lines.len()));
        next.iter().for_each(|line| prefetch(lines, *line));
        fetched.iter().for_each(|line| touch(&mut lines[*line]));
        fetched = next;
    }
    black_box(lines);
}

fn two_lines(index: &[[u32; 16]], lines: &mut [[u64; 4]], dice: &mut Dice) {
    let mut entries = [(0, 0); BATCH];
    let mut records = [0; BATCH];
    for _ in 0..BATCHES {
        let next: [(usize, usize); BATCH] = std::array::from_fn(|_| {
            let roll = dice.below(index.len() * 16);
            (roll / 16, roll % 16)
        });
        next.iter().for_each(|(line, _)| prefetch(index, *line));
        records.iter().for_each(|record| touch(&mut lines[*record]));
        records = entries.map(|(line, entry)| index[line][entry] as usize);
        records.iter().for_each(|record| prefetch(lines, *record));
        entries = next;
    }
    black_box(lines);
}

fn touch(line: &mut [u64; 4]) {
    line[0] = line[0].wrapping_add(line[3]);
    line[3] ^= line[0];
}
