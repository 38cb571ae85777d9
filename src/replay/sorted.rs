//! Replay of a file that is not sorted: everything is kept until all of it has been read.

use super::{BATCH, PROGRESS_EVERY, ReplayError, Run};
use crate::detector::scan::Record;
use crate::detector::time::LogTime;
use crate::wire::scan_file::{Batch, ScanFile, StoredScan};

struct Kept {
    log_time: LogTime,
    partition: Option<i32>,
    /// `None` is a rejected record: it still moves the clocks.
    scan: Option<StoredScan>,
}

impl Run<'_> {
    /// Reads all, sorts by log time in whole seconds, the order of equals as in the file, applies.
    pub(super) fn sorted(&mut self, mut file: ScanFile) -> Result<(), ReplayError> {
        let mut kept = Vec::new();
        while let Some(entry) = file.next()? {
            self.summary.records += 1;
            let partition = entry.partition;
            match entry.scan {
                Ok(scan) => {
                    self.see(&scan, entry.remarks);
                    let log_time = scan.log_time;
                    kept.push(Kept { log_time, partition, scan: Some(scan.into()) });
                }
                Err(rejected) => {
                    let log_time = rejected.log_time;
                    self.reject(entry.place, rejected)?;
                    kept.extend(log_time.map(|log_time| Kept { log_time, partition, scan: None }));
                }
            }
            if self.summary.records.is_multiple_of(PROGRESS_EVERY) {
                self.listener.progress(file.bytes_read());
            }
        }
        kept.sort_by_key(|kept| kept.log_time);
        for kept in kept.chunks(BATCH as usize) {
            self.batch(Batch {
                records: kept.iter().map(Kept::record).collect(),
                partitions: kept.iter().map(|kept| kept.partition).collect(),
                ..Batch::default()
            })?;
        }
        Ok(())
    }
}

impl Kept {
    fn record(&self) -> Record<'_> {
        match &self.scan {
            Some(scan) => Record::Scan(scan.scan()),
            None => Record::Rejected { log_time: Some(self.log_time) },
        }
    }
}
