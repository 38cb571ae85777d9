//! What a process takes for the time: stamps of the brokers that come with acknowledgements, and its
//! own clocks.

use std::collections::VecDeque;

use stallwatch::protocol::trusted_time::{Stamp, TrustedTime};

use super::{Around, Fault};
use crate::world::broker::Open;

/// The clocks of a process, and the stamps that it has wanted and got.
pub struct Time {
    trusted: TrustedTime,
    /// How far its wall clock is ahead of the broker's.
    skew_ms: i64,
    /// A passing step of its wall clock, and until when.
    jump: Option<(i64, i64)>,
    /// How long its monotonic clock has stood still, and from when until when it does at present.
    lost_ms: i64,
    pause: (i64, i64),
    /// Partitions of which a stamp is wanted.
    wanted: VecDeque<i32>,
    /// A record that is written for its stamp: partition, when it was handed over, and the stamp.
    stamping: Option<(i32, i64, Option<i64>)>,
    /// Acknowledgements on their way: partition, when the record was handed over, and the stamp.
    on_the_way: Vec<(i32, i64, i64)>,
}

impl Time {
    pub fn new(skew_ms: i64, around: &Around<'_>) -> Self {
        let mut time = Self {
            trusted: TrustedTime::under(around.rules),
            skew_ms,
            jump: None,
            lost_ms: 0,
            pause: (0, 0),
            wanted: VecDeque::new(),
            stamping: None,
            on_the_way: Vec::new(),
        };
        time.now(around);
        time
    }

    /// The monotonic clock.
    pub fn mono(&self, around: &Around<'_>) -> i64 {
        let (from, until) = self.pause;
        around.now_ms - self.lost_ms - (around.now_ms.min(until) - from).max(0)
    }

    /// What is known of the time now.
    pub fn now(&mut self, around: &Around<'_>) -> &TrustedTime {
        let mono = self.mono(around);
        let jump = self.jump.filter(|(until, _)| around.now_ms < *until);
        let wall_ms = around.now_ms + self.skew_ms + jump.map_or(0, |(_, by)| by);
        self.trusted.own_clock(mono, wall_ms, around.options.margin_ms);
        &self.trusted
    }

    /// The machine stands still, and its monotonic clock with it.
    pub fn pause(&mut self, ms: i64, around: &Around<'_>) {
        self.wake(around.now_ms);
        self.pause = (around.now_ms, around.now_ms + ms);
    }

    /// It goes on.
    pub fn wake(&mut self, now_ms: i64) {
        let (from, until) = self.pause;
        self.lost_ms += (now_ms.min(until) - from).max(0);
        self.pause = (0, 0);
    }

    /// The wall clock steps. Where it is gone by, it comes back soon.
    pub fn step(&mut self, around: &mut Around<'_>) {
        let by = around.random.pick(&[-600_000, 600_000, -3_600_000, 3_600_000, 1_000_000_000_000]);
        if around.options.stamped {
            self.skew_ms = by;
        } else {
            self.jump = Some((around.now_ms + around.random.between(500, 20_000), by));
        }
    }

    /// A stamp is wanted of a record that is handed over from now on.
    pub fn want_stamp(&mut self, partition: i32) {
        if !self.wanted.contains(&partition) {
            self.wanted.push_back(partition);
        }
    }

    /// A record of the `open` topic has been written, handed over then.
    pub fn written(&mut self, partition: i32, sent: i64, around: &Around<'_>) {
        self.on_the_way.push((partition, sent, around.now_ms));
    }

    /// Whether a stamp is wanted or an acknowledgement is on its way.
    pub fn has_something_to_do(&self) -> bool {
        self.stamping.is_some() || !self.wanted.is_empty() || !self.on_the_way.is_empty()
    }

    /// Something of this happens: an acknowledgement comes, or a record for a stamp goes out.
    pub fn happen(&mut self, around: &mut Around<'_>) {
        let mono = self.mono(around);
        for (partition, sent, broker_ms) in self.on_the_way.drain(..) {
            match around.options.stamped {
                true => self.trusted.stamped(partition, Stamp { broker_ms, sent, received: mono }),
                false => self.trusted.acknowledged_without_stamp(),
            }
        }
        match self.stamping.take() {
            None => self.stamping = self.wanted.pop_front().map(|it| (it, mono, None)),
            Some((partition, sent, None)) => {
                if around.strikes(Fault::NoAnswer, 100) {
                    self.wanted.push_back(partition);
                    return;
                }
                around.broker.of_mut(partition).open.append(None, Open::Time);
                self.stamping = Some((partition, sent, Some(around.now_ms)));
            }
            Some((partition, sent, Some(broker_ms))) => {
                self.on_the_way.push((partition, sent, broker_ms));
            }
        }
    }
}
