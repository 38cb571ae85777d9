//! Asks for the end offsets once a round, on a handle and a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::clock::Clock;
use super::kafka::{self, Client};
use super::status::{PartitionStatus, Stage, Status};

/// The end of every partition that has a position, asked for at one wall time.
pub struct Answer {
    /// Wall time before the question, in milliseconds since 1970 UTC.
    pub asked_at_ms: i64,
    /// End offset by partition.
    pub ends: Vec<(i32, i64)>,
}

/// What the thread that asks tells.
pub enum Word {
    /// The ends of these partitions are being asked for.
    Asked(Vec<i32>),
    /// The broker has answered.
    Answered(Answer),
}

/// The thread that asks. It ends when this is dropped.
pub struct Asker {
    /// Questions and answers.
    pub words: Receiver<Word>,
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Asker {
    /// Starts asking, once every `interval`.
    pub fn start(
        client: Client,
        topic: String,
        clock: Arc<dyn Clock>,
        status: Arc<Status>,
        interval: Duration,
    ) -> std::io::Result<Self> {
        let (word, words) = bounded(32);
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new().name("evidence".to_owned()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                ask(&client, &topic, &*clock, &status, &word);
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

fn ask(client: &Client, topic: &str, clock: &dyn Clock, status: &Status, to: &Sender<Word>) {
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
    let asked_at_ms = clock.now_ms();
    match kafka::end_offsets(client, topic, &partitions) {
        Ok(ends) => drop(to.try_send(Word::Answered(Answer { asked_at_ms, ends }))),
        Err(error) => tracing::warn!("{}", kafka::explain(&error, "asking for end offsets")),
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
