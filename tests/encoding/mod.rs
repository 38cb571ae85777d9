//! Encodes scans for tests with the Avro project's own library, from JSON objects.

use std::io::BufRead;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Codec, Schema, Writer};
use serde_json::Value as Json;
use stallwatch::wire::scan::Origin;

pub const SCAN: &str = include_str!("../../schemas/scan.v1.avsc");
pub const SCAN_LOG: &str = include_str!("../../schemas/scan-log.v1.avsc");

/// Offset of every record that [`live`] describes.
pub const OFFSET: i64 = 7;

/// What the envelope of a record with this log time (in milliseconds) says.
pub fn live(log_time: i64) -> Origin {
    Origin { log_time: Some(log_time), offset: OFFSET }
}

pub fn schema(text: &str) -> Schema {
    Schema::parse_str(text).unwrap()
}

/// The datum of a JSON object whose times are whole numbers of the schema's unit.
pub fn datum(schema: &Schema, scan: &Json) -> Vec<u8> {
    let value = Value::try_from(scan.clone()).unwrap().resolve(schema).unwrap();
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// What the library makes of a datum.
pub fn library_value(schema: &Schema, mut datum: &[u8]) -> Option<Value> {
    GenericDatumReader::builder(schema).build().unwrap().read_value(&mut datum).ok()
}

/// A container with so many records a block. Its sync marker is sixteen bytes `5`.
pub fn container(schema: &Schema, codec: Codec, scans: &[Json], per_block: usize) -> Vec<u8> {
    let mut writer = Writer::builder()
        .schema(schema)
        .writer(Vec::new())
        .codec(codec)
        .marker([b'5'; 16])
        .build()
        .unwrap();
    for block in scans.chunks(per_block) {
        for scan in block {
            let value = Value::try_from(scan.clone()).unwrap().resolve(schema).unwrap();
            writer.append_value(value).unwrap();
        }
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A reader that gives its bytes in small pieces, as pipes do.
pub fn in_pieces(bytes: Vec<u8>, piece: usize) -> Box<dyn BufRead + Send> {
    Box::new(std::io::BufReader::with_capacity(piece, std::io::Cursor::new(bytes)))
}
