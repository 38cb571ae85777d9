//! One record's bytes to a [`Scan`], or why it is none.
//!
//! Both encodings only tell what stands in each field ([`Found`](super::avro::shape::Found)); what
//! that means is decided once for both, in `raw`: normal form and rejection.
//!
//! Scans borrow their texts from the payload. Decoders work in batches, since the detector applies
//! batches: [`ScanDecoder::batch`] begins one and drops what the one before had to keep.

pub mod avro;
pub mod framing;
pub mod json;
mod no_time;
mod plan;
pub(crate) mod raw;
mod schemas;
mod texts;
pub mod unknown;
mod unread;
pub(crate) mod writer;

pub use avro::{AvroScans, Fields, Framing, SCAN_SCHEMA, SchemaError};
pub use json::JsonScans;
pub use no_time::{NO_TIME, NoTime};
pub use schemas::{SchemaProblem, SchemaSource, WriterSchemas};
pub use unread::{UnknownSchema, Unread};

use self::unknown::UnknownTexts;
use super::reject::{Reason, Rejected};
use crate::detector::scan::Scan;

/// Most bytes that a scan's record may have. A scan has a few hundred.
pub const MAX_RECORD: usize = 1 << 20;

/// Most bytes that a text of a scan may have.
pub const MAX_TEXT: usize = 256;

/// What a record's envelope says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The record's timestamp in milliseconds since 1970 UTC. `None`: a scan's event time stands
    /// for it and is judged as a log time; a record that is no scan has none then.
    pub log_time: Option<i64>,
    /// The record's offset in its partition; in a file without offsets the record's number.
    pub offset: i64,
}

/// What is to be told of a scan beside itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks<'a> {
    /// Words of it that nobody here knows.
    pub unknown: UnknownTexts<'a>,
    /// Its event time stands for no time, so that its log time counts.
    pub no_time: bool,
}

impl Remarks<'_> {
    /// Whether nothing is to be told.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A decoder of either encoding.
#[derive(Debug)]
pub enum ScanDecoder {
    /// One JSON object a record.
    Json(JsonScans),
    /// One Avro datum a record.
    Avro(AvroScans),
}

impl ScanDecoder {
    /// Begins a batch of records whose scans are alive together.
    pub fn batch(&mut self) -> ScanBatch<'_> {
        match self {
            Self::Json(scans) => ScanBatch(Encoding::Json(scans.batch())),
            Self::Avro(scans) => ScanBatch(Encoding::Avro(scans)),
        }
    }

    /// The same with other stand-ins for a missing event time.
    pub fn with_no_time(self, no_time: NoTime) -> Self {
        match self {
            Self::Json(scans) => Self::Json(scans.with_no_time(no_time)),
            Self::Avro(scans) => Self::Avro(scans.with_no_time(no_time)),
        }
    }

    /// From here on these writer schemas are known, and no others. JSON has none.
    pub fn set_schemas(&mut self, schemas: WriterSchemas) {
        if let Self::Avro(scans) = self {
            scans.set_schemas(schemas);
        }
    }

    /// The scan of one record.
    ///
    /// # Errors
    /// It is no scan, or was written with a schema that is not known.
    pub fn decode<'a>(&'a mut self, payload: &'a [u8], origin: Origin) -> Result<Scan<'a>, Unread> {
        self.batch().decode(payload, origin)
    }
}

/// A batch of records, decoded one by one.
#[derive(Clone, Copy, Debug)]
pub struct ScanBatch<'a>(Encoding<'a>);

#[derive(Clone, Copy, Debug)]
enum Encoding<'a> {
    Json(json::JsonBatch<'a>),
    Avro(&'a AvroScans),
}

impl<'a> ScanBatch<'a> {
    /// The scan of the next record.
    ///
    /// # Errors
    /// It is no scan, or was written with a schema that is not known.
    pub fn decode(self, payload: &'a [u8], origin: Origin) -> Result<Scan<'a>, Unread> {
        match self.0 {
            Encoding::Json(batch) => Ok(batch.decode(payload, origin)?),
            Encoding::Avro(scans) => scans.decode(payload, origin),
        }
    }

    /// The same, and what is to be told of the scan, if anything is.
    ///
    /// # Errors
    /// As [`ScanBatch::decode`].
    pub fn decode_telling(
        self,
        payload: &'a [u8],
        origin: Origin,
        tell: impl FnOnce(Remarks<'a>),
    ) -> Result<Scan<'a>, Unread> {
        let tell = |remarks: Remarks<'a>| {
            if !remarks.is_empty() {
                tell(remarks);
            }
        };
        match self.0 {
            Encoding::Json(batch) => Ok(batch.decode_telling(payload, origin, tell)?),
            Encoding::Avro(scans) => scans.decode_telling(payload, origin, tell),
        }
    }
}

/// A payload that no scan has the size of.
fn too_large(length: usize) -> Rejected {
    let message = format!("the record has {length} bytes; a scan has at most {MAX_RECORD}");
    Rejected::new(Reason::TooLarge, message)
}
