//! Memory made ready off the hot threads.
//!
//! The first touch of a huge page costs up to milliseconds, and so does giving one back. A thread of
//! its own keeps some blocks ready, takes those that are given back for it and lets go of the rest,
//! so that a shard that grows never waits for either.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::detector::memory::{Block, BlockSource};

/// Blocks of 2 MiB that are kept ready where nothing else is said, once the first one was asked for.
const AHEAD: usize = 16;

/// Blocks that a thread has touched already. The thread ends with the last handle.
pub struct ReadyBlocks {
    shared: Arc<Shared>,
}

struct Shared {
    /// How many blocks are kept ready.
    ahead: usize,
    stock: Mutex<Stock>,
    changed: Condvar,
}

#[derive(Default)]
struct Stock {
    ready: VecDeque<Block>,
    returned: Vec<Block>,
    /// Whether a block was asked for yet: until then none is made ready.
    begun: bool,
    over: bool,
}

impl ReadyBlocks {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        Self::start_with(AHEAD)
    }

    /// Starts the thread, to keep so many blocks of 2 MiB ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_with(ahead: usize) -> std::io::Result<Self> {
        let (stock, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { ahead, stock, changed });
        let keeper = shared.clone();
        thread::Builder::new().name("memory".to_owned()).spawn(move || keeper.keep())?;
        Ok(Self { shared })
    }

    /// Waits until the blocks that are kept ready are ready; asks for them if nobody has.
    pub fn wait(&self) {
        let mut stock = self.shared.lock();
        stock.begun = true;
        self.shared.changed.notify_all();
        while stock.ready.len() < self.shared.ahead {
            stock = self.shared.wait(stock);
        }
    }
}

impl BlockSource for ReadyBlocks {
    fn take(&self, huge: bool) -> Block {
        if !huge {
            return Block::map(false);
        }
        let ready = {
            let mut stock = self.shared.lock();
            stock.begun = true;
            self.shared.changed.notify_all();
            stock.ready.pop_front()
        };
        ready.unwrap_or_else(|| Block::map(true))
    }

    fn give_back(&self, blocks: Vec<Block>) {
        self.shared.lock().returned.extend(blocks);
        self.shared.changed.notify_all();
    }
}

impl Drop for ReadyBlocks {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&'s self, stock: MutexGuard<'s, Stock>) -> MutexGuard<'s, Stock> {
        self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is never held while a block is mapped, touched, wiped or let go of.
    fn keep(&self) {
        let mut stock = self.lock();
        while !stock.over {
            let wanted = stock.begun && stock.ready.len() < self.ahead;
            let returned = stock.returned.pop();
            if returned.is_none() && !wanted {
                stock = self.wait(stock);
                continue;
            }
            drop(stock);
            let ready = match returned {
                None => Some(fresh()),
                Some(block) if wanted => used_again(block),
                Some(block) => {
                    drop(block);
                    None
                }
            };
            stock = self.lock();
            stock.ready.extend(ready);
            self.changed.notify_all();
        }
    }
}

/// A block from the system, ready.
fn fresh() -> Block {
    let mut block = Block::map(true);
    block.touch();
    block
}

/// A block that was given back, ready and empty; `None`, and it is let go of, where it is of small
/// pages.
fn used_again(mut block: Block) -> Option<Block> {
    let huge = block.can_be_huge();
    huge.then(|| {
        block.wipe();
        block
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::memory::{BLOCK, Slab};

    #[test]
    fn blocks_are_ready_and_empty_and_can_be_given_back() {
        let source = ReadyBlocks::start().unwrap();
        source.wait();
        let mut slab: Slab<u64> = Slab::default();
        let numbers = (0..AHEAD * 2).map(|block| block * (BLOCK / 8) + 7);
        for number in numbers.clone() {
            slab.provide(number, &source);
            assert_eq!(slab.get(number), Some(&0));
            *slab.get_mut(number).unwrap() = 1;
        }
        slab.clear(&source);
        source.wait();
        for number in numbers {
            slab.provide(number, &source);
            assert_eq!(slab.get(number), Some(&0));
        }
    }
}
