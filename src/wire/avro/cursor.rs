//! Reads the primitives of Avro's binary encoding from a slice; allocates nothing.

/// Why bytes are no datum of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the bytes end too early")]
    Ends,
    #[error("a number has more bytes than its type")]
    LongNumber,
    #[error("a length is negative")]
    NegativeLength,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("a boolean is neither 0 nor 1")]
    NotBoolean,
    #[error("the union has no such branch")]
    NoBranch,
    #[error("the enum has no such symbol")]
    NoSymbol,
    #[error("values are nested too deeply")]
    TooDeep,
}

/// A position in a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let (&first, rest) = self.rest.split_first().ok_or(Broken::Ends)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Broken::Ends)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A `long`: a zigzag number of one to ten bytes.
    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Broken> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unzigzag(u64::from(first)));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(unzigzag(number));
            }
        }
        Err(Broken::LongNumber)
    }

    /// An `int`: a zigzag number that fits 32 bits.
    pub(crate) fn int(&mut self) -> Result<i32, Broken> {
        i32::try_from(self.long()?).map_err(|_| Broken::LongNumber)
    }

    /// `bytes`: a length, and as many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::try_from(self.long()?).map_err(|_| Broken::NegativeLength)?;
        self.take(length)
    }

    /// `string`: bytes that are UTF-8.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken::NotUtf8)
    }

    /// How many items the next block of an array or a map has; 0 ends it.
    pub(crate) fn block_count(&mut self) -> Result<u64, Broken> {
        let count = self.long()?;
        if count < 0 {
            // Negative: the size in bytes follows, for readers that skip.
            if self.long()? < 0 {
                return Err(Broken::NegativeLength);
            }
        }
        Ok(count.unsigned_abs())
    }
}

#[inline]
pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_read_as_they_are_written() {
        for number in [0, -1, 1, 63, 64, -64, -65, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            super::super::write::long(&mut bytes, number);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.long(), Ok(number));
            assert!(cursor.rest().is_empty());
        }
    }

    #[test]
    fn a_number_longer_than_its_type_is_an_error() {
        assert_eq!(Cursor::new(&[0xff; 11]).long(), Err(Broken::LongNumber));
        let mut eleven_bits_too_many = [0xff; 10];
        eleven_bits_too_many[9] = 0x02;
        assert_eq!(Cursor::new(&eleven_bits_too_many).long(), Err(Broken::LongNumber));
        let mut bytes = Vec::new();
        super::super::write::long(&mut bytes, 1 << 32);
        assert_eq!(Cursor::new(&bytes).int(), Err(Broken::LongNumber));
    }

    #[test]
    fn a_declared_length_beyond_the_bytes_takes_nothing() {
        let mut bytes = Vec::new();
        super::super::write::long(&mut bytes, i64::MAX);
        bytes.push(b'x');
        assert_eq!(Cursor::new(&bytes).text(), Err(Broken::Ends));
        assert_eq!(Cursor::new(&[0x01]).bytes(), Err(Broken::NegativeLength));
    }
}
