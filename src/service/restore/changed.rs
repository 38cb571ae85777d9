//! Whether anything has changed since a partition halted. Its log is long, so it is read again only then.

use std::sync::Arc;

use super::{Failure, group_and_log, read, source_of_input};
use crate::protocol::cut::Source;
use crate::protocol::halt::{About, HALT_KEY};
use crate::protocol::trusted_time::TIME_KEY;
use crate::service::Shared;
use crate::service::clock::Stopwatch;
use crate::service::kafka::{self, REQUEST};

/// What the outcome of a restore depends on, beside what is stored and the records themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Our group, and what the input is.
    pub source: Source,
    /// First offset that the log still has.
    pub log_start: i64,
    /// Which state of the schemas it began with.
    pub schemas: u64,
    /// The policies of the day.
    pub policies: Arc<str>,
}

/// What a look at a partition that has halted found.
pub enum Found {
    /// Everything is as it was; the `open` topic has been looked at up to here.
    Nothing(i64),
    /// Something has changed, or cannot be told.
    Something,
}

/// Looks whether anything has changed since this was so, `about` was stored, and the `open` topic ended at
/// `from`.
pub fn look(
    shared: &Shared,
    partition: i32,
    then: &Circumstances,
    about: &About,
    from: i64,
) -> Found {
    match unchanged(shared, partition, then, about, from) {
        Ok(Some(end)) => {
            tracing::debug!(partition, "nothing has changed since it halted");
            Found::Nothing(end)
        }
        Ok(None) => Found::Something,
        Err(failure) => {
            tracing::debug!(partition, "looking whether anything has changed: {failure}");
            Found::Something
        }
    }
}

fn unchanged(
    shared: &Shared,
    partition: i32,
    then: &Circumstances,
    about: &About,
    from: i64,
) -> Result<Option<i64>, Failure> {
    let reader = kafka::reader(&shared.config.kafka)?;
    let asker = kafka::asker(&shared.config.kafka)?;
    let (group, log_start, _) = group_and_log((&shared.input, partition), &reader)?;
    let now = Circumstances {
        source: source_of_input(shared, &reader)?,
        log_start,
        schemas: shared.schemas.version(),
        policies: shared.policies.get().hash().clone(),
    };
    if now != *then || group.map(|(offset, _)| offset) != about.group {
        return Ok(None);
    }
    let open = &shared.topics.open;
    let ends = kafka::end_offsets(&asker, open, &[partition])?;
    let end = ends.first().map_or(from, |(_, end)| *end);
    let (mut is_as_it_was, watch) = (true, Stopwatch::start());
    read(
        &reader,
        open,
        partition,
        from,
        end,
        || watch.elapsed() > REQUEST,
        |record| {
            is_as_it_was &= says_nothing(record.key.unwrap_or_default());
            Ok(())
        },
    )?;
    Ok(is_as_it_was.then_some(end.max(from)))
}

/// Whether a record of the `open` topic with this key changes nothing: it was written for its stamp, or
/// tells of the halt.
fn says_nothing(key: &[u8]) -> bool {
    [TIME_KEY, HALT_KEY].iter().any(|ours| key == ours.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::agree::ANSWER_KEY;
    use crate::protocol::cut::CUT_KEY;

    #[test]
    fn answers_cuts_and_rows_change_something_stamps_and_words_of_halts_do_not() {
        for key in [ANSWER_KEY, CUT_KEY, "ups:1Z1:no_movement", ":of-a-later-version", ""] {
            assert!(!says_nothing(key.as_bytes()), "{key}");
        }
        assert!(says_nothing(TIME_KEY.as_bytes()) && says_nothing(HALT_KEY.as_bytes()));
    }
}
