//! A state to save, and the policies it is read back under.

use std::collections::BTreeMap;
use std::sync::Arc;

use stallwatch::config::{SnapshotUrl, State};
use stallwatch::detector::exception::Severity;
use stallwatch::detector::key::PackageKey;
use stallwatch::detector::memory::{BlockSource, SystemBlocks};
use stallwatch::detector::policy::{Defaults, Policy, PolicySet, Step};
use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::shard::{Shard, Stop};
use stallwatch::detector::snapshot::Image;
use stallwatch::detector::time::LogTime;
use stallwatch::service::snapshots::{Refusal, SnapshotStore, StoreError};
use stallwatch::wire::snapshot::{Decisions, Encoder, Header, Settings};

pub const TOPIC: &str = "carrier.scans.v1";
pub const PARTITION: i32 = 7;
pub const PARTITIONS: i32 = 12;
const START: i64 = 1_772_409_600;

pub fn policies() -> Arc<PolicySet> {
    let step = Step { after: 86_400, severity: Severity::Warning, name: "stalled".into() };
    let policy = Policy {
        id: "everything".into(),
        conditions: None,
        first_scan: vec![step.clone()],
        no_movement: vec![step],
    };
    Arc::new(PolicySet::new(Defaults::default(), BTreeMap::new(), vec![policy]).unwrap())
}

/// A shard of so many packages.
pub fn shard(packages: u64) -> Shard {
    let mut shard = Shard::rebuilding(policies());
    let records: Vec<Record> = (0..packages).map(record).collect();
    let applied = shard.apply(&records, &mut Vec::new());
    assert_eq!(applied.stop, Stop::End);
    shard
}

fn record(number: u64) -> Record<'static> {
    // Characters that no compression makes shorter.
    let character = |at: u64| {
        let mixed = u128::from(number * 16 + at + 1) * 0xd6e8_feb8_6659_fd93_9e37_79b9;
        let mixed = (mixed >> 17) as u64 ^ (mixed >> 61) as u64;
        let mixed = mixed.wrapping_mul(0x94d0_49bb_1331_11eb) >> 40;
        char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(mixed % 36) as usize])
    };
    let serial: String = (0..16).map(character).collect();
    Record::Scan(Scan {
        key: PackageKey::new("ups", &format!("1Z{serial}")).unwrap(),
        milestone: Milestone::PickedUp,
        evidence: Evidence::Physical,
        event_time: None,
        log_time: LogTime::from_secs(START),
        offset: number as i64,
        attributes: Attributes { facility: Some("HUB-1"), ..Attributes::default() },
    })
}

pub fn decisions() -> Decisions {
    let settings = Settings { from: 0, forget_after: 5_184_000, settled_retention: 604_800 };
    Decisions { refused: vec![(50, 50)], settings: vec![settings], ..Decisions::default() }
}

/// The header of a snapshot at an offset.
pub fn header(offset: i64) -> Header {
    Header {
        topic: TOPIC.to_owned(),
        topic_id: None,
        partition: PARTITION,
        partitions: PARTITIONS,
        offset,
        decisions: decisions(),
        last: None,
    }
}

/// The bytes of a snapshot of so many packages under this header.
pub fn snapshot(packages: u64, header: &Header) -> Vec<u8> {
    let (mut image, mut bytes) = (Image::default(), Vec::new());
    shard(packages).image(&mut image).unwrap();
    Encoder::new().unwrap().write(&image, header, &mut bytes).unwrap();
    bytes
}

pub fn state_at(url: &str, keep: usize) -> State {
    let url = Some(SnapshotUrl::parse(url).unwrap());
    State { url, snapshot_interval: std::time::Duration::from_secs(300), keep, trust_log: false }
}

/// The newest snapshot up to an offset, and those of no use that were looked at for it.
pub struct Restored {
    pub found: Option<(Header, Shard)>,
    pub refused: Vec<Refusal>,
}

/// Looks for the newest snapshot up to an offset.
pub fn restore(store: &SnapshotStore, committed: i64) -> Result<Restored, StoreError> {
    let memory: Arc<dyn BlockSource> = Arc::new(SystemBlocks);
    let listing = store.listing(TOPIC, PARTITION)?;
    let mut refused: Vec<_> = listing.refused.into_iter().map(|(_, refusal)| refusal).collect();
    for found in listing.found.iter().filter(|found| found.header.offset <= committed) {
        match store.load(found, &policies(), &memory)? {
            Ok(shard) => {
                return Ok(Restored { found: Some((found.header.clone(), shard)), refused });
            }
            Err(refusal) => refused.push(refusal),
        }
    }
    Ok(Restored { found: None, refused })
}

/// Offset and packages of what a restore finds.
pub fn found(store: &SnapshotStore, committed: i64) -> Option<(i64, usize)> {
    let found = restore(store, committed).unwrap().found;
    found.map(|(header, shard)| (header.offset, shard.len()))
}
