//! CRC-64-AVRO fingerprints of schemas, as single-object encoding has them in front of a datum.
//!
//! The fingerprint is that of the schema's Parsing Canonical Form. Implementations differ where a
//! primitive has a logical type: Java and fastavro write `"long"`, as the specification's rule
//! PRIMITIVE wants; the Rust and Python libraries of the Avro project keep `{"type":"long"}`. We
//! write the former and know both.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::schema::{
    DecimalSchema, FixedSchema, InnerDecimalSchema, Name, NamespaceRef, RecordSchema, UuidSchema,
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
    Rabin::digest(schema.canonical_form()).into()
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
    let mut text = String::new();
    write(schema, None, &mut text);
    text
}

fn write(schema: &Schema, namespace: NamespaceRef<'_>, out: &mut String) {
    match schema {
        Schema::Array(array) => {
            out.push_str(r#"{"type":"array","items":"#);
            write(&array.items, namespace, out);
            out.push('}');
        }
        Schema::Map(map) => {
            out.push_str(r#"{"type":"map","values":"#);
            write(&map.types, namespace, out);
            out.push('}');
        }
        Schema::Union(union) => {
            list(out, union.variants(), |variant, out| write(variant, namespace, out));
        }
        Schema::Record(record) => write_record(record, namespace, out),
        Schema::Enum(symbols) => {
            named(&symbols.name, "enum", namespace, out);
            out.push_str(r#","symbols":"#);
            list(out, &symbols.symbols, |symbol, out| quoted(symbol, out));
            out.push('}');
        }
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Uuid(UuidSchema::Fixed(fixed))
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => {
            write_fixed(fixed, namespace, out);
        }
        Schema::Ref { name } => quoted(&name.fullname(namespace), out),
        primitive => quoted(primitive_name(primitive), out),
    }
}

fn write_record(record: &RecordSchema, namespace: NamespaceRef<'_>, out: &mut String) {
    named(&record.name, "record", namespace, out);
    let namespace = record.name.namespace().or(namespace);
    out.push_str(r#","fields":"#);
    list(out, &record.fields, |field, out| {
        out.push_str(r#"{"name":"#);
        quoted(&field.name, out);
        out.push_str(r#","type":"#);
        write(&field.schema, namespace, out);
        out.push('}');
    });
    out.push('}');
}

fn write_fixed(fixed: &FixedSchema, namespace: NamespaceRef<'_>, out: &mut String) {
    named(&fixed.name, "fixed", namespace, out);
    out.push_str(&format!(r#","size":{}}}"#, fixed.size));
}

fn named(name: &Name, of_type: &str, namespace: NamespaceRef<'_>, out: &mut String) {
    out.push_str(r#"{"name":"#);
    quoted(&name.fullname(namespace), out);
    out.push_str(r#","type":"#);
    quoted(of_type, out);
}

fn list<T>(out: &mut String, items: &[T], mut each: impl FnMut(&T, &mut String)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(']');
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn primitive_name(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::String | Schema::Uuid(UuidSchema::String) => "string",
        Schema::Bytes
        | Schema::BigDecimal
        | Schema::Uuid(UuidSchema::Bytes)
        | Schema::Decimal(_) => "bytes",
        _ => "long",
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
}
