//! Scans as the topic carries them: Avro in single-object encoding.

use apache_avro::types::Value;
use apache_avro::{GenericSingleObjectWriter, Schema};

use super::network::Network;
use super::story::Report;
use crate::detector::scan::{Evidence, Milestone};
use crate::wire::scan::SCAN_SCHEMA;

/// Writes scans of the simulated network.
pub struct ScanEncoder {
    writer: GenericSingleObjectWriter,
}

impl Default for ScanEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ScanEncoder {
    /// An encoder for `schemas/scan.v1.avsc`.
    pub fn new() -> Self {
        let schema = Schema::parse_str(SCAN_SCHEMA).expect("the product's own schema is valid");
        let writer = GenericSingleObjectWriter::new_with_capacity(&schema, 512)
            .expect("the product's own schema can be written");
        Self { writer }
    }

    /// Replaces what stands in `payload` by a scan.
    pub fn encode(&mut self, network: &Network, report: &Report, payload: &mut Vec<u8>) {
        payload.clear();
        let scan = value(network, report);
        self.writer.write_value(scan, payload).expect("the value follows the schema");
    }
}

/// The fields in the order of the schema.
fn value(network: &Network, report: &Report) -> Value {
    let package = network.package(report);
    let (carrier, number) = report.spelling.write(package.carrier, &package.number);
    let attributes = network.attributes(report);
    let field = |name: &str, value| (name.to_owned(), value);
    Value::Record(vec![
        field("tracking_number", Value::String(number)),
        field("carrier", Value::String(carrier)),
        field("milestone", milestone(report.event.milestone)),
        field("event_time", optional(report.said_ms.map(Value::TimestampMillis))),
        field("evidence", evidence(report.event.evidence)),
        field("service", text(attributes.service)),
        field("direction", text(attributes.direction)),
        field("destination_country", text(attributes.destination_country)),
        field("shipper", text(attributes.shipper)),
        field("value_tier", text(attributes.value_tier)),
        field("facility", text(attributes.facility)),
        field("country", text(attributes.country)),
        field("event_id", optional(None)),
        field("carrier_code", optional(None)),
        field("attributes", Value::Map([].into())),
    ])
}

fn milestone(milestone: Milestone) -> Value {
    Value::Enum(milestone as u32, milestone.as_str().to_owned())
}

fn evidence(evidence: Evidence) -> Value {
    Value::Enum(evidence as u32, evidence.as_str().to_owned())
}

fn text(text: Option<&str>) -> Value {
    optional(text.map(|text| Value::String(text.to_owned())))
}

fn optional(value: Option<Value>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    }
}
