//! Asks for the end offsets once a round, on a handle and a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::clock::Stopwatch;
use super::kafka::{self, Client};
use super::status::{PartitionStatus, Stage, Status};
use super::telemetry::Metrics;
use super::time::{Time, Watch};
use crate::protocol::evidence::Hold;

/// The end of every partition that has a position, asked for at one time.
pub struct Answer {
    /// Trusted time before the question, in milliseconds since 1970 UTC; or why nobody knows it.
    pub asked_at: Result<i64, Hold>,
    /// End offset by partition.
    pub ends: Vec<(i32, i64)>,
}

/// What the thread that asks tells.
pub enum Word {
    /// The ends of these partitions are being asked for.
    Asked(Vec<i32>),
    /// The broker has answered.
    Answered(Answer),
    /// The broker has not answered, or took its time.
    OutOfReach,
}

/// An answer comes sooner from a broker that is there.
const PROMPT: Duration = Duration::from_secs(2);

/// The thread that asks. It ends when this is dropped.
pub struct Asker {
    /// Questions and answers.
    pub words: Receiver<Word>,
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Asker {
    /// Starts asking, once every `interval`. `margin_ms`: by how much brokers' clocks may differ.
    pub fn start(
        client: Client,
        topic: String,
        (time, margin_ms): (Arc<Time>, i64),
        (status, metrics): (Arc<Status>, Arc<Metrics>),
        interval: Duration,
    ) -> std::io::Result<Self> {
        let (word, words) = bounded(32);
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("evidence".to_owned()).spawn(move || {
            let mut watch = Watch::new(metrics);
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let asked_at = time.evidence(margin_ms);
                watch.look(&time, asked_at);
                ask(&client, &topic, asked_at, &status, &word);
            }
        })?;
        Ok(Self { words, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(
    client: &Client,
    topic: &str,
    asked_at: Result<i64, Hold>,
    status: &Status,
    to: &Sender<Word>,
) {
    let select = |wanted: fn(&PartitionStatus) -> bool| -> Vec<i32> {
        let partitions = status.partitions.iter().filter(|status| wanted(status));
        partitions.map(|status| *status.key()).collect()
    };
    let partitions = select(has_position);
    if partitions.is_empty() {
        return;
    }
    // A full queue means that the engine is busy; it will be asked again.
    let _ = to.try_send(Word::Asked(select(|status| status.stage == Stage::Live)));
    let watch = Stopwatch::start();
    match kafka::end_offsets(client, topic, &partitions) {
        Ok(ends) => drop(to.try_send(Word::Answered(Answer { asked_at, ends }))),
        Err(error) => tracing::warn!("{}", kafka::explain(&error, "asking for end offsets")),
    }
    if watch.elapsed() > PROMPT {
        let _ = to.try_send(Word::OutOfReach);
    }
}

/// Whether an end says something about the partition: what has halted lags, and the lag grows.
fn has_position(partition: &PartitionStatus) -> bool {
    match partition.stage {
        Stage::Live => true,
        Stage::Halted => partition.log_clock.is_some(),
        Stage::Restoring | Stage::Backfilling => false,
    }
}
