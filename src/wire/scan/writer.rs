//! Scans as data of one writer's schema.

use std::fmt;

use super::no_time::NoTime;
use super::plan::{Fields, Plan, Planned};
use super::raw::{Checked, Field, RawScan, Wanted};
use super::{MAX_RECORD, Origin, Remarks, too_large};
use crate::detector::scan::Scan;
use crate::wire::avro::cursor::{Broken, Cursor};
use crate::wire::avro::fingerprint::{Fingerprint, fingerprints};
use crate::wire::avro::schema::{self, Primitive, Record, Type};
use crate::wire::avro::shape::{Shape, Shapes, Unit};
use crate::wire::reject::{Reason, Rejected};

/// A writer schema that no scans can be read with. Says everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SchemaError {
    problems: Vec<String>,
}

impl SchemaError {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }

    /// What is wrong, one sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scans cannot be read with this schema: {}", self.problems.join("; "))
    }
}

/// What reads data of a schema.
///
/// The writer may have more fields, another order, nullable or plain fields, enums or strings, and
/// times in milliseconds, microseconds, nanoseconds or as text. Fields are found by the names of
/// `schemas/scan.v1.avsc`; `tracking_number`, `carrier` and `milestone` have to be there.
#[derive(Debug)]
pub(crate) struct WriterSchema {
    /// The record's fields in the writer's order, but for those that take no bytes.
    fields: Vec<Written>,
    shapes: Shapes,
    plan: Plan,
    /// By the specification, then as libraries have them.
    fingerprints: Vec<Fingerprint>,
}

/// A field of the writer's record.
#[derive(Debug, PartialEq)]
pub(super) struct Written {
    /// Which of ours it is, if it is looked at.
    pub(super) field: Option<Field>,
    pub(super) shape: Shape,
    /// Its place in the writer's record, from 1.
    number: usize,
}

impl WriterSchema {
    /// For records of a topic, whose envelope is given with each.
    pub(super) fn of_topic(text: &str) -> Result<Self, SchemaError> {
        Self::compile(text, false)
    }

    /// For records of a container, which may hold the envelope's fields as well.
    pub(crate) fn of_container(text: &str) -> Result<Self, SchemaError> {
        Self::compile(text, true)
    }

    fn compile(text: &str, envelope: bool) -> Result<Self, SchemaError> {
        let schema = Type::parse(text)
            .map_err(|error| SchemaError::one(format!("it is no Avro schema: {error}")))?;
        let Type::Record(record) = &schema else {
            return Err(SchemaError::one("it is not a record".to_owned()));
        };
        let mut shapes = Shapes::default();
        let mut fields = written(record, envelope, &mut shapes);
        let problems = problems(record, &fields, &shapes);
        if !problems.is_empty() {
            return Err(SchemaError { problems });
        }
        fields.retain(|written| !shapes.is_empty(&written.shape));
        let plan = Plan::compile(&fields, &shapes);
        let fingerprints = fingerprints(&schema);
        Ok(Self { fields, shapes, plan, fingerprints })
    }

    /// Every fingerprint that a library gives the schema, the specification's first.
    pub(super) fn fingerprints(&self) -> &[Fingerprint] {
        &self.fingerprints
    }

    /// Whether data of both are read alike.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.fields == other.fields && self.shapes == other.shapes
    }

    /// The fields of a datum that is a good scan, but for the normal form of its key.
    pub(super) fn fields<'a>(&'a self, datum: &'a [u8], no_time: &NoTime) -> Option<Fields<'a>> {
        let mut planned = Planned::new();
        self.plan.read(&self.shapes, datum, &mut planned)?;
        if planned.length == datum.len() { planned.fields(no_time) } else { None }
    }

    /// The scan of the datum that these bytes begin with, and how many are its own. `None`: nothing
    /// that is quickly read as a scan.
    #[inline(always)]
    pub(crate) fn quick_datum<'a>(
        &'a self,
        bytes: &'a [u8],
        origin: Origin,
        no_time: &NoTime,
    ) -> Option<(usize, Checked<'a>)> {
        let mut planned = Planned::new();
        self.plan.read(&self.shapes, bytes, &mut planned)?;
        if planned.length > MAX_RECORD {
            return None;
        }
        let head = planned.head(origin, no_time)?;
        let (partition, stands_in, no_time) = (planned.partition, head.stands_in, head.no_time);
        let scan = Ok(planned.scan(head, origin));
        let remarks = Remarks { no_time, ..Remarks::default() };
        Some((planned.length, Checked { partition, stands_in, scan, remarks }))
    }

    /// The scan that these bytes are, and what is to be told of it. `None`: they are nothing that is
    /// quickly read as a scan.
    #[inline(always)]
    pub(super) fn quick_scan<'a>(
        &'a self,
        datum: &'a [u8],
        origin: Origin,
        no_time: &NoTime,
    ) -> Option<(Scan<'a>, Remarks<'a>)> {
        let mut planned = Planned::new();
        self.plan.read(&self.shapes, datum, &mut planned)?;
        if planned.length != datum.len() {
            return None;
        }
        let head = planned.head(origin, no_time)?;
        let remarks = Remarks { no_time: head.no_time, ..Remarks::default() };
        Some((planned.scan(head, origin), remarks))
    }

    /// The same for a datum that may be broken: says where.
    #[cold]
    pub(crate) fn decode_datum<'a>(
        &'a self,
        cursor: &mut Cursor<'a>,
        origin: Origin,
        no_time: &NoTime,
    ) -> Result<Checked<'a>, BrokenField<'a>> {
        let before = cursor.rest().len();
        let raw = self.read(cursor)?;
        let length = before - cursor.rest().len();
        if length > MAX_RECORD {
            return Ok(Checked::unreadable(too_large(length)));
        }
        Ok(raw.check(origin, no_time))
    }

    /// A record's whole datum, which may be broken or followed by something.
    pub(super) fn read_whole<'a>(&'a self, datum: &'a [u8]) -> Result<RawScan<'a>, Rejected> {
        let mut cursor = Cursor::new(datum);
        let raw = self.read(&mut cursor).map_err(|error| error.rejected())?;
        match cursor.rest().len() {
            0 => Ok(raw),
            rest => {
                let message = format!(
                    "{rest} bytes follow the datum; was it written with another schema than the configured one?"
                );
                Err(Rejected::new(Reason::NotAvro, message))
            }
        }
    }

    fn read<'a>(&'a self, cursor: &mut Cursor<'a>) -> Result<RawScan<'a>, BrokenField<'a>> {
        let mut raw = RawScan::default();
        for written in &self.fields {
            let found = self.shapes.read(&written.shape, cursor);
            let found = found.map_err(|broken| BrokenField { written, broken })?;
            if let Some(field) = written.field {
                raw.take(field, found);
            }
        }
        Ok(raw)
    }
}

/// Where a datum breaks.
pub(crate) struct BrokenField<'a> {
    written: &'a Written,
    broken: Broken,
}

impl BrokenField<'_> {
    #[cold]
    pub(crate) fn rejected(&self) -> Rejected {
        let place = match self.written.field {
            Some(field) => field.as_str().to_owned(),
            None => format!("field {} of the schema", self.written.number),
        };
        let message = format!("{place}: {}; not a datum of the writer schema", self.broken);
        Rejected::new(Reason::NotAvro, message)
    }
}

/// The fields of a writer's record. Those of the envelope count only where there is none.
fn written(record: &Record, envelope: bool, shapes: &mut Shapes) -> Vec<Written> {
    let mut fields = Vec::new();
    for (place, written) in record.fields.iter().enumerate() {
        let field = Field::parse(&written.name).filter(|f| envelope || !f.of_envelope());
        let shape = match field.map(Field::wanted) {
            Some(Wanted::Text | Wanted::AnyText) => as_text(&written.of, shapes),
            _ => shapes.compile(&written.of),
        };
        fields.push(Written { field, shape, number: place + 1 });
    }
    fields
}

/// Everything that keeps scans from being read with a writer schema.
fn problems(record: &Record, fields: &[Written], shapes: &Shapes) -> Vec<String> {
    let mut problems = Vec::new();
    for field in Field::ALL {
        let name = field.as_str();
        let mut written = fields.iter().filter(|written| written.field == Some(*field));
        match (written.next(), written.next()) {
            (None, _) if field.is_needed() => {
                problems.push(format!("the field {name} is missing"));
            }
            (Some(_), Some(_)) => problems.push(format!("the field {name} stands there twice")),
            (Some(written), None) => {
                problems.extend(problem(
                    *field,
                    written,
                    &record.fields[written.number - 1],
                    shapes,
                ));
            }
            (None, _) => {}
        }
    }
    problems
}

/// What is wrong with a field.
fn problem(field: Field, written: &Written, of: &schema::Field, shapes: &Shapes) -> Option<String> {
    let wanted = field.wanted();
    let never = !field.is_needed() && is_absent(&written.shape);
    if never || usable(wanted, &written.shape, shapes) {
        return None;
    }
    let local = matches!(written.shape, Shape::Long(Unit::Local));
    let note = if local { " (local times are no instants)" } else { "" };
    let (name, is) = (field.as_str(), kind(&of.of));
    Some(format!("the field {name} is {is}{note}, but wanted is {}", in_avro(wanted)))
}

/// The shape where texts are wanted: Avro lets readers take `bytes` for a string, which is written
/// the same way.
fn as_text(of: &Type, shapes: &mut Shapes) -> Shape {
    match of {
        Type::Primitive(Primitive::Bytes, attributes) if !attributes.is_of_bytes() => Shape::Text,
        Type::Union(branches) => {
            Shape::Union(branches.iter().map(|branch| as_text(branch, shapes)).collect())
        }
        of => shapes.compile(of),
    }
}

/// Whether there is never anything but null.
fn is_absent(shape: &Shape) -> bool {
    match shape {
        Shape::Null => true,
        Shape::Union(branches) => branches.iter().all(is_absent),
        _ => false,
    }
}

/// Whether values of this shape can be what is wanted. Of a union one branch is enough: a record
/// that uses another one is rejected by itself.
fn usable(wanted: Wanted, shape: &Shape, shapes: &Shapes) -> bool {
    let Some(shape) = shapes.resolve(shape) else { return false };
    match (wanted, shape) {
        (_, Shape::Union(branches)) => branches.iter().any(|b| usable(wanted, b, shapes)),
        (Wanted::Text | Wanted::AnyText, Shape::Text | Shape::Enum(_)) => true,
        (Wanted::TextMap, Shape::Map(values)) => {
            matches!(shapes.resolve(values), Some(Shape::Text))
        }
        (Wanted::Time, Shape::Long(unit)) => *unit != Unit::Local,
        (Wanted::Time, Shape::Text) => true,
        (Wanted::Partition | Wanted::Offset, Shape::Int | Shape::Long(Unit::None)) => true,
        _ => false,
    }
}

fn in_avro(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Text | Wanted::AnyText => "a string or an enum, nullable or not",
        Wanted::TextMap => "a map of strings",
        Wanted::Time => "a timestamp, a long of milliseconds or a string, nullable or not",
        Wanted::Partition | Wanted::Offset => "an int or a long, nullable or not",
    }
}

/// Branches of a union that a message names.
const NAMED: usize = 8;

fn kind(of: &Type) -> String {
    match of {
        Type::Union(branches) => {
            let kinds: Vec<String> = branches.iter().take(NAMED).map(kind).collect();
            let more = if branches.len() > NAMED { " and others" } else { "" };
            format!("a union of {}{more}", kinds.join(", "))
        }
        Type::Map(values) => format!("a map of {}", kind(values)),
        Type::Named(name) => name.to_string(),
        Type::Primitive(primitive, attributes) => {
            attributes.logical.clone().unwrap_or_else(|| primitive.as_str().to_owned())
        }
        Type::Array(_) => "array".to_owned(),
        Type::Record(_) => "record".to_owned(),
        Type::Enum(..) => "enum".to_owned(),
        Type::Fixed(..) => "fixed".to_owned(),
    }
}
