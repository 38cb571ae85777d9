//! tokio's `DelayQueue`, on a clock that stands and is moved from second to second.
//!
//! tokio rounds to milliseconds and may be one late, so the clock stands two past the second.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, pause};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue;

use super::watch::{Key, Timers};

pub struct Delays {
    runtime: Runtime,
    queue: DelayQueue<Key>,
    /// The first second, and what the clock shows then.
    start: Option<(u32, Instant)>,
    now: u32,
}

impl Delays {
    fn instant(&self, at: u32) -> Instant {
        let (second, instant) = self.start.expect("the clock is moved before anything is hung up");
        instant + Duration::from_secs((at - second).into())
    }

    fn advance_to(&mut self, second: u32) {
        if self.start.is_none() {
            let now = self.runtime.block_on(async {
                pause();
                let now = Instant::now();
                advance(Duration::from_millis(2)).await;
                now
            });
            self.start = Some((second, now));
        } else if second > self.now {
            let ahead = Duration::from_secs((second - self.now).into());
            self.runtime.block_on(advance(ahead));
        }
        self.now = second;
    }
}

impl Timers for Delays {
    const LAZY: bool = false;
    type Handle = delay_queue::Key;

    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime on this thread needs nothing");
        let queue = {
            let _inside = runtime.enter();
            DelayQueue::new()
        };
        Self { runtime, queue, start: None, now: 0 }
    }

    fn hang(&mut self, at: u32, key: Key) -> delay_queue::Key {
        let when = self.instant(at);
        let _inside = self.runtime.enter();
        self.queue.insert_at(key, when)
    }

    fn move_on(&mut self, entry: delay_queue::Key, _: u32, to: u32, _: Key) -> delay_queue::Key {
        let when = self.instant(to);
        let _inside = self.runtime.enter();
        self.queue.reset_at(&entry, when);
        entry
    }

    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32> {
        self.advance_to(by);
        let (second, instant) = self.start?;
        let _inside = self.runtime.enter();
        match self.queue.poll_expired(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(expired)) => {
                let after = expired.deadline().duration_since(instant).as_secs();
                into.push(expired.into_inner());
                Some(second + after as u32)
            }
            Poll::Ready(None) | Poll::Pending => None,
        }
    }
}
