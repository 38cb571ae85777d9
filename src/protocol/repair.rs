//! What brings the `open` table back to what was published, where others have written to it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::open_sum::OpenSum;
use crate::detector::exception::ExceptionEvent;
use crate::detector::key::PackageKey;

/// A row of the `open` table that is written again, or deleted: nothing is published with it.
#[derive(Clone, Debug)]
pub struct Row {
    /// The last event of its exception.
    pub event: ExceptionEvent,
    /// It is written.
    pub open: bool,
}

/// A table that does not hold what was published.
#[derive(Debug)]
pub struct Table {
    /// Count and sum of what was published.
    pub published: OpenSum,
    /// What it holds.
    pub rows: Vec<ExceptionEvent>,
    /// What it would hold by the packages' state and the policies of today.
    pub by_state: Vec<ExceptionEvent>,
}

impl Table {
    /// What the table held, where count and sum prove it: what the state says, or one row less or one
    /// row more than there are.
    pub fn proven(&self) -> Option<Vec<ExceptionEvent>> {
        if OpenSum::of(&self.by_state) == self.published {
            return Some(self.by_state.clone());
        }
        let now = OpenSum::of(&self.rows);
        if let Some(at) = self.rows.iter().position(|row| now.is_with(&self.published, row)) {
            let mut rows = self.rows.clone();
            rows.remove(at);
            return Some(rows);
        }
        let missing = self.by_state.iter().find(|row| self.published.is_with(&now, row))?;
        Some(self.rows.iter().chain([missing]).cloned().collect())
    }

    /// The rows that make this table that one.
    pub fn changes(&self, to: &[ExceptionEvent]) -> Vec<Row> {
        let name = |row: &ExceptionEvent| (row.key.clone(), row.kind);
        let wanted: BTreeMap<_, _> = to.iter().map(|row| (name(row), identity(row))).collect();
        let there: BTreeMap<_, _> =
            self.rows.iter().map(|row| (name(row), identity(row))).collect();
        let deleted = self.rows.iter().filter(|row| !wanted.contains_key(&name(row)));
        let deleted = deleted.map(|event| Row { event: event.clone(), open: false });
        let written = to.iter().filter(|row| there.get(&name(row)) != Some(&identity(row)));
        written.map(|event| Row { event: event.clone(), open: true }).chain(deleted).collect()
    }

    /// Packages of which there is no row as the state has it, and of which there is one that it has not.
    pub fn differences(&self) -> (Vec<PackageKey>, Vec<PackageKey>) {
        let only = |ours: &[ExceptionEvent], theirs: &[ExceptionEvent]| {
            let theirs: BTreeMap<_, _> = theirs.iter().map(identity).collect();
            let ours = ours.iter().filter(|row| {
                let (id, sequence) = identity(row);
                theirs.get(&id) != Some(&sequence)
            });
            ours.map(|row| row.key.clone()).collect()
        };
        (only(&self.by_state, &self.rows), only(&self.rows, &self.by_state))
    }
}

fn identity(row: &ExceptionEvent) -> (Uuid, u32) {
    (row.exception_id, row.sequence)
}
