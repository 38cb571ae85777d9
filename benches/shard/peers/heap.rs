//! One entry a package in a binary heap, put back when it comes up too early.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::watch::{Key, Timers};

pub struct Heap(BinaryHeap<Reverse<(u32, Key)>>);

impl Timers for Heap {
    const LAZY: bool = true;
    type Handle = ();

    fn new() -> Self {
        Self(BinaryHeap::new())
    }

    fn hang(&mut self, at: u32, key: Key) {
        self.0.push(Reverse((at, key)));
    }

    fn move_on(&mut self, (): (), _: u32, _: u32, _: Key) {}

    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32> {
        let Reverse((second, _)) = *self.0.peek()?;
        if second > by {
            return None;
        }
        while let Some(Reverse((at, key))) = self.0.peek().copied()
            && at == second
        {
            self.0.pop();
            into.push(key);
        }
        Some(second)
    }
}
