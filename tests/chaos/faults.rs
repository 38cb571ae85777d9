//! What goes wrong, in which order: chosen by the seed, written down with its time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::fleet::Fleet;
use crate::scans::Dice;

/// The session timeout of every instance; transactions time out before.
pub const SESSION_S: i64 = 6;

/// Everything that was done, in order.
pub struct Ledger {
    begun: Instant,
    pub counts: BTreeMap<&'static str, u64>,
    pub lines: Vec<String>,
}

impl Ledger {
    pub fn new() -> Self {
        Self { begun: Instant::now(), counts: BTreeMap::new(), lines: Vec::new() }
    }

    /// A fault of a kind.
    pub fn fault(&mut self, kind: &'static str, text: &str) {
        *self.counts.entry(kind).or_default() += 1;
        self.note(&format!("{kind} {text}"));
    }

    /// Something that is no fault of ours.
    pub fn note(&mut self, text: &str) {
        self.lines.push(format!("{:8.2} s  {text}", self.begun.elapsed().as_secs_f64()));
    }

    /// How many faults of a kind there were.
    pub fn count(&self, kind: &str) -> u64 {
        self.counts.get(kind).copied().unwrap_or(0)
    }
}

/// A fault to ask for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Kind {
    Kill,
    Freeze,
    LongFreeze,
    Term,
    Scale,
    BrokerFreeze,
    BrokerRestart,
}

impl Kind {
    /// The first of its hundredths in [`Storm::fault`].
    fn hundredth(self) -> i64 {
        match self {
            Self::Kill => 0,
            Self::Freeze => 67,
            Self::LongFreeze => 76,
            Self::Term => 82,
            Self::Scale => 88,
            Self::BrokerFreeze => 93,
            Self::BrokerRestart => 98,
        }
    }
}

/// The next fault, and those that last.
pub struct Storm {
    dice: Dice,
    next: Instant,
    broker_frozen_until: Option<Instant>,
    mostly: Option<Kind>,
    spare_broker: bool,
}

impl Storm {
    pub fn new(seed: u64, mostly: Option<Kind>, spare_broker: bool) -> Self {
        Self {
            dice: Dice(seed),
            next: Instant::now(),
            broker_frozen_until: None,
            mostly,
            spare_broker,
        }
    }

    /// Ends what has lasted long enough, and makes the next fault if it is time.
    pub fn blow(&mut self, fleet: &mut Fleet<'_>, broker: &mut Broker, ledger: &mut Ledger) {
        let now = Instant::now();
        if self.broker_frozen_until.is_some_and(|until| now >= until) {
            self.thaw(broker);
            ledger.note("the broker goes on");
        }
        if now < self.next {
            return;
        }
        self.fault(fleet, broker, ledger);
        self.next = Instant::now() + self.between(300, 2_700);
    }

    /// Ends what lasts.
    pub fn abate(&mut self, broker: &Broker) {
        self.thaw(broker);
    }

    fn fault(&mut self, fleet: &mut Fleet<'_>, broker: &mut Broker, ledger: &mut Ledger) {
        let asked_for = self.mostly.filter(|_| self.dice.of(2) == 0).map(Kind::hundredth);
        match asked_for.unwrap_or_else(|| self.dice.of(100)) {
            0..64 => self.kill(fleet, ledger),
            64..67 => (0..3).for_each(|_| self.kill(fleet, ledger)),
            67..76 => self.freeze(fleet, ledger, "freeze", 300, SESSION_S * 700),
            76..82 => self.freeze(fleet, ledger, "long_freeze", SESSION_S * 1_150, 5_000),
            82..88 => self.end(fleet, ledger),
            88..93 => self.scale_in(fleet, ledger),
            93.. if self.spare_broker => self.kill(fleet, ledger),
            93..98 => self.freeze_broker(broker, ledger),
            _ => self.restart_broker(broker, ledger),
        }
    }

    fn kill(&mut self, fleet: &mut Fleet<'_>, ledger: &mut Ledger) {
        let Some(index) = self.one_of(&fleet.present()) else { return };
        let away = if self.dice.of(10) < 8 {
            self.between(0, 1_500)
        } else {
            self.between(SESSION_S * 1_150, 4_000)
        };
        fleet.kill(index, away);
        ledger.fault("kill", &format!("instance {index}, away for {away:?}"));
    }

    fn freeze(
        &mut self,
        fleet: &mut Fleet<'_>,
        ledger: &mut Ledger,
        kind: &'static str,
        least_ms: i64,
        more_ms: i64,
    ) {
        let Some(index) = self.one_of(&fleet.present()) else { return };
        let length = self.between(least_ms, more_ms);
        fleet.freeze(index, length);
        ledger.fault(kind, &format!("instance {index} for {length:?}"));
    }

    fn end(&mut self, fleet: &mut Fleet<'_>, ledger: &mut Ledger) {
        let Some(index) = self.one_of(&fleet.present()) else { return };
        let away = self.between(0, 2_000);
        fleet.end(index, away);
        ledger.fault("term", &format!("instance {index}, away for {away:?}"));
    }

    /// Three become one until the others come back.
    fn scale_in(&mut self, fleet: &mut Fleet<'_>, ledger: &mut Ledger) {
        let stays = self.dice.below(3);
        let away = self.between(SESSION_S * 1_500, 5_000);
        for index in (0..3).filter(|&index| index != stays) {
            fleet.end(index, away);
        }
        ledger.fault("scale", &format!("3 to 1: instance {stays} stays, for {away:?}; then to 3"));
    }

    fn freeze_broker(&mut self, broker: &Broker, ledger: &mut Ledger) {
        if self.broker_frozen_until.is_none() {
            let length = self.between(500, SESSION_S * 1_500);
            broker.pause();
            self.broker_frozen_until = Some(Instant::now() + length);
            ledger.fault("broker_freeze", &format!("for {length:?}"));
        }
    }

    fn restart_broker(&mut self, broker: &mut Broker, ledger: &mut Ledger) {
        self.thaw(broker);
        ledger.fault("broker_restart", "begins");
        broker.restart();
        ledger.note("the broker answers again");
    }

    fn thaw(&mut self, broker: &Broker) {
        if self.broker_frozen_until.take().is_some() {
            broker.resume();
        }
    }

    fn one_of(&mut self, from: &[usize]) -> Option<usize> {
        (!from.is_empty()).then(|| from[self.dice.below(from.len())])
    }

    fn between(&mut self, least_ms: i64, more_ms: i64) -> Duration {
        Duration::from_millis((least_ms + self.dice.of(more_ms)).unsigned_abs())
    }
}
