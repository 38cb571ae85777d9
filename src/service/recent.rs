//! What was published lately, kept in bounded memory for those who look on: the newest events, those
//! who tap them, and how many exceptions opened in each of the last hours.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use tokio::sync::broadcast;

use crate::detector::exception::{Change, ExceptionEvent, Kind, Severity};

/// Events that are kept.
pub const KEPT: usize = 1_000;
/// Events that a tap may be behind before it loses some.
const BEHIND: usize = 1_024;
/// Hours that are counted.
pub const HOURS: usize = 24;
/// Pairs of carrier and facility that are counted; further ones are not.
const PLACES: usize = 4_096;

/// A published event.
#[derive(Debug)]
pub struct Published {
    /// The partition that it came from.
    pub partition: i32,
    /// The event.
    pub event: ExceptionEvent,
    /// When it was noticed, in milliseconds since 1970 UTC.
    pub detected_time_ms: i64,
}

/// Which events are wanted; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this carrier.
    pub carrier: Option<String>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// With this change.
    pub change: Option<Change>,
    /// Of this severity.
    pub severity: Option<Severity>,
}

impl Wanted {
    /// Whether an event is among them.
    pub fn has(&self, event: &ExceptionEvent) -> bool {
        self.carrier.as_deref().is_none_or(|carrier| carrier == event.key.carrier())
            && self.kind.is_none_or(|kind| kind == event.kind)
            && self.change.is_none_or(|change| change == event.change)
            && self.severity.is_none_or(|severity| severity == event.severity)
    }
}

/// Carrier and facility.
pub type Place = (Arc<str>, Option<Arc<str>>);

/// See the module's head.
#[derive(Debug)]
pub struct Recent {
    newest: Mutex<VecDeque<Arc<Published>>>,
    taps: broadcast::Sender<Arc<Published>>,
    opened: DashMap<Place, Hours, FixedState>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            newest: Mutex::default(),
            taps: broadcast::channel(BEHIND).0,
            opened: DashMap::default(),
        }
    }
}

impl Recent {
    /// These events of a partition were committed at this wall time.
    pub fn committed(&self, partition: i32, events: &[ExceptionEvent], now_ms: i64) {
        self.count(events);
        let unkept = events.len().saturating_sub(KEPT);
        // A tap hears of every event, or by the channel of how many it lost.
        let unheard = if self.taps.receiver_count() == 0 { unkept } else { 0 };
        let mut kept = Vec::with_capacity(events.len() - unkept);
        for (at, event) in events.iter().enumerate().skip(unheard) {
            let event = event.clone();
            let published = Arc::new(Published { partition, event, detected_time_ms: now_ms });
            if at >= unkept {
                kept.push(published.clone());
            }
            // Nobody taps: that is no failure.
            let _ = self.taps.send(published);
        }
        self.keep(kept);
    }

    fn keep(&self, published: Vec<Arc<Published>>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.extend(published);
        let most = newest.len().saturating_sub(KEPT);
        newest.drain(..most);
    }

    /// The newest events that are wanted, newest first.
    pub fn newest(&self, wanted: &Wanted, most: usize) -> Vec<Arc<Published>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let found = newest.iter().rev().filter(|published| wanted.has(&published.event));
        found.take(most).cloned().collect()
    }

    /// Every event from now on. A reader that is too slow is told how many it lost.
    pub fn tap(&self) -> broadcast::Receiver<Arc<Published>> {
        self.taps.subscribe()
    }

    /// How many exceptions opened at each place in each of the last hours, oldest first, by the
    /// deadline that they passed. The last hour is the one in which `now_s` lies.
    pub fn opened_by_hour(&self, now_s: i64, mut tell: impl FnMut(&Place, [u32; HOURS])) {
        for place in &self.opened {
            tell(place.key(), place.value().up_to(hour(now_s)));
        }
    }

    fn count(&self, events: &[ExceptionEvent]) {
        for event in events.iter().filter(|event| event.change == Change::Opened) {
            let place = (event.key.carrier().into(), event.attributes.facility.clone());
            self.count_one(place, hour(event.opened_deadline.secs()));
        }
    }

    fn count_one(&self, place: Place, at: i64) {
        if self.opened.len() >= PLACES && !self.opened.contains_key(&place) {
            self.opened.retain(|_, hours| hours.newest + HOURS as i64 > at);
            if self.opened.len() >= PLACES {
                return;
            }
        }
        self.opened.entry(place).or_default().add(at);
    }
}

fn hour(seconds: i64) -> i64 {
    seconds.div_euclid(3_600)
}

/// Counts of the last hours, the newest last.
#[derive(Clone, Copy, Debug, Default)]
struct Hours {
    newest: i64,
    counts: [u32; HOURS],
}

impl Hours {
    fn add(&mut self, hour: i64) {
        if hour > self.newest {
            self.counts = self.up_to(hour);
            self.newest = hour;
        }
        let back = self.newest - hour;
        if let Some(count) = usize::try_from(back).ok().and_then(|back| self.at_mut(back)) {
            *count += 1;
        }
    }

    fn at_mut(&mut self, back: usize) -> Option<&mut u32> {
        self.counts.get_mut((HOURS - 1).checked_sub(back)?)
    }

    /// The counts as they stand in this hour.
    fn up_to(&self, hour: i64) -> [u32; HOURS] {
        let by = usize::try_from((hour - self.newest).max(0)).unwrap_or(HOURS).min(HOURS);
        let mut counts = [0; HOURS];
        counts[..HOURS - by].copy_from_slice(&self.counts[by..]);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_move_on_and_what_is_older_is_not_counted() {
        let mut hours = Hours::default();
        hours.add(100);
        hours.add(100);
        hours.add(98);
        hours.add(100 - HOURS as i64);
        let counts = hours.up_to(101);
        assert_eq!(counts[HOURS - 1], 0);
        assert_eq!(counts[HOURS - 2], 2);
        assert_eq!(counts[HOURS - 4], 1);
        assert_eq!(counts.iter().sum::<u32>(), 3);
        assert_eq!(hours.up_to(100 + HOURS as i64), [0; HOURS]);
        assert_eq!(hours.up_to(i64::MAX), [0; HOURS]);
    }
}
