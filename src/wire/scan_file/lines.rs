//! NDJSON: one object a line.

use std::io::{self, BufRead};

use super::Place;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::raw::Checked;
use crate::wire::scan::{JsonScans, MAX_RECORD, NoTime};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file. Blank ones are skipped; those that are too long are not kept.
pub(super) struct Lines {
    input: Box<dyn BufRead + Send>,
    scans: JsonScans,
    line: Vec<u8>,
    /// Lines begun so far.
    number: u64,
    bytes_read: u64,
}

impl Lines {
    pub(super) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, scans: JsonScans::new(), line: Vec::new(), number: 0, bytes_read: 0 }
    }

    pub(super) fn with_no_time(self, no_time: NoTime) -> Self {
        Self { scans: self.scans.with_no_time(no_time), ..self }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line that is not blank, as the record of this number.
    pub(super) fn next(&mut self, number: i64) -> io::Result<Option<(Place, Checked<'_>)>> {
        loop {
            let Some(length) = self.read_line()? else { return Ok(None) };
            let place = Place::Line(self.number);
            if length > MAX_RECORD as u64 {
                let message =
                    format!("the line has {length} bytes; a scan has at most {MAX_RECORD}");
                let rejected = Rejected::new(Reason::TooLarge, message);
                return Ok(Some((place, Checked::unreadable(rejected))));
            }
            let text = self.line.trim_ascii();
            if !text.is_empty() {
                break;
            }
        }
        let place = Place::Line(self.number);
        Ok(Some((place, self.scans.decode_line(&self.line, number))))
    }

    /// Reads a line into the buffer; its length in bytes, both without its end. Of a line that is
    /// too long only the beginning is kept.
    fn read_line(&mut self) -> io::Result<Option<u64>> {
        self.line.clear();
        let (mut length, mut begun) = (0, false);
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() && !begun {
                return Ok(None);
            }
            begun = true;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            let room = (MAX_RECORD + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let used = text.len() + usize::from(end.is_some());
            let ended = end.is_some() || chunk.is_empty();
            length += text.len() as u64;
            self.input.consume(used);
            self.bytes_read += used as u64;
            if ended {
                break;
            }
        }
        self.number += 1;
        if self.number == 1 && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(length))
    }
}
