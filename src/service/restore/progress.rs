//! How far a restore has come: a line in the log now and then, and a bar on a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::service::clock::Stopwatch;

/// How often a long restore is told of in the log.
const LINE: Duration = Duration::from_secs(5);
/// A restore that lasts no longer shows no bar.
const BAR: Duration = Duration::from_secs(1);
/// Records between two looks at the clock.
const LOOK: u64 = 1_024;

/// One restore that reads records.
pub struct Progress<'b> {
    bars: &'b MultiProgress,
    bar: Option<ProgressBar>,
    partition: i32,
    from: i64,
    to: i64,
    records: u64,
    watch: Stopwatch,
    told: Duration,
}

impl<'b> Progress<'b> {
    /// Records from the first offset up to, not including, the second are to be read.
    pub fn begin(bars: &'b MultiProgress, partition: i32, (from, to): (i64, i64)) -> Self {
        let (watch, told) = (Stopwatch::start(), Duration::ZERO);
        Self { bars, bar: None, partition, from, to, records: 0, watch, told }
    }

    /// The record at this offset has been read.
    pub fn at(&mut self, offset: i64) {
        self.records += 1;
        if self.records.is_multiple_of(LOOK) {
            self.tell(offset);
        }
    }

    fn tell(&mut self, offset: i64) {
        let elapsed = self.watch.elapsed();
        let (done, all) = (offset - self.from, (self.to - self.from).max(1));
        if elapsed > self.told + LINE {
            self.told = elapsed;
            let (partition, records, percent) = (self.partition, self.records, done * 100 / all);
            self.bars.suspend(|| {
                tracing::info!(partition, records, percent, "rebuilding package state");
            });
        }
        if elapsed < BAR {
            return;
        }
        let (bars, partition) = (self.bars, self.partition);
        let bar = self.bar.get_or_insert_with(|| bars.add(bar(partition, all)));
        bar.set_position(done.unsigned_abs());
    }

    /// All have been read; how many there were.
    pub fn end(self) -> u64 {
        self.records
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}

fn bar(partition: i32, offsets: i64) -> ProgressBar {
    let template = "partition {prefix} {wide_bar} {percent:>3} %  {per_sec}  {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is good");
    ProgressBar::new(offsets.unsigned_abs()).with_style(style).with_prefix(partition.to_string())
}
