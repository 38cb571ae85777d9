//! Rebuilds a partition beside the running ones, on a consumer that is told what to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Shared;
use super::batch::Batch;
use super::clock::Stopwatch;
use super::kafka::{self, Client, REQUEST};
use super::native::{RecordView, heap};
use super::room::{BoundedShard, NoRoom};
use super::schemas::Verdict;
use super::spans;
use super::status::Halt;
use crate::config::{self, StartFrom};
use crate::detector::key::PackageKey;
use crate::detector::policy::PolicySet;
use crate::detector::scan::Record;
use crate::detector::shard::{Retention, Shard};
pub use crate::protocol::agree::OtherGroup;
use crate::protocol::agree::{Durable, HaltReason};
use crate::protocol::cut::{LastRecord, Source};
use crate::protocol::evidence::Hold;
use crate::protocol::halt::About;
use crate::protocol::held::Ready;
use crate::protocol::ownership::Epoch;
use crate::protocol::restore::{Ask, Failed, FirstStart, OnInconsistency, Restore, Setup, Taken};
use crate::protocol::rules::Rules;
use crate::wire::scan::{Origin, ScanDecoder, UnknownSchema, Unread, framing};
pub use changed::{Circumstances, Found, look};
pub use durable::{durable_of, source_of};
use durable::{group_and_log, source_of_input};
pub use failure::Failure;
use kept::Kept;
pub use open::{OpenTopic, Stored, read_open, read_stored};
use progress::Progress;
pub use read::read;
use rows::Rows;
use turns::Turn;
pub use turns::Turns;

mod changed;
mod durable;
mod failure;
mod kept;
mod open;
mod progress;
mod read;
mod rows;
mod settled;
mod turns;

/// Records that are decoded, then applied together.
const AT_ONCE: usize = 512;
/// Bytes of records at which fewer are taken together.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Pause before a restore that the broker interrupted is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Pause before it is looked again whether a schema is known.
const SCHEMA: Duration = Duration::from_millis(200);

/// What reads the records, and which state of the schemas it was given.
struct Decoder {
    scans: ScanDecoder,
    schemas: u64,
}

/// What a restore thread says in the end.
pub struct Restored {
    /// The partition.
    pub partition: i32,
    /// The assignment that it was restored for.
    pub epoch: Epoch,
    /// The partition, ready for a worker; or why it halts.
    pub result: Result<Box<Ready<BoundedShard>>, Halt>,
    /// Whether the timestamps of its records were set by the broker; `None` without records.
    pub log_append_time: Option<bool>,
    /// How far the `open` topic was read.
    pub open_end: i64,
    /// What was stored.
    pub about: About,
    /// What else its outcome depends on, where it has read records.
    pub circumstances: Option<Circumstances>,
    /// How long it took.
    pub took: Duration,
}

/// Restores a partition; begins again as long as the broker does not answer. `None` when cancelled.
pub fn restore(
    shared: &Shared,
    (partition, epoch): (i32, Epoch),
    other: Option<OtherGroup>,
    cancelled: &AtomicBool,
) -> Option<Restored> {
    let watch = Stopwatch::start();
    let mut span = spans::Restore::begin(partition);
    loop {
        span.attempt();
        let (run, log_append_time, open_end, about, circumstances) = {
            let of = (partition, other.as_ref());
            let mut rebuild = Rebuild::new(shared, of, cancelled, &mut span);
            let run = rebuild.run();
            let Rebuild { log_append_time, open_end, about, circumstances, .. } = rebuild;
            (run, log_append_time, open_end, about, circumstances)
        };
        heap::give_back();
        let result = match run {
            Ok(restored) => Ok(restored),
            Err(Failure::Cancelled) => return None,
            Err(failure) if failure.passes() => {
                tracing::warn!(partition, "{failure}; trying again");
                wait(cancelled, PAUSE)?;
                continue;
            }
            Err(failure) => Err(failure.halt()),
        };
        let took = watch.elapsed();
        let restored = Restored {
            partition,
            epoch,
            result,
            log_append_time,
            open_end,
            about,
            circumstances,
            took,
        };
        span.ended(&restored);
        return Some(restored);
    }
}

fn wait(cancelled: &AtomicBool, pause: Duration) -> Option<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < pause {
        if cancelled.load(Ordering::Relaxed) {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    Some(())
}

struct Rebuild<'a> {
    shared: &'a Shared,
    partition: i32,
    policies: Arc<PolicySet>,
    cancelled: &'a AtomicBool,
    kept: Kept<'a>,
    other: Option<&'a OtherGroup>,
    span: &'a mut spans::Restore,
    log_append_time: Option<bool>,
    open_end: i64,
    /// To read much.
    turn: Option<Turn<'a>>,
    /// Where those of the open table stand, until they are asked for.
    rows: Rows,
    about: About,
    /// Our group, and what the input is.
    source: Option<Source>,
    /// First offset that the log still has.
    log_start: i64,
    circumstances: Option<Circumstances>,
}

type Machine = Restore<BoundedShard, Box<dyn Fn(bool) -> BoundedShard>>;

impl<'a> Rebuild<'a> {
    fn new(
        shared: &'a Shared,
        (partition, other): (i32, Option<&'a OtherGroup>),
        cancelled: &'a AtomicBool,
        span: &'a mut spans::Restore,
    ) -> Self {
        let policies = shared.policies.get();
        let kept = Kept::new(shared, partition, policies.clone());
        let (rows, about) = (Rows::default(), About::default());
        let (log_append_time, open_end, turn) = (None, 0, None);
        Self {
            shared,
            partition,
            policies,
            cancelled,
            kept,
            other,
            span,
            log_append_time,
            open_end,
            turn,
            rows,
            about,
            source: None,
            log_start: 0,
            circumstances: None,
        }
    }

    /// Fetches what the machine asks for, until it says where the partition goes on.
    fn run(&mut self) -> Result<Box<Ready<BoundedShard>>, Failure> {
        let reader = kafka::reader(&self.shared.config.kafka)?;
        let asker = kafka::asker(&self.shared.config.kafka)?;
        let (mut machine, mut ask) = Restore::begin(self.setup(&reader)?, self.maker());
        loop {
            ask = match ask {
                Ask::Durable => self.durable(&mut machine, &reader, &asker)?,
                Ask::Start => {
                    let start = self.start_offset(&reader)?;
                    tracing::info!(partition = self.partition, start, "first start");
                    machine.start(start)
                }
                Ask::End => self.end(&mut machine, &asker)?,
                Ask::Probe(offset) => machine.probed(self.probe(&reader, offset)?),
                Ask::Snapshots => machine.snapshots(self.kept.list()),
                Ask::Load(index) => {
                    let loaded = self.kept.load(index)?;
                    self.span.loaded(loaded.is_ok().then(|| self.kept.name(index)).flatten());
                    machine.loaded(loaded)
                }
                Ask::Records { from, to } => {
                    self.kept.tell(machine.set_aside(), to);
                    self.records(&mut machine, &reader, from, to)?
                }
                Ask::Halt(reason) => return Err(Failure::Halt(reason)),
                Ask::Rows => {
                    self.rows(&mut machine, &reader)?;
                    machine.rows_end()
                }
                Ask::Done => {
                    let margin_ms = self.shared.clock_margin_ms(self.log_append_time);
                    return machine.finish(margin_ms).map(Box::new).map_err(|it| self.failure(it));
                }
            };
        }
    }

    fn setup(&mut self, reader: &Client) -> Result<Setup, Failure> {
        let shared = self.shared;
        let source = source_of_input(shared, reader)?;
        shared.input_partitions.store(source.partitions, Ordering::Relaxed);
        self.source = Some(source.clone());
        Ok(Setup {
            topic: shared.input.to_string(),
            partition: self.partition,
            source,
            today: Retention::of(&self.policies),
            first_start: match shared.config.input.backfill {
                config::Backfill::Publish => FirstStart::Publish,
                config::Backfill::Silent => FirstStart::Silent,
            },
            on_inconsistency: match shared.config.state.trust_log {
                true => OnInconsistency::TrustLog,
                false => OnInconsistency::Halt,
            },
            max_future_skew_ms: shared.max_future_skew_ms(),
            rules: Rules::ALL,
        })
    }

    fn maker(&self) -> Box<dyn Fn(bool) -> BoundedShard> {
        let (policies, memory) = (self.policies.clone(), self.shared.memory.clone());
        let room = self.shared.room.clone();
        Box::new(move |awake| {
            let (policies, memory) = (policies.clone(), memory.clone());
            let shard = match awake {
                true => Shard::with_memory(policies, memory),
                false => Shard::rebuilding_with_memory(policies, memory),
            };
            BoundedShard::new(shard, &room)
        })
    }

    fn durable(
        &mut self,
        machine: &mut Machine,
        reader: &Client,
        asker: &Client,
    ) -> Result<Ask, Failure> {
        settled::wait(self.shared, (reader, asker), || self.is_cancelled())?;
        if self.turn.is_none() {
            let turn = self.shared.turns.wait(self.cancelled);
            self.turn = Some(turn.ok_or(Failure::Cancelled)?);
        }
        let topic = OpenTopic::of(self.shared, self.partition);
        let mut stored = read_open(&topic, reader, asker, || self.is_cancelled())?;
        self.open_end = stored.end;
        self.rows = std::mem::take(&mut stored.rows);
        let time = (self.stamp()?, self.shared.clock_margin_ms(None));
        let of = (&*self.shared.input, self.partition);
        let durable = durable_of(of, reader, stored, time)?;
        let durable = Durable { other: self.other.cloned(), ..durable };
        self.about = About::of(&durable);
        self.log_start = durable.log_start;
        Ok(machine.durable(durable, self.rows.sum()))
    }

    /// The end of the log, between two looks at the brokers' clock.
    fn end(&self, machine: &mut Machine, asker: &Client) -> Result<Ask, Failure> {
        let (shared, partition) = (self.shared, self.partition);
        let margin_ms = shared.clock_margin_ms(self.log_append_time);
        let asked_at_ms = shared.time.evidence(margin_ms).map_err(Failure::Untimed)?;
        let ends = kafka::end_offsets(asker, &shared.input, &[partition])?;
        let stamp_ms = self.stamp()?;
        Ok(machine.end(asked_at_ms, ends.first().map_or(0, |(_, end)| *end), stamp_ms))
    }

    /// The brokers' clock at some moment from now on, in milliseconds.
    fn stamp(&self) -> Result<i64, Failure> {
        let Shared { time, stamper, .. } = self.shared;
        let stamp = time.wait_for_stamp(stamper, self.partition, time.mono(), self.cancelled);
        stamp.ok_or(Failure::Cancelled)
    }

    fn start_offset(&self, reader: &Client) -> Result<i64, Failure> {
        let topic = &self.shared.input;
        let (log_start, log_end) = reader.fetch_watermarks(topic, self.partition, REQUEST)?;
        let time = match self.shared.config.input.start_from {
            StartFrom::Committed | StartFrom::Earliest => return Ok(log_start),
            StartFrom::Latest => return Ok(log_end),
            StartFrom::At(time) => time,
        };
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(time.secs() * 1000);
        list.add_partition_offset(topic, self.partition, at)?;
        let found = reader.offsets_for_times(list, REQUEST)?;
        Ok(match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => log_end,
        })
    }

    /// The record at an offset, if the log still has it. It tells the kind of timestamps too: behind a
    /// snapshot at the cut there may be no other.
    fn probe(&mut self, reader: &Client, offset: i64) -> Result<Option<LastRecord>, Failure> {
        let mut found = None;
        let (topic, partition) = (&self.shared.input, self.partition);
        read(
            reader,
            topic,
            partition,
            offset,
            offset + 1,
            || self.is_cancelled(),
            |record| {
                found = Some((last_of(record), record.log_append_time));
                Ok(())
            },
        )?;
        self.log_append_time = found.map(|(_, kind)| kind).or(self.log_append_time);
        Ok(found.map(|(last, _)| last))
    }

    /// Hands over the records from `from` up to `to`.
    fn records(
        &mut self,
        machine: &mut Machine,
        reader: &Client,
        from: i64,
        to: i64,
    ) -> Result<Ask, Failure> {
        let mut decoder = Decoder { scans: self.shared.decoder(), schemas: 0 };
        let (shared, partition) = (self.shared, self.partition);
        shared.schemas.renew(&mut decoder.scans, &mut decoder.schemas);
        self.circumstances = self.source.clone().map(|source| Circumstances {
            source,
            log_start: self.log_start,
            schemas: decoder.schemas,
            policies: self.policies.hash().clone(),
        });
        let mut progress = Progress::begin(&shared.bars, partition, (from, to));
        let mut log_append_time = self.log_append_time;
        let mut batch = Batch::default();
        let mut gap_since = machine.gap_since();
        read(
            reader,
            &shared.input,
            partition,
            from,
            to,
            || self.is_cancelled(),
            |record| {
                if let (Some(since), Some(time_ms)) = (gap_since.take(), record.timestamp_ms) {
                    let gap = time_ms.div_euclid(1_000) - since.secs();
                    shared.metrics.state_gap(partition, gap);
                }
                log_append_time = Some(record.log_append_time);
                batch.push(record);
                if batch.len() == AT_ONCE || batch.size() >= BYTES_AT_ONCE {
                    let batch = std::mem::take(&mut batch);
                    self.apply(machine, &mut decoder, &batch)?;
                }
                progress.at(record.offset);
                Ok(())
            },
        )?;
        self.apply(machine, &mut decoder, &batch)?;
        let records = progress.end();
        self.span.read(from, to, records);
        shared.metrics.replayed(records);
        self.log_append_time = log_append_time;
        let packages = machine.known();
        tracing::info!(partition, from, to, records, packages, "package state rebuilt");
        Ok(machine.records_end())
    }

    /// Hands over the rows of the open table.
    fn rows(&mut self, machine: &mut Machine, reader: &Client) -> Result<(), Failure> {
        let topic = OpenTopic::of(self.shared, self.partition);
        let rows = std::mem::take(&mut self.rows);
        let stop = || self.is_cancelled();
        let each = |event| machine.row(event).map_err(|failed| self.failure(failed));
        rows.each(&topic, reader, stop, each)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Applies those of these records that are not left out. One whose schema is not known is waited for.
    fn apply(
        &self,
        machine: &mut Machine,
        decoder: &mut Decoder,
        batch: &Batch,
    ) -> Result<(), Failure> {
        let mut done = 0;
        loop {
            self.shared.schemas.renew(&mut decoder.scans, &mut decoder.schemas);
            let applied = self.apply_up_to_unknown(machine, &mut decoder.scans, batch, done)?;
            if applied > 0 {
                self.shared.turns.progress();
            }
            done += applied;
            let is_done = done == batch.len();
            self.waits((!is_done).then_some(Hold::UnknownSchema));
            if is_done {
                return Ok(());
            }
            if wait(self.cancelled, SCHEMA).is_none() {
                self.waits(None);
                return Err(Failure::Cancelled);
            }
        }
    }

    /// It waits for this reason from here on, or for none.
    fn waits(&self, hold: Option<Hold>) {
        if hold.is_none() {
            self.shared.schemas.goes_on(self.partition);
        }
        self.shared.status.update(self.partition, |status| status.waits = hold);
    }

    /// Applies those of a batch that are not left out, but for the first `done`, up to one whose schema
    /// is not known and has to be. Says how many these were.
    fn apply_up_to_unknown(
        &self,
        machine: &mut Machine,
        decoder: &mut ScanDecoder,
        batch: &Batch,
        done: usize,
    ) -> Result<usize, Failure> {
        let scans = decoder.batch();
        let (mut raws, mut records) = (Vec::new(), Vec::with_capacity(batch.len()));
        let mut seen = 0;
        for raw in batch.iter_from(done) {
            let origin = Origin { log_time: raw.timestamp_ms, offset: raw.offset };
            let read = scans.decode(raw.value.unwrap_or_default(), origin);
            let read = read.map_err(|why| framing::with_headers(why, raw.header_names()));
            let (record, is_rejected) = match read {
                Ok(scan) => (Record::Scan(scan), false),
                Err(Unread::Rejected(rejected)) => (rejected.record(), true),
                Err(Unread::UnknownSchema(unknown)) => {
                    match self.without_schema(machine, raw.offset, unknown) {
                        Taken::Waits => break,
                        Taken::LeftOut | Taken::Applied => {
                            seen += 1;
                            continue;
                        }
                    }
                }
            };
            seen += 1;
            let log_time = record.log_time();
            let log_ms = log_time.map(|it| raw.timestamp_ms.unwrap_or(it.secs() * 1_000));
            match machine.takes(raw.offset, log_ms, raw.by_broker) {
                Taken::LeftOut => {}
                Taken::Waits => return Err(Failure::Untimed(Hold::LogTimeAhead)),
                Taken::Applied => {
                    if is_rejected {
                        machine.rejected(raw.offset);
                    }
                    records.push(record);
                    raws.push(raw);
                }
            }
        }
        let Some(last) = raws.last() else { return Ok(seen) };
        let hash = LastRecord::hash(last.key, last.value);
        let last = LastRecord { offset: last.offset, time_ms: last.timestamp_ms, hash };
        let applied = machine.apply(&records, |at| raws[at].offset, last);
        applied.map_err(|failed| self.failure(failed))?;
        Ok(seen)
    }

    /// What becomes of the record at this offset, whose schema is not known.
    fn without_schema(&self, machine: &mut Machine, offset: i64, unknown: UnknownSchema) -> Taken {
        let schemas = &self.shared.schemas;
        let taken = machine.takes_without_schema(offset, false);
        if taken != Taken::Waits {
            return taken;
        }
        let may_give_up = machine.may_refuse(offset);
        match schemas.look(self.partition, offset, unknown, may_give_up) {
            Verdict::Waits => Taken::Waits,
            Verdict::GivenUp(rejected) => {
                self.shared.unread.rejected(self.partition, offset, &rejected);
                machine.takes_without_schema(offset, true)
            }
        }
    }

    fn failure(&self, failed: Failed<NoRoom>) -> Failure {
        let shown = |key: &PackageKey| self.shared.config.log.tracking_numbers.show(key);
        match failed {
            Failed::NoRoomForRecord(offset, no_room) => Failure::NoRoom(
                format!("the package that the record at offset {offset} brings"),
                no_room,
            ),
            Failed::NoRoomForOpen(key, no_room) => {
                Failure::NoRoom(format!("the open package {}", shown(&key)), no_room)
            }
            Failed::Inconsistent(inconsistent) => {
                Failure::Inconsistent(shown(&inconsistent.key), inconsistent)
            }
            Failed::OpenDiffers(differs) => {
                let all = |keys: &[PackageKey]| keys.iter().map(shown).collect();
                Failure::Halt(HaltReason::OpenDiffers {
                    then: differs.then,
                    now: differs.now,
                    missing: all(&differs.missing),
                    foreign: all(&differs.foreign),
                    proven: differs.proven,
                })
            }
        }
    }
}

fn last_of(record: &RecordView<'_>) -> LastRecord {
    LastRecord {
        offset: record.offset,
        time_ms: record.timestamp_ms,
        hash: LastRecord::hash(record.key, record.value),
    }
}
