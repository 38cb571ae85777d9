//! The shape of a datum, compiled from its schema once, and the walk over a datum's bytes.

use apache_avro::Schema;
use apache_avro::schema::{
    Aliases, DecimalSchema, InnerDecimalSchema, Name, NamespaceRef, RecordSchema, UuidSchema,
};

use super::cursor::{Broken, Cursor};

/// How deep values may be nested: only schemas that refer to themselves get there.
const MAX_DEPTH: usize = 64;

/// What the bytes of a value look like.
#[derive(Clone, Debug)]
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
    Enum(Vec<Box<str>>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
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

/// A schema's shape and the types that it defines by name.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// Every name and alias, and the number of its type.
    names: Vec<(Name, usize)>,
    named: Vec<Option<Shape>>,
}

impl Shapes {
    /// The shape of a schema. `None` if it refers to a type that it does not define.
    pub(crate) fn compile(
        &mut self,
        schema: &Schema,
        namespace: NamespaceRef<'_>,
    ) -> Option<Shape> {
        Some(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Shape::Int,
            Schema::Long | Schema::TimeMicros => Shape::Long(Unit::None),
            Schema::TimestampMillis => Shape::Long(Unit::Millis),
            Schema::TimestampMicros => Shape::Long(Unit::Micros),
            Schema::TimestampNanos => Shape::Long(Unit::Nanos),
            Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Shape::Long(Unit::Local),
            Schema::Float => Shape::Fraction(4),
            Schema::Double => Shape::Fraction(8),
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => {
                Shape::Bytes
            }
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Array(array) => Shape::Array(Box::new(self.compile(&array.items, namespace)?)),
            Schema::Map(map) => Shape::Map(Box::new(self.compile(&map.types, namespace)?)),
            Schema::Union(union) => Shape::Union(
                union
                    .variants()
                    .iter()
                    .map(|variant| self.compile(variant, namespace))
                    .collect::<Option<_>>()?,
            ),
            Schema::Enum(symbols) => {
                let shape =
                    Shape::Enum(symbols.symbols.iter().map(|s| s.as_str().into()).collect());
                self.define(&symbols.name, &symbols.aliases, namespace, shape)
            }
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
                self.define(&fixed.name, &fixed.aliases, namespace, Shape::Fixed(fixed.size))
            }
            Schema::Record(record) => self.compile_record(record, namespace)?,
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace);
                let (_, number) = self.names.iter().find(|(known, _)| *known == *name)?;
                Shape::Named(*number)
            }
        })
    }

    fn compile_record(
        &mut self,
        record: &RecordSchema,
        namespace: NamespaceRef<'_>,
    ) -> Option<Shape> {
        let number = self.reserve(&record.name, &record.aliases, namespace);
        let inner = record.name.namespace().or(namespace);
        let fields = record.fields.iter().map(|field| self.compile(&field.schema, inner));
        let shape = Shape::Record(fields.collect::<Option<_>>()?);
        self.named[number] = Some(shape.clone());
        Some(shape)
    }

    /// Makes a name and its aliases known before their type is: records may refer to themselves.
    pub(crate) fn reserve(
        &mut self,
        name: &Name,
        aliases: &Aliases,
        namespace: NamespaceRef<'_>,
    ) -> usize {
        let number = self.named.len();
        let name = name.fully_qualified_name(namespace).into_owned();
        let aliases = aliases.iter().flatten();
        let aliases =
            aliases.map(|alias| alias.fully_qualified_name(name.namespace()).into_owned());
        self.names.extend(aliases.map(|alias| (alias, number)));
        self.names.push((name, number));
        self.named.push(None);
        number
    }

    fn define(
        &mut self,
        name: &Name,
        aliases: &Aliases,
        namespace: NamespaceRef<'_>,
        shape: Shape,
    ) -> Shape {
        let number = self.reserve(name, aliases, namespace);
        self.named[number] = Some(shape.clone());
        shape
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
                for field in fields {
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
        let schema = Schema::parse_str(schema).unwrap();
        let mut shapes = Shapes::default();
        let shape = shapes.compile(&schema, None).unwrap();
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
