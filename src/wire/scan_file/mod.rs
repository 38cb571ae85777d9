//! The scans of a file, one after the other: NDJSON, or an Avro object container.
//!
//! A broken line, block or datum is an entry that says so, and reading goes on behind it. What ends
//! reading is a [`FileError`].

mod blocks;
mod lines;
mod order;
mod stored;

use std::fmt;
use std::io::{self, BufRead, Cursor, Read};

use self::blocks::Blocks;
use self::lines::Lines;
use self::order::Order;
pub use self::stored::StoredScan;
use super::avro::container::{ContainerError, MAGIC};
use super::reject::Rejected;
use super::scan::raw::Checked;
use super::scan::{NoTime, Remarks, SchemaError};
use crate::detector::scan::{Record, Scan};

/// Why reading a file ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input cannot be read.
    #[error("the input cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The header of an Avro container cannot be read.
    #[error("{0}")]
    Header(String),
    /// The container's records are no scans.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The input is something else altogether.
    #[error("the input is {0}")]
    OtherFormat(&'static str),
    /// A record without a log time comes after a later one.
    #[error(
        "{place}: its event time lies before that of {after}, and the record has no log_time; give --sort, or a log_time to every record"
    )]
    Unsorted {
        /// The record.
        place: Place,
        /// One before it whose event time is later.
        after: Place,
    },
}

impl From<ContainerError> for FileError {
    fn from(error: ContainerError) -> Self {
        match error {
            ContainerError::Io(error) => Self::Io(error),
            ContainerError::Header(message) => Self::Header(message),
        }
    }
}

/// Where in a file something stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text.
    Line(u64),
    /// A block of a container.
    Block(u64),
    /// A record in a block of a container.
    Record {
        /// The block's number.
        block: u64,
        /// The record's number in the block.
        record: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Block(block) => write!(f, "block {block}"),
            Self::Record { block, record } => write!(f, "block {block}, record {record}"),
        }
    }
}

/// One record of a file, or what stands in a record's place.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Where it stands.
    pub place: Place,
    /// Its number among the entries, from 0: the scan's offset where the record gives none.
    pub number: i64,
    /// The partition that the record names. Records of one value make one log, and so do those
    /// without.
    pub partition: Option<i32>,
    /// The scan, or why it is none.
    pub scan: Result<Scan<'a>, Rejected>,
    /// What is to be told of the scan.
    pub remarks: Remarks<'a>,
}

/// Records of a file that stand behind one another.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// What the detector is to know of each.
    pub records: Vec<Record<'a>>,
    /// The partition that each names, as in [`Entry::partition`].
    pub partitions: Vec<Option<i32>>,
    /// Those that are no scans: index in the batch, place and why. By index, ascending.
    pub rejected: Vec<(usize, Place, Rejected)>,
    /// What is to be told of scans, by their index.
    pub remarks: Vec<(usize, Remarks<'a>)>,
}

/// Takes the records of a file one by one. A record has some two hundred bytes: inlined, it is
/// written where it belongs and not moved.
trait Receiver<'a> {
    /// Takes the next one; whether it wants more.
    fn take(&mut self, place: Place, checked: Checked<'a>) -> bool;
}

impl<'a> Receiver<'a> for Batch<'a> {
    #[inline(always)]
    fn take(&mut self, place: Place, checked: Checked<'a>) -> bool {
        self.partitions.push(checked.partition);
        if !checked.remarks.is_empty() {
            self.remarks.push((self.records.len(), checked.remarks));
        }
        match checked.scan {
            Ok(scan) => self.records.push(Record::Scan(scan)),
            Err(rejected) => {
                let index = self.records.len();
                self.records.push(rejected.record());
                self.rejected.push((index, place, rejected));
            }
        }
        true
    }
}

impl<'a> Receiver<'a> for Option<Entry<'a>> {
    fn take(&mut self, place: Place, checked: Checked<'a>) -> bool {
        let Checked { partition, scan, remarks, .. } = checked;
        *self = Some(Entry { place, number: 0, partition, scan, remarks });
        true
    }
}

/// Counts records, and hands them on until one is out of order.
struct Checking<'f, R> {
    order: &'f mut Option<Order>,
    number: &'f mut i64,
    failed: &'f mut Option<FileError>,
    receiver: &'f mut R,
}

impl<'a, R: Receiver<'a>> Receiver<'a> for Checking<'_, R> {
    #[inline(always)]
    fn take(&mut self, place: Place, checked: Checked<'a>) -> bool {
        if checked.stands_in
            && let Some(order) = self.order
            && let Err(error) = order.check(place, checked.partition, checked.log_time())
        {
            *self.failed = Some(error);
            return false;
        }
        *self.number += 1;
        self.receiver.take(place, checked)
    }
}

/// A file of scans.
pub struct ScanFile {
    format: Format,
    order: Option<Order>,
    /// Entries so far.
    number: i64,
    /// What ended reading behind entries that were handed out.
    failed: Option<FileError>,
}

enum Format {
    Lines(Lines),
    Blocks(Box<Blocks>),
}

impl ScanFile {
    /// Knows an Avro container by its magic bytes; all else is NDJSON.
    pub fn open(mut input: Box<dyn BufRead + Send>) -> Result<Self, FileError> {
        let mut start = Vec::new();
        input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
        if let Some(format) = other_format(&start) {
            return Err(FileError::OtherFormat(format));
        }
        let container = start == MAGIC;
        let input = Box::new(Cursor::new(start).chain(input));
        let format = if container {
            Format::Blocks(Box::new(Blocks::open(input)?))
        } else {
            Format::Lines(Lines::new(input))
        };
        Ok(Self { format, order: Some(Order::default()), number: 0, failed: None })
    }

    /// Takes records without a log time in any order. Who asks for this sorts them: by log time
    /// in whole seconds, within each partition, keeping the order of equals ([`StoredScan`] keeps
    /// scans until then).
    pub fn in_any_order(self) -> Self {
        Self { order: None, ..self }
    }

    /// The same with other stand-ins for a missing event time.
    pub fn with_no_time(self, no_time: NoTime) -> Self {
        let format = match self.format {
            Format::Lines(lines) => Format::Lines(lines.with_no_time(no_time)),
            Format::Blocks(blocks) => Format::Blocks(Box::new(blocks.with_no_time(no_time))),
        };
        Self { format, ..self }
    }

    /// The next record; `None` at the end. After an error there is nothing more to read.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, FileError> {
        let number = self.number;
        let mut next = None;
        self.read(1, &mut next)?;
        Ok(next.map(|entry| Entry { number, ..entry }))
    }

    /// The next records, at least one and at most so many; `None` at the end. Those in front of an
    /// error are handed out before it. After an error there is nothing more to read.
    pub fn next_batch(&mut self, most: usize) -> Result<Option<Batch<'_>>, FileError> {
        let mut batch = Batch {
            records: Vec::with_capacity(most),
            partitions: Vec::with_capacity(most),
            ..Batch::default()
        };
        self.read(most, &mut batch)?;
        Ok((!batch.records.is_empty()).then_some(batch))
    }

    fn read<'s, R: Receiver<'s>>(
        &'s mut self,
        most: usize,
        receiver: &mut R,
    ) -> Result<(), FileError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Self { format, order, number, failed } = self;
        let first = *number;
        let mut checking = Checking { order, number, failed, receiver };
        match format {
            Format::Lines(lines) => {
                if let Some((place, checked)) = lines.next(first)? {
                    checking.take(place, checked);
                }
            }
            Format::Blocks(blocks) => blocks.batch(first, most, &mut checking)?,
        }
        if *number == first { failed.take().map_or(Ok(()), Err) } else { Ok(()) }
    }

    /// Bytes of the input that were read so far, for a progress bar.
    pub fn bytes_read(&self) -> u64 {
        match &self.format {
            Format::Lines(lines) => lines.bytes_read(),
            Format::Blocks(blocks) => blocks.bytes_read(),
        }
    }
}

/// JSON that is not one object a line, by the beginning of a text of which no line is a scan; what
/// it is and what to do, to stand behind "is".
pub fn layout(start: &[u8]) -> Option<&'static str> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let first_line = start.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    match first_line {
        [b'[', ..] => Some("a JSON array; write one object a line: jq -c '.[]' FILE"),
        b"{" => Some("JSON whose objects have several lines; write one a line: jq -c . FILE"),
        _ => None,
    }
}

/// What people send by mistake, by its first bytes.
fn other_format(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("compressed with gzip; decompress it first: zcat FILE | …"),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Some("compressed with zstd; decompress it first: zstdcat FILE | …")
        }
        [b'P', b'A', b'R', b'1'] => Some("a Parquet file; NDJSON and Avro containers can be read"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16; JSON has to be UTF-8"),
        _ => None,
    }
}
