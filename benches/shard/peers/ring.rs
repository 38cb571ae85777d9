//! A ring of seconds, each with the keys to look at then: the strongest of the simple designs.

use super::watch::{Key, Timers};

/// Seconds around the ring; more than any deadline lies ahead.
const SECONDS: usize = 1 << 18;

pub struct Ring {
    seconds: Vec<Vec<Key>>,
    now: Option<u32>,
}

impl Timers for Ring {
    const LAZY: bool = true;
    type Handle = ();

    fn new() -> Self {
        Self { seconds: (0..SECONDS).map(|_| Vec::new()).collect(), now: None }
    }

    fn hang(&mut self, at: u32, key: Key) {
        self.seconds[at as usize % SECONDS].push(key);
    }

    fn move_on(&mut self, (): (), _: u32, _: u32, _: Key) {}

    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32> {
        let from = self.now.map_or(by, |now| now + 1);
        for second in from..=by {
            self.now = Some(second);
            let keys = &mut self.seconds[second as usize % SECONDS];
            if !keys.is_empty() {
                into.append(&mut std::mem::take(keys));
                return Some(second);
            }
        }
        None
    }
}
