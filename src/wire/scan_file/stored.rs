//! Scans that outlive the buffer they were read from.

use crate::detector::key::PackageKey;
use crate::detector::scan::{Attributes, Evidence, Milestone, Scan, present};
use crate::detector::time::{EventTime, LogTime};

/// A scan with texts of its own, small enough to keep millions until they are sorted.
#[derive(Clone, Debug)]
pub struct StoredScan {
    key: PackageKey,
    milestone: Milestone,
    evidence: Evidence,
    event_time: Option<EventTime>,
    log_time: LogTime,
    offset: i64,
    /// The attributes behind one another, absent ones as empty texts.
    texts: Box<str>,
    ends: [u16; 7],
}

impl StoredScan {
    /// When the feed received it.
    pub fn log_time(&self) -> LogTime {
        self.log_time
    }

    /// The scan.
    pub fn scan(&self) -> Scan<'_> {
        let text = |index: usize| {
            let start = if index == 0 { 0 } else { usize::from(self.ends[index - 1]) };
            present(&self.texts[start..usize::from(self.ends[index])])
        };
        Scan {
            key: self.key.clone(),
            milestone: self.milestone,
            evidence: self.evidence,
            event_time: self.event_time,
            log_time: self.log_time,
            offset: self.offset,
            attributes: Attributes {
                service: text(0),
                direction: text(1),
                destination_country: text(2),
                shipper: text(3),
                value_tier: text(4),
                facility: text(5),
                country: text(6),
            },
        }
    }
}

impl From<Scan<'_>> for StoredScan {
    fn from(scan: Scan<'_>) -> Self {
        let a = &scan.attributes;
        let mut texts = String::new();
        let mut ends = [0; 7];
        let attributes = [
            a.service,
            a.direction,
            a.destination_country,
            a.shipper,
            a.value_tier,
            a.facility,
            a.country,
        ];
        for (end, text) in ends.iter_mut().zip(attributes) {
            texts.push_str(text.unwrap_or_default());
            *end = u16::try_from(texts.len()).expect("seven texts of at most 256 bytes each");
        }
        Self {
            key: scan.key,
            milestone: scan.milestone,
            evidence: scan.evidence,
            event_time: scan.event_time,
            log_time: scan.log_time,
            offset: scan.offset,
            texts: texts.into(),
            ends,
        }
    }
}
