//! The simulated carrier network: a seed becomes packages, their lives, and the stream of scans.

use super::carriers::{CARRIERS, Carrier, Service};
use super::dice::Dice;
use super::feed::Feed;
use super::incidents::Incidents;
use super::journey;
use super::numbers::number;
use super::partition::partition_of;
use super::story::{Life, Package, Report, Traits};
use super::time::{DAY, END, HOUR, START};
use crate::detector::scan::Attributes;

/// Most packages of one demo: numbers of seven digits do not meet up to here.
pub const MOST_PACKAGES: u32 = 2_000_000;

/// How large a network, and which.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The same seed gives the same network.
    pub seed: u64,
    /// Tracking numbers, up to [`MOST_PACKAGES`].
    pub packages: u32,
    /// Partitions of the topic of scans, above 0.
    pub partitions: i32,
}

/// Three weeks of a carrier network, with all that truly happened in it.
pub struct Network {
    /// Every tracking number.
    pub packages: Vec<Package>,
    /// Every journey.
    pub lives: Vec<Life>,
    /// Every scan, in order of log time, all logged before the end of the demo.
    pub stream: Vec<Report>,
    /// What went wrong for many.
    pub incidents: Incidents,
}

impl Network {
    /// Lets three weeks pass.
    pub fn simulate(settings: Settings) -> Self {
        let incidents = Incidents::plan(&mut Dice::new(settings.seed));
        let packages = Vec::with_capacity(settings.packages as usize);
        let mut network = Self { packages, lives: Vec::new(), stream: Vec::new(), incidents };
        for serial in 0..settings.packages {
            network.add(serial, settings);
        }
        // Stable: what is logged in one millisecond keeps the order in which it was made.
        network.stream.sort_by_key(|report| report.logged_ms);
        network
    }

    /// The package that a scan is about.
    pub fn package(&self, report: &Report) -> &Package {
        &self.packages[self.lives[report.life as usize].package as usize]
    }

    /// What a scan says beside its milestone and times.
    pub fn attributes(&self, report: &Report) -> Attributes<&'static str> {
        let life = &self.lives[report.life as usize];
        let traits = report.tells_traits.then_some(life.traits);
        let place = report.event.place;
        Attributes {
            service: traits.map(|traits| traits.service),
            direction: Some(if report.event.back { "return" } else { "outbound" }),
            destination_country: traits.map(|traits| traits.destination_country),
            shipper: traits.map(|traits| traits.shipper),
            value_tier: traits.map(|traits| traits.value_tier),
            facility: place.map(|place| place.code),
            country: place.map(|place| place.country),
        }
    }

    fn add(&mut self, serial: u32, settings: Settings) {
        let mut dice = Dice::of_member(settings.seed, u64::from(serial));
        let carrier = pick_carrier(&mut dice);
        let service = dice.weighted(carrier.services);
        let number = number(carrier.name, service.name, serial);
        let partition = partition_of(carrier.name, &number, settings.partitions);
        self.packages.push(Package { carrier: carrier.name, number, partition });
        let mut birth = Some(birthday(&mut dice));
        while let Some(at) = birth.take() {
            let settled = self.live(serial, carrier, service, at, &mut dice);
            let used_again = settled.filter(|_| dice.chance(15));
            birth = used_again
                .map(|end| end + dice.between(6 * HOUR, 9 * DAY))
                .filter(|&next| next < END - DAY);
        }
    }

    /// One journey and its scans. Tells when the package came home.
    fn live(
        &mut self,
        serial: u32,
        carrier: &'static Carrier,
        service: &'static Service,
        birth: i64,
        dice: &mut Dice,
    ) -> Option<i64> {
        let life = self.lives.len() as u32;
        let journey = journey::make(carrier, service, &self.incidents, birth, dice.fork());
        let traits = traits(service, dice);
        self.lives.push(Life { package: serial, traits, fate: journey.fate, held: journey.held });
        let mut feed = Feed { carrier, incidents: &self.incidents, dice: dice.fork(), life };
        for event in &journey.events {
            feed.report(*event, &mut self.stream);
        }
        journey.came_home()
    }
}

fn pick_carrier(dice: &mut Dice) -> &'static Carrier {
    let mut throw = dice.below(1000);
    for carrier in CARRIERS {
        if throw < carrier.share {
            return carrier;
        }
        throw -= carrier.share;
    }
    unreachable!("the shares of the carriers add up to a thousand")
}

/// When the label is printed: in business hours, and little at weekends.
fn birthday(dice: &mut Dice) -> i64 {
    let day = loop {
        let day = dice.between(0, (END - START) / DAY - 1);
        let busy = match day % 7 {
            5 => 350,
            6 => 200,
            _ => 1000,
        };
        if dice.chance(busy) {
            break day;
        }
    };
    START + day * DAY + dice.between(12 * HOUR, DAY - 1)
}

fn traits(service: &'static Service, dice: &mut Dice) -> Traits {
    const SHIPPERS: [&str; 6] = [
        "acme-outdoor",
        "bluebird-books",
        "corner-pharmacy",
        "delta-tools",
        "eastside-shoes",
        "fern",
    ];
    let destination_country = match service.abroad {
        true => *dice.pick(&["DE", "CA", "GB"]),
        false => "US",
    };
    let shipper = *dice.pick(&SHIPPERS);
    let value_tier = if dice.chance(60) { "high" } else { "standard" };
    Traits { service: service.name, destination_country, shipper, value_tier }
}
