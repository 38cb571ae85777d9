//! How many partitions are rebuilt at a time. Each that is has clients, and records that they hold in
//! advance; more of them than there are processors are hardly sooner done together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::service::clock::Stopwatch;

/// Fewest turns: some restores wait for a broker or a store most of their time.
const FEWEST: usize = 4;
/// Nobody waits for a turn behind others that have not come further for so long.
const STILL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Turns to rebuild a partition. Those that have one and stand still, as a broker, a store or a schema
/// keeps them waiting, hold nobody up.
pub struct Turns {
    /// Below zero: so many have not waited for theirs.
    free: Mutex<isize>,
    given_back: Condvar,
    /// Grows whenever one that has a turn comes further.
    progress: AtomicU64,
    still: Duration,
}

/// One turn, until it is dropped.
pub struct Turn<'t>(&'t Turns);

impl Turns {
    /// As many as there are processors, but not too few.
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(FEWEST, usize::from);
        Self::of(processors.max(FEWEST), STILL)
    }

    fn of(turns: usize, still: Duration) -> Self {
        let free = Mutex::new(isize::try_from(turns).unwrap_or(isize::MAX));
        Self { free, given_back: Condvar::new(), progress: AtomicU64::new(0), still }
    }

    /// Waits for a turn; `None` when cancelled.
    pub fn wait(&self, cancelled: &AtomicBool) -> Option<Turn<'_>> {
        let (mut since, mut seen) = (Stopwatch::start(), self.progress.load(Ordering::Relaxed));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free <= 0 && since.elapsed() < self.still {
            if cancelled.load(Ordering::Relaxed) {
                return None;
            }
            let progress = self.progress.load(Ordering::Relaxed);
            if progress != seen {
                (since, seen) = (Stopwatch::start(), progress);
            }
            let waited = self.given_back.wait_timeout(free, LOOK);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Turn(self))
    }

    /// One that has a turn has come further.
    pub fn progress(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.progress();
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);
    const FOR_EVER: Duration = Duration::from_secs(600);

    fn free(turns: &Turns) -> isize {
        *turns.free.lock().unwrap()
    }

    #[test]
    fn a_turn_that_is_given_back_is_the_next_ones() {
        let turns = Turns::of(1, FOR_EVER);
        let first = turns.wait(&GO_ON).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| turns.wait(&GO_ON).map(|turn| (free(&turns), turn)));
            drop(first);
            assert_eq!(second.join().unwrap().map(|(free, _turn)| free), Some(0));
        });
        assert_eq!(free(&turns), 1);
    }

    #[test]
    fn nobody_waits_behind_one_that_stands_still_or_when_cancelled() {
        let turns = Turns::of(1, Duration::from_millis(1));
        let (first, second) = (turns.wait(&GO_ON), turns.wait(&GO_ON));
        assert_eq!((second.is_some(), free(&turns)), (true, -1));
        drop((first, second));
        assert_eq!(free(&turns), 1);
        let turns = Turns::of(0, FOR_EVER);
        assert!(turns.wait(&AtomicBool::new(true)).is_none());
    }

    #[test]
    fn behind_one_that_comes_further_the_next_one_waits() {
        let turns = Turns::of(1, Duration::from_secs(2));
        let first = turns.wait(&GO_ON);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                let turn = turns.wait(&GO_ON);
                is_over.store(true, Ordering::Relaxed);
                turn.is_some()
            });
            let watch = Stopwatch::start();
            while watch.elapsed() < Duration::from_secs(3) {
                turns.progress();
                std::thread::yield_now();
            }
            assert!(!is_over.load(Ordering::Relaxed));
            drop(first);
            assert!(second.join().unwrap());
        });
    }
}
