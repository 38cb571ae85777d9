//! What was committed before may hang for the topics of exceptions and dead letters, and is ended by the
//! producer that began it (`sink/hanging`). What is published behind it would come first where it is
//! sent anew, so a restore waits for that.

use std::time::Duration;

use super::Failure;
use crate::config::OnReject;
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, Client};

/// An instance that is gone ends nothing. Until somebody does, no reader of committed data gets past it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until readers of committed data have reached what is there now.
pub fn wait(
    shared: &Shared,
    (reader, asker): (&Client, &Client),
    stop: impl Fn() -> bool,
) -> Result<(), Failure> {
    let mut topics = vec![&shared.topics.exceptions];
    if shared.config.input.on_reject == OnReject::DeadLetter {
        topics.push(&shared.topics.dead_letter);
    }
    let watch = Stopwatch::start();
    for topic in topics {
        let count = kafka::partition_count(asker, topic)?;
        let partitions: Vec<i32> = (0..i32::try_from(count).unwrap_or(i32::MAX)).collect();
        let ends = kafka::end_offsets(asker, topic, &partitions)?;
        loop {
            let stable = kafka::end_offsets(reader, topic, &partitions)?;
            let mut pairs = ends.iter().zip(&stable);
            let Some(((partition, _), (_, from))) =
                pairs.find(|((_, end), (_, stable))| stable < end)
            else {
                break;
            };
            if stop() {
                return Err(Failure::Cancelled);
            }
            if watch.elapsed() > PATIENCE {
                tracing::warn!(
                    "partition {partition} of {topic}: a transaction has been open from offset {from} on for {} s, and nobody can read what is behind it: start the instance again that left it, which ends it as the rest of it was ended; aborted by hand it would lose what may have been committed elsewhere",
                    watch.elapsed().as_secs()
                );
                break;
            }
            std::thread::park_timeout(PAUSE);
        }
    }
    Ok(())
}
