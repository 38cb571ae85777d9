//! A log of scans as compact events: from one seed always the same.
//!
//! ```text
//!  0 h                            40 h    47 h
//!  ├─ arrivals, evenly ─────────────┤       │
//!  ├─ last moves: more and more, as if one came every 7 h on average ─┤
//!  │               ├─ settlements, evenly ──┤
//!  └──────────────── the fill ──────────────┴─── steady state ───►
//! ```
//!
//! So at the end of the fill the ages of last movements, and with them the looks to come, are
//! spread nearly as they stay in the steady state. There 86 in 100 events move a package, any that
//! is on its way with the same chance, which is the worst case for memory; 7 bring one and 7 settle
//! one. A settled package is known for one day more.

use crate::dice::Dice;

const HOUR: u32 = 3_600;
/// Seconds between two scans of a package, on average.
const BETWEEN_SCANS: u32 = 7 * HOUR;
const ARRIVALS: u32 = 40 * HOUR;
const FILL: u32 = 47 * HOUR;
/// 2026-03-02T00:00:00Z, in seconds.
const START: u32 = 1_772_409_600;
/// Longest time from event to feed, in seconds.
const DELAY: usize = 120;
/// How many places there are.
pub const PLACES: usize = 1_000;
/// Seconds that a settled package stays known.
pub const RETENTION: u32 = 24 * HOUR;

/// One scan. Times in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Number of the package; no number is used again.
    pub package: u32,
    /// Event time.
    pub event: u32,
    /// Log time; never less than in the event before.
    pub log: u32,
    /// Number of the place.
    pub place: u16,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A label was created: a new package.
    Label,
    /// Picked up: a new package as well.
    PickUp,
    /// A movement.
    Move,
    /// Delivered.
    Settle,
}

/// Makes the events, one after the other.
pub struct Log {
    dice: Dice,
    /// Packages on their way: first those that have not moved since their arrival.
    on_the_way: Vec<u32>,
    /// How many have not moved since their arrival.
    waiting: usize,
    fill: Fill,
    /// Packages that are on their way in the steady state.
    moving: usize,
    arrived: u32,
    steady: u64,
}

/// How far the fill is.
struct Fill {
    packages: usize,
    /// Seconds since the start.
    second: u32,
    moved: usize,
    /// How many shall have moved by the end of the second.
    to_move: f64,
    settled: usize,
}

impl Log {
    /// A log that holds `packages` known packages in its steady state.
    pub fn new(packages: usize, seed: u64) -> Self {
        let per_gap = f64::from(RETENTION) / f64::from(BETWEEN_SCANS);
        let moving = (packages as f64 / (1.0 + 0.07 * per_gap)) as usize;
        let to_move = (0..FILL).fold(moving as f64, |left, _| left * one_second_before());
        let fill = Fill { packages, second: 0, moved: to_move as usize, to_move, settled: 0 };
        let mut on_the_way = vec![u32::MAX; packages + packages / 16 + 1_024];
        on_the_way.clear();
        let dice = Dice::new(seed);
        Self { dice, on_the_way, waiting: 0, fill, moving, arrived: 0, steady: 0 }
    }

    /// The next events of the fill, at most `most`; none: it is over.
    pub fn fill(&mut self, most: usize, into: &mut Vec<Event>) {
        into.clear();
        while into.len() < most {
            match self.fill_one() {
                Some(event) => into.push(event),
                None => break,
            }
        }
    }

    /// The next `count` events of the steady state.
    pub fn steady(&mut self, count: usize, into: &mut Vec<Event>) {
        into.clear();
        into.extend((0..count).map(|_| self.steady_one()));
    }

    fn fill_one(&mut self) -> Option<Event> {
        loop {
            let Fill { packages, second, moved, to_move, settled } = self.fill;
            if second >= FILL {
                return None;
            }
            if (self.arrived as usize) < share(packages, second + 1, ARRIVALS) {
                let event = self.arrive(START + second);
                let last = self.on_the_way.len() - 1;
                self.on_the_way.swap(self.waiting, last);
                self.waiting += 1;
                return Some(event);
            }
            let settling = (second + 1).saturating_sub(FILL - RETENTION);
            if self.waiting > 0 && settled < share(packages - self.moving, settling, RETENTION) {
                self.fill.settled += 1;
                let package = self.stop_waiting();
                self.on_the_way.swap_remove(self.waiting);
                return Some(self.event(package, Kind::Settle, START + second));
            }
            if self.waiting > 0 && moved < to_move as usize {
                self.fill.moved += 1;
                let package = self.stop_waiting();
                return Some(self.event(package, Kind::Move, START + second));
            }
            self.fill.second += 1;
            self.fill.to_move /= one_second_before();
        }
    }

    /// Puts any of the waiting ones right behind the others that wait.
    fn stop_waiting(&mut self) -> u32 {
        let chosen = self.dice.below(self.waiting);
        self.waiting -= 1;
        self.on_the_way.swap(chosen, self.waiting);
        self.on_the_way[self.waiting]
    }

    fn steady_one(&mut self) -> Event {
        let gone = u128::from(self.steady) * u128::from(BETWEEN_SCANS) / self.moving.max(1) as u128;
        let log = START + FILL + gone as u32;
        self.steady += 1;
        let on_the_way = self.on_the_way.len();
        match self.dice.below(100) {
            _ if on_the_way == 0 => self.arrive(log),
            0..7 => self.arrive(log),
            7..14 => {
                let chosen = self.dice.below(on_the_way);
                let package = self.on_the_way.swap_remove(chosen);
                self.event(package, Kind::Settle, log)
            }
            _ => {
                let package = self.on_the_way[self.dice.below(on_the_way)];
                self.event(package, Kind::Move, log)
            }
        }
    }

    fn arrive(&mut self, log: u32) -> Event {
        let package = self.arrived;
        self.arrived += 1;
        self.on_the_way.push(package);
        let kind = if self.dice.below(2) == 0 { Kind::Label } else { Kind::PickUp };
        self.event(package, kind, log)
    }

    fn event(&mut self, package: u32, kind: Kind, log: u32) -> Event {
        let event = log - self.dice.below(DELAY + 1) as u32;
        Event { package, event, log, place: self.place(), kind }
    }

    /// Few places see many packages: a place's share falls with the root of its rank.
    fn place(&mut self) -> u16 {
        let roll = self.dice.roll() >> 32;
        ((((roll * roll) >> 32) * PLACES as u64) >> 32) as u16
    }
}

/// What a number that grows as one scan every [`BETWEEN_SCANS`] wants it was a second before.
fn one_second_before() -> f64 {
    1.0 - 1.0 / f64::from(BETWEEN_SCANS)
}

/// How many of `all` have come when `gone` of `span` seconds are over.
fn share(all: usize, gone: u32, span: u32) -> usize {
    (all as u128 * u128::from(gone.min(span)) / u128::from(span)) as usize
}
