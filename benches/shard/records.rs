//! Events as the detector reads them: records whose texts are borrowed.

use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::time::{EventTime, LogTime};

use crate::dice::{below, mix};
use crate::log::{Event, Kind, PLACES};
use crate::numbers::key_of;

/// As often as they stand here: most parcels go by the ordinary service, within one country.
const SERVICES: [&str; 10] = [
    "ground",
    "ground",
    "ground",
    "ground",
    "ground",
    "ground",
    "home-delivery",
    "home-delivery",
    "express",
    "economy",
];
const DESTINATIONS: [&str; 8] = ["US", "US", "US", "CA", "MX", "GB", "DE", "FR"];
const TIERS: [&str; 4] = ["standard", "standard", "standard", "high"];
const SHIPPERS: usize = 200;

/// The texts that records borrow.
pub struct Texts {
    /// Scans have no attributes.
    bare: bool,
    facilities: Vec<String>,
    shippers: Vec<String>,
}

impl Texts {
    /// All of them; for scans without attributes none is asked for.
    pub fn new(bare: bool) -> Self {
        Self {
            bare,
            facilities: (0..PLACES).map(|place| format!("HUB-{place:03}")).collect(),
            shippers: (0..SHIPPERS).map(|shipper| format!("shipper-{shipper:03}")).collect(),
        }
    }

    /// The record of an event.
    pub fn record(&self, event: &Event, offset: i64) -> Record<'_> {
        Record::Scan(Scan {
            key: key_of(event.package),
            milestone: milestone(event),
            evidence: match event.kind {
                Kind::Label => Evidence::System,
                Kind::PickUp | Kind::Move | Kind::Settle => Evidence::Physical,
            },
            event_time: Some(EventTime::from_secs(i64::from(event.event))),
            log_time: LogTime::from_secs(i64::from(event.log)),
            offset,
            attributes: self.attributes(event),
        })
    }

    /// What an event's record says beside its milestone.
    pub fn attributes(&self, event: &Event) -> Attributes<&str> {
        if self.bare {
            return Attributes::default();
        }
        let place = usize::from(event.place);
        let attributes = Attributes {
            facility: Some(self.facilities[place].as_str()),
            country: Some(DESTINATIONS[place % DESTINATIONS.len()]),
            ..Attributes::default()
        };
        match event.kind {
            Kind::Move | Kind::Settle => attributes,
            Kind::Label | Kind::PickUp => Attributes {
                service: Some(pick(&SERVICES, event, 21)),
                destination_country: Some(destination(event.package)),
                value_tier: Some(pick(&TIERS, event, 23)),
                shipper: Some(&self.shippers[shipper(event.package)]),
                ..attributes
            },
        }
    }
}

fn pick(from: &[&'static str], event: &Event, purpose: u64) -> &'static str {
    from[below(mix(event.package.into(), purpose), from.len())]
}

/// Few shippers send most: a shipper's number is the cube of an even number between 0 and 1.
fn shipper(package: u32) -> usize {
    let even = below(mix(package.into(), 24), 1 << 20) as u64;
    ((((even * even * even) >> 40) * SHIPPERS as u64) >> 20) as usize
}

/// Nine of ten stay within the country.
fn destination(package: u32) -> &'static str {
    match below(mix(package.into(), 22), 10) {
        0 => DESTINATIONS[below(mix(package.into(), 25), DESTINATIONS.len())],
        _ => DESTINATIONS[0],
    }
}

/// What the scan of an event says of its package.
pub fn milestone(event: &Event) -> Milestone {
    match event.kind {
        Kind::Label => Milestone::LabelCreated,
        Kind::PickUp => Milestone::PickedUp,
        Kind::Move if event.place.is_multiple_of(2) => Milestone::Arrived,
        Kind::Move => Milestone::Departed,
        Kind::Settle => Milestone::Delivered,
    }
}
