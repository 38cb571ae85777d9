//! The cancellable wheel of the library `hierarchical_hash_wheel_timer`, one of its ticks a second.

use std::rc::Rc;
use std::time::Duration;

use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::cancellable::{
    CancellableTimerEntry, QuadWheelWithOverflow,
};

use super::watch::{Key, Timers};

#[derive(Debug)]
struct Entry(Key);

impl CancellableTimerEntry for Entry {
    type Id = Key;

    fn id(&self) -> &Key {
        &self.0
    }
}

pub struct Wheel {
    wheel: QuadWheelWithOverflow<Entry>,
    now: Option<u32>,
}

impl Timers for Wheel {
    const LAZY: bool = false;
    type Handle = ();

    fn new() -> Self {
        Self { wheel: QuadWheelWithOverflow::new(), now: None }
    }

    fn hang(&mut self, at: u32, key: Key) {
        let ahead = at - self.now.unwrap_or(at);
        let delay = Duration::from_millis(ahead.into());
        let inserted = self.wheel.insert_ref_with_delay(Rc::new(Entry(key)), delay);
        inserted.expect("deadlines lie ahead");
    }

    fn move_on(&mut self, (): (), _: u32, to: u32, key: Key) {
        self.wheel.cancel(&key).expect("the entry has not come up");
        self.hang(to, key);
    }

    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32> {
        let now = self.now.get_or_insert(by);
        while *now < by {
            match self.wheel.can_skip() {
                Skip::Empty => {
                    self.wheel.skip(by - *now);
                    *now = by;
                }
                Skip::Millis(seconds) => {
                    let seconds = seconds.min(by - *now);
                    self.wheel.skip(seconds);
                    *now += seconds;
                }
                Skip::None => {
                    *now += 1;
                    into.extend(self.wheel.tick().iter().map(|entry| entry.0));
                    if !into.is_empty() {
                        return Some(*now);
                    }
                }
            }
        }
        None
    }
}
