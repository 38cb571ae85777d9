//! Decoding and applying together: one shard, scans of packages chosen at random.

use std::sync::Arc;
use std::time::Duration;

use stallwatch::detector::scan::Record;
use stallwatch::detector::shard::Shard;
use stallwatch::wire::policy_file;
use stallwatch::wire::scan::{AvroScans, Framing, Origin, SCAN_SCHEMA};

use crate::data::{Event, LOG_TIME, Payloads, mix};
use crate::processor_time;

const POLICIES: &str = r#"
version = 1
[[policy]]
id = "everything-else"
first_scan = [ { after = "48h", severity = "warning" } ]
no_movement = [
    { after = "48h", severity = "warning", name = "stalled" },
    { after = "7d", severity = "critical", name = "presumed_lost" },
]
"#;

/// How many scans are written before the clock runs for them.
const PREPARED: u64 = 1 << 16;

/// How fast scans were decoded and applied.
pub struct Applied {
    pub packages: u64,
    pub batch: usize,
    pub scans: u64,
    pub scans_per_second: f64,
}

/// Fills a shard with packages, then decodes and applies scans of theirs. Log time rises by a
/// second every thousand scans, so that nothing stalls in the meantime.
pub fn measure(packages: u64, scans: u64, batch: usize) -> Applied {
    let policies = policy_file::parse("policies", POLICIES).expect("good policies");
    let mut run = Run {
        decoder: AvroScans::new(SCAN_SCHEMA, Framing::Bare).expect("our own schema"),
        shard: Shard::new(Arc::new(policies)),
        outcomes: Vec::new(),
        batch: batch.max(1),
        applied: 0,
    };
    let packages = packages.max(1);
    run.all(packages, |number| number);
    assert_eq!(run.shard.len() as u64, packages);
    let time = run.all(scans, |number| mix(number, 11) % packages);
    Applied { packages, batch, scans, scans_per_second: scans as f64 / time.as_secs_f64() }
}

struct Run {
    decoder: AvroScans,
    shard: Shard,
    outcomes: Vec<Option<stallwatch::detector::scan::Outcome>>,
    batch: usize,
    /// Scans so far.
    applied: u64,
}

impl Run {
    /// Writes, then decodes and applies so many scans; how long the latter took.
    fn all(&mut self, scans: u64, package: impl Fn(u64) -> u64) -> Duration {
        let mut time = Duration::ZERO;
        let mut done = 0;
        while done < scans {
            let mut payloads = Payloads::default();
            let end = scans.min(done + PREPARED);
            for number in done..end {
                let at = LOG_TIME + (self.applied + number - done) as i64;
                payloads.push(|out| Event::of(package(number), at).write(out));
            }
            let payloads: Vec<&[u8]> = payloads.iter().collect();
            let start = processor_time();
            for batch in payloads.chunks(self.batch) {
                self.one(batch);
            }
            time += processor_time() - start;
            done = end;
        }
        time
    }

    fn one(&mut self, payloads: &[&[u8]]) {
        let mut records = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let log_time = Some(LOG_TIME + self.applied as i64);
            let origin = Origin { log_time, offset: self.applied as i64 };
            let scan = self.decoder.decode(payload, origin).expect("a good scan");
            records.push(Record::Scan(scan));
            self.applied += 1;
        }
        self.outcomes.clear();
        let mut rest = &records[..];
        while !rest.is_empty() {
            let applied = self.shard.apply(rest, &mut self.outcomes);
            rest = &rest[applied.records..];
        }
    }
}
