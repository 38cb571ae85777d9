//! What goes wrong on purpose for many at once: hubs that go quiet and feeds that fall silent.

use super::carriers::{CARRIERS, Facility};
use super::dice::Dice;
use super::time::{DAY, HOUR, START};

/// A hub in which nothing is scanned or moved for days.
#[derive(Clone, Copy, Debug)]
pub struct QuietHub {
    /// Whose hub.
    pub carrier: &'static str,
    /// Which.
    pub hub: &'static Facility,
    /// First quiet second.
    pub from: i64,
    /// First second of work again.
    pub until: i64,
}

/// A feed that delivers nothing for hours and then everything at once. The parcels travel on.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Whose feed.
    pub carrier: &'static str,
    /// First silent second.
    pub from: i64,
    /// When it begins to catch up.
    pub until: i64,
}

/// Everything that goes wrong for many.
#[derive(Clone, Debug)]
pub struct Incidents {
    /// Hubs that go quiet.
    pub quiet_hubs: Vec<QuietHub>,
    /// Feeds that fall silent.
    pub outages: Vec<Outage>,
}

impl Incidents {
    /// The incidents of a seed: two quiet hubs and two outages, each of another carrier.
    pub fn plan(dice: &mut Dice) -> Self {
        let first = dice.below(CARRIERS.len() as u64) as usize;
        let carrier = |turn: usize| &CARRIERS[(first + turn) % CARRIERS.len()];
        let mut quiet = |turn: usize, day: i64| {
            let from = START + day * DAY + dice.between(0, 12 * HOUR);
            let until = from + dice.between(4 * DAY, 6 * DAY);
            let carrier = carrier(turn);
            QuietHub { carrier: carrier.name, hub: dice.pick(carrier.hubs), from, until }
        };
        let quiet_hubs = vec![quiet(0, 3), quiet(1, 11)];
        let mut outage = |turn: usize, day: i64| {
            let from = START + day * DAY + dice.between(0, 12 * HOUR);
            let until = from + dice.between(20 * HOUR, 44 * HOUR);
            Outage { carrier: carrier(turn).name, from, until }
        };
        let outages = vec![outage(2, 7), outage(3, 14)];
        Self { quiet_hubs, outages }
    }

    /// When a hub that is quiet at this second works again.
    pub fn quiet_until(&self, carrier: &str, hub: &Facility, at: i64) -> Option<i64> {
        self.quiet_hubs
            .iter()
            .find(|quiet| {
                quiet.carrier == carrier
                    && quiet.hub.code == hub.code
                    && (quiet.from..quiet.until).contains(&at)
            })
            .map(|quiet| quiet.until)
    }

    /// When a feed that is silent at this second begins to catch up.
    pub fn silent_until(&self, carrier: &str, at: i64) -> Option<i64> {
        self.outages
            .iter()
            .find(|outage| outage.carrier == carrier && (outage.from..outage.until).contains(&at))
            .map(|outage| outage.until)
    }
}
