//! The datums of an Avro object container.

use std::io::BufRead;

use super::{FileError, Place};
use crate::wire::avro::container::{Container, Next};
use crate::wire::avro::cursor::Cursor;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::AvroScans;
use crate::wire::scan::raw::Checked;

/// The datums of a container's blocks, in order.
pub(super) struct Blocks {
    container: Container,
    scans: AvroScans,
    /// Where in the block the next datum begins.
    at: usize,
    /// Datums that the block declares and that were not read yet.
    left: u64,
    /// Datums of the block that were read.
    read: u64,
}

impl Blocks {
    pub(super) fn open(input: Box<dyn BufRead + Send>) -> Result<Self, FileError> {
        let container = Container::open(input)?;
        let scans = AvroScans::for_container(container.schema())?;
        Ok(Self { container, scans, at: 0, left: 0, read: 0 })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.container.bytes_read()
    }

    /// The next datum, as the record of this number.
    pub(super) fn next(&mut self, number: i64) -> Result<Option<(Place, Checked<'_>)>, FileError> {
        while self.left == 0 {
            if let Some(message) = self.left_over() {
                return Ok(Some(self.broken_block(&message)));
            }
            (self.at, self.read) = (0, 0);
            match self.container.next_block()? {
                Next::End => return Ok(None),
                Next::Broken(message) => return Ok(Some(self.broken_block(&message))),
                Next::Block { declared } => self.left = declared,
            }
        }
        Ok(Some(self.datum(number)))
    }

    fn datum(&mut self, number: i64) -> (Place, Checked<'_>) {
        self.read += 1;
        self.left -= 1;
        let place = Place::Record { block: self.container.block_number(), record: self.read };
        let data = self.container.data();
        let mut cursor = Cursor::new(&data[self.at..]);
        match self.scans.decode_datum(&mut cursor, number) {
            Ok(checked) => {
                self.at = data.len() - cursor.rest().len();
                (place, checked)
            }
            Err(broken) => {
                let Rejected { reason, mut message, .. } = broken.rejected();
                if self.left > 0 {
                    message += &format!("; the block's last {} records are lost", self.left);
                }
                (self.at, self.left) = (data.len(), 0);
                (place, Checked::unreadable(Rejected::new(reason, message)))
            }
        }
    }

    /// Bytes of a block behind its last datum: something in it was not what it seemed.
    fn left_over(&mut self) -> Option<String> {
        let length = self.container.data().len();
        let rest = length - self.at;
        self.at = length;
        (rest > 0).then(|| {
            format!("{rest} bytes follow its {} records; some of them may be wrong", self.read)
        })
    }

    fn broken_block(&mut self, message: &str) -> (Place, Checked<'static>) {
        let place = Place::Block(self.container.block_number());
        let rejected = Rejected::new(Reason::BrokenBlock, message);
        (place, Checked::unreadable(rejected))
    }
}
