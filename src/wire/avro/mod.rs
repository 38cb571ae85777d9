//! What the Avro library does not do, or not safely enough for bytes of strangers.
//!
//! The library compresses blocks and compares schemas in the tests. Schemas are parsed here: the
//! library refuses some that Java and others write by. Walking a datum is done here: the library
//! allocates by declared lengths and takes a text or a union that is cut off for null, so a
//! truncated record could pass for a whole one.

pub(crate) mod container;
pub(crate) mod cursor;
pub(crate) mod fingerprint;
pub(crate) mod reader;
pub(crate) mod schema;
pub(crate) mod shape;
pub(crate) mod write;
