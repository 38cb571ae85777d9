//! How much one transaction may hold, by what the last ones took.

use std::time::Duration;

/// Most records of a transaction: with 1 KiB each some 8 MB on their way.
const MOST: usize = 8_000;
/// Fewest: what cannot be written at this size is no matter of size.
const FEWEST: usize = 16;

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Budget {
    /// Records of a transaction.
    pub fn records(self) -> usize {
        self.0
    }

    /// An attempt took so long. One that took more than a third of the time-out was too large; what
    /// went well in a tenth may grow again.
    pub fn took(&mut self, time: Duration, timeout: Duration, committed: bool) {
        if is_too_long(time, timeout) {
            self.0 = (self.0 / 2).max(FEWEST);
        } else if committed && time < timeout / 10 {
            self.0 = (self.0 * 2).min(MOST);
        }
    }
}

/// Whether an attempt took longer than one should: more than a third of the time-out.
pub fn is_too_long(time: Duration, timeout: Duration) -> bool {
    time > timeout / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_shrinks_with_what_takes_long_and_grows_again() {
        let (mut budget, timeout) = (Budget::default(), Duration::from_secs(30));
        budget.took(Duration::from_secs(11), timeout, true);
        budget.took(timeout, timeout, false);
        assert_eq!(budget.records(), MOST / 4);
        budget.took(Duration::from_secs(5), timeout, true);
        assert_eq!(budget.records(), MOST / 4, "neither too long nor short");
        budget.took(Duration::from_millis(50), timeout, false);
        assert_eq!(budget.records(), MOST / 4, "what failed at once was not too large");
        budget.took(Duration::from_millis(50), timeout, true);
        budget.took(Duration::from_millis(50), timeout, true);
        budget.took(Duration::from_millis(50), timeout, true);
        assert_eq!(budget.records(), MOST);
    }
}
