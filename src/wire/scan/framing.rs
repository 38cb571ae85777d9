//! What stands in front of a record's datum, and what producers put there instead.

use std::fmt;

use super::unread::Unread;
use crate::wire::avro::fingerprint::{Fingerprint, show};
use crate::wire::reject::{Reason, Rejected};

/// The header that Confluent's serializers name the schema in, where they do not in the value.
const VALUE_SCHEMA_ID: &str = "__value_schema_id";

/// What a record says of the schema that it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Avro's single-object encoding: `C3 01`, then the schema's fingerprint, little-endian.
    Fingerprint([u8; 8]),
    /// Confluent's framing: `00`, then the schema's id in a registry, big-endian.
    Id(u32),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint {}", show(*fingerprint)),
            Self::Id(id) => write!(f, "id {id}"),
        }
    }
}

/// The mark that a payload begins with, and the datum behind it.
#[inline]
pub(super) fn split(payload: &[u8]) -> Result<(Mark, &[u8]), Rejected> {
    match payload {
        [0xc3, 0x01, rest @ ..] => {
            let (fingerprint, datum) =
                rest.split_first_chunk::<{ size_of::<Fingerprint>() }>().ok_or_else(cut_off)?;
            Ok((Mark::Fingerprint(*fingerprint), datum))
        }
        [0x00, rest @ ..] => {
            let (id, datum) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
            Ok((Mark::Id(u32::from_be_bytes(*id)), datum))
        }
        _ => Err(no_mark(payload)),
    }
}

#[cold]
fn cut_off() -> Rejected {
    Rejected::new(Reason::NotAvro, "the record ends within the marker that names its schema")
}

#[cold]
fn no_mark(payload: &[u8]) -> Rejected {
    let expected = "Avro records begin with C3 01 (single object) or 00 (Confluent)";
    let message = match payload {
        [] => format!("the record is empty; {expected}"),
        [b'{', ..] => format!("this looks like JSON; {expected}"),
        [first, ..] => format!("the record begins with {first:02X}; {expected}"),
    };
    Rejected::new(Reason::NotAvro, message)
}

/// A word to those who sent something else than JSON where JSON was expected.
#[cold]
pub(super) fn instead_of_json(payload: &[u8]) -> String {
    match split(payload) {
        Ok((Mark::Id(id), datum)) if is_json(datum) => format!("; {}", json_framed(id)),
        Ok((Mark::Id(id), _)) => format!(
            "; this looks like Avro or Protobuf in Confluent's framing, with schema id {id}; Avro is read with input.format = \"avro\""
        ),
        _ if payload.starts_with(&[0xc3, 0x01]) => "; this looks like Avro".to_owned(),
        _ => String::new(),
    }
}

/// A record that could not be read as Avro, and is JSON in the same framing.
#[cold]
pub(super) fn instead_of_avro(payload: &[u8], unread: Unread) -> Unread {
    match (split(payload), &unread) {
        (_, Unread::Rejected(rejected)) if rejected.reason == Reason::TooLarge => unread,
        (Ok((Mark::Id(id), datum)), _) if is_json(datum) => {
            Rejected::new(Reason::NotAvro, json_framed(id)).into()
        }
        _ => unread,
    }
}

fn json_framed(id: u32) -> String {
    format!(
        "this is JSON in Confluent's framing, 00 and schema id {id}, as its JSON Schema serializer writes it; send the JSON alone (value.schema.id.serializer = io.confluent.kafka.serializers.schema.id.HeaderSchemaIdSerializer does) and set input.format = \"json\""
    )
}

fn is_json(datum: &[u8]) -> bool {
    datum.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<serde::de::IgnoredAny>(datum).is_ok()
}

/// A record that cannot be read, and what its headers say of it: whether its producer names the
/// schema there. If so, what looks like a mark of its value is none.
pub fn with_headers<'h>(unread: Unread, mut names: impl Iterator<Item = &'h str>) -> Unread {
    let mut rejected = match &unread {
        Unread::Rejected(rejected) => rejected.clone(),
        Unread::UnknownSchema(unknown) => Rejected::new(Reason::NotAvro, unknown.to_string()),
    };
    let may_be_due_to_it = matches!(rejected.reason, Reason::NotAvro | Reason::NotJson);
    if !may_be_due_to_it || names.all(|name| name != VALUE_SCHEMA_ID) {
        return unread;
    }
    rejected.message += &format!(
        "; the record has the header {VALUE_SCHEMA_ID}: Confluent's header framing, where the schema's id stands beside the value, is not read; set value.schema.id.serializer = io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer at the producer"
    );
    rejected.into()
}
