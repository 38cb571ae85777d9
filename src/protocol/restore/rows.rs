//! The rows of the `open` table in a restore: taken over one by one, and only where they are not what was
//! published all of them together.

use std::cmp::Ordering;

use super::{Ask, Failed, OpenDiffers, Phase, Purpose, Restore};
use crate::detector::exception::{Change, ExceptionEvent};
use crate::detector::open::kind_of;
use crate::detector::package::Package;
use crate::detector::shard::Retention;
use crate::detector::time::Frontier;
use crate::protocol::held::Packages;
use crate::protocol::open_sum::OpenSum;
use crate::protocol::repair::Table;

impl<S: Packages, F: Fn(bool) -> S> Restore<S, F> {
    /// The next row of the `open` table. Where the table holds what was published it is taken over at
    /// once, else it is kept until all are there.
    ///
    /// # Errors
    /// As [`Restore::finish`].
    pub fn row(&mut self, event: ExceptionEvent) -> Result<(), Failed<S::NoRoom>> {
        let Some(mut packages) = self.packages.take() else { return Ok(()) };
        let taken = if !self.setup.rules.open_after_records {
            let _ = packages.take_open(&event);
            Ok(())
        } else if self.published_else().is_some() {
            self.open.push(event);
            Ok(())
        } else {
            self.take_open(&mut packages, &event)
        };
        self.packages = Some(packages);
        taken
    }

    /// All rows have been handed over. What comes of them is in order of their packages, whatever order
    /// they came in.
    pub fn rows_end(&mut self) -> Ask {
        self.open.sort_by(by_package);
        self.closings.sort_by(by_package);
        match self.phase {
            Phase::Rows { from: Some(from) } => {
                self.go(Phase::Records, Ask::Records { from, to: self.to })
            }
            _ => self.go(Phase::Over, Ask::Done),
        }
    }

    /// What was published, where the `open` table does not hold that.
    pub(super) fn published_else(&self) -> Option<OpenSum> {
        let Some(Purpose::GoOn(cut)) = &self.purpose else { return None };
        let published = cut.open.filter(|_| self.setup.rules.open_table_agrees);
        published.filter(|published| *published != self.table)
    }

    /// The table does not hold what was published: where that is accepted, it is brought back to what it
    /// was, if that is proven, and taken over. What it holds from now on.
    pub(super) fn settle_table(
        &mut self,
        packages: &mut S,
        frontier: Option<Frontier>,
        published: OpenSum,
    ) -> Result<OpenSum, Failed<S::NoRoom>> {
        let now = self.table;
        let frontier = frontier.max(packages.log_clock().map(Frontier::at));
        let by_state = frontier.map(|at| packages.open_by_state(at)).unwrap_or_default();
        let table = Table { published, rows: std::mem::take(&mut self.open), by_state };
        let proven = table.proven();
        if !self.open_accepted {
            let (missing, foreign) = table.differences();
            let (then, now, proven) = (published.count, now.count, proven.is_some());
            let differs = OpenDiffers { then, now, missing, foreign, proven };
            return Err(Failed::OpenDiffers(Box::new(differs)));
        }
        let (open, rows) = match proven {
            Some(rows) => {
                self.rows = table.changes(&rows);
                (published, rows)
            }
            None => (now, table.rows),
        };
        rows.iter().try_for_each(|event| self.take_open(packages, event))?;
        Ok(open)
    }

    /// An open exception from the table: only what has been published is open. One that the log
    /// contradicts is closed, or halts the partition.
    fn take_open(
        &mut self,
        packages: &mut S,
        event: &ExceptionEvent,
    ) -> Result<(), Failed<S::NoRoom>> {
        if !self.setup.rules.given_back && packages.package(&event.key).is_none() {
            return Ok(());
        }
        let no_room = |no_room| Failed::NoRoomForOpen(event.key.clone(), no_room);
        match packages.take_open(event).map_err(no_room)? {
            Ok(()) => Ok(()),
            Err(_) if self.trust_log => {
                let package = packages.package(&event.key).map(|view| view.package);
                self.closings.push(closing(event, package, self.setup.today));
                Ok(())
            }
            Err(inconsistent) => Err(Failed::Inconsistent(inconsistent)),
        }
    }
}

fn by_package(one: &ExceptionEvent, other: &ExceptionEvent) -> Ordering {
    one.key.cmp(&other.key).then(one.kind.cmp(&other.kind))
}

/// What ends an exception that the log contradicts: the package has moved, in time or later, or the
/// log does not tell of it, and we give up watching.
fn closing(event: &ExceptionEvent, package: Option<Package>, today: Retention) -> ExceptionEvent {
    let moved = package.filter(|package| {
        kind_of(package.phase) != Some(event.kind) || package.anchor > event.anchor
    });
    let moved = moved.map(|package| package.anchor);
    let change = match moved {
        Some(moved) if moved.secs() < event.opened_deadline.secs() => Change::Retracted,
        Some(_) => Change::Resolved,
        None => Change::Expired,
    };
    let silent_for_s =
        moved.map_or(today.forget_after, |it| (it.secs() - event.anchor.secs()).max(0));
    let sequence = event.sequence + 1;
    ExceptionEvent { sequence, change, silent_for_s, closed_by: None, ..event.clone() }
}
