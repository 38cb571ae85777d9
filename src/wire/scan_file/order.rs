//! Whether records without a log time are sorted by the time that stands for it.

use std::collections::HashMap;

use super::{FileError, Place};
use crate::detector::time::LogTime;
use crate::wire::scan::raw::Checked;

/// The latest stand-in so far, by partition, and where it stands.
#[derive(Default)]
pub(super) struct Order {
    latest: HashMap<Option<i32>, (LogTime, Place)>,
}

impl Order {
    /// An event time that stands for a missing log time must not go back.
    pub(super) fn check(&mut self, place: Place, checked: &Checked<'_>) -> Result<(), FileError> {
        let Some(time) = checked.log_time().filter(|_| checked.stands_in) else { return Ok(()) };
        match self.latest.get_mut(&checked.partition) {
            Some((latest, after)) if time < *latest => {
                Err(FileError::Unsorted { place, after: *after })
            }
            Some(latest) => {
                *latest = (time, place);
                Ok(())
            }
            None => {
                self.latest.insert(checked.partition, (time, place));
                Ok(())
            }
        }
    }
}
