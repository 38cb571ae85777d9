//! Each distinct value once, counted by those who refer to it.
//!
//! A value that nobody refers to any more stays for a while, for many come back, and is given up by
//! [`Interner::sweep`] alone. So a number that was found stays right until the next sweep, whoever
//! releases it, and what was looked up ahead need not be looked up again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chunks::Chunks;
use super::index::{Hashes, Index};
use super::memory::{BlockSource, SystemBlocks, prefetch};

/// Values without a holder that are kept.
const IDLE: usize = 256;
/// Stands in the count of holders of a value that waits among those without one.
const WAITS: u32 = 1 << 31;

/// Values by number. A number stays right as long as somebody holds it, and until the next sweep.
pub struct Interner<T> {
    index: Index,
    values: Chunks<Option<T>>,
    hashes: Chunks<u64>,
    /// How many hold each number: apart from the values, since it changes far more often.
    holders: Chunks<u32>,
    free: Vec<u32>,
    /// Numbers that had no holder at some time since they were last looked at, oldest first.
    waiting: VecDeque<u32>,
    source: Arc<dyn BlockSource>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self::new(Arc::new(SystemBlocks))
    }
}

impl Hashes for Chunks<u64> {
    fn hash(&self, id: u32) -> u64 {
        *self.get(id)
    }

    fn prefetch(&self, id: u32) {
        prefetch(self.get(id));
    }
}

impl<T> Interner<T> {
    /// Nothing; the memory of the index comes from this source.
    pub fn new(source: Arc<dyn BlockSource>) -> Self {
        Self {
            index: Index::default(),
            values: Chunks::default(),
            hashes: Chunks::default(),
            holders: Chunks::default(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            source,
        }
    }

    /// The number of a value that is there.
    #[inline]
    pub fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |id| self.values.get(id).as_ref().is_some_and(&same))
    }

    /// The number of a value that may be the one of this hash, told without looking at any.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        self.index.candidate(hash)
    }

    /// Hints that a hash is going to be looked up.
    #[inline]
    pub fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Holds a value that is there, or keeps a new one; true where it is new.
    pub fn hold(
        &mut self,
        hash: u64,
        same: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> (u32, bool) {
        if let Some(id) = self.find(hash, same) {
            self.hold_again(id);
            return (id, false);
        }
        let id = match self.free.pop() {
            Some(id) => {
                *self.values.get_mut(id) = Some(make());
                *self.hashes.get_mut(id) = hash;
                *self.holders.get_mut(id) = 1;
                id
            }
            None => {
                self.values.push(Some(make()));
                self.hashes.push(hash);
                self.holders.push(1)
            }
        };
        self.index.insert(hash, id, &self.hashes, &*self.source);
        (id, true)
    }

    /// One more holder of a number that is there already.
    #[inline]
    pub fn hold_again(&mut self, id: u32) {
        *self.holders.get_mut(id) += 1;
    }

    /// One holder less.
    #[inline]
    pub fn release(&mut self, id: u32) {
        let holders = self.holders.get_mut(id);
        *holders -= 1;
        if *holders == 0 {
            *holders = WAITS;
            self.waiting.push_back(id);
        }
    }

    /// Gives up a value that nobody holds, if more than a few are kept for nobody. To be called
    /// until it gives none.
    #[inline]
    pub fn sweep(&mut self) -> Option<(u32, T)> {
        if self.waiting.len() <= IDLE { None } else { self.sweep_to(IDLE) }
    }

    /// Gives up a value that nobody holds. To be called until it gives none.
    pub fn sweep_all(&mut self) -> Option<(u32, T)> {
        self.sweep_to(0)
    }

    fn sweep_to(&mut self, kept: usize) -> Option<(u32, T)> {
        while self.waiting.len() > kept {
            let id = self.waiting.pop_front()?;
            let holders = self.holders.get_mut(id);
            *holders &= !WAITS;
            if *holders == 0 {
                return self.values.get_mut(id).take().map(|value| {
                    self.index.remove(*self.hashes.get(id), id);
                    self.free.push(id);
                    (id, value)
                });
            }
        }
        None
    }

    /// The value of a number that is there.
    #[inline]
    pub fn get(&self, id: u32) -> &T {
        self.values.get(id).as_ref().expect("a number is looked up only while it is there")
    }

    /// Hints that the value of a number is wanted soon.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        if let Some(value) = self.values.at(id) {
            prefetch(value);
        }
        self.prefetch_holders(id);
    }

    /// Hints that a value is going to be held once more or once less.
    #[inline]
    pub fn prefetch_holders(&self, id: u32) {
        if let Some(holders) = self.holders.at(id) {
            prefetch(holders);
        }
    }

    /// The numbers of all values that are there.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        (0..self.values.len()).filter(|&id| self.values.get(id).is_some())
    }

    /// All numbers are below this.
    pub fn slots(&self) -> usize {
        self.values.len() as usize
    }

    /// Every value that somebody holds, by number.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &T)> {
        let held = |id: &u32| self.holders.get(*id) & !WAITS > 0;
        let ids = (0..self.values.len()).filter(held);
        ids.filter_map(|id| Some((id, self.values.get(id).as_ref()?)))
    }

    /// Changes every value that is there, but nothing that it is found by.
    pub fn change_each(&mut self, change: impl Fn(&mut T)) {
        for id in 0..self.values.len() {
            if let Some(value) = self.values.get_mut(id) {
                change(value);
            }
        }
    }

    /// Keeps a value that is not there yet for so many holders, at least one. Numbers count up from
    /// zero as long as none was released.
    pub fn load(&mut self, hash: u64, value: T, holders: u32) -> u32 {
        let (id, _) = self.hold(hash, |_| false, || value);
        *self.holders.get_mut(id) = holders;
        id
    }

    /// How many distinct values are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(interner: &mut Interner<String>, text: &str) -> (u32, bool) {
        interner.hold(text.len() as u64, |other| other == text, || text.to_owned())
    }

    #[test]
    fn a_value_without_a_holder_goes_with_the_sweep_and_its_number_is_used_again() {
        let mut interner = Interner::default();
        let (a, new) = hold(&mut interner, "a");
        assert!(new);
        assert_eq!(hold(&mut interner, "a"), (a, false));
        let (b, _) = hold(&mut interner, "b");
        assert_ne!(a, b);
        interner.release(a);
        assert_eq!(interner.sweep_all(), None);
        interner.release(a);
        assert_eq!(interner.get(a), "a", "it stays until the sweep");
        assert_eq!(interner.sweep_all(), Some((a, "a".to_owned())));
        assert_eq!(interner.len(), 1);
        assert_eq!(hold(&mut interner, "c"), (a, true));
        assert_eq!(interner.get(b), "b");
    }

    #[test]
    fn a_value_that_is_held_again_is_not_swept() {
        let mut interner = Interner::default();
        let (a, _) = hold(&mut interner, "a");
        for _ in 0..3 {
            interner.release(a);
            assert_eq!(hold(&mut interner, "a"), (a, false));
        }
        assert_eq!(interner.sweep_all(), None);
        assert_eq!(interner.waiting.len(), 0);
        interner.release(a);
        assert_eq!(interner.sweep_all(), Some((a, "a".to_owned())));
    }

    #[test]
    fn few_values_are_kept_for_nobody() {
        let mut interner = Interner::default();
        for number in 0..3_000 {
            let (id, new) = hold(&mut interner, &"x".repeat(number));
            assert!(new);
            interner.release(id);
        }
        while interner.sweep().is_some() {}
        assert_eq!(interner.len(), IDLE);
        assert_eq!(hold(&mut interner, &"x".repeat(2_999)), (2_999, false));
    }
}
