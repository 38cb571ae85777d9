//! The shape of a datum, compiled from its schema once, and the walk over a datum's bytes.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::{Broken, Cursor};
use super::schema::{Attributes, Primitive, Record, Type};

/// How deep values may be nested: only schemas that refer to themselves get there.
const MAX_DEPTH: usize = 64;

/// What the bytes of a value look like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Null,
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits, and what they count.
    Long(Unit),
    /// A float or a double, by its size in bytes.
    Fraction(usize),
    /// As many bytes as it says.
    Fixed(usize),
    Bytes,
    Text,
    Enum(Arc<[Box<str>]>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    /// Its fields, but for those that take no bytes.
    Record(Arc<[Shape]>),
    /// A type defined elsewhere in the schema, by its number in [`Shapes::named`].
    Named(usize),
}

/// What a whole number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nothing that the schema tells.
    None,
    Millis,
    Micros,
    Nanos,
    /// Units of a clock on a wall somewhere: no instant.
    Local,
}

/// One value, as far as a scan's fields need to know it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Null,
    Text(&'a str),
    Whole(i64, Unit),
    /// A whole number beyond 64 bits.
    Huge,
    /// A number that is not whole.
    Fraction,
    Boolean,
    /// An object or a map: whether all of its values are texts.
    Map {
        texts: bool,
    },
    /// A list, bytes, a record.
    Other(&'static str),
}

/// The types that a schema defines by name.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Shapes {
    /// The number of each.
    names: HashMap<String, usize>,
    named: Vec<Option<Shape>>,
}

/// What a primitive's values look like. A logical type that does not fit its primitive is none.
fn of_primitive(primitive: Primitive, attributes: &Attributes) -> Shape {
    match primitive {
        Primitive::Null => Shape::Null,
        Primitive::Boolean => Shape::Boolean,
        Primitive::Int => Shape::Int,
        Primitive::Long => Shape::Long(match attributes.logical.as_deref() {
            Some("timestamp-millis") => Unit::Millis,
            Some("timestamp-micros") => Unit::Micros,
            Some("timestamp-nanos") => Unit::Nanos,
            Some("local-timestamp-millis" | "local-timestamp-micros" | "local-timestamp-nanos") => {
                Unit::Local
            }
            _ => Unit::None,
        }),
        Primitive::Float => Shape::Fraction(4),
        Primitive::Double => Shape::Fraction(8),
        Primitive::Bytes => Shape::Bytes,
        Primitive::String => Shape::Text,
    }
}

impl Shapes {
    /// The shape of a type, which may refer to those that were compiled before.
    pub(crate) fn compile(&mut self, of: &Type) -> Shape {
        match of {
            Type::Primitive(primitive, attributes) => of_primitive(*primitive, attributes),
            Type::Array(items) => Shape::Array(Box::new(self.compile(items))),
            Type::Map(values) => Shape::Map(Box::new(self.compile(values))),
            Type::Union(branches) => {
                Shape::Union(branches.iter().map(|branch| self.compile(branch)).collect())
            }
            Type::Enum(name, symbols) => {
                let shape =
                    Shape::Enum(symbols.iter().map(|symbol| symbol.as_str().into()).collect());
                self.define(name, shape)
            }
            Type::Fixed(name, size, _) => self.define(name, Shape::Fixed(*size)),
            Type::Record(record) => self.record(record),
            Type::Named(name) => Shape::Named(self.names[&**name]),
        }
    }

    fn record(&mut self, record: &Record) -> Shape {
        // Known before its type is: records may refer to themselves.
        let number = self.reserve(&record.name);
        let fields: Vec<Shape> =
            record.fields.iter().map(|field| self.compile(&field.of)).collect();
        let fields = fields.into_iter().filter(|field| !self.is_empty(field));
        let shape = Shape::Record(fields.collect());
        self.named[number] = Some(shape.clone());
        shape
    }

    /// A number for a name; what refers to it from here on means this one.
    fn reserve(&mut self, name: &str) -> usize {
        let number = self.named.len();
        self.names.insert(name.to_owned(), number);
        self.named.push(None);
        number
    }

    fn define(&mut self, name: &str, shape: Shape) -> Shape {
        let number = self.reserve(name);
        self.named[number] = Some(shape.clone());
        shape
    }

    /// Whether a value never has any bytes. So whatever is read has some, and reading takes no more
    /// steps than the bytes allow for.
    pub(crate) fn is_empty(&self, shape: &Shape) -> bool {
        match self.resolve(shape) {
            Some(Shape::Null | Shape::Fixed(0)) => true,
            Some(Shape::Record(fields)) => fields.is_empty(),
            _ => false,
        }
    }

    /// The shape itself, where it only refers to one. A type that is still being defined has none.
    pub(crate) fn resolve<'s>(&'s self, shape: &'s Shape) -> Option<&'s Shape> {
        match shape {
            Shape::Named(number) => self.named[*number].as_ref(),
            shape => Some(shape),
        }
    }

    /// Reads one value, all of it, and tells what it was.
    #[inline]
    pub(crate) fn read<'a>(
        &'a self,
        shape: &'a Shape,
        cursor: &mut Cursor<'a>,
    ) -> Result<Found<'a>, Broken> {
        self.read_at(shape, cursor, 0)
    }

    /// The same for a value that stands so deep within another.
    pub(crate) fn read_within<'a>(
        &'a self,
        shape: &'a Shape,
        cursor: &mut Cursor<'a>,
        depth: usize,
    ) -> Result<Found<'a>, Broken> {
        self.read_at(shape, cursor, depth)
    }

    fn read_at<'a>(
        &'a self,
        shape: &'a Shape,
        cursor: &mut Cursor<'a>,
        depth: usize,
    ) -> Result<Found<'a>, Broken> {
        if depth > MAX_DEPTH {
            return Err(Broken::TooDeep);
        }
        Ok(match shape {
            Shape::Text => Found::Text(cursor.text()?),
            Shape::Union(branches) => {
                let branch = usize::try_from(cursor.long()?).ok().and_then(|n| branches.get(n));
                return self.read_at(branch.ok_or(Broken::NoBranch)?, cursor, depth + 1);
            }
            Shape::Null => Found::Null,
            Shape::Long(unit) => Found::Whole(cursor.long()?, *unit),
            Shape::Enum(symbols) => {
                let symbol = usize::try_from(cursor.int()?).ok().and_then(|n| symbols.get(n));
                Found::Text(symbol.ok_or(Broken::NoSymbol)?)
            }
            Shape::Int => Found::Whole(i64::from(cursor.int()?), Unit::None),
            Shape::Boolean => match cursor.byte()? {
                0 | 1 => Found::Boolean,
                _ => return Err(Broken::NotBoolean),
            },
            Shape::Bytes => {
                cursor.bytes()?;
                Found::Other("bytes")
            }
            Shape::Fraction(size) => {
                cursor.take(*size)?;
                Found::Fraction
            }
            Shape::Fixed(size) => {
                cursor.take(*size)?;
                Found::Other("bytes")
            }
            Shape::Map(values) => {
                let texts = matches!(self.resolve(values), Some(Shape::Text));
                self.read_blocks(cursor, |shapes, cursor| {
                    cursor.text()?;
                    shapes.read_at(values, cursor, depth + 1).map(|_| ())
                })?;
                Found::Map { texts }
            }
            Shape::Array(items) => {
                self.read_blocks(cursor, |shapes, cursor| {
                    shapes.read_at(items, cursor, depth + 1).map(|_| ())
                })?;
                Found::Other("a list")
            }
            Shape::Record(fields) => {
                for field in fields.iter() {
                    self.read_at(field, cursor, depth + 1)?;
                }
                Found::Other("a record")
            }
            Shape::Named(number) => {
                let shape = self.named[*number].as_ref().ok_or(Broken::TooDeep)?;
                return self.read_at(shape, cursor, depth + 1);
            }
        })
    }

    fn read_blocks<'a>(
        &'a self,
        cursor: &mut Cursor<'a>,
        mut item: impl FnMut(&'a Self, &mut Cursor<'a>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        loop {
            let count = cursor.block_count()?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                let before = cursor.rest().len();
                item(self, cursor)?;
                if cursor.rest().len() == before {
                    // A value without bytes never has any: no use in reading it 2^63 times.
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_whole(schema: &str, bytes: &[u8]) -> Result<usize, Broken> {
        let mut shapes = Shapes::default();
        let shape = shapes.compile(&Type::parse(schema).unwrap());
        let mut cursor = Cursor::new(bytes);
        shapes.read(&shape, &mut cursor)?;
        Ok(cursor.rest().len())
    }

    #[test]
    fn a_million_nulls_declared_in_two_bytes_take_no_time() {
        let mut bytes = Vec::new();
        super::super::write::long(&mut bytes, i64::MAX);
        bytes.push(0);
        assert_eq!(read_whole(r#"{"type":"array","items":"null"}"#, &bytes), Ok(0));
    }

    /// Records of twice the record before, twenty of them; the first is of twice the type `L`.
    fn doubled(fields_of_l: &str) -> String {
        let field = |name: &str, of: &str| format!(r#"{{"name":"{name}","type":{of}}}"#);
        let record = |name: &str, fields: &str| {
            format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
        };
        let (mut fields, mut before) = (field("l", &record("L", fields_of_l)), "L".to_owned());
        for n in 0..20 {
            let of = format!(r#""{before}""#);
            let twice = [field("a", &of), field("b", &of)].join(",");
            before = format!("R{n}");
            fields += &format!(",{}", field(&before, &record(&before, &twice)));
        }
        record("All", &fields)
    }

    #[test]
    fn records_without_bytes_are_not_walked_however_many_they_stand_for() {
        let shape_of = |schema: &str| {
            let mut shapes = Shapes::default();
            let shape = shapes.compile(&Type::parse(schema).unwrap());
            (shapes.is_empty(&shape), shape)
        };
        assert!(shape_of(&doubled(r#"{"name":"n","type":"null"}"#)).0);
        assert!(shape_of(&doubled("")).0);
        assert!(!shape_of(&doubled(r#"{"name":"n","type":"boolean"}"#)).0);
        let (empty, of_one) = shape_of(
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"null"},
                {"name":"b","type":{"type":"fixed","name":"F","size":0}},{"name":"c","type":"F"},
                {"name":"d","type":"int"}]}"#,
        );
        assert!(!empty && matches!(of_one, Shape::Record(fields) if fields.len() == 1));
        let itself = r#"{"type":"record","name":"E","fields":[{"name":"me","type":"E"}]}"#;
        assert!(!shape_of(itself).0, "it has no value at all");
    }

    #[test]
    fn a_type_that_contains_itself_ends() {
        let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
        assert_eq!(read_whole(list, &[2, 2, 2, 0]), Ok(0));
        assert_eq!(read_whole(list, &[2; 1000]), Err(Broken::TooDeep));
        let endless = r#"{"type":"record","name":"E","fields":[{"name":"me","type":"E"}]}"#;
        assert_eq!(read_whole(endless, &[0; 8]), Err(Broken::TooDeep));
    }

    #[test]
    fn a_branch_or_symbol_that_the_schema_lacks_is_an_error() {
        assert_eq!(read_whole(r#"["null","string"]"#, &[4]), Err(Broken::NoBranch));
        assert_eq!(read_whole(r#"["null","string"]"#, &[1]), Err(Broken::NoBranch));
        let enum_schema = r#"{"type":"enum","name":"E","symbols":["A"]}"#;
        assert_eq!(read_whole(enum_schema, &[2]), Err(Broken::NoSymbol));
        assert_eq!(read_whole(r#""boolean""#, &[2]), Err(Broken::NotBoolean));
    }

    #[test]
    fn blocks_with_and_without_sizes_are_the_same() {
        let map = r#"{"type":"map","values":"int"}"#;
        assert_eq!(read_whole(map, &[2, 2, b'a', 8, 0]), Ok(0));
        assert_eq!(read_whole(map, &[1, 6, 2, b'a', 8, 0]), Ok(0));
    }
}
