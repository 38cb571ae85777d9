//! A snapshot: the package state of one partition at one offset, as bytes.
//!
//! ```text
//!  header, JSON │ carriers │ texts │ profiles │ places │ long numbers │ long lags │ rows … │ end
//! ```
//!
//! Every part stands in frames with a checksum of their own; the last one has a checksum over all
//! others, so that what was cut off is known. Rows stand in order of carrier and number, 65,536 to a
//! frame, column by column. Equal states under equal headers give equal bytes, whatever came before.
//!
//! Whatever else it is given, reading ends in a named error: it never panics, and takes no more
//! memory than what is there would need.

mod block;
mod bytes;
mod frame;
mod header;
mod lists;
mod numbers;
mod planes;

use std::io::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::detector::memory::BlockSource;
use crate::detector::policy::PolicySet;
use crate::detector::shard::Shard;
use crate::detector::snapshot::{BLOCK_ROWS, Contents, Image, Loader, Sorter};
use crate::detector::time::LogTime;
use block::{BlockPacker, BlockUnpacker};
use frame::{Frame, FrameReader, FrameWriter, Kind};

pub use frame::{SnapshotError, VERSION};
pub use header::{Decisions, Header, LastRecord, Rejections, Settings};

/// The header as it is written, with what is needed to read on.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    header: Header,
    /// The log clock, in seconds since 1970.
    log_clock: Option<i64>,
    packages: u64,
}

/// What writing needs, to be used again and again: its memory stays, 32 bytes a package.
pub struct Encoder {
    sorter: Sorter,
    blocks: BlockPacker,
    content: Vec<u8>,
}

impl Encoder {
    /// # Errors
    /// When zstd gives no context.
    pub fn new() -> io::Result<Self> {
        let sorter = Sorter::default();
        Ok(Self { sorter, blocks: BlockPacker::new()?, content: Vec::new() })
    }

    /// Writes the snapshot of an image; returns its length in bytes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(
        &mut self,
        image: &Image,
        header: &Header,
        out: &mut impl Write,
    ) -> io::Result<u64> {
        let contents = image.sort(&mut self.sorter);
        let mut frames = FrameWriter::new(out)?;
        let written = Written {
            header: header.clone(),
            log_clock: contents.log_clock.map(LogTime::secs),
            packages: contents.packages,
        };
        let json = serde_json::to_vec(&written).map_err(io::Error::other)?;
        lists::packed(&mut frames, Kind::Header, 1, &json)?;
        lists::write(&mut frames, &contents)?;
        let clock = clock_of(&contents);
        while let Some(rows) = self.sorter.next_block() {
            self.content.clear();
            self.blocks.pack(rows, clock, &mut self.content)?;
            frames.frame(Kind::Packages, (rows.len(), self.content.len()), &self.content)?;
        }
        frames.end()
    }
}

/// What ages count back from.
fn clock_of(contents: &Contents) -> u32 {
    contents.log_clock.and_then(|clock| u32::try_from(clock.secs()).ok()).unwrap_or_default()
}

/// Reads no more than the header of a snapshot.
///
/// # Errors
/// When the bytes are none, or do not reach that far.
pub fn read_header(bytes: &[u8]) -> Result<Header, SnapshotError> {
    let mut blocks = new_unpacker()?;
    let (written, _) = header_of(&mut FrameReader::new(bytes)?, &mut blocks)?;
    Ok(written.header)
}

/// Reads a snapshot: what it says of itself, and a shard as [`Shard::rebuilding`] gives one, with
/// its package state. Feed graces are those of the policies.
///
/// # Errors
/// When the bytes are not exactly those that were written.
pub fn read(
    bytes: &[u8],
    policies: Arc<PolicySet>,
    source: Arc<dyn BlockSource>,
) -> Result<(Header, Shard), SnapshotError> {
    let mut blocks = new_unpacker()?;
    let mut frames = FrameReader::new(bytes)?;
    let (written, mut contents) = header_of(&mut frames, &mut blocks)?;
    let mut before = Kind::Header;
    let mut packages = Vec::new();
    loop {
        let frame = frames.next()?;
        if frame.kind < before || frame.kind == Kind::Header {
            return Err(frame.malformed("it is not in its place"));
        }
        before = frame.kind;
        match frame.kind {
            Kind::End => break,
            Kind::Packages => packages.push(frame),
            _ => lists::read(&frame, &mut blocks.unpacker, &mut contents)?,
        }
    }
    check_rows(&packages, contents.packages)?;
    let clock = clock_of(&contents);
    let mut loader = Loader::new(policies, source, contents)?;
    loader.reserve();
    for frame in packages {
        let rows = blocks.unpack(frame.content, frame.entries, clock);
        loader.add(rows.map_err(|why| frame.malformed(why))?)?;
    }
    Ok((written.header, loader.finish()?))
}

fn header_of(
    frames: &mut FrameReader<'_>,
    blocks: &mut BlockUnpacker,
) -> Result<(Written, Contents), SnapshotError> {
    let frame = frames.next()?;
    if frame.kind != Kind::Header {
        return Err(frame.malformed("it is no header"));
    }
    let json = blocks.unpacker.unpack(frame.content, frame.raw);
    let json = json.map_err(|why| frame.malformed(why))?;
    let written: Written = serde_json::from_slice(json)
        .map_err(|_| frame.malformed("the header is not what one has to be"))?;
    let contents = Contents {
        log_clock: written.log_clock.map(LogTime::from_secs),
        packages: written.packages,
        ..Contents::default()
    };
    Ok((written, contents))
}

/// Only what is there is made room for.
fn check_rows(frames: &[Frame<'_>], packages: u64) -> Result<(), SnapshotError> {
    for frame in frames {
        if !(1..=BLOCK_ROWS).contains(&frame.entries) {
            return Err(frame.malformed("it has no rows, or too many"));
        }
    }
    match frames.iter().map(|frame| frame.entries as u64).sum::<u64>() {
        rows if rows == packages => Ok(()),
        _ => Err(SnapshotError::Malformed {
            at: frames.first().map_or(0, |frame| frame.at),
            why: "there are not as many rows as the header says",
        }),
    }
}

fn new_unpacker() -> Result<BlockUnpacker, SnapshotError> {
    let why = "zstd gives no context to unpack with";
    BlockUnpacker::new().map_err(|_| SnapshotError::Malformed { at: 0, why })
}

#[cfg(test)]
mod tests;
