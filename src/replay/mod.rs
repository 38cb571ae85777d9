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
use crate::detector::scan::{Outcome, Record, Scan};
use crate::detector::shard::{Shard, Stop};
use crate::detector::time::{Frontier, LogTime};
use crate::wire::reject::Rejected;
use crate::wire::scan::Remarks;
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
    /// More partitions than are kept apart.
    #[error(
        "there are records of more than {most} partitions, {} among them: no more are replayed at once; leave the field partition out where it is one log, or replay the partitions in parts",
        named(*.partition)
    )]
    Partitions {
        /// One too many.
        partition: Option<i32>,
        /// How many there may be.
        most: usize,
    },
    /// A partition has more packages, or they have more in common, than can be numbered.
    #[error("{}: it has more than can be numbered; replay its packages in parts", named(*.partition))]
    Full {
        /// The partition.
        partition: Option<i32>,
    },
    /// The listener could not take an event.
    #[error(transparent)]
    Output(io::Error),
}

fn named(partition: Option<i32>) -> String {
    match partition {
        Some(number) => format!("partition {number}"),
        None => "records without a partition".to_owned(),
    }
}

/// Records between two reports of progress.
const PROGRESS_EVERY: u64 = 4_096;

/// Most records that are read before they are applied: the partitions share them, and each gains by
/// getting many at once.
const BATCH: u64 = 4_096;

/// Most partitions that are kept apart: each takes some 120 KiB from its first record on.
const MOST_PARTITIONS: usize = 4_096;

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
    shards: Vec<Partition>,
    /// Indices of the shards of partitions below [`FEW`], by partition.
    few: Vec<Option<usize>>,
    /// Those of all others.
    places: HashMap<Option<i32>, usize, FixedState>,
    most_partitions: usize,
    /// Those that the present batch has records for.
    picked: Vec<usize>,
    /// Partition and index of the shard used last: logs seldom change partition.
    last: Option<(Option<i32>, usize)>,
    outcomes: Vec<Option<Outcome>>,
    /// What a batch brings: the record's place in it, the index of the shard, the event.
    told: Vec<(u32, usize, ExceptionEvent)>,
    summary: Summary,
}

/// One partition of the log.
struct Partition {
    partition: Option<i32>,
    shard: Shard,
    /// Places in the batch of the records that are to be applied.
    picks: Vec<u32>,
}

impl<'r> Run<'r> {
    fn new(options: &'r Options, listener: &'r mut dyn Listener) -> Self {
        Self {
            options,
            listener,
            shards: Vec::new(),
            few: vec![None; FEW as usize],
            places: HashMap::default(),
            most_partitions: MOST_PARTITIONS,
            picked: Vec::new(),
            last: None,
            outcomes: Vec::new(),
            told: Vec::new(),
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

    /// Applies a batch, the records of each partition together, and tells what they bring in the
    /// order of the file.
    fn batch(&mut self, batch: Batch<'_>) -> Result<(), ReplayError> {
        let Batch { records, partitions, rejected, remarks } = batch;
        for (at, remarks) in remarks {
            if let Record::Scan(scan) = &records[at] {
                self.see(scan, remarks);
            }
        }
        for (at, (record, partition)) in records.iter().zip(partitions).enumerate() {
            if self.counts(record) {
                let index = self.shard_of(partition)?;
                let picks = &mut self.shards[index].picks;
                if picks.is_empty() {
                    self.picked.push(index);
                }
                picks.push(at as u32);
            }
        }
        for index in std::mem::take(&mut self.picked) {
            self.apply_picks(index, &records)?;
        }
        let mut told = std::mem::take(&mut self.told);
        self.tell_in_order(&told, rejected)?;
        told.clear();
        self.told = told;
        Ok(())
    }

    /// Tells what a batch brought. Events stay where they are: they are large.
    fn tell_in_order(
        &mut self,
        told: &[(u32, usize, ExceptionEvent)],
        rejected: Vec<(usize, Place, Rejected)>,
    ) -> Result<(), ReplayError> {
        let mut order: Vec<usize> = (0..told.len()).collect();
        // What one record brings stands in its order already.
        order.sort_unstable_by_key(|&event| (told[event].0, event));
        let mut events = order.into_iter().map(|event| &told[event]).peekable();
        for (at, place, why) in rejected {
            while let Some((_, index, event)) = events.next_if(|(of, ..)| (*of as usize) < at) {
                self.tell(*index, event)?;
            }
            self.reject(place, why)?;
        }
        events.try_for_each(|(_, index, event)| self.tell(*index, event))
    }

    /// Applies the records of a batch that were picked for a shard; keeps what they bring.
    fn apply_picks(&mut self, index: usize, records: &[Record<'_>]) -> Result<(), ReplayError> {
        let Partition { shard, picks, .. } = &mut self.shards[index];
        let mut rest = &picks[..];
        while !rest.is_empty() {
            let applied = shard.apply_picked(records, rest, &mut self.outcomes);
            if applied.stop == Stop::Full {
                return Err(ReplayError::Full { partition: self.shards[index].partition });
            }
            let brought = shard.drain_outbox();
            self.told.extend(brought.map(|(of, event)| (rest[of as usize], index, event)));
            rest = &rest[applied.records..];
        }
        picks.clear();
        for outcome in self.outcomes.drain(..).flatten() {
            self.summary.count_outcome(outcome);
        }
        Ok(())
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

    /// Counts what is to be told of a scan, unless it lies behind the end.
    fn see(&mut self, scan: &Scan<'_>, remarks: Remarks<'_>) {
        if !remarks.is_empty() && !self.is_behind_the_end(scan.log_time) {
            self.summary.count_remarks(scan.key.carrier(), remarks);
        }
    }

    fn is_behind_the_end(&self, time: LogTime) -> bool {
        self.options.until.is_some_and(|until| Frontier::at(time) > until)
    }

    /// Whether a record is to be applied. One behind the end moves nothing.
    #[inline]
    fn counts(&mut self, record: &Record<'_>) -> bool {
        let Some(log_time) = record.log_time() else {
            return false;
        };
        if self.is_behind_the_end(log_time) {
            self.summary.skipped += 1;
            return false;
        }
        self.summary.see(log_time);
        true
    }

    fn shard_of(&mut self, partition: Option<i32>) -> Result<usize, ReplayError> {
        if let Some((last, index)) = self.last
            && last == partition
        {
            return Ok(index);
        }
        let next = self.shards.len();
        let index = match partition {
            Some(few @ 0..FEW) => *self.few[few as usize].get_or_insert(next),
            many => *self.places.entry(many).or_insert(next),
        };
        if index == next {
            if next >= self.most_partitions {
                return Err(ReplayError::Partitions { partition, most: next });
            }
            let shard = Shard::new(self.options.policies.clone());
            self.shards.push(Partition { partition, shard, picks: Vec::new() });
        }
        self.last = Some((partition, index));
        Ok(index)
    }

    fn tell(&mut self, index: usize, event: &ExceptionEvent) -> Result<(), ReplayError> {
        let partition = self.shards[index].partition;
        self.summary.count_event(event);
        self.listener.event(event, partition).map_err(ReplayError::Output)
    }

    fn finish(mut self) -> Result<Summary, ReplayError> {
        self.shards.sort_unstable_by_key(|shard| shard.partition);
        for index in 0..self.shards.len() {
            loop {
                let done = self.shards[index].shard.finish(self.options.until);
                for event in self.shards[index].shard.take_outbox() {
                    self.tell(index, &event)?;
                }
                if done {
                    break;
                }
            }
        }
        let Self { shards, mut summary, .. } = self;
        summary.finish(shards.iter().map(|shard| &shard.shard));
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::policy_file;

    struct Nobody;

    impl Listener for Nobody {
        fn event(&mut self, _: &ExceptionEvent, _: Option<i32>) -> io::Result<()> {
            Ok(())
        }

        fn rejected(&mut self, _: Place, _: &Rejected) {}

        fn progress(&mut self, _: u64) {}
    }

    /// Replays a record of each of these partitions where only three are kept apart.
    fn replay_of(partitions: &[Option<i32>]) -> Result<Summary, ReplayError> {
        let line = |(number, partition): (usize, &Option<i32>)| {
            let partition = partition.map_or_else(|| "null".to_owned(), |p| p.to_string());
            format!(
                r#"{{"tracking_number":"N{number}","carrier":"ups","milestone":"arrived","log_time":1772438400000,"partition":{partition}}}{}"#,
                "\n"
            )
        };
        let lines: String = partitions.iter().enumerate().map(line).collect();
        let policies = "version = 1\n[[policy]]\nid = \"all\"\nfirst_scan = []\nno_movement = []\n";
        let policies = Arc::new(policy_file::parse("p.toml", policies).unwrap());
        let options = Options { policies, until: None, strict: false, sort: false };
        let mut nobody = Nobody;
        let mut run = Run::new(&options, &mut nobody);
        run.most_partitions = 3;
        run.in_order(ScanFile::open(Box::new(io::Cursor::new(lines.into_bytes()))).unwrap())?;
        run.finish()
    }

    #[test]
    fn more_partitions_than_are_kept_apart_are_an_error_that_names_one() {
        let three = [Some(5), None, Some(5), Some(70_000), None, Some(70_000), Some(5)];
        assert_eq!(replay_of(&three).unwrap().partitions, 3);
        for fourth in [6, 70_001] {
            let four = [Some(5), None, Some(5), Some(70_000), Some(fourth), None];
            let error = replay_of(&four).unwrap_err();
            let says = format!("more than 3 partitions, partition {fourth} among them");
            assert!(error.to_string().contains(&says), "{error}");
        }
        let error = replay_of(&[Some(1), Some(2), Some(3), None]).unwrap_err();
        assert!(error.to_string().contains("records without a partition among them"), "{error}");
    }
}
