//! One package's journey: what truly happens to it, from the label to the door or the void.

use super::carriers::{Carrier, Facility, Service};
use super::dice::Dice;
use super::incidents::Incidents;
use super::story::{Deed, Event, Fate};
use super::time::{DAY, END, HOUR, MINUTE};
use crate::detector::scan::{Evidence, Milestone};

/// What became of one package.
pub struct Journey {
    /// Everything that happened, in order.
    pub events: Vec<Event>,
    /// How it ended.
    pub fate: Fate,
    /// It stood in a hub that had gone quiet.
    pub held: bool,
}

/// Makes the journey of a package whose label is printed at second `birth`.
pub fn make(
    carrier: &'static Carrier,
    service: &'static Service,
    incidents: &Incidents,
    birth: i64,
    dice: Dice,
) -> Journey {
    let here = &carrier.stations[0];
    let journey = Journey { events: Vec::with_capacity(12), fate: Fate::Delivered, held: false };
    let mut traveller =
        Traveller { carrier, service, incidents, dice, now: birth, here, back: false, journey };
    traveller.journey.fate = traveller.live();
    traveller.journey.settle_at_the_end()
}

impl Journey {
    /// When it was delivered or returned, if that is how it ended.
    pub fn came_home(&self) -> Option<i64> {
        self.events.last().filter(|event| event.deed == Deed::Ended).map(|event| event.at)
    }

    /// What would happen after the end of the demo has not happened.
    fn settle_at_the_end(mut self) -> Self {
        let unfinished = self.events.last().is_some_and(|event| event.at >= END);
        self.events.retain(|event| event.at < END);
        let arrived = matches!(self.fate, Fate::Delivered | Fate::Returned | Fate::LostAndFound);
        if unfinished && arrived {
            self.fate = Fate::OnTheWay;
        }
        self
    }
}

struct Traveller<'a> {
    carrier: &'static Carrier,
    service: &'static Service,
    incidents: &'a Incidents,
    dice: Dice,
    now: i64,
    here: &'static Facility,
    back: bool,
    journey: Journey,
}

impl Traveller<'_> {
    fn live(&mut self) -> Fate {
        self.here = self.dice.pick(self.carrier.stations);
        self.system(Deed::Labelled, Milestone::LabelCreated);
        if self.dice.chance(15) {
            return self.wait_in_vain();
        }
        if self.dice.chance(12) {
            self.call_off();
            if !self.dice.chance(150) {
                return Fate::CalledOff;
            }
        }
        self.hand_over();
        let mut fate = Fate::Delivered;
        let route = self.route();
        let lost_after = self.dice.chance(14).then(|| self.dice.below(route.len() as u64) as usize);
        for (leg, facility) in route.into_iter().enumerate() {
            self.pass(facility);
            if lost_after == Some(leg) {
                if !self.is_found() {
                    return Fate::Lost;
                }
                fate = Fate::LostAndFound;
            }
            if leg == 0 && self.service.abroad {
                self.cross_the_border();
            }
            self.incident();
        }
        if self.service.hands_over {
            self.moved(Milestone::HandedOver);
            self.rest(4 * HOUR, 20 * HOUR);
        }
        self.deliver().unwrap_or(fate)
    }

    /// The label is printed, and nobody ever brings the parcel.
    fn wait_in_vain(&mut self) -> Fate {
        if self.dice.chance(300) {
            self.rest(4 * HOUR, 3 * DAY);
            self.system(Deed::Labelled, Milestone::LabelCreated);
        }
        if self.dice.chance(300) {
            self.rest(HOUR, DAY);
            self.system(Deed::Tendered, Milestone::Tendered);
        }
        if self.dice.chance(400) {
            self.expect(Milestone::OutForDelivery);
        }
        if self.dice.chance(100) {
            self.rest(DAY, 6 * DAY);
            self.call_off();
            return Fate::CalledOff;
        }
        Fate::NeverHandedOver
    }

    fn call_off(&mut self) {
        self.rest(HOUR, 2 * DAY);
        self.system(Deed::Voided, Milestone::Cancelled);
    }

    fn hand_over(&mut self) {
        let dawdles = self.dice.chance(40);
        self.rest(HOUR, if dawdles { 6 * DAY } else { 20 * HOUR });
        if self.dice.chance(600) {
            self.system(Deed::Tendered, Milestone::Tendered);
            self.rest(30 * MINUTE, 8 * HOUR);
        }
        self.now = self.here.next_open(self.now);
        self.rest(0, 3 * HOUR);
        self.moved(Milestone::PickedUp);
    }

    fn route(&mut self) -> Vec<&'static Facility> {
        let (least, most) = self.service.hubs;
        let hubs = self.carrier.hubs;
        let first = self.dice.below(hubs.len() as u64) as usize;
        let count = self.dice.between(least, most) as usize;
        let mut route: Vec<_> = (0..count).map(|leg| &hubs[(first + leg) % hubs.len()]).collect();
        route.push(self.dice.pick(self.carrier.stations));
        route
    }

    /// Travels to a building, is scanned when it has time for it, and leaves.
    fn pass(&mut self, facility: &'static Facility) {
        let (least, most) = self.service.leg;
        self.now += self.dice.soon(least, most);
        self.here = facility;
        self.wait_for_work();
        self.moved(Milestone::Arrived);
        self.rest(HOUR, 6 * HOUR);
        self.wait_for_work();
        self.moved(Milestone::Departed);
        if self.dice.chance(15) {
            // Out of the door and on the truck in one second.
            self.moved(Milestone::InTransit);
        }
        if self.dice.chance(150) {
            self.rest(HOUR, 4 * HOUR);
            self.moved(Milestone::InTransit);
        }
        if self.dice.chance(120) {
            self.expect(Milestone::OutForDelivery);
        }
        if self.dice.chance(60) {
            self.system(Deed::Announced, Milestone::InTransit);
        }
    }

    /// Until the building is open and has not gone quiet.
    fn wait_for_work(&mut self) {
        self.now = self.here.next_open(self.now);
        if let Some(end) = self.incidents.quiet_until(self.carrier.name, self.here, self.now) {
            self.journey.held = true;
            self.now = self.here.next_open(end + self.dice.soon(0, 16 * HOUR));
        }
    }

    fn cross_the_border(&mut self) {
        self.rest(30 * MINUTE, 4 * HOUR);
        self.moved(Milestone::CustomsHold);
        let examined = self.dice.chance(50);
        self.rest(HOUR, if examined { 9 * DAY } else { 30 * HOUR });
        self.moved(Milestone::CustomsCleared);
    }

    /// What may happen anywhere: it is set aside, remarked upon, or called off while it travels.
    fn incident(&mut self) {
        if self.dice.chance(10) {
            self.rest(HOUR, 5 * HOUR);
            self.note(Deed::Rested, Milestone::OnHold, Evidence::Physical);
            self.rest(2 * HOUR, 4 * DAY);
        }
        if self.dice.chance(30) {
            self.system(Deed::Remarked, Milestone::Info);
        }
        if self.dice.chance(2) {
            self.system(Deed::Voided, Milestone::Cancelled);
        }
    }

    /// Nobody knows where it is. True if it turns up again.
    fn is_found(&mut self) -> bool {
        let lost_at = self.now;
        if self.dice.chance(400) {
            self.rest(4 * HOUR, 2 * DAY);
            self.expect(Milestone::Arrived);
        }
        if self.dice.chance(200) {
            self.rest(HOUR, 2 * DAY);
            self.system(Deed::Announced, Milestone::InTransit);
        }
        if self.dice.chance(350) {
            self.now = self.now.max(lost_at + self.dice.between(2 * DAY, 5 * DAY));
            self.system(Deed::Declared, Milestone::Lost);
        }
        self.now = self.now.max(lost_at + self.dice.between(4 * DAY, 11 * DAY));
        self.dice.chance(350)
    }

    /// To the door, as often as it takes. Tells the fate where that is not a plain delivery.
    fn deliver(&mut self) -> Option<Fate> {
        for _attempt in 0..3 {
            self.now = self.here.next_open(self.now + 4 * HOUR);
            self.rest(0, 2 * HOUR);
            self.moved(Milestone::OutForDelivery);
            self.rest(HOUR, 9 * HOUR);
            let outcomes = [
                (930, Milestone::Delivered),
                (35, Milestone::DeliveryAttempted),
                (12, Milestone::AvailableForPickup),
                (13, Milestone::Exception),
                (10, Milestone::Returning),
            ];
            match *self.dice.weighted(&outcomes) {
                Milestone::Delivered => return self.hand_out(),
                Milestone::DeliveryAttempted => self.moved(Milestone::DeliveryAttempted),
                Milestone::AvailableForPickup => {
                    self.moved(Milestone::AvailableForPickup);
                    self.rest(2 * HOUR, 9 * DAY);
                    return self.hand_out();
                }
                Milestone::Exception => {
                    self.note(Deed::Rested, Milestone::Exception, Evidence::Physical);
                    self.rest(DAY, 4 * DAY);
                }
                _ => break,
            }
        }
        Some(self.go_back())
    }

    fn hand_out(&mut self) -> Option<Fate> {
        self.note(Deed::Ended, Milestone::Delivered, Evidence::Physical);
        self.dice.chance(8).then(|| {
            self.rest(6 * HOUR, 5 * DAY);
            self.go_back()
        })
    }

    fn go_back(&mut self) -> Fate {
        self.back = true;
        self.moved(Milestone::Returning);
        let hub = self.dice.pick(self.carrier.hubs);
        self.pass(hub);
        self.rest(12 * HOUR, 4 * DAY);
        self.note(Deed::Ended, Milestone::Returned, Evidence::Physical);
        Fate::Returned
    }

    /// Time goes by, rather little than much.
    fn rest(&mut self, least: i64, most: i64) {
        self.now += self.dice.soon(least, most);
    }

    fn moved(&mut self, milestone: Milestone) {
        self.note(Deed::Moved, milestone, Evidence::Physical);
    }

    fn system(&mut self, deed: Deed, milestone: Milestone) {
        self.note(deed, milestone, Evidence::System);
    }

    fn expect(&mut self, milestone: Milestone) {
        self.note(Deed::Announced, milestone, Evidence::Predicted);
    }

    fn note(&mut self, deed: Deed, milestone: Milestone, evidence: Evidence) {
        let indoors = !matches!(deed, Deed::Labelled | Deed::Voided | Deed::Remarked);
        let place = indoors.then_some(self.here);
        self.journey.events.push(Event {
            at: self.now,
            deed,
            milestone,
            evidence,
            place,
            back: self.back,
        });
    }
}
