//! What else one would build it with. All keep the same of a package, by a key of 16 bytes that is
//! made ready beforehand, in a hash map; they differ in how they wait for its silence.

mod btree;
mod delay_queue;
mod heap;
mod ring;
mod watch;
mod wheel;

use std::io;

use crate::contest::{Measured, Plan, SEGMENTS, measure};
use watch::Watch;

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
        run: |plan, segments| measure(plan, segments, false, Watch::<ring::Ring>::new),
    },
    Peer {
        name: "binary_heap",
        about: "hash map, lazy binary heap",
        segments: SEGMENTS,
        run: |plan, segments| measure(plan, segments, false, Watch::<heap::Heap>::new),
    },
    Peer {
        name: "hierarchical_hash_wheel_timer",
        about: "hash map, the library's cancellable wheel",
        segments: SEGMENTS / 4,
        run: |plan, segments| measure(plan, segments, false, Watch::<wheel::Wheel>::new),
    },
    Peer {
        name: "delay_queue",
        about: "hash map, tokio's DelayQueue",
        segments: SEGMENTS / 4,
        run: |plan, segments| measure(plan, segments, false, Watch::<delay_queue::Delays>::new),
    },
    Peer {
        name: "btree",
        about: "hash map, ordered set of deadlines",
        segments: SEGMENTS / 4,
        run: |plan, segments| measure(plan, segments, false, Watch::<btree::Tree>::new),
    },
];
