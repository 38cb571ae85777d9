//! The same scans through the usual libraries.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde::Deserialize;
use stallwatch::detector::scan::Scan;
use stallwatch::wire::scan::SCAN_SCHEMA;

/// The Avro project's own library. It reads from streams, so its texts are owned.
pub struct Library {
    reader: GenericDatumReader<'static>,
}

/// The fields of a scan that take part.
#[derive(Deserialize)]
#[serde(rename = "Scan")]
pub struct Owned {
    tracking_number: String,
    carrier: String,
    milestone: Milestone,
    event_time: Option<i64>,
    evidence: Evidence,
    service: Option<String>,
    direction: Option<String>,
    destination_country: Option<String>,
    shipper: Option<String>,
    value_tier: Option<String>,
    facility: Option<String>,
    country: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Milestone {
    LabelCreated,
    Tendered,
    PickedUp,
    Arrived,
    Departed,
    InTransit,
    HandedOver,
    CustomsHold,
    CustomsCleared,
    OutForDelivery,
    DeliveryAttempted,
    AvailableForPickup,
    Returning,
    OnHold,
    Exception,
    Lost,
    Delivered,
    Returned,
    Cancelled,
    Info,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Evidence {
    Physical,
    System,
    Predicted,
}

/// The same, borrowed from JSON.
#[derive(Deserialize)]
#[allow(dead_code)]
pub struct Text<'a> {
    #[serde(borrow)]
    tracking_number: &'a str,
    carrier: &'a str,
    milestone: &'a str,
    event_time: Option<i64>,
    evidence: &'a str,
    service: Option<&'a str>,
    direction: Option<&'a str>,
    destination_country: Option<&'a str>,
    shipper: Option<&'a str>,
    value_tier: Option<&'a str>,
    pub facility: Option<&'a str>,
    country: Option<&'a str>,
}

impl Library {
    pub fn new() -> Self {
        // One for the whole run.
        let schema: &'static Schema =
            Box::leak(Box::new(Schema::parse_str(SCAN_SCHEMA).expect("our own schema")));
        let reader = GenericDatumReader::builder(schema).build().expect("our own schema");
        Self { reader }
    }

    /// Straight into a struct.
    pub fn direct(&self, mut datum: &[u8]) -> Owned {
        self.reader.read_deser(&mut datum).expect("a good datum")
    }

    /// Into the library's own values.
    pub fn value(&self, mut datum: &[u8]) -> Value {
        self.reader.read_value(&mut datum).expect("a good datum")
    }

    /// Whether the library reads what we do.
    pub fn check(&self, datum: &[u8], scan: &Scan<'_>) {
        let owned = self.direct(datum);
        let a = &scan.attributes;
        assert!(*owned.tracking_number == *scan.key.number());
        assert_eq!(owned.carrier, scan.key.carrier());
        assert_eq!(owned.milestone as usize, scan.milestone as usize);
        assert_eq!(owned.evidence as usize, scan.evidence as usize);
        let seconds = owned.event_time.map(|millis| millis / 1000);
        assert_eq!(seconds, scan.event_time.map(|time| time.secs()));
        let pairs = [
            (owned.service, a.service),
            (owned.direction, a.direction),
            (owned.destination_country, a.destination_country),
            (owned.shipper, a.shipper),
            (owned.value_tier, a.value_tier),
            (owned.facility, a.facility),
            (owned.country, a.country),
        ];
        assert!(pairs.iter().all(|(theirs, ours)| theirs.as_deref() == *ours));
        assert!(matches!(self.value(datum), Value::Record(_)));
    }
}

/// The data as single objects, under the fingerprint that the library gives our schema.
pub fn single_objects<'b>(data: impl Iterator<Item = &'b [u8]>) -> Vec<Vec<u8>> {
    let schema = Schema::parse_str(SCAN_SCHEMA).expect("our own schema");
    let fingerprint = schema.fingerprint::<Rabin>().bytes;
    data.map(|datum| [&[0xc3, 0x01], &fingerprint[..], datum].concat()).collect()
}
