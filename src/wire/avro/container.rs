//! Reads the blocks of an Avro object container from a stream, and goes on behind broken ones.
//!
//! The library's reader stops at the first broken block and allocates what a block declares; here a
//! declared size allocates nothing, and reading resumes at the next sync marker.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::str::FromStr;

use apache_avro::Codec;

use super::cursor::{Broken, Cursor};

/// What every container begins with.
pub(crate) const MAGIC: &[u8; 4] = b"Obj\x01";

/// Most bytes that a block may have, compressed or not. Writers end blocks at some 64 KiB.
pub(crate) const MAX_BLOCK: usize = 64 << 20;

/// How many times its size a block may grow to by being decompressed, and what it may grow to in any
/// case: the work of reading a file is bounded by its size. Deflate cannot grow by more.
const MAX_GROWTH: usize = 1_000;
const ALWAYS_GROWS_TO: usize = 64 << 10;

/// Most bytes that a header may have: it holds the schema.
const MAX_HEADER: usize = 2 << 20;

const SYNC: usize = 16;

/// Why a container cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Header(String),
}

/// What comes next in a container.
#[derive(Debug)]
pub(crate) enum Next {
    /// A block, now in [`Container::data`], and how many datums it declares.
    Block {
        declared: u64,
    },
    /// A block that is lost, and why.
    Broken(String),
    End,
}

/// A container, read block by block.
pub(crate) struct Container {
    window: Window,
    schema: String,
    codec: Codec,
    sync: [u8; SYNC],
    /// Blocks begun so far.
    number: u64,
    /// Where the present block's bytes lie in the window, if they are not compressed.
    plain: Range<usize>,
    inflated: Vec<u8>,
}

impl Container {
    /// Reads the header.
    pub(crate) fn open(input: Box<dyn BufRead + Send>) -> Result<Self, ContainerError> {
        // The library's own limit on what a compressed block may grow to; it is set once a process.
        apache_avro::util::max_allocation_bytes(MAX_BLOCK);
        let mut window = Window::new(input);
        let mut wanted = 4096;
        loop {
            let complete = !window.fill(wanted)?;
            match Header::parse(window.bytes()) {
                Ok((header, length)) => {
                    window.consume(length);
                    return Ok(Self {
                        window,
                        schema: header.schema,
                        codec: header.codec,
                        sync: header.sync,
                        number: 0,
                        plain: 0..0,
                        inflated: Vec::new(),
                    });
                }
                Err(HeaderFault::Ends) if complete => {
                    return Err(header_error("it ends too early"));
                }
                Err(HeaderFault::Ends) if wanted >= MAX_HEADER => {
                    return Err(header_error("it is larger than 2 MiB"));
                }
                Err(HeaderFault::Ends) => wanted *= 2,
                Err(HeaderFault::Bad(message)) => return Err(header_error(&message)),
            }
        }
    }

    /// The schema that the datums were written with.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The number of the present block, from 1.
    pub(crate) fn block_number(&self) -> u64 {
        self.number
    }

    /// The bytes of the present block's datums.
    pub(crate) fn data(&self) -> &[u8] {
        if self.codec == Codec::Null {
            &self.window.bytes()[self.plain.clone()]
        } else {
            &self.inflated
        }
    }

    /// Bytes read from the input and done with.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.window.consumed + self.plain.end as u64
    }

    /// Goes on to the next block. A broken one leaves no data.
    pub(crate) fn next_block(&mut self) -> io::Result<Next> {
        self.leave_block();
        if !self.window.fill(1)? {
            return Ok(Next::End);
        }
        self.number += 1;
        self.window.fill(20)?;
        let mut cursor = Cursor::new(self.window.bytes());
        let (count, size) = match (cursor.long(), cursor.long()) {
            (Ok(count @ 0..), Ok(size @ 0..)) => (count, size),
            (Err(Broken::Ends), _) | (_, Err(Broken::Ends)) => return self.truncated(),
            _ => return self.resume("its head is no count and size"),
        };
        let head = self.window.bytes().len() - cursor.rest().len();
        if size > MAX_BLOCK as i64 {
            return self.resume(&format!(
                "it declares {size} bytes; blocks of up to {MAX_BLOCK} bytes can be read"
            ));
        }
        let end = head + size as usize;
        if !self.window.fill(end + SYNC)? {
            return self.truncated();
        }
        if self.window.bytes()[end..end + SYNC] != self.sync {
            return self.resume("no sync marker stands behind it");
        }
        self.plain = head..end;
        if let Err(why) = self.inflate() {
            self.inflated.clear();
            return Ok(Next::Broken(format!("it cannot be decompressed: {why}")));
        }
        Ok(Next::Block { declared: count as u64 })
    }

    fn inflate(&mut self) -> Result<(), String> {
        let packed = &self.window.bytes()[self.plain.clone()];
        self.inflated.clear();
        match self.codec {
            Codec::Null => {}
            // The library lets it grow without regard to its size.
            Codec::Zstandard(_) => inflate_zstd(packed, &mut self.inflated)?,
            codec => {
                self.inflated.extend_from_slice(packed);
                codec.decompress(&mut self.inflated).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Drops a block that was read, with the marker behind it.
    fn leave_block(&mut self) {
        self.inflated.clear();
        if self.plain.end > 0 {
            self.window.consume(self.plain.end + SYNC);
            self.plain = 0..0;
        }
    }

    /// The input ends before the block does, or the block's size is wrong.
    fn truncated(&mut self) -> io::Result<Next> {
        self.resume("the file ends before it does")
    }

    /// Drops everything up to and with the next sync marker.
    fn resume(&mut self, why: &str) -> io::Result<Next> {
        let mut lost = 0;
        loop {
            let bytes = self.window.bytes();
            if let Some(at) = bytes.windows(SYNC).position(|window| window == self.sync) {
                lost += at;
                self.window.consume(at + SYNC);
                let message = format!("{why}; {lost} bytes up to the next sync marker are lost");
                return Ok(Next::Broken(message));
            }
            // The last bytes may be the beginning of a marker.
            let searched = bytes.len().saturating_sub(SYNC - 1);
            lost += searched;
            self.window.consume(searched);
            let kept = self.window.bytes().len();
            if !self.window.fill(kept + SYNC)? {
                let rest = self.window.bytes().len();
                self.window.consume(rest);
                return Ok(Next::Broken(format!(
                    "{why}; the last {} bytes of the file are lost",
                    lost + rest
                )));
            }
        }
    }
}

fn inflate_zstd(packed: &[u8], into: &mut Vec<u8>) -> Result<(), String> {
    let most = packed.len().saturating_mul(MAX_GROWTH).clamp(ALWAYS_GROWS_TO, MAX_BLOCK);
    let mut unpack = || {
        let mut decoder = zstd::Decoder::with_buffer(packed)?;
        // What is looked back at is kept in memory: no more of it than a block may have.
        decoder.window_log_max(MAX_BLOCK.ilog2())?;
        decoder.take(most as u64 + 1).read_to_end(into)
    };
    match unpack().map_err(|error: io::Error| error.to_string())? {
        length if length > most => {
            Err(format!("its {} bytes would grow to more than {most}", packed.len()))
        }
        _ => Ok(()),
    }
}

fn header_error(message: &str) -> ContainerError {
    ContainerError::Header(format!("the header of the Avro container cannot be read: {message}"))
}

struct Header {
    schema: String,
    codec: Codec,
    sync: [u8; SYNC],
}

enum HeaderFault {
    Ends,
    Bad(String),
}

impl From<Broken> for HeaderFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Ends => Self::Ends,
            other => Self::Bad(other.to_string()),
        }
    }
}

impl Header {
    /// The header and its length in bytes.
    fn parse(bytes: &[u8]) -> Result<(Self, usize), HeaderFault> {
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(HeaderFault::Bad("it does not begin with the bytes Obj 01".to_owned()));
        }
        let (mut schema, mut codec) = (None, "null");
        loop {
            let count = cursor.block_count()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                match (cursor.text()?, cursor.bytes()?) {
                    ("avro.schema", bytes) => schema = Some(utf8(bytes)?),
                    ("avro.codec", bytes) => codec = utf8(bytes)?,
                    _ => {}
                }
            }
        }
        let sync = *cursor.take(SYNC)?.first_chunk().expect("taken as long as a marker");
        let schema = schema.ok_or_else(|| HeaderFault::Bad("it has no schema".to_owned()))?;
        let codec = Codec::from_str(codec).map_err(|_| {
            HeaderFault::Bad(format!(
                "its codec is {codec:?}; null, deflate, snappy and zstandard can be read"
            ))
        })?;
        let length = bytes.len() - cursor.rest().len();
        Ok((Self { schema: schema.to_owned(), codec, sync }, length))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, HeaderFault> {
    std::str::from_utf8(bytes).map_err(|_| Broken::NotUtf8.into())
}

/// How much is read from the input at once, at least: what is read stays in the processor's cache
/// until it is decoded.
const READ: usize = 64 << 10;

/// The part of a stream that is being looked at.
struct Window {
    input: Box<dyn BufRead + Send>,
    /// Some of it may be room only.
    buffer: Vec<u8>,
    /// Where in the buffer the window begins, and where it ends.
    start: usize,
    end: usize,
    /// Bytes of the stream before the window.
    consumed: u64,
}

impl Window {
    fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, buffer: Vec::new(), start: 0, end: 0, consumed: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        self.consumed += length as u64;
    }

    /// Reads until the window has this many bytes; `false` if the stream ends before. Memory grows
    /// with what is really there, not with what is asked for.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.end - self.start < length {
            self.make_room();
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Room for a read behind the window: what has been left behind, or a larger buffer.
    fn make_room(&mut self) {
        if self.buffer.len() - self.end >= READ {
            return;
        }
        // Moved only when there is less to move than to gain, so that small steps stay cheap.
        let present = self.end - self.start;
        if self.start > present {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, present);
        }
        if self.buffer.len() - self.end < READ {
            self.buffer.resize((self.end + READ).next_power_of_two(), 0);
        }
    }
}
