//! What the peers have in common: packages in a hash map, by the rules of the detector as far as
//! the log asks for them.
//!
//! A scan belongs to a second, and what is due by a second happens before its scans are applied. A
//! package's silence is due 48 hours after its anchor, but no earlier than 10 minutes after the
//! anchor was set; once it has expired there is nothing to wait for until the package moves. A
//! settled package goes when its retention is over.

use std::hash::Hash;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use stallwatch::detector::policy::CATCH_UP_GRACE;
use stallwatch::detector::scan::{Attributes, Milestone};

use crate::contest::{BATCH, Contestant, Tally};
use crate::dice::mix;
use crate::log::{Event, Kind, RETENTION};
use crate::numbers::{fingerprint, key_of};
use crate::ours::SILENCE;
use crate::records::{self, milestone};

use super::texts::{Said, Texts};

/// A package's key; 16 bytes that look random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    any: u64,
    numbered: u64,
}

impl Key {
    fn new(package: u32) -> Self {
        let any = mix(package.into(), 41);
        Self { any, numbered: any.rotate_left(32) ^ u64::from(package) }
    }

    fn package(self) -> u32 {
        (self.numbered ^ self.any.rotate_left(32)) as u32
    }
}

/// How a peer waits. Times in seconds since 1970.
pub trait Timers {
    /// Whether a later deadline is left to be found out when the earlier one comes.
    const LAZY: bool;
    /// What finds an entry again.
    type Handle: Copy;
    /// Without entries.
    fn new() -> Self;
    /// A new entry.
    fn hang(&mut self, at: u32, key: Key) -> Self::Handle;
    /// Moves an entry that has not come up. Not for lazy ones.
    fn move_on(&mut self, entry: Self::Handle, from: u32, to: u32, key: Key) -> Self::Handle;
    /// Takes out entries of the earliest second up to `by`, all or some of them.
    fn take(&mut self, by: u32, into: &mut Vec<Key>) -> Option<u32>;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitingFirstScan,
    Moving,
    /// Either of these, and its silence has expired.
    Expired,
    Settled,
}

/// Times in seconds since 1970.
struct State<H> {
    anchor: u32,
    set_at: u32,
    phase: Phase,
    milestone: Milestone,
    place: u16,
    profile: u32,
    entry: H,
}

impl<H> State<H> {
    fn wakes_at(&self) -> u32 {
        wakes_at(self.phase, self.anchor, self.set_at)
    }

    /// Keeps what a scan says beside its milestone.
    fn note(&mut self, said: Said) {
        self.place = said.place.unwrap_or(self.place);
        self.profile = said.profile.unwrap_or(self.profile);
    }
}

fn wakes_at(phase: Phase, anchor: u32, set_at: u32) -> u32 {
    match phase {
        Phase::Settled => set_at + RETENTION,
        _ => (anchor + SILENCE).max(set_at + CATCH_UP_GRACE as u32),
    }
}

struct Seen {
    key: Key,
    event: u32,
    log: u32,
    kind: Kind,
    milestone: Milestone,
    said: Said,
}

/// A hash map of packages and what wakes them.
pub struct Watch<'t, T: Timers> {
    packages: HashMap<Key, State<T::Handle>, FixedState>,
    timers: T,
    texts: Texts,
    clock: u32,
    /// What scans say.
    words: &'t records::Texts,
    attributes: Vec<Attributes<&'t str>>,
    batch: Vec<Seen>,
    awake: Vec<Key>,
    expired: Vec<(u32, Key)>,
}

impl<'t, T: Timers> Watch<'t, T> {
    /// Without packages.
    pub fn new(words: &'t records::Texts) -> Self {
        Self {
            packages: HashMap::with_hasher(FixedState::with_seed(0x7ab1e)),
            timers: T::new(),
            texts: Texts::new(),
            clock: 0,
            words,
            attributes: Vec::with_capacity(BATCH),
            batch: Vec::with_capacity(BATCH),
            awake: Vec::new(),
            expired: Vec::new(),
        }
    }

    fn look(&mut self, by: u32) {
        while let Some(second) = self.timers.take(by, &mut self.awake) {
            let mut awake = std::mem::take(&mut self.awake);
            for key in awake.drain(..) {
                self.wake(second, key);
            }
            self.awake = awake;
        }
    }

    /// A lazy entry may be a leftover: of a package that is gone, or that has settled or been given
    /// less time since, which hung up another entry.
    fn wake(&mut self, second: u32, key: Key) {
        let Some(state) = self.packages.get_mut(&key) else {
            return;
        };
        let at = state.wakes_at();
        match state.phase {
            Phase::Settled if at <= second => {
                self.packages.remove(&key);
            }
            Phase::Settled | Phase::Expired => {}
            _ if at > second => state.entry = self.timers.hang(at, key),
            _ => {
                state.phase = Phase::Expired;
                self.expired.push((second, key));
            }
        }
    }

    fn scan(&mut self, seen: &Seen) {
        match self.packages.entry(seen.key) {
            Entry::Vacant(vacant) => {
                let phase = match seen.kind {
                    Kind::Label => Phase::AwaitingFirstScan,
                    Kind::PickUp | Kind::Move => Phase::Moving,
                    Kind::Settle => Phase::Settled,
                };
                let at = wakes_at(phase, seen.event, self.clock);
                let state = vacant.insert(State {
                    anchor: seen.event,
                    set_at: self.clock,
                    phase,
                    milestone: seen.milestone,
                    place: 0,
                    profile: 0,
                    entry: self.timers.hang(at, seen.key),
                });
                state.note(seen.said);
            }
            Entry::Occupied(mut known) => {
                rescan(known.get_mut(), seen, self.clock, &mut self.timers);
            }
        }
    }
}

fn rescan<T: Timers>(state: &mut State<T::Handle>, seen: &Seen, clock: u32, timers: &mut T) {
    let before = state.phase;
    let from = state.wakes_at();
    match seen.kind {
        _ if before == Phase::Settled => return,
        Kind::Label => return,
        Kind::Settle => {
            state.phase = Phase::Settled;
            state.anchor = state.anchor.max(seen.event);
        }
        Kind::PickUp | Kind::Move => {
            let awaiting = state.milestone == Milestone::LabelCreated;
            if !awaiting && seen.event <= state.anchor {
                if seen.event == state.anchor {
                    state.milestone = state.milestone.max(seen.milestone);
                    state.note(seen.said);
                }
                return;
            }
            state.phase = Phase::Moving;
            state.anchor = seen.event;
        }
    }
    state.set_at = clock;
    state.milestone = seen.milestone;
    state.note(seen.said);
    let to = state.wakes_at();
    let sooner = state.phase == Phase::Settled || to < from;
    if before == Phase::Expired || (T::LAZY && sooner) {
        state.entry = timers.hang(to, seen.key);
    } else if !T::LAZY {
        state.entry = timers.move_on(state.entry, from, to, seen.key);
    }
}

impl<T: Timers> Contestant for Watch<'_, T> {
    fn prepare(&mut self, events: &[Event]) {
        self.batch.clear();
        self.batch.extend(events.iter().map(|event| Seen {
            key: Key::new(event.package),
            event: event.event,
            log: event.log,
            kind: event.kind,
            milestone: milestone(event),
            said: Said::NOTHING,
        }));
        self.attributes.clear();
        self.attributes.extend(events.iter().map(|event| self.words.attributes(event)));
    }

    fn apply(&mut self) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        // Texts before all packages: then several packages are under way to the processor at once.
        for (seen, attributes) in batch.iter_mut().zip(&self.attributes) {
            seen.said = self.texts.said(attributes);
        }
        for seen in &batch {
            if seen.log > self.clock {
                self.clock = seen.log;
                self.look(seen.log);
            }
            self.scan(seen);
        }
        self.batch = batch;
        true
    }

    fn tell(&mut self, tally: &mut Tally) {
        for (second, key) in self.expired.drain(..) {
            tally.add(second.into(), fingerprint(&key_of(key.package())));
        }
    }

    fn known(&self) -> usize {
        self.packages.len()
    }
}
