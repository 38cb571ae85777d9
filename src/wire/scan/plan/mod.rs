//! How to read a scan from a datum, compiled from the writer schema once: a flat list of steps in
//! the writer's order.
//!
//! The plan reads good scans and nothing else. Of a datum or a scan that is not as it should be it
//! only says so, and the record is read again by [`Shapes`] and [`RawScan`](super::raw::RawScan),
//! which know what is wrong with it; so is a scan with a text that is none of its vocabulary, as they
//! tell which. What the plan accepts is what they accept, to the same scan.

mod run;

use super::raw::Field;
use super::writer::Written;
use crate::detector::scan::{Evidence, Milestone};
use crate::wire::avro::shape::{Shape, Shapes, Unit};

pub use run::Fields;
pub(super) use run::Planned;

/// How deep the fields of records within the record become steps of their own.
const FLAT: usize = 4;

/// What to do with the bytes of a datum, from its first to its last.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<Step>,
}

/// One or more values that stand behind one another.
#[derive(Debug)]
enum Step {
    /// A value that is always there.
    Plain(Value),
    /// A value or null, and the byte that says null: the number of its branch, zigzag.
    Nullable { null: u8, value: Value },
    /// Texts that take part, by their places.
    Texts(Box<[usize]>),
    /// Texts that take part or nulls, the null being the first branch.
    NullableTexts(Box<[usize]>),
    /// So many texts that take no part.
    SkippedTexts(usize),
    /// So many texts that take no part or nulls, the null being the first branch.
    SkippedNullableTexts(usize),
}

/// What to do with one value.
#[derive(Debug)]
enum Value {
    /// A text that takes part, and its place in [`Planned`]'s texts.
    Text(usize),
    /// The tracking number, where it is a text.
    Number,
    /// The carrier, where it is a text.
    Carrier,
    /// The milestones of an enum's symbols.
    Milestone(Box<[Option<Milestone>]>),
    /// The evidence of an enum's symbols.
    Evidence(Box<[Option<Evidence>]>),
    EventTime(Unit),
    LogTime(Unit),
    Partition,
    Offset,
    /// A field that takes part, in a shape of which there is little use.
    Other(Field, Shape),
    Skip(Skip),
}

/// What takes no part and is only read over, but checked all the same.
#[derive(Debug)]
enum Skip {
    Text,
    Bytes,
    Int,
    Long,
    Boolean,
    Enum(i64),
    /// So many bytes.
    Fixed(usize),
    TextMap,
    /// Anything else, so deep within the record.
    Other(Shape, usize),
}

/// Where the texts of times stand in [`Planned`]'s texts: behind those that take part.
const EVENT_TIME: usize = super::raw::TEXTS;
const LOG_TIME: usize = EVENT_TIME + 1;
const PLACES: usize = LOG_TIME + 1;

/// How many texts are read at once.
const RUN: usize = 12;

impl Plan {
    /// The plan for a record with these fields in this order.
    pub(super) fn compile(fields: &[Written], shapes: &Shapes) -> Self {
        let mut plan = Self { steps: Vec::new() };
        for written in fields {
            plan.field(written.field, &written.shape, shapes, 0);
        }
        plan
    }

    fn field(&mut self, field: Option<Field>, shape: &Shape, shapes: &Shapes, depth: usize) {
        match shape {
            Shape::Null => {}
            // A record that is only referred to stays one step: else the plan could grow without
            // bound.
            Shape::Record(fields) if field.is_none() && depth < FLAT => {
                for shape in fields.iter() {
                    self.field(None, shape, shapes, depth + 1);
                }
            }
            Shape::Union(branches) => {
                let (null, value) = match &branches[..] {
                    [Shape::Null, value] => (0, value),
                    [value, Shape::Null] => (2, value),
                    _ => return self.push(Step::Plain(other(field, shape, depth))),
                };
                let value = value_of(field, value, shapes, depth + 1);
                self.push(Step::Nullable { null, value });
            }
            _ => {
                let value = value_of(field, shape, shapes, depth);
                self.push(Step::Plain(value));
            }
        }
    }

    /// Adds a step, or more to the last one.
    fn push(&mut self, step: Step) {
        match (self.steps.last_mut(), step) {
            (
                Some(Step::Plain(Value::Skip(Skip::Fixed(bytes)))),
                Step::Plain(Value::Skip(Skip::Fixed(more))),
            ) if bytes.checked_add(more).is_some() => *bytes += more,
            (Some(Step::Texts(places)), Step::Plain(Value::Text(place)))
            | (
                Some(Step::NullableTexts(places)),
                Step::Nullable { null: 0, value: Value::Text(place) },
            ) if places.len() < RUN => lengthen(places, place),
            (Some(Step::SkippedTexts(count)), Step::Plain(Value::Skip(Skip::Text)))
            | (
                Some(Step::SkippedNullableTexts(count)),
                Step::Nullable { null: 0, value: Value::Skip(Skip::Text) },
            ) => *count += 1,
            (_, step) => self.steps.push(match step {
                Step::Plain(Value::Text(place)) => Step::Texts([place].into()),
                Step::Plain(Value::Skip(Skip::Text)) => Step::SkippedTexts(1),
                Step::Nullable { null: 0, value: Value::Text(place) } => {
                    Step::NullableTexts([place].into())
                }
                Step::Nullable { null: 0, value: Value::Skip(Skip::Text) } => {
                    Step::SkippedNullableTexts(1)
                }
                step => step,
            }),
        }
    }
}

fn lengthen(places: &mut Box<[usize]>, place: usize) {
    let mut more = std::mem::take(places).into_vec();
    more.push(place);
    *places = more.into();
}

/// What to do with a value that is there.
fn value_of(field: Option<Field>, shape: &Shape, shapes: &Shapes, depth: usize) -> Value {
    let known = shapes.resolve(shape).unwrap_or(shape);
    let Some(field) = field else { return Value::Skip(skip(shape, known, shapes, depth)) };
    match (field, known) {
        (Field::EventTime, Shape::Long(unit)) if *unit != Unit::Local => Value::EventTime(*unit),
        (Field::LogTime, Shape::Long(unit)) if *unit != Unit::Local => Value::LogTime(*unit),
        (Field::EventTime, Shape::Text) => Value::Text(EVENT_TIME),
        (Field::LogTime, Shape::Text) => Value::Text(LOG_TIME),
        (Field::Partition, Shape::Int | Shape::Long(Unit::None)) => Value::Partition,
        (Field::Offset, Shape::Int | Shape::Long(Unit::None)) => Value::Offset,
        (Field::Milestone, Shape::Enum(symbols)) => {
            Value::Milestone(symbols.iter().map(|symbol| Milestone::named(symbol)).collect())
        }
        (Field::Evidence, Shape::Enum(symbols)) => {
            Value::Evidence(symbols.iter().map(|symbol| Evidence::named(symbol)).collect())
        }
        (Field::EventId | Field::CarrierCode, Shape::Text) => Value::Skip(Skip::Text),
        (Field::Attributes, Shape::Map(values))
            if matches!(shapes.resolve(values), Some(Shape::Text)) =>
        {
            Value::Skip(Skip::TextMap)
        }
        (Field::TrackingNumber, Shape::Text) => Value::Number,
        (Field::Carrier, Shape::Text) => Value::Carrier,
        (field, Shape::Text) if (field as usize) < EVENT_TIME => Value::Text(field as usize),
        _ => other(Some(field), shape, depth),
    }
}

fn other(field: Option<Field>, shape: &Shape, depth: usize) -> Value {
    match field {
        Some(field) => Value::Other(field, shape.clone()),
        None => Value::Skip(Skip::Other(shape.clone(), depth)),
    }
}

fn skip(shape: &Shape, known: &Shape, shapes: &Shapes, depth: usize) -> Skip {
    match known {
        Shape::Text => Skip::Text,
        Shape::Bytes => Skip::Bytes,
        Shape::Int => Skip::Int,
        Shape::Long(_) => Skip::Long,
        Shape::Boolean => Skip::Boolean,
        Shape::Null => Skip::Fixed(0),
        Shape::Fraction(size) | Shape::Fixed(size) => Skip::Fixed(*size),
        Shape::Enum(symbols) => Skip::Enum(symbols.len() as i64),
        Shape::Map(values) if matches!(shapes.resolve(values), Some(Shape::Text)) => Skip::TextMap,
        _ => Skip::Other(shape.clone(), depth),
    }
}
