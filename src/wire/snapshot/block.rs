//! A block of rows as columns.
//!
//! ```text
//!  steps of keys: first halves, last halves | age | lag | kind | profile | place | about keys
//! ```
//!
//! The age of an anchor counts back from the log clock.

use super::bytes::Bytes;
use super::numbers::{Steps, keys};
use super::planes::{Packer, Unpacker};
use crate::detector::snapshot::Row;

/// Packs blocks of rows.
pub(super) struct BlockPacker {
    pub(super) packer: Packer,
    steps: Steps,
    about_keys: Vec<u8>,
    words: Vec<u32>,
    bytes: Vec<u8>,
}

impl BlockPacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            packer: Packer::new()?,
            steps: Steps::default(),
            about_keys: Vec::new(),
            words: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Appends a block to `into`.
    pub(super) fn pack(
        &mut self,
        rows: &[Row],
        clock: u32,
        into: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        self.about_keys.clear();
        self.steps.of(rows, &mut self.about_keys);
        self.packer.column(&self.steps.first, into)?;
        self.packer.column(&self.steps.last, into)?;
        self.words(rows, |row| clock.wrapping_sub(row.anchor()), into)?;
        self.words(rows, Row::lag, into)?;
        self.bytes.clear();
        self.bytes.extend(rows.iter().map(Row::kind));
        self.packer.column(&self.bytes, into)?;
        self.words(rows, Row::profile, into)?;
        self.words(rows, Row::place, into)?;
        into.extend(&self.about_keys);
        Ok(())
    }

    fn words(
        &mut self,
        rows: &[Row],
        of: impl Fn(&Row) -> u32,
        into: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        self.words.clear();
        self.words.extend(rows.iter().map(of));
        self.packer.column(&self.words, into)
    }
}

/// Unpacks blocks of rows.
pub(super) struct BlockUnpacker {
    pub(super) unpacker: Unpacker,
    halves: [Vec<u64>; 2],
    keys: Vec<u128>,
    words: [Vec<u32>; 4],
    kinds: Vec<u8>,
    rows: Vec<Row>,
}

impl BlockUnpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            unpacker: Unpacker::new()?,
            halves: Default::default(),
            keys: Vec::new(),
            words: Default::default(),
            kinds: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// So many rows; otherwise what is wrong.
    pub(super) fn unpack(
        &mut self,
        content: &[u8],
        rows: usize,
        clock: u32,
    ) -> Result<&[Row], &'static str> {
        let mut bytes = Bytes(content);
        for half in &mut self.halves {
            self.unpacker.column(&mut bytes, rows, half)?;
        }
        let [ages, lags, profiles, places] = &mut self.words;
        self.unpacker.column(&mut bytes, rows, ages)?;
        self.unpacker.column(&mut bytes, rows, lags)?;
        self.unpacker.column(&mut bytes, rows, &mut self.kinds)?;
        self.unpacker.column(&mut bytes, rows, profiles)?;
        self.unpacker.column(&mut bytes, rows, places)?;
        let [first, last] = &self.halves;
        keys(&mut bytes, (first, last), &mut self.keys)?;
        if !bytes.0.is_empty() {
            return Err("there is more behind the rows");
        }
        if lags.iter().any(|lag| *lag > Row::LONG_LAG) {
            return Err("a lag is too long");
        }
        self.rows.clear();
        let numbers = profiles.iter().zip(places.iter());
        let states = ages.iter().zip(lags.iter()).zip(&self.kinds);
        self.rows.extend(self.keys.iter().zip(states).zip(numbers).map(
            |((&key, ((&age, &lag), &kind)), (&profile, &place))| {
                Row::new(key, (clock.wrapping_sub(age), lag, kind), profile, place)
            },
        ));
        Ok(&self.rows)
    }
}
