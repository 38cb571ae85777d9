//! Scans as Avro: by a mark in front of each the schema is known that it was written with.

use std::sync::Arc;

use super::framing::{self, Mark};
use super::no_time::NoTime;
pub use super::plan::Fields;
use super::raw::{Checked, RawScan};
use super::schemas::{SchemaSource, WriterSchemas};
use super::unread::{UnknownSchema, Unread};
pub use super::writer::SchemaError;
use super::writer::WriterSchema;
use super::{MAX_RECORD, Origin, Remarks, too_large};
use crate::detector::scan::Scan;

/// `schemas/scan.v1.avsc`: the writer schema where none is given.
pub const SCAN_SCHEMA: &str = include_str!("../../../schemas/scan.v1.avsc");

/// What stands in front of a datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A mark that names the writer schema. Two are known, and told apart by their first byte:
    /// Avro's single-object encoding (`C3 01` and the schema's fingerprint) and Confluent's (`00`
    /// and the schema's id in a registry).
    Marked {
        /// The id that the given writer schema has in the registry, if it is known.
        schema_id: Option<u32>,
    },
    /// Nothing: datums in a container.
    Bare,
}

/// Decodes scans from Avro, with the schemas that they were written with.
#[derive(Debug)]
pub struct AvroScans {
    schemas: WriterSchemas,
    /// The first of them: most feeds have no other, and it is found without looking it up.
    first: Option<Arc<WriterSchema>>,
    /// What records call that one.
    marks: Vec<Mark>,
    /// Data have no mark, and are of the first.
    is_bare: bool,
    no_time: NoTime,
}

impl AvroScans {
    /// A decoder of one schema.
    ///
    /// # Errors
    /// Everything that keeps scans from being read with it.
    pub fn new(writer_schema: &str, framing: Framing) -> Result<Self, SchemaError> {
        let (id, is_bare) = match framing {
            Framing::Marked { schema_id } => (schema_id, false),
            Framing::Bare => (None, true),
        };
        let source = SchemaSource { name: "schema", text: writer_schema, id };
        Ok(Self { is_bare, ..Self::of(WriterSchemas::one(&source)?) })
    }

    /// A decoder of several schemas, each known by its mark.
    pub fn of(schemas: WriterSchemas) -> Self {
        let (first, marks) = schemas.first().unzip();
        let marks = marks.unwrap_or_default();
        Self { schemas, first, marks, is_bare: false, no_time: NoTime::default() }
    }

    /// From here on these schemas are known, and no others.
    pub fn set_schemas(&mut self, schemas: WriterSchemas) {
        let no_time = std::mem::take(&mut self.no_time);
        *self = Self { no_time, is_bare: self.is_bare, ..Self::of(schemas) };
    }

    /// The same with other stand-ins for a missing event time.
    pub fn with_no_time(self, no_time: NoTime) -> Self {
        Self { no_time, ..self }
    }

    /// The scan of one record.
    ///
    /// # Errors
    /// It is no scan, or was written with a schema that is not known.
    #[inline]
    pub fn decode<'a>(&'a self, payload: &'a [u8], origin: Origin) -> Result<Scan<'a>, Unread> {
        self.decode_telling(payload, origin, |_| {})
    }

    /// The same, and what is to be told of the scan.
    #[inline]
    pub(super) fn decode_telling<'a>(
        &'a self,
        payload: &'a [u8],
        origin: Origin,
        tell: impl FnOnce(Remarks<'a>),
    ) -> Result<Scan<'a>, Unread> {
        if payload.len() <= MAX_RECORD
            && let Ok((schema, datum)) = self.unframe(payload)
            && let Some((scan, remarks)) = schema.quick_scan(datum, origin, &self.no_time)
        {
            debug_assert_eq!(
                self.check_slowly(payload, origin).map(|checked| checked.scan),
                Ok(Ok(scan.clone()))
            );
            tell(remarks);
            return Ok(scan);
        }
        let checked = self.check_slowly(payload, origin)?;
        tell(checked.remarks);
        Ok(checked.scan?)
    }

    /// The fields of one record without the normal form of its key, which is most of what
    /// [`AvroScans::decode`] adds. `None`: the record may be no scan, or has a word that is unknown.
    pub fn fields<'a>(&'a self, payload: &'a [u8]) -> Option<Fields<'a>> {
        let (schema, datum) = self.unframe(payload).ok()?;
        schema.fields(datum, &self.no_time)
    }

    /// The same for a record that may be no scan: says why.
    #[cold]
    fn check_slowly<'a>(
        &'a self,
        payload: &'a [u8],
        origin: Origin,
    ) -> Result<Checked<'a>, UnknownSchema> {
        let raw = match self.read(payload) {
            Ok(raw) => raw,
            Err(unread) if self.is_bare => RawScan::unreadable(unread.into()),
            Err(unread) => match framing::instead_of_avro(payload, unread) {
                Unread::Rejected(rejected) => RawScan::unreadable(rejected),
                Unread::UnknownSchema(unknown) => return Err(unknown),
            },
        };
        Ok(raw.check(origin, &self.no_time))
    }

    fn read<'a>(&'a self, payload: &'a [u8]) -> Result<RawScan<'a>, Unread> {
        if payload.len() > MAX_RECORD {
            return Err(too_large(payload.len()).into());
        }
        let (schema, datum) = self.unframe(payload)?;
        Ok(schema.read_whole(datum)?)
    }

    #[inline]
    fn unframe<'a>(&'a self, payload: &'a [u8]) -> Result<(&'a WriterSchema, &'a [u8]), Unread> {
        let first = self.first.as_deref();
        if let (true, Some(first)) = (self.is_bare, first) {
            return Ok((first, payload));
        }
        let (mark, datum) = framing::split(payload)?;
        if let Some(first) = first
            && self.marks.contains(&mark)
        {
            return Ok((first, datum));
        }
        match self.schemas.find(mark) {
            Some(schema) => Ok((schema, datum)),
            None => Err(UnknownSchema { mark }.into()),
        }
    }
}
