//! The detector over a file: a log of scans in, what it would have said out. One log, one outcome:
//! no clock is read here, and nothing is said to a terminal.
//!
//! Records of one partition go to one shard, in the order of the file; what a record brings is told
//! before anything that a later one brings. So no more is applied at once than records of one
//! partition that stand behind one another. At the end the shards are finished in the order of their partitions.

mod sorted;
mod summary;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::detector::exception::ExceptionEvent;
use crate::detector::policy::PolicySet;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::{Shard, Stop};
use crate::detector::time::{Frontier, LogTime};
use crate::wire::reject::Rejected;
use crate::wire::scan_file::{Batch, FileError, Place, ScanFile};

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

/// Most records that are read before they are applied: few enough to stay in the processor's cache.
const BATCH: u64 = 256;

/// Partitions below this number are found without hashing.
const FEW: i32 = 1_024;

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
    /// Indices of the shards of partitions below [`FEW`], by partition.
    few: Vec<Option<usize>>,
    /// Those of all others.
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
            few: vec![None; FEW as usize],
            places: HashMap::default(),
            last: None,
            outcomes: Vec::new(),
            summary: Summary::default(),
        }
    }

    fn in_order(&mut self, mut file: ScanFile) -> Result<(), ReplayError> {
        loop {
            let since = self.summary.records % PROGRESS_EVERY;
            if since == 0 {
                self.listener.progress(file.bytes_read());
            }
            let most = BATCH.min(PROGRESS_EVERY - since);
            let Some(batch) = file.next_batch(most as usize)? else {
                return Ok(());
            };
            self.summary.records += batch.records.len() as u64;
            self.batch(batch)?;
        }
    }

    /// Applies a batch in runs: a run ends where the partition changes, and before a record that is
    /// told of or left out.
    fn batch(&mut self, batch: Batch<'_>) -> Result<(), ReplayError> {
        let Batch { records, partitions, rejected } = batch;
        let mut rejected = rejected.into_iter().peekable();
        let mut start = 0;
        for (index, record) in records.iter().enumerate() {
            if let Some((_, place, why)) = rejected.next_if(|(at, ..)| *at == index) {
                self.run(partitions[start], &records[start..index])?;
                start = index;
                self.reject(place, why)?;
            }
            if !self.counts(record) {
                self.run(partitions[start], &records[start..index])?;
                start = index + 1;
            } else if partitions[index] != partitions[start] {
                self.run(partitions[start], &records[start..index])?;
                start = index;
            }
        }
        match partitions.get(start) {
            Some(partition) => self.run(*partition, &records[start..]),
            None => Ok(()),
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

    /// Whether a record is to be applied. One behind the end moves nothing.
    #[inline]
    fn counts(&mut self, record: &Record<'_>) -> bool {
        let log_time = match record {
            Record::Scan(scan) => Some(scan.log_time),
            Record::Rejected { log_time } => *log_time,
        };
        let Some(log_time) = log_time else {
            return false;
        };
        if self.is_behind_the_end(log_time) {
            self.summary.skipped += 1;
            return false;
        }
        self.summary.see(log_time);
        true
    }

    /// Applies records of one partition and tells what they bring.
    fn run(
        &mut self,
        partition: Option<i32>,
        mut records: &[Record<'_>],
    ) -> Result<(), ReplayError> {
        if records.is_empty() {
            return Ok(());
        }
        let index = self.shard_of(partition);
        self.outcomes.clear();
        while !records.is_empty() {
            let applied = self.shards[index].1.apply(records, &mut self.outcomes);
            if applied.stop == Stop::Full {
                unreachable!("a replay sets no limit to its packages");
            }
            self.tell(index)?;
            records = &records[applied.records..];
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
        let next = self.shards.len();
        let index = match partition {
            Some(few @ 0..FEW) => *self.few[few as usize].get_or_insert(next),
            many => *self.places.entry(many).or_insert(next),
        };
        if index == next {
            self.shards.push((partition, Shard::new(self.options.policies.clone())));
        }
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
