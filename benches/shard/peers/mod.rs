//! What else one would build it with. All keep the same of a package, by a key of 16 bytes that is
//! made ready beforehand, in a hash map, and find the numbers of a scan's texts in maps; they differ
//! in how they wait for a silence.

mod btree;
mod delay_queue;
mod heap;
mod ring;
mod texts;
mod watch;
mod wheel;

use std::io;

use crate::contest::{Measured, Plan, SEGMENTS, measure};
use crate::records;
use watch::{Timers, Watch};

/// A design to be measured against.
pub struct Peer {
    /// As on the command line and in the output.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Segments of the steady state it is measured over; the slow ones over fewer.
    pub segments: usize,
    run: fn(&Plan, usize) -> io::Result<Measured>,
}

impl Peer {
    /// Measures it in this process.
    pub fn run(&self, plan: &Plan) -> io::Result<Measured> {
        (self.run)(plan, self.segments)
    }
}

/// All of them.
pub const PEERS: [Peer; 5] = [
    Peer {
        name: "hashbrown_ring",
        about: "hash map, lazy ring of seconds",
        segments: SEGMENTS,
        run: watch::<ring::Ring>,
    },
    Peer {
        name: "binary_heap",
        about: "hash map, lazy binary heap",
        segments: SEGMENTS,
        run: watch::<heap::Heap>,
    },
    Peer {
        name: "hierarchical_hash_wheel_timer",
        about: "hash map, the library's cancellable wheel",
        segments: SEGMENTS / 4,
        run: watch::<wheel::Wheel>,
    },
    Peer {
        name: "delay_queue",
        about: "hash map, tokio's DelayQueue",
        segments: SEGMENTS / 4,
        run: watch::<delay_queue::Delays>,
    },
    Peer {
        name: "btree",
        about: "hash map, ordered set of deadlines",
        segments: SEGMENTS / 4,
        run: watch::<btree::Tree>,
    },
];

fn watch<T: Timers>(plan: &Plan, segments: usize) -> io::Result<Measured> {
    let words = records::Texts::new(plan.bare);
    measure(plan, segments, false, || Watch::<T>::new(&words))
}
