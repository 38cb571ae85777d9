//! Exceptions as Avro: single objects for Kafka, containers for files.

use std::io::{self, Write};

use apache_avro::Schema;

use super::read::{ReadError, from_value};
use super::{Context, Sink, walk};
use crate::detector::exception::ExceptionEvent;
use crate::wire::avro::container::MAGIC;
use crate::wire::avro::cursor::Cursor;
use crate::wire::avro::fingerprint::{Fingerprint, fingerprint, show, sync_marker};
use crate::wire::avro::schema::Type;
use crate::wire::avro::shape::{Shape, Shapes};
use crate::wire::avro::write;

/// `schemas/tracking-exception.v1.avsc`: what exceptions are written with.
pub const EXCEPTION_SCHEMA: &str = include_str!("../../../schemas/tracking-exception.v1.avsc");

/// A container's block is written when it has this many bytes.
const BLOCK: usize = 64 << 10;

/// Single-object encoding and decoding of exceptions.
pub struct AvroExceptions {
    schema: Schema,
    shapes: Shapes,
    shape: Shape,
    fingerprint: Fingerprint,
}

impl AvroExceptions {
    /// With the schema that is part of the program.
    pub fn new() -> Self {
        let schema = Schema::parse_str(EXCEPTION_SCHEMA)
            .expect("the schema is part of the program and tested");
        let mut shapes = Shapes::default();
        let shape = shapes.compile(&parse_schema());
        Self { schema, shapes, shape, fingerprint: fingerprint(&parse_schema()) }
    }

    /// `C3 01`, the schema's fingerprint, the datum.
    pub fn encode_single_object(&self, event: &ExceptionEvent, context: &Context<'_>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&[0xc3, 0x01]);
        bytes.extend_from_slice(&self.fingerprint);
        encode(event, context, &mut bytes);
        bytes
    }

    /// The event of a single object that was written with the same schema.
    pub fn from_avro(&self, bytes: &[u8]) -> Result<ExceptionEvent, ReadError> {
        let [0xc3, 0x01, rest @ ..] = bytes else {
            return Err(ReadError::new("it does not begin with C3 01: no Avro single object"));
        };
        let (fingerprint, datum) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| ReadError::new("it ends within the schema's fingerprint"))?;
        if *fingerprint != self.fingerprint {
            return Err(ReadError::new(format!(
                "it was written with the schema of fingerprint {}, but this version of stallwatch knows {}",
                show(*fingerprint),
                show(self.fingerprint)
            )));
        }
        self.decode(datum)
    }

    fn decode(&self, datum: &[u8]) -> Result<ExceptionEvent, ReadError> {
        // The library allocates what lengths declare and takes an end for null: walk it first.
        let mut cursor = Cursor::new(datum);
        self.shapes.read(&self.shape, &mut cursor).map_err(ReadError::new)?;
        if !cursor.rest().is_empty() {
            return Err(ReadError::new(format!("{} bytes follow the datum", cursor.rest().len())));
        }
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&self.schema)
            .build()
            .map_err(ReadError::new)?;
        let value = reader.read_value(&mut &*datum).map_err(ReadError::new)?;
        from_value(&serde_json::Value::try_from(value).map_err(ReadError::new)?)
    }
}

impl Default for AvroExceptions {
    fn default() -> Self {
        Self::new()
    }
}

fn parse_schema() -> Type {
    Type::parse(EXCEPTION_SCHEMA).expect("the schema is part of the program and tested")
}

/// Writes the datum of one event.
fn encode(event: &ExceptionEvent, context: &Context<'_>, out: &mut Vec<u8>) {
    walk(event, context, &mut Datum { out });
}

struct Datum<'a> {
    out: &'a mut Vec<u8>,
}

impl Sink for Datum<'_> {
    fn text(&mut self, _: &'static str, text: &str) {
        write::text(self.out, text);
    }

    fn symbol(&mut self, _: &'static str, _: &'static str, place: u8) {
        write::long(self.out, i64::from(place));
    }

    fn number(&mut self, _: &'static str, number: i64) {
        write::long(self.out, number);
    }

    fn flag(&mut self, _: &'static str, flag: bool) {
        self.out.push(u8::from(flag));
    }

    fn seconds(&mut self, _: &'static str, seconds: i64) {
        write::long(self.out, seconds * 1000);
    }

    fn millis(&mut self, _: &'static str, millis: i64) {
        write::long(self.out, millis);
    }

    fn absent(&mut self, _: &'static str) {
        write::long(self.out, 0);
    }

    fn present(&mut self) {
        write::long(self.out, 1);
    }

    fn begin(&mut self, _: &'static str) {}

    fn end(&mut self) {}
}

/// Writes exceptions as an Avro object container. The same exceptions give the same bytes: the sync
/// marker is taken from the schema's hash.
///
/// ```text
/// header, block, block, …      block: count, size, datums, sync marker
/// ```
pub struct ExceptionContainer<W: Write> {
    out: W,
    sync: [u8; 16],
    block: Vec<u8>,
    count: i64,
}

impl<W: Write> ExceptionContainer<W> {
    /// Writes the header. Fails when the writer does.
    pub fn new(mut out: W) -> io::Result<Self> {
        let sync = sync_marker(&parse_schema());
        let schema: serde_json::Value =
            serde_json::from_str(EXCEPTION_SCHEMA).expect("an Avro schema is JSON");
        let mut header = MAGIC.to_vec();
        write::long(&mut header, 2);
        write::text(&mut header, "avro.codec");
        write::text(&mut header, "null");
        write::text(&mut header, "avro.schema");
        write::text(&mut header, &schema.to_string());
        write::long(&mut header, 0);
        header.extend_from_slice(&sync);
        out.write_all(&header)?;
        Ok(Self { out, sync, block: Vec::new(), count: 0 })
    }

    /// Adds one event. Fails when the writer does.
    pub fn append(&mut self, event: &ExceptionEvent, context: &Context<'_>) -> io::Result<()> {
        encode(event, context, &mut self.block);
        self.count += 1;
        if self.block.len() >= BLOCK { self.end_block() } else { Ok(()) }
    }

    /// Writes what is left and gives the writer back. Fails when the writer does.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut head = Vec::new();
        write::long(&mut head, self.count);
        write::long(&mut head, self.block.len() as i64);
        self.out.write_all(&head)?;
        self.out.write_all(&self.block)?;
        self.out.write_all(&self.sync)?;
        self.block.clear();
        self.count = 0;
        Ok(())
    }
}
