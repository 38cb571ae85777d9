//! The datums of an Avro object container.

use std::io::BufRead;

use super::{FileError, Place, Receiver};
use crate::wire::avro::container::{Container, Next};
use crate::wire::avro::cursor::Cursor;
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::raw::Checked;
use crate::wire::scan::writer::WriterSchema;
use crate::wire::scan::{NoTime, Origin};

/// The datums of a container's blocks, in order.
pub(super) struct Blocks {
    container: Container,
    scans: WriterSchema,
    no_time: NoTime,
    position: Position,
}

/// What comes next in a file.
enum Found {
    Datums,
    /// What stands in a block's place.
    Broken(Place, Rejected),
}

/// How far a block has been read.
#[derive(Default)]
struct Position {
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
        let scans = WriterSchema::of_container(container.schema())?;
        Ok(Self { container, scans, no_time: NoTime::default(), position: Position::default() })
    }

    pub(super) fn with_no_time(self, no_time: NoTime) -> Self {
        Self { no_time, ..self }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.container.bytes_read()
    }

    /// Up to so many datums of one block, the first as the record of this number, or what stands in
    /// a block's place; none at the end. Ends early when the receiver wants no more.
    pub(super) fn batch<'s, R: Receiver<'s>>(
        &'s mut self,
        number: i64,
        most: usize,
        receiver: &mut R,
    ) -> Result<(), FileError> {
        if self.position.left == 0 {
            match self.advance()? {
                Some(Found::Datums) => {}
                Some(Found::Broken(place, rejected)) => {
                    receiver.take(place, Checked::unreadable(rejected));
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        let Self { container, scans, no_time, position } = self;
        let (block, data) = (container.block_number(), container.data());
        for number in (number..).take(most) {
            let origin = Origin { log_time: None, offset: number };
            position.read += 1;
            position.left -= 1;
            let place = Place::Record { block, record: position.read };
            let goes_on = match scans.quick_datum(&data[position.at..], origin, no_time) {
                Some((length, checked)) => {
                    position.at += length;
                    receiver.take(place, checked)
                }
                None => receiver.take(place, position.slow_datum(data, scans, no_time, origin)),
            };
            if !goes_on || position.left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Goes on to the next block that has datums, or to what stands in front of it.
    #[inline(never)]
    fn advance(&mut self) -> Result<Option<Found>, FileError> {
        while self.position.left == 0 {
            if let Some(message) = self.left_over() {
                return Ok(Some(self.broken_block(&message)));
            }
            self.position = Position::default();
            match self.container.next_block()? {
                Next::End => return Ok(None),
                Next::Broken(message) => return Ok(Some(self.broken_block(&message))),
                Next::Block { declared } => self.position.left = declared,
            }
        }
        Ok(Some(Found::Datums))
    }

    /// Bytes of a block behind its last datum: something in it was not what it seemed.
    fn left_over(&mut self) -> Option<String> {
        let length = self.container.data().len();
        let rest = length - self.position.at;
        self.position.at = length;
        (rest > 0).then(|| {
            let read = self.position.read;
            format!("{rest} bytes follow its {read} records; some of them may be wrong")
        })
    }

    fn broken_block(&self, message: &str) -> Found {
        let place = Place::Block(self.container.block_number());
        Found::Broken(place, Rejected::new(Reason::BrokenBlock, message))
    }
}

impl Position {
    /// The next datum of the block, which may be broken.
    #[cold]
    fn slow_datum<'s>(
        &mut self,
        data: &'s [u8],
        scans: &'s WriterSchema,
        no_time: &NoTime,
        origin: Origin,
    ) -> Checked<'s> {
        let mut cursor = Cursor::new(&data[self.at..]);
        match scans.decode_datum(&mut cursor, origin, no_time) {
            Ok(checked) => {
                self.at = data.len() - cursor.rest().len();
                checked
            }
            Err(broken) => {
                self.at = data.len();
                Checked::unreadable(self.give_up(broken.rejected()))
            }
        }
    }

    /// What is behind a broken datum cannot be read.
    #[cold]
    fn give_up(&mut self, rejected: Rejected) -> Rejected {
        let Rejected { reason, mut message, .. } = rejected;
        if self.left > 0 {
            message += &format!("; the block's last {} records are lost", self.left);
        }
        self.left = 0;
        Rejected::new(reason, message)
    }
}
