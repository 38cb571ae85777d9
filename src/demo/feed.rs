//! From what happened to what is heard of it: delays, batches, doubles, disorder, missing times.

use super::carriers::Carrier;
use super::dice::Dice;
use super::incidents::Incidents;
use super::numbers::Spelling;
use super::story::{Deed, Event, Report};
use super::time::{DAY, END, HOUR, MINUTE};

/// One carrier's feed, as it reports the events of one life.
pub struct Feed<'a> {
    /// Whose.
    pub carrier: &'static Carrier,
    /// Outages that it suffers.
    pub incidents: &'a Incidents,
    /// Chance.
    pub dice: Dice,
    /// Index of the life.
    pub life: u32,
}

impl Feed<'_> {
    /// Adds the scans of an event: none that would be logged after the end, mostly one, sometimes
    /// copies.
    pub fn report(&mut self, event: Event, reports: &mut Vec<Report>) {
        let at_ms = event.at * 1000 + self.dice.between(0, 999);
        let said_ms = self.said(&event, at_ms);
        let logged_ms = self.logged(&event, at_ms);
        self.file(event, said_ms, logged_ms, reports);
        if self.dice.chance(40) {
            let again = logged_ms + self.dice.soon(1, 20 * HOUR) * 1000;
            self.file(event, said_ms, again, reports);
        }
        if self.dice.chance(2) {
            let ancient = logged_ms + self.dice.between(5 * DAY, 12 * DAY) * 1000;
            self.file(event, said_ms, ancient, reports);
        }
    }

    fn said(&mut self, event: &Event, at_ms: i64) -> Option<i64> {
        if event.deed == Deed::Announced {
            return Some(at_ms + self.dice.between(0, 30 * HOUR) * 1000);
        }
        match self.dice.below(1000) {
            0..12 => None,
            // Local time taken for UTC.
            12..18 => Some(at_ms + self.dice.between(1, 5) * HOUR * 1000),
            _ => Some(at_ms),
        }
    }

    fn logged(&mut self, event: &Event, at_ms: i64) -> i64 {
        let (least, most) = self.carrier.feed.delay;
        let mut logged = at_ms + self.dice.soon(least, most) * 1000;
        if self.dice.chance(18) {
            logged += self.dice.between(HOUR, 30 * HOUR) * 1000;
        }
        if event.deed == Deed::Ended && self.dice.chance(6) {
            logged += self.dice.between(12 * HOUR, 72 * HOUR) * 1000;
        }
        if let Some(every) = self.carrier.feed.batch_every {
            let batch = (logged / 1000).div_euclid(every) + 1;
            logged = batch * every * 1000 + self.dice.between(0, 3 * MINUTE * 1000);
        }
        match self.incidents.silent_until(self.carrier.name, logged.div_euclid(1000)) {
            Some(end) => end * 1000 + self.dice.between(0, 25 * MINUTE * 1000),
            None => logged,
        }
    }

    fn file(
        &mut self,
        event: Event,
        said_ms: Option<i64>,
        logged_ms: i64,
        reports: &mut Vec<Report>,
    ) {
        let spellings = [
            (85, Spelling::Plain),
            (5, Spelling::Grouped),
            (5, Spelling::Small),
            (5, Spelling::Routed),
        ];
        let spelling = *self.dice.weighted(&spellings);
        let tells_traits = self.dice.chance(850);
        if logged_ms < END * 1000 {
            let life = self.life;
            reports.push(Report { life, event, said_ms, logged_ms, spelling, tells_traits });
        }
    }
}
