//! Deadlines in an ordered set, removed and inserted at every movement.

use std::collections::BTreeSet;

use super::watch::{Key, Timers};

pub struct Tree(BTreeSet<(u32, Key)>);

impl Timers for Tree {
    const LAZY: bool = false;
    type Handle = ();

    fn new() -> Self {
        Self(BTreeSet::new())
    }

    fn hang(&mut self, at: u32, key: Key) {
        self.0.insert((at, key));
    }

    fn move_on(&mut self, (): (), from: u32, to: u32, key: Key) {
        self.0.remove(&(from, key));
        self.0.insert((to, key));
    }

    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32> {
        let second = self.0.first()?.0;
        if second > by {
            return None;
        }
        while let Some((at, key)) = self.0.first().copied()
            && at == second
        {
            self.0.pop_first();
            into.push(key);
        }
        Some(second)
    }
}
