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
    position: Position,
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
        let scans = AvroScans::for_container(container.schema())?;
        Ok(Self { container, scans, position: Position::default() })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.container.bytes_read()
    }

    /// Up to so many datums of one block, the first as the record of this number, or what stands in
    /// a block's place; none at the end. Ends early when `each` says `false`.
    pub(super) fn batch<'s>(
        &'s mut self,
        number: i64,
        most: usize,
        mut each: impl FnMut(Place, Checked<'s>) -> bool,
    ) -> Result<(), FileError> {
        if self.position.left == 0 && !self.advance(&mut each)? {
            return Ok(());
        }
        let Self { container, scans, position } = self;
        for number in (number..).take(most) {
            let (place, checked) = position.datum(container, scans, number);
            if !each(place, checked) || position.left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Goes on to the next block that has datums; `false` where there is none, or where something
    /// else stands in front of it, which `each` has been told then.
    #[inline(never)]
    fn advance<'s>(
        &mut self,
        each: &mut dyn FnMut(Place, Checked<'s>) -> bool,
    ) -> Result<bool, FileError> {
        while self.position.left == 0 {
            if let Some(message) = self.left_over() {
                let (place, checked) = self.broken_block(&message);
                each(place, checked);
                return Ok(false);
            }
            self.position = Position::default();
            match self.container.next_block()? {
                Next::End => return Ok(false),
                Next::Broken(message) => {
                    let (place, checked) = self.broken_block(&message);
                    each(place, checked);
                    return Ok(false);
                }
                Next::Block { declared } => self.position.left = declared,
            }
        }
        Ok(true)
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

    fn broken_block(&mut self, message: &str) -> (Place, Checked<'static>) {
        let place = Place::Block(self.container.block_number());
        let rejected = Rejected::new(Reason::BrokenBlock, message);
        (place, Checked::unreadable(rejected))
    }
}

impl Position {
    /// The next datum of the block, as the record of this number.
    #[inline(always)]
    fn datum<'s>(
        &mut self,
        container: &'s Container,
        scans: &'s AvroScans,
        number: i64,
    ) -> (Place, Checked<'s>) {
        self.read += 1;
        self.left -= 1;
        let place = Place::Record { block: container.block_number(), record: self.read };
        let data = container.data();
        let mut cursor = Cursor::new(&data[self.at..]);
        match scans.decode_datum(&mut cursor, number) {
            Ok(checked) => {
                self.at = data.len() - cursor.rest().len();
                (place, checked)
            }
            Err(broken) => {
                self.at = data.len();
                (place, Checked::unreadable(self.give_up(broken.rejected())))
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
