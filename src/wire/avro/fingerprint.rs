//! CRC-64-AVRO fingerprints of schemas, as single-object encoding has them in front of a datum.
//!
//! The fingerprint is that of the schema's Parsing Canonical Form. Implementations differ where a
//! primitive has a logical type: Java and fastavro write `"long"`, as the specification's rule
//! PRIMITIVE wants; the Rust and Python libraries of the Avro project keep `{"type":"long"}`. We
//! write the former and know both. (The Rust library's own canonical form is not called: it panics
//! on custom attributes that have the names of a schema's own.)

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::schema::{
    DecimalSchema, InnerDecimalSchema, Name, NamespaceRef, RecordSchema, UuidSchema,
};
use sha2::{Digest, Sha256};

/// Eight bytes, little-endian as they stand behind the marker `C3 01`.
pub(crate) type Fingerprint = [u8; 8];

/// The fingerprint by the specification.
pub(crate) fn fingerprint(schema: &Schema) -> Fingerprint {
    Rabin::digest(canonical_form(schema)).into()
}

/// The fingerprint that the Rust and Python libraries give.
pub(crate) fn library_fingerprint(schema: &Schema) -> Fingerprint {
    Rabin::digest(form(schema, Primitives::Wrapped)).into()
}

/// The sync marker of containers that must come out the same every time: of the schema's SHA-256.
pub(crate) fn sync_marker(schema: &Schema) -> [u8; 16] {
    let hash = Sha256::digest(canonical_form(schema));
    *hash.first_chunk().expect("a SHA-256 has 32 bytes")
}

/// As people write it: the number in hexadecimal.
pub(crate) fn show(fingerprint: Fingerprint) -> String {
    format!("{:016x}", u64::from_le_bytes(fingerprint))
}

/// The Parsing Canonical Form: what of a schema matters for reading data.
pub(crate) fn canonical_form(schema: &Schema) -> String {
    form(schema, Primitives::Bare)
}

/// How a primitive with a logical type is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Primitives {
    /// `"long"`
    Bare,
    /// `{"type":"long"}`
    Wrapped,
}

fn form(schema: &Schema, primitives: Primitives) -> String {
    let mut form = Form { text: String::new(), primitives };
    form.write(schema, None);
    form.text
}

struct Form {
    text: String,
    primitives: Primitives,
}

impl Form {
    fn write(&mut self, schema: &Schema, namespace: NamespaceRef<'_>) {
        match schema {
            Schema::Array(array) => {
                self.text.push_str(r#"{"type":"array","items":"#);
                self.write(&array.items, namespace);
                self.text.push('}');
            }
            Schema::Map(map) => {
                self.text.push_str(r#"{"type":"map","values":"#);
                self.write(&map.types, namespace);
                self.text.push('}');
            }
            Schema::Union(union) => {
                self.list(union.variants(), |form, variant| form.write(variant, namespace));
            }
            Schema::Record(record) => self.record(record, namespace),
            Schema::Enum(symbols) => {
                self.named(&symbols.name, "enum", namespace);
                self.text.push_str(r#","symbols":"#);
                self.list(&symbols.symbols, |form, symbol| form.quoted(symbol));
                self.text.push('}');
            }
            Schema::Fixed(fixed)
            | Schema::Duration(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
                self.named(&fixed.name, "fixed", namespace);
                self.text.push_str(&format!(r#","size":{}}}"#, fixed.size));
            }
            Schema::Ref { name } => self.quoted(&name.fullname(namespace)),
            primitive => self.primitive(primitive),
        }
    }

    fn record(&mut self, record: &RecordSchema, namespace: NamespaceRef<'_>) {
        self.named(&record.name, "record", namespace);
        let namespace = record.name.namespace().or(namespace);
        self.text.push_str(r#","fields":"#);
        self.list(&record.fields, |form, field| {
            form.text.push_str(r#"{"name":"#);
            form.quoted(&field.name);
            form.text.push_str(r#","type":"#);
            form.write(&field.schema, namespace);
            form.text.push('}');
        });
        self.text.push('}');
    }

    fn named(&mut self, name: &Name, of_type: &str, namespace: NamespaceRef<'_>) {
        self.text.push_str(r#"{"name":"#);
        self.quoted(&name.fullname(namespace));
        self.text.push_str(r#","type":"#);
        self.quoted(of_type);
    }

    fn primitive(&mut self, schema: &Schema) {
        let (name, is_logical) = primitive_name(schema);
        if is_logical && self.primitives == Primitives::Wrapped {
            self.text.push_str(r#"{"type":"#);
            self.quoted(name);
            self.text.push('}');
        } else {
            self.quoted(name);
        }
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.text.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            each(self, item);
        }
        self.text.push(']');
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }
}

/// The primitive that a schema is written as, and whether it has a logical type.
fn primitive_name(schema: &Schema) -> (&'static str, bool) {
    match schema {
        Schema::Null => ("null", false),
        Schema::Boolean => ("boolean", false),
        Schema::Int => ("int", false),
        Schema::Long => ("long", false),
        Schema::Float => ("float", false),
        Schema::Double => ("double", false),
        Schema::String => ("string", false),
        Schema::Bytes => ("bytes", false),
        Schema::Date | Schema::TimeMillis => ("int", true),
        Schema::Uuid(UuidSchema::String) => ("string", true),
        Schema::BigDecimal | Schema::Uuid(_) | Schema::Decimal(_) => ("bytes", true),
        _ => ("long", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Schema {
        Schema::parse_str(text).unwrap()
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

    #[test]
    fn fingerprints_equal_those_of_fastavro() {
        let scan = parse(include_str!("../../../schemas/scan.v1.avsc"));
        assert_eq!(show(fingerprint(&scan)), "b704c9873a3864e8");
        assert_ne!(fingerprint(&scan), library_fingerprint(&scan));
    }

    #[test]
    fn attributes_with_the_names_of_a_schema_s_own_do_no_harm() {
        let schema = parse(
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int","symbols":null}]}"#,
        );
        let expected = r#"{"name":"R","type":"record","fields":[{"name":"a","type":"int"}]}"#;
        assert_eq!(canonical_form(&schema), expected);
        assert_eq!(library_fingerprint(&schema), fingerprint(&schema));
    }

    #[test]
    fn the_other_fingerprint_is_that_of_the_rust_library() {
        for schema in [
            include_str!("../../../schemas/scan.v1.avsc"),
            include_str!("../../../schemas/tracking-exception.v1.avsc"),
            r#"{"type":"array","items":{"type":"int","logicalType":"date"}}"#,
        ] {
            let schema = parse(schema);
            let expected = schema.fingerprint::<Rabin>().bytes;
            assert_eq!(library_fingerprint(&schema)[..], expected);
        }
    }
}
