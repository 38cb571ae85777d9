//! A log of many scans that nobody has read yet, and policies under which all is well.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::client::{NewRecord, send};
use crate::scans::Scan;
use crate::service::Setup;
use crate::wait::now_ms;

/// How many packages there are.
pub const PACKAGES: usize = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(900);
pub const POLICIES: &str = r#"
version = 1
[[policy]]
id = "everything"
first_scan = [ { after = "48h", severity = "warning" } ]
no_movement = [ { after = "48h", severity = "warning" } ]
"#;

/// One for very many records.
pub fn producer(setup: &Setup) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &setup.bootstrap)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .expect("a producer")
}

/// The packages are scanned one after the other, again and again.
pub fn log_scans(setup: &Setup, count: usize) {
    let producer = producer(setup);
    for at in 0..count {
        let scan = Scan {
            facility: Some(["MEM", "CVG", "LEJ", "SDF"][at % 4]),
            country: Some("US"),
            ..Scan::new(&format!("1Z{:016}", at % PACKAGES), "arrived", now_ms())
        };
        let record: NewRecord = scan.json();
        send(&producer, &setup.scans(), &record);
    }
    producer.flush(PATIENCE).expect("the broker takes every record");
}
