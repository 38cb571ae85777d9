//! CRC-64-AVRO fingerprints of schemas, as single-object encoding has them in front of a datum.
//!
//! The fingerprint is that of the schema's Parsing Canonical Form, and libraries differ in what
//! they take for it. We write the specification's, and know a schema by any of those that
//! [`Library`] lists. (Rust's own canonical form is not called: it panics on custom attributes that
//! have the names of a schema's own.)

use apache_avro::rabin::Rabin;
use sha2::{Digest, Sha256};

use super::schema::{Attributes, Field, Primitive, Record, Type};

/// Eight bytes, little-endian as they stand behind the marker `C3 01`.
pub(crate) type Fingerprint = [u8; 8];

/// Whose canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    /// As the specification wants it: Java, fastavro, Ruby, stallwatch.
    Specification,
    /// apache-avro of Rust, up to 0.22: `{"type":"long"}` where there is a logical type that it
    /// knows, with the precision and scale of decimals; fields keep their order.
    Rust,
    /// avro of Python, up to 1.12, and goavro of Go, up to 2.15: `{"type":"long"}` where anything
    /// stands beside the type.
    Python,
    /// hamba/avro of Go, up to 2.31: `{"type":"long","logicalType":"timestamp-millis"}` where it
    /// knows the logical type; records that are called errors stay that.
    Hamba,
}

const LIBRARIES: [Library; 4] =
    [Library::Specification, Library::Rust, Library::Python, Library::Hamba];

/// The fingerprint by the specification.
pub(crate) fn fingerprint(schema: &Type) -> Fingerprint {
    fingerprint_by(schema, Library::Specification)
}

/// Every fingerprint that a library gives the schema, the specification's first.
pub(crate) fn fingerprints(schema: &Type) -> Vec<Fingerprint> {
    let mut all = Vec::new();
    for library in LIBRARIES {
        let fingerprint = fingerprint_by(schema, library);
        if !all.contains(&fingerprint) {
            all.push(fingerprint);
        }
    }
    all
}

/// The sync marker of containers that must come out the same every time: of the schema's SHA-256.
pub(crate) fn sync_marker(schema: &Type) -> [u8; 16] {
    let hash = Sha256::digest(canonical_form(schema));
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// As people write it: the number in hexadecimal.
pub(crate) fn show(fingerprint: Fingerprint) -> String {
    format!("{:016x}", u64::from_le_bytes(fingerprint))
}

/// The Parsing Canonical Form: what of a schema matters for reading data.
pub(crate) fn canonical_form(schema: &Type) -> String {
    let mut form = String::new();
    Form { put: &mut |text| form.push_str(text), library: Library::Specification }.write(schema);
    form
}

fn fingerprint_by(schema: &Type, library: Library) -> Fingerprint {
    let mut rabin = Rabin::default();
    Form { put: &mut |text| rabin.update(text), library }.write(schema);
    rabin.finalize().into()
}

/// The form piece by piece: with all its names it may be much longer than the schema.
struct Form<'f> {
    put: &'f mut dyn FnMut(&str),
    library: Library,
}

impl Form<'_> {
    fn write(&mut self, schema: &Type) {
        match schema {
            Type::Primitive(primitive, attributes) => self.primitive(*primitive, attributes),
            Type::Array(items) => {
                (self.put)(r#"{"type":"array","items":"#);
                self.write(items);
                (self.put)("}");
            }
            Type::Map(values) => {
                (self.put)(r#"{"type":"map","values":"#);
                self.write(values);
                (self.put)("}");
            }
            Type::Union(branches) => self.list(branches, Self::write),
            Type::Record(record) => self.record(record),
            Type::Enum(name, symbols) => {
                self.named(name, "enum");
                (self.put)(r#","symbols":"#);
                self.list(symbols, |form, symbol| form.quoted(symbol));
                (self.put)("}");
            }
            Type::Fixed(name, size, attributes) => {
                self.named(name, "fixed");
                let more = self.of_fixed(*size, attributes).unwrap_or_default();
                (self.put)(&format!(r#","size":{size}{more}}}"#));
            }
            Type::Named(name) => self.quoted(name),
        }
    }

    fn record(&mut self, record: &Record) {
        let as_error = record.is_error && self.library == Library::Hamba;
        self.named(&record.name, if as_error { "error" } else { "record" });
        (self.put)(r#","fields":"#);
        self.list(&record.fields, Self::field);
        (self.put)("}");
    }

    fn field(&mut self, field: &Field) {
        (self.put)(r#"{"name":"#);
        self.quoted(&field.name);
        (self.put)(r#","type":"#);
        self.write(&field.of);
        if let (Library::Rust, Some(order)) = (self.library, &field.order) {
            (self.put)(r#","order":"#);
            self.quoted(order);
        }
        (self.put)("}");
    }

    fn primitive(&mut self, primitive: Primitive, attributes: &Attributes) {
        let more = match self.library {
            Library::Specification => None,
            Library::Python => attributes.any.then(String::new),
            Library::Rust => of_rust(primitive, attributes),
            Library::Hamba => of_hamba(primitive, attributes),
        };
        match more {
            None => self.quoted(primitive.as_str()),
            Some(more) => {
                (self.put)(r#"{"type":"#);
                self.quoted(primitive.as_str());
                (self.put)(&more);
                (self.put)("}");
            }
        }
    }

    /// What a library adds to a fixed that has a logical type.
    fn of_fixed(&self, size: usize, attributes: &Attributes) -> Option<String> {
        match (self.library, attributes.logical.as_deref()?) {
            (Library::Rust, "decimal") => of_rust(Primitive::Bytes, attributes),
            (Library::Hamba, "decimal") => of_hamba(Primitive::Bytes, attributes),
            (Library::Hamba, "duration") if size == 12 => {
                Some(r#","logicalType":"duration""#.to_owned())
            }
            _ => None,
        }
    }

    fn named(&mut self, name: &str, of_type: &str) {
        (self.put)(r#"{"name":"#);
        self.quoted(name);
        (self.put)(r#","type":"#);
        self.quoted(of_type);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        (self.put)("[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                (self.put)(",");
            }
            each(self, item);
        }
        (self.put)("]");
    }

    fn quoted(&mut self, text: &str) {
        (self.put)("\"");
        (self.put)(text);
        (self.put)("\"");
    }
}

/// What stands behind the type of a primitive where Rust's library knows its logical type.
fn of_rust(primitive: Primitive, attributes: &Attributes) -> Option<String> {
    match (primitive, attributes.logical.as_deref()?) {
        (Primitive::Bytes, "decimal") => {
            let (precision, scale) = decimal(attributes)?;
            Some(format!(r#","precision":{precision},"scale":{scale}"#))
        }
        (Primitive::Bytes, "big-decimal" | "uuid")
        | (Primitive::String, "uuid")
        | (Primitive::Int, "date" | "time-millis")
        | (
            Primitive::Long,
            "time-micros"
            | "timestamp-millis"
            | "timestamp-micros"
            | "timestamp-nanos"
            | "local-timestamp-millis"
            | "local-timestamp-micros"
            | "local-timestamp-nanos",
        ) => Some(String::new()),
        _ => None,
    }
}

/// The same of hamba/avro.
fn of_hamba(primitive: Primitive, attributes: &Attributes) -> Option<String> {
    let logical = attributes.logical.as_deref()?;
    let more = match (primitive, logical) {
        (Primitive::Bytes, "decimal") => match decimal(attributes)? {
            (precision, 0) => format!(r#","precision":{precision}"#),
            (precision, scale) => format!(r#","precision":{precision},"scale":{scale}"#),
        },
        (Primitive::String, "uuid")
        | (Primitive::Int, "date" | "time-millis")
        | (
            Primitive::Long,
            "time-micros"
            | "timestamp-millis"
            | "timestamp-micros"
            | "local-timestamp-millis"
            | "local-timestamp-micros",
        ) => String::new(),
        _ => return None,
    };
    Some(format!(r#","logicalType":"{logical}"{more}"#))
}

/// Precision and scale of a decimal that is one.
fn decimal(attributes: &Attributes) -> Option<(u64, u64)> {
    let scale = attributes.scale.unwrap_or(0);
    attributes.precision.filter(|p| *p > 0 && scale <= *p).map(|precision| (precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Type {
        Type::parse(text).unwrap()
    }

    #[test]
    fn the_fingerprints_of_the_specification_s_own_examples_come_out() {
        // share/test/data/schema-tests.txt of the Avro project.
        for (schema, expected) in [
            (r#""null""#, 7_195_948_357_588_979_594_i64),
            (r#"{"type":"boolean"}"#, -6_970_731_678_124_411_036),
            (r#"{"type":"fixed","name":"foo","size":15,"doc":"d"}"#, 1_756_455_273_707_447_556),
            (
                r#"{"type":"record","name":"PigValue","fields":[{"name":"value","type":["null","int","long","PigValue"]}]}"#,
                -1_759_257_747_318_642_341,
            ),
        ] {
            assert_eq!(i64::from_le_bytes(fingerprint(&parse(schema))), expected, "{schema}");
        }
    }

    #[test]
    fn the_canonical_form_has_full_names_and_bare_primitives() {
        let schema = parse(
            r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[
                {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"e","type":{"type":"enum","name":"E","symbols":["A"],"default":"A"}},
                {"name":"f","type":["null","E"],"default":null},
                {"name":"g","type":{"type":"map","values":{"type":"array","items":"bytes"}}}]}"#,
        );
        assert_eq!(
            canonical_form(&schema),
            concat!(
                r#"{"name":"a.b.R","type":"record","fields":[{"name":"t","type":"long"},"#,
                r#"{"name":"e","type":{"name":"a.b.E","type":"enum","symbols":["A"]}},"#,
                r#"{"name":"f","type":["null","a.b.E"]},"#,
                r#"{"name":"g","type":{"type":"map","values":{"type":"array","items":"bytes"}}}]}"#
            )
        );
    }

    /// What libraries differ in.
    const RICH: &str = r#"{"type":"record","name":"R","namespace":"a.b","doc":"d","fields":[
        {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"n","type":{"type":"long","logicalType":"timestamp-nanos"}},
        {"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],"default":null},
        {"name":"d0","type":{"type":"bytes","logicalType":"decimal","precision":4}},
        {"name":"s","type":{"type":"string","avro.java.string":"String"}},
        {"name":"u","type":{"type":"string","logicalType":"uuid"}},
        {"name":"f","type":{"type":"fixed","name":"F","size":12,"logicalType":"duration"}},
        {"name":"g","type":{"type":"fixed","name":"G","namespace":"c","size":8,"logicalType":"decimal","precision":9,"scale":1}},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}},
        {"name":"m","type":{"type":"map","values":{"type":"array","items":"E"}}}]}"#;
    const SCAN: &str = include_str!("../../../schemas/scan.v1.avsc");

    /// As the bytes stand in a record.
    fn known(schema: &str) -> Vec<String> {
        let bytes = |fingerprint: &Fingerprint| fingerprint.map(|b| format!("{b:02x}")).concat();
        fingerprints(&parse(schema)).iter().map(bytes).collect()
    }

    #[test]
    fn a_schema_is_known_by_the_fingerprint_of_each_library() {
        assert_eq!(known(SCAN)[0], "e864383a87c904b7", "fastavro 1.13.1");
        for (schema, library, expected) in [
            (SCAN, "avro 1.12.2 of Python, goavro 2.15.0", "ed350dab1500f62c"),
            (SCAN, "hamba/avro 2.31.0", "a7ecec0b63053885"),
            (RICH, "avro 1.12.2 of Python", "8c85f54cd94f2408"),
            (RICH, "hamba/avro 2.31.0", "d2538513299c7f10"),
        ] {
            assert!(known(schema).contains(&expected.to_owned()), "{library}");
        }
        assert_eq!(show(fingerprint(&parse(SCAN))), "b704c9873a3864e8");
    }

    #[test]
    fn a_schema_is_known_by_the_fingerprint_of_the_rust_library_whatever_its_orders() {
        let ordered =
            SCAN.replace(r#""name": "facility","#, r#""name": "facility", "order": "ignore","#);
        let exceptions = include_str!("../../../schemas/tracking-exception.v1.avsc");
        for schema in [SCAN, RICH, &ordered, exceptions] {
            let library = apache_avro::Schema::parse_str(schema).unwrap();
            let expected: Fingerprint =
                library.fingerprint::<Rabin>().bytes.try_into().expect("eight bytes");
            assert!(
                fingerprints(&parse(schema)).contains(&expected),
                "{}",
                library.canonical_form()
            );
        }
        assert_eq!(fingerprint(&parse(&ordered)), fingerprint(&parse(SCAN)));
        assert_eq!(known(&ordered).len(), 4, "the order makes one of its own");
    }

    #[test]
    fn attributes_with_the_names_of_a_schema_s_own_do_no_harm() {
        let schema = parse(
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","symbols":null}]}"#,
        );
        let expected = r#"{"name":"R","type":"record","fields":[{"name":"a","type":"int"}]}"#;
        assert_eq!(canonical_form(&schema), expected);
        assert_eq!(fingerprints(&schema), [fingerprint(&schema)]);
    }
}
