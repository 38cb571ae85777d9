//! The detector over a file: a log of scans in, what it would have said out. One log, one outcome:
//! no clock is read here, and nothing is said to a terminal.
//!
//! Records of one partition go to one shard, in the order of the file; what a record brings is told
//! before the next is read. At the end the shards are finished in the order of their partitions.

mod sorted;
mod summary;

use std::collections::HashMap;
use std::io;
use std::slice;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::detector::exception::ExceptionEvent;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::Shard;
use crate::detector::time::{Frontier, LogTime};
use crate::wire::reject::Rejected;
use crate::wire::scan_file::{FileError, Place, ScanFile};

pub use summary::{Silence, Summary, grouped};

/// What to replay with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policies to detect by.
    pub policies: Arc<PolicySet>,
    /// Skip what was logged after this second; what is due by then happens.
    pub until: Option<Frontier>,
    /// Stop at the first record that is no scan.
    pub strict: bool,
    /// Read everything first and sort it by log time; the event time stands for a missing one.
    pub sort: bool,
}

/// Told what happens, in the order in which it happens.
pub trait Listener {
    /// An event of an exception, in the partition of its log.
    ///
    /// # Errors
    /// One of its own ends the replay.
    fn event(&mut self, event: &ExceptionEvent, partition: Option<i32>) -> io::Result<()>;

    /// A record that is no scan.
    fn rejected(&mut self, place: Place, rejected: &Rejected);

    /// Now and then: how far the input has been read, in bytes.
    fn progress(&mut self, bytes_read: u64);
}

/// Why a replay ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The input cannot be read to its end.
    #[error(transparent)]
    Input(#[from] FileError),
    /// A record is no scan, and the replay is strict.
    #[error("{place}: {rejected}")]
    Broken {
        /// Where it stands.
        place: Place,
        /// What is wrong with it.
        rejected: Rejected,
    },
    /// The listener could not take an event.
    #[error(transparent)]
    Output(io::Error),
}

/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 4_096;

/// Runs the detector over a file and tells the listener what it finds.
///
/// # Errors
/// When the input cannot be read to its end, the listener fails, or a strict replay meets a broken
/// record. What was told until then stands.
pub fn replay(
    file: ScanFile,
    options: &Options,
    listener: &mut dyn Listener,
) -> Result<Summary, ReplayError> {
    let mut run = Run::new(options, listener);
    if options.sort {
        run.sorted(file.in_any_order())?;
    } else {
        run.in_order(file)?;
    }
    run.finish()
}

struct Run<'r> {
    options: &'r Options,
    listener: &'r mut dyn Listener,
    shards: Vec<(Option<i32>, Shard)>,
    places: HashMap<Option<i32>, usize, FixedState>,
    /// Partition and index of the shard used last: logs seldom change partition.
    last: Option<(Option<i32>, usize)>,
    outcomes: Vec<Option<Outcome>>,
    summary: Summary,
}

impl<'r> Run<'r> {
    fn new(options: &'r Options, listener: &'r mut dyn Listener) -> Self {
        Self {
            options,
            listener,
            shards: Vec::new(),
            places: HashMap::default(),
            last: None,
            outcomes: Vec::new(),
            summary: Summary::default(),
        }
    }

    fn in_order(&mut self, mut file: ScanFile) -> Result<(), ReplayError> {
        loop {
            if self.summary.records.is_multiple_of(PROGRESS_EVERY) {
                self.listener.progress(file.bytes_read());
            }
            let Some(entry) = file.next()? else {
                return Ok(());
            };
            self.summary.records += 1;
            let record = match entry.scan {
                Ok(scan) => Record::Scan(scan),
                Err(rejected) => self.reject(entry.place, rejected)?,
            };
            self.apply(entry.partition, &record)?;
        }
    }

    /// Counts and tells of a broken record, unless it lies behind the end.
    fn reject(&mut self, place: Place, rejected: Rejected) -> Result<Record<'static>, ReplayError> {
        let record = rejected.record();
        if rejected.log_time.is_some_and(|time| self.is_behind_the_end(time)) {
            return Ok(record);
        }
        if self.options.strict {
            return Err(ReplayError::Broken { place, rejected });
        }
        self.summary.count_rejected(rejected.reason);
        self.listener.rejected(place, &rejected);
        Ok(record)
    }

    fn is_behind_the_end(&self, time: LogTime) -> bool {
        self.options.until.is_some_and(|until| Frontier::at(time) > until)
    }

    /// Applies a record and tells what it brings. A record behind the end moves nothing.
    fn apply(&mut self, partition: Option<i32>, record: &Record<'_>) -> Result<(), ReplayError> {
        let log_time = match record {
            Record::Scan(scan) => Some(scan.log_time),
            Record::Rejected { log_time } => *log_time,
        };
        let Some(log_time) = log_time else {
            return Ok(());
        };
        if self.is_behind_the_end(log_time) {
            self.summary.skipped += 1;
            return Ok(());
        }
        self.summary.see(log_time);
        let index = self.shard_of(partition);
        self.outcomes.clear();
        loop {
            let applied = self.shards[index].1.apply(slice::from_ref(record), &mut self.outcomes);
            self.tell(index)?;
            if applied.records > 0 {
                break;
            }
        }
        for outcome in self.outcomes.iter().flatten() {
            self.summary.count_outcome(*outcome);
        }
        Ok(())
    }

    fn shard_of(&mut self, partition: Option<i32>) -> usize {
        if let Some((last, index)) = self.last
            && last == partition
        {
            return index;
        }
        let index = *self.places.entry(partition).or_insert_with(|| {
            self.shards.push((partition, Shard::new(self.options.policies.clone())));
            self.shards.len() - 1
        });
        self.last = Some((partition, index));
        index
    }

    fn tell(&mut self, index: usize) -> Result<(), ReplayError> {
        let (partition, shard) = &mut self.shards[index];
        for event in shard.take_outbox() {
            self.summary.count_event(&event, *partition);
            self.listener.event(&event, *partition).map_err(ReplayError::Output)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary, ReplayError> {
        self.shards.sort_unstable_by_key(|(partition, _)| *partition);
        for index in 0..self.shards.len() {
            loop {
                let done = self.shards[index].1.finish(self.options.until);
                self.tell(index)?;
                if done {
                    break;
                }
            }
        }
        let Self { shards, mut summary, .. } = self;
        summary.finish(&shards);
        Ok(summary)
    }
}
