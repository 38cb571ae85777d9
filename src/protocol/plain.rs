//! A shard that nothing limits: the simplest [`Packages`], which the tests and the simulation drive.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};

use super::held::Packages;
use crate::detector::exception::ExceptionEvent;
use crate::detector::scan::{Outcome, Record};
use crate::detector::shard::{Inconsistent, Shard};

/// A shard without a limit.
pub struct Plain(pub Shard);

impl Deref for Plain {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.0
    }
}

impl DerefMut for Plain {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.0
    }
}

impl Packages for Plain {
    type NoRoom = Infallible;

    fn apply_all(
        &mut self,
        mut records: &[Record<'_>],
        most: usize,
        outcomes: &mut Vec<Option<Outcome>>,
    ) -> Result<(), Infallible> {
        while !records.is_empty() && self.0.waiting() < most {
            records = &records[self.0.apply(records, outcomes).records..];
        }
        Ok(())
    }

    fn take_open(
        &mut self,
        event: &ExceptionEvent,
    ) -> Result<Result<(), Inconsistent>, Infallible> {
        Ok(self.0.restore_open(event))
    }
}
