//! Columns of numbers as planes of bytes: the lowest bytes of all rows, then the next higher ones.
//! Each plane by itself is the same byte throughout, or as it is, or compressed.

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::bytes::Bytes;

const SAME: u8 = 0;
const PLAIN: u8 = 1;
const PACKED: u8 = 2;
/// zstd's level.
pub(super) const LEVEL: i32 = 1;

/// A column of numbers.
pub(super) trait Number: Copy + Default + std::ops::BitOr<Output = Self> {
    /// Bytes of a number.
    const BYTES: usize;
    /// One of its bytes, 0 the lowest.
    fn byte(self, plane: usize) -> u8;
    /// A number whose only byte is this one.
    fn of_byte(byte: u8, plane: usize) -> Self;
}

macro_rules! number {
    ($($name:ident),*) => {$(
        impl Number for $name {
            const BYTES: usize = size_of::<Self>();
            #[inline]
            fn byte(self, plane: usize) -> u8 {
                (self >> (8 * plane)) as u8
            }
            #[inline]
            fn of_byte(byte: u8, plane: usize) -> Self {
                Self::from(byte) << (8 * plane)
            }
        }
    )*};
}
number!(u8, u32, u64);

/// Packs columns.
pub(super) struct Packer {
    zstd: Compressor<'static>,
    plane: Vec<u8>,
    packed: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut zstd = Compressor::new(LEVEL)?;
        // Bytes of numbers hardly repeat in rows: looking for more than long, recent repetitions
        // costs time, and its few short finds cost more bytes than they save.
        zstd.set_parameter(CParameter::MinMatch(7))?;
        zstd.set_parameter(CParameter::HashLog(6))?;
        Ok(Self { zstd, plane: Vec::new(), packed: Vec::new() })
    }

    pub(super) fn column<N: Number>(
        &mut self,
        column: &[N],
        into: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let all = column.iter().fold(N::default(), |all, number| all | *number);
        let planes = (0..N::BYTES).rposition(|plane| all.byte(plane) != 0).map_or(0, |at| at + 1);
        into.push(planes as u8);
        for plane in 0..planes {
            self.plane.clear();
            self.plane.extend(column.iter().map(|number| number.byte(plane)));
            self.plane(into)?;
        }
        Ok(())
    }

    fn plane(&mut self, into: &mut Vec<u8>) -> std::io::Result<()> {
        let plane = &self.plane[..];
        let first = plane.first().copied().unwrap_or_default();
        if plane.iter().fold(0, |differing, byte| differing | (byte ^ first)) == 0 {
            into.extend([SAME, first]);
            return Ok(());
        }
        if !is_even(plane) {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(plane.len()));
            let length = self.zstd.compress_to_buffer(plane, &mut self.packed)?;
            if length < plane.len() {
                into.push(PACKED);
                into.extend((length as u32).to_le_bytes());
                into.extend(&self.packed[..length]);
                return Ok(());
            }
        }
        into.push(PLAIN);
        into.extend(plane);
        Ok(())
    }
}

/// Whether all bytes are so nearly as frequent that packing them is not worth its time: the chance
/// that two are the same is at most three in 512. Of many bytes every fourth run is looked at.
fn is_even(plane: &[u8]) -> bool {
    const RUN: usize = 64;
    const ENOUGH: usize = 4_096;
    let step = if plane.len() >= 4 * ENOUGH { 4 } else { 1 };
    // Four counters each, so that equal bytes in a row do not wait for one another.
    let mut four = [[0u32; 256]; 4];
    let mut len = 0;
    for run in plane.chunks(RUN).step_by(step) {
        for (at, byte) in run.iter().enumerate() {
            four[at % 4][usize::from(*byte)] += 1;
        }
        len += run.len() as u64;
    }
    let count = |byte: usize| four.iter().map(|counts| u64::from(counts[byte])).sum::<u64>();
    let same: u64 = (0..256).map(|byte| count(byte).pow(2)).sum();
    len >= ENOUGH as u64 && same * 256 < len * len * 3 / 2 + 256 * len
}

/// Unpacks columns.
pub(super) struct Unpacker {
    zstd: Decompressor<'static>,
    plane: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: Decompressor::new()?, plane: Vec::new() })
    }

    /// The next column of so many rows; what is wrong with it otherwise.
    pub(super) fn column<N: Number>(
        &mut self,
        bytes: &mut Bytes<'_>,
        rows: usize,
        into: &mut Vec<N>,
    ) -> Result<(), &'static str> {
        const CUT: &str = "a column is cut off";
        into.clear();
        into.resize(rows, N::default());
        let planes = usize::from(bytes.byte().ok_or(CUT)?);
        if planes > N::BYTES {
            return Err("a column has too many planes");
        }
        for plane in 0..planes {
            match bytes.byte().ok_or(CUT)? {
                SAME => {
                    let number = N::of_byte(bytes.byte().ok_or(CUT)?, plane);
                    into.iter_mut().for_each(|all| *all = *all | number);
                }
                PLAIN => add(into, bytes.take(rows).ok_or(CUT)?, plane),
                PACKED => {
                    let length = u32::from_le_bytes(bytes.array().ok_or(CUT)?) as usize;
                    let packed = bytes.take(length).ok_or(CUT)?;
                    self.unpack(packed, rows)?;
                    add(into, &self.plane, plane);
                }
                _ => return Err("a plane is of no known kind"),
            }
        }
        Ok(())
    }

    /// Exactly so many bytes.
    pub(super) fn unpack(&mut self, packed: &[u8], raw: usize) -> Result<&[u8], &'static str> {
        self.plane.clear();
        self.plane.reserve_exact(raw);
        // The capacity may be more than was asked for.
        match self.zstd.decompress_to_buffer(packed, &mut self.plane) {
            Ok(length) if length == raw => Ok(&self.plane),
            _ => Err("zstd cannot unpack it to its length"),
        }
    }
}

fn add<N: Number>(into: &mut [N], bytes: &[u8], plane: usize) {
    for (all, byte) in into.iter_mut().zip(bytes) {
        *all = *all | N::of_byte(*byte, plane);
    }
}
