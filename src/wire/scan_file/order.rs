//! Whether records without a log time are sorted by the time that stands for it.

use std::collections::HashMap;

use super::{FileError, Place};
use crate::detector::time::LogTime;

/// The latest stand-in so far, by partition, and where it stands.
#[derive(Default)]
pub(super) struct Order {
    latest: HashMap<Option<i32>, (LogTime, Place)>,
}

impl Order {
    /// An event time that stands for a missing log time must not go back. `time` is none where the
    /// record has neither.
    #[inline(never)]
    pub(super) fn check(
        &mut self,
        place: Place,
        partition: Option<i32>,
        time: Option<LogTime>,
    ) -> Result<(), FileError> {
        let Some(time) = time else { return Ok(()) };
        match self.latest.get_mut(&partition) {
            Some((latest, after)) if time < *latest => {
                Err(FileError::Unsorted { place, after: *after })
            }
            Some(latest) => {
                *latest = (time, place);
                Ok(())
            }
            None => {
                self.latest.insert(partition, (time, place));
                Ok(())
            }
        }
    }
}
