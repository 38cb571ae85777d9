//! Events as the detector reads them: records whose texts are borrowed.

use stallwatch::detector::scan::{Attributes, Evidence, Milestone, Record, Scan};
use stallwatch::detector::time::{EventTime, LogTime};

use crate::dice::{below, mix};
use crate::log::{Event, Kind, PLACES};
use crate::numbers::key_of;

const SERVICES: [&str; 5] = ["ground", "home-delivery", "express", "overnight", "economy"];
const DESTINATIONS: [&str; 8] = ["US", "US", "US", "CA", "MX", "GB", "DE", "FR"];
const TIERS: [&str; 4] = ["standard", "standard", "standard", "high"];
const SHIPPERS: usize = 200;

/// The texts that records borrow.
pub struct Texts {
    facilities: Vec<String>,
    shippers: Vec<String>,
}

impl Texts {
    /// All of them.
    pub fn new() -> Self {
        Self {
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

    fn attributes(&self, event: &Event) -> Attributes<&str> {
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
                destination_country: Some(pick(&DESTINATIONS, event, 22)),
                value_tier: Some(pick(&TIERS, event, 23)),
                shipper: Some(&self.shippers[below(mix(event.package.into(), 24), SHIPPERS)]),
                ..attributes
            },
        }
    }
}

fn pick(from: &[&'static str], event: &Event, purpose: u64) -> &'static str {
    from[below(mix(event.package.into(), purpose), from.len())]
}

/// The number of the profile that a package gets from its attributes.
pub fn profile(package: u32) -> u32 {
    let attributes =
        [(21, SERVICES.len()), (22, DESTINATIONS.len()), (23, TIERS.len()), (24, SHIPPERS)];
    attributes.into_iter().fold(0, |number, (purpose, values)| {
        let value = below(mix(package.into(), purpose), values);
        number * values as u32 + value as u32
    })
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
