//! The carriers of the demo: their services, their buildings and their habits.

use super::time::{DAY, HOUR, MINUTE};

/// A building where parcels are scanned.
#[derive(Debug, PartialEq, Eq)]
pub struct Facility {
    /// What scans call it.
    pub code: &'static str,
    /// ISO 3166 code of its country.
    pub country: &'static str,
    /// Seconds to add to UTC for its local time.
    pub utc_offset: i64,
    /// Local hours between which it works; over midnight where the first is the greater.
    pub hours: (i64, i64),
    /// Whether it works on Saturdays and on Sundays.
    pub weekend: (bool, bool),
}

impl Facility {
    /// Whether anything is scanned here at this second.
    pub fn is_open(&self, at: i64) -> bool {
        let local = at + self.utc_offset;
        let hour = local.rem_euclid(DAY) / HOUR;
        let (from, to) = self.hours;
        let over_midnight = from > to;
        let working = match over_midnight {
            false => from <= hour && hour < to,
            true => from <= hour || hour < to,
        };
        // A night's work belongs to the day on which it began.
        let began = local - if over_midnight && hour < to { DAY } else { 0 };
        working && self.works_on(began.div_euclid(DAY))
    }

    /// The first second from `at` on at which it is open.
    pub fn next_open(&self, at: i64) -> i64 {
        let mut time = at;
        while !self.is_open(time) {
            time = (time.div_euclid(HOUR) + 1) * HOUR;
        }
        time
    }

    fn works_on(&self, day_since_1970: i64) -> bool {
        // 1970-01-01 was a Thursday.
        match (day_since_1970 + 3).rem_euclid(7) {
            5 => self.weekend.0,
            6 => self.weekend.1,
            _ => true,
        }
    }
}

const fn hub(code: &'static str, country: &'static str, utc_hours: i64) -> Facility {
    let (hours, weekend) = ((18, 10), (true, false));
    Facility { code, country, utc_offset: utc_hours * HOUR, hours, weekend }
}

const fn station(code: &'static str, utc_hours: i64, saturday: bool) -> Facility {
    let (hours, weekend) = ((7, 20), (saturday, false));
    Facility { code, country: "US", utc_offset: utc_hours * HOUR, hours, weekend }
}

const fn station_abroad(code: &'static str, country: &'static str, utc_hours: i64) -> Facility {
    let (hours, weekend) = ((7, 19), (false, false));
    Facility { code, country, utc_offset: utc_hours * HOUR, hours, weekend }
}

/// How a carrier's events reach the feed.
#[derive(Debug, PartialEq, Eq)]
pub struct Feed {
    /// Seconds between an event and its scan in the log, least and most.
    pub delay: (i64, i64),
    /// Delivered all at once, every so many seconds.
    pub batch_every: Option<i64>,
}

/// What a customer can buy.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// As scans name it.
    pub name: &'static str,
    /// Seconds on the road from one building to the next, least and most.
    pub leg: (i64, i64),
    /// Hubs on the way, least and most.
    pub hubs: (i64, i64),
    /// Crosses a border, so customs look at it.
    pub abroad: bool,
    /// The last mile is another carrier's.
    pub hands_over: bool,
}

const fn service(name: &'static str, leg: (i64, i64), hubs: (i64, i64)) -> Service {
    Service { name, leg: (leg.0 * HOUR, leg.1 * HOUR), hubs, abroad: false, hands_over: false }
}

/// A carrier.
#[derive(Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its name in normal form.
    pub name: &'static str,
    /// Its part of all packages, in per mille.
    pub share: u64,
    /// What it sells, by how often.
    pub services: &'static [(u64, Service)],
    /// Where parcels are sorted, mostly at night.
    pub hubs: &'static [Facility],
    /// Where parcels are collected and where delivery begins, in the day.
    pub stations: &'static [Facility],
    /// How its events are heard of.
    pub feed: Feed,
}

/// Everybody who carries in the demo.
pub static CARRIERS: &[Carrier] = &[
    Carrier {
        name: "ups",
        share: 320,
        services: &[
            (8, service("ground", (5, 16), (1, 3))),
            (2, service("next_day", (3, 6), (1, 1))),
        ],
        hubs: &[
            hub("SDF", "US", -5),
            hub("PHL", "US", -5),
            hub("DFW", "US", -6),
            hub("ONT", "US", -8),
        ],
        stations: &[
            station("ATL04", -5, true),
            station("BOS11", -5, false),
            station("CHI23", -6, true),
            station("SEA02", -8, false),
        ],
        feed: Feed { delay: (20, 10 * MINUTE), batch_every: None },
    },
    Carrier {
        name: "fedex",
        share: 260,
        services: &[
            (6, service("ground", (5, 18), (1, 3))),
            (4, service("express", (3, 7), (1, 2))),
        ],
        hubs: &[
            hub("MEM", "US", -6),
            hub("IND", "US", -5),
            hub("EWR", "US", -5),
            hub("OAK", "US", -8),
        ],
        stations: &[
            station("MIAA", -5, true),
            station("DENC", -7, true),
            station("LAXB", -8, true),
            station("PITT", -5, false),
        ],
        feed: Feed { delay: (30, 15 * MINUTE), batch_every: None },
    },
    Carrier {
        name: "usps",
        share: 230,
        services: &[
            (7, service("ground_advantage", (8, 22), (2, 3))),
            (3, service("priority", (6, 14), (1, 2))),
        ],
        hubs: &[hub("NDC-NJ", "US", -5), hub("RPDC-ATL", "US", -5), hub("NDC-LA", "US", -8)],
        stations: &[
            station("10001", -5, true),
            station("60607", -6, true),
            station("73301", -6, true),
            station("97201", -8, true),
        ],
        feed: Feed { delay: (5 * MINUTE, 2 * HOUR), batch_every: None },
    },
    Carrier {
        name: "dhl",
        share: 120,
        services: &[
            (5, Service { abroad: true, ..service("express", (6, 14), (1, 2)) }),
            (5, Service { hands_over: true, ..service("ecommerce", (8, 20), (1, 2)) }),
        ],
        hubs: &[hub("CVG", "US", -5), hub("LEJ", "DE", 1), hub("EMA", "GB", 0)],
        stations: &[
            station_abroad("BER-3", "DE", 1),
            station_abroad("YYZ-1", "CA", -5),
            station_abroad("LHR-8", "GB", 0),
        ],
        feed: Feed { delay: (2 * MINUTE, 20 * MINUTE), batch_every: Some(6 * HOUR) },
    },
    Carrier {
        name: "ontrac",
        share: 70,
        services: &[(1, service("ground", (4, 12), (1, 2)))],
        hubs: &[hub("RNO", "US", -8), hub("PHX", "US", -7)],
        stations: &[station("LAS", -8, true), station("SAN", -8, false), station("SLC", -7, false)],
        feed: Feed { delay: (MINUTE, 5 * MINUTE), batch_every: Some(15 * MINUTE) },
    },
];

#[cfg(test)]
mod tests {
    use super::super::time::START;
    use super::*;

    #[test]
    fn a_night_shift_belongs_to_the_day_it_began_on() {
        let night = hub("X", "GB", 0);
        let saturday = START + 5 * DAY;
        assert!(night.is_open(saturday + 20 * HOUR));
        assert!(night.is_open(saturday + DAY + 9 * HOUR), "Saturday's shift ends on Sunday");
        assert!(!night.is_open(saturday + DAY + 20 * HOUR));
        assert!(!night.is_open(saturday + 2 * DAY + 2 * HOUR), "no shift began on Sunday");
        assert_eq!(night.next_open(saturday + DAY + 10 * HOUR), saturday + 2 * DAY + 18 * HOUR);
    }

    #[test]
    fn the_working_day_is_local() {
        let west = station("X", -8, false);
        assert!(!west.is_open(START + 14 * HOUR + 59 * MINUTE));
        assert!(west.is_open(START + 15 * HOUR));
        assert_eq!(west.next_open(START), START + 15 * HOUR);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(CARRIERS.iter().map(|carrier| carrier.share).sum::<u64>(), 1000);
    }
}
