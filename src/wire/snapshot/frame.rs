//! Frames: pieces of a snapshot, each with its length and a checksum of its own, and a last one
//! that has a checksum over all others.
//!
//! ```text
//!  file   magic 8 | version u32 | zero u32 | frame … | frame of kind End
//!  frame  kind u8 | zero 3 | entries u32 | raw length u32 | length u32 | XXH3-64 u64 | content
//! ```
//!
//! All numbers are little-endian. The checksum covers what stands before it and the content.

use std::io::{self, Write};

use twox_hash::XxHash3_64;

use crate::detector::snapshot::{BLOCK_ROWS, Unsound};

const MAGIC: [u8; 8] = *b"stallwsn";
/// Version of the format that is written, and the only one that is read.
pub const VERSION: u32 = 1;
const START: usize = 16;
const HEAD: usize = 24;
/// Most bytes that a frame has before compression: an image of [`BLOCK_ROWS`] rows at worst.
pub(super) const MOST_RAW: usize = 64 * BLOCK_ROWS;
/// Raw bytes of a frame of lists that is not the last of its kind, at least.
pub(super) const RAW: usize = 1 << 20;

/// Why bytes are no snapshot that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes do not begin as a snapshot does.
    #[error("this is no snapshot of stallwatch")]
    Foreign,
    /// Written by a later version of the program.
    #[error("the format has version {found}; this program knows versions up to {VERSION}")]
    Newer {
        /// The version that the bytes name.
        found: u32,
    },
    /// The bytes end before the snapshot does.
    #[error("it is cut off after {length} bytes")]
    Truncated {
        /// How many bytes there are.
        length: u64,
    },
    /// Bytes are not those that were written.
    #[error("it is damaged: the checksum of the frame at byte {at} is wrong")]
    Damaged {
        /// Where the frame begins.
        at: u64,
    },
    /// The checksums are right, but the content has no meaning.
    #[error("the frame at byte {at} makes no sense: {why}")]
    Malformed {
        /// Where the frame begins.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Each frame can be read, but together they are no package state.
    #[error("it contradicts itself: {0}")]
    Unsound(#[from] Unsound),
}

/// What a frame holds. Frames stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Header = 1,
    Carriers = 2,
    Texts = 3,
    Profiles = 4,
    Places = 5,
    LongNumbers = 6,
    LongLags = 7,
    Packages = 8,
    End = 255,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::*;
        let all = [Header, Carriers, Texts, Profiles, Places, LongNumbers, LongLags, Packages, End];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Writes frames.
pub(super) struct FrameWriter<'w, W> {
    out: &'w mut W,
    written: u64,
    /// Over the checksums so far.
    all: u64,
}

fn checksum(head: &[u8], content: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(head), content)
}

fn chained(all: u64, checksum: u64) -> u64 {
    XxHash3_64::oneshot_with_seed(all, &checksum.to_le_bytes())
}

impl<'w, W: Write> FrameWriter<'w, W> {
    pub(super) fn new(out: &'w mut W) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&[0; 4])?;
        Ok(Self { out, written: START as u64, all: 0 })
    }

    pub(super) fn frame(
        &mut self,
        kind: Kind,
        (entries, raw): (usize, usize),
        content: &[u8],
    ) -> io::Result<()> {
        let number = |number: usize| {
            u32::try_from(number).map_err(|_| io::Error::other("a frame of a snapshot is too long"))
        };
        let mut head = [0; HEAD];
        head[0] = kind as u8;
        head[4..8].copy_from_slice(&number(entries)?.to_le_bytes());
        head[8..12].copy_from_slice(&number(raw)?.to_le_bytes());
        head[12..16].copy_from_slice(&number(content.len())?.to_le_bytes());
        let checksum = checksum(&head[..16], content);
        head[16..].copy_from_slice(&checksum.to_le_bytes());
        self.all = chained(self.all, checksum);
        self.written += (HEAD + content.len()) as u64;
        self.out.write_all(&head)?;
        self.out.write_all(content)
    }

    /// Writes the last frame; returns the length of the whole in bytes.
    pub(super) fn end(mut self) -> io::Result<u64> {
        let mut content = [0; 16];
        content[..8].copy_from_slice(&self.all.to_le_bytes());
        content[8..].copy_from_slice(&self.written.to_le_bytes());
        self.frame(Kind::End, (0, content.len()), &content)?;
        Ok(self.written)
    }
}

/// A frame whose checksum is right.
#[derive(Clone, Copy)]
pub(super) struct Frame<'b> {
    pub(super) kind: Kind,
    /// Where it begins.
    pub(super) at: u64,
    pub(super) entries: usize,
    pub(super) raw: usize,
    pub(super) content: &'b [u8],
}

impl Frame<'_> {
    pub(super) fn malformed(&self, why: &'static str) -> SnapshotError {
        SnapshotError::Malformed { at: self.at, why }
    }
}

/// Reads frames. One with a wrong checksum ends it.
pub(super) struct FrameReader<'b> {
    bytes: &'b [u8],
    at: usize,
    all: u64,
}

impl<'b> FrameReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, SnapshotError> {
        let truncated = SnapshotError::Truncated { length: bytes.len() as u64 };
        if !bytes.starts_with(&MAGIC[..MAGIC.len().min(bytes.len())]) {
            return Err(SnapshotError::Foreign);
        }
        let version = bytes.get(8..12).and_then(<[u8]>::first_chunk).copied();
        let found = u32::from_le_bytes(version.ok_or(truncated.clone())?);
        let zeros = bytes.get(12..START).ok_or(truncated)?;
        match found {
            0 => Err(SnapshotError::Foreign),
            VERSION if zeros == [0; 4] => Ok(Self { bytes, at: START, all: 0 }),
            VERSION => Err(SnapshotError::Foreign),
            found => Err(SnapshotError::Newer { found }),
        }
    }

    /// The next frame, the last one included.
    pub(super) fn next(&mut self) -> Result<Frame<'b>, SnapshotError> {
        let at = self.at as u64;
        let truncated = || SnapshotError::Truncated { length: self.bytes.len() as u64 };
        let damaged = SnapshotError::Damaged { at };
        let (head, rest) =
            self.bytes[self.at..].split_first_chunk::<HEAD>().ok_or_else(truncated)?;
        let number = |from: usize| {
            let bytes = head[from..].first_chunk().copied().unwrap_or_default();
            u32::from_le_bytes(bytes) as usize
        };
        let length = number(12);
        // A damaged length looks like a file that was cut off; only where it fits there is a
        // checksum to tell.
        let content = rest.get(..length).ok_or_else(truncated)?;
        let sum = u64::from_le_bytes(head[16..].first_chunk().copied().unwrap_or_default());
        if checksum(&head[..16], content) != sum {
            return Err(damaged);
        }
        let Some(kind) = Kind::of(head[0]) else {
            return Err(SnapshotError::Malformed { at, why: "its kind is not known" });
        };
        let frame = Frame { kind, at, entries: number(4), raw: number(8), content };
        if frame.raw > MOST_RAW {
            return Err(frame.malformed("it would be too long once it is unpacked"));
        }
        if kind == Kind::End {
            self.check_end(&frame)?;
        }
        self.all = chained(self.all, sum);
        self.at += HEAD + length;
        Ok(frame)
    }

    fn check_end(&self, frame: &Frame<'_>) -> Result<(), SnapshotError> {
        let mut expected = [0; 16];
        expected[..8].copy_from_slice(&self.all.to_le_bytes());
        expected[8..].copy_from_slice(&(self.at as u64).to_le_bytes());
        if frame.content != expected {
            return Err(SnapshotError::Damaged { at: frame.at });
        }
        match self.bytes.len() - self.at - HEAD - frame.content.len() {
            0 => Ok(()),
            _ => Err(frame.malformed("there are bytes behind the end")),
        }
    }
}
