//! What was published lately, kept in bounded memory for those who look on: the newest events, those
//! who tap them, and how many exceptions opened in each of the last hours. These are counted by
//! partition, since it came to this instance: what others published before is not known here, and
//! what is published of it elsewhere afterwards neither.

use std::collections::{HashMap, VecDeque};
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
/// Pairs of carrier and facility of a partition that are counted; further ones count in its sum alone.
const PLACES: usize = 1_024;

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
    opened: DashMap<i32, OfPartition, FixedState>,
}

/// How many exceptions of a partition opened.
#[derive(Debug, Default)]
struct OfPartition {
    /// When it came here, in seconds since 1970 UTC.
    since: i64,
    all: Hours,
    places: HashMap<Place, Hours, FixedState>,
}

/// How many exceptions opened in each of the last hours, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Oldest first; the last hour is the present one.
    pub by_hour: [u32; HOURS],
    /// When the first and the last of the partitions came here, in seconds since 1970 UTC; `None`
    /// without any.
    pub since: Option<(i64, i64)>,
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
        self.count(partition, events);
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

    /// A partition has come to this instance.
    pub fn taken(&self, partition: i32, now_ms: i64) {
        let since = now_ms.div_euclid(1_000);
        self.opened.insert(partition, OfPartition { since, ..OfPartition::default() });
    }

    /// A partition has left this instance.
    pub fn given_back(&self, partition: i32) {
        self.opened.remove(&partition);
    }

    /// How many exceptions opened in each of the last hours, by the deadline that they passed.
    pub fn opened(&self, now_s: i64) -> Opened {
        let mut by_hour = [0; HOURS];
        let mut since = None;
        for partition in &self.opened {
            add(&mut by_hour, partition.all.up_to(hour(now_s)));
            let (first, last) = since.unwrap_or((partition.since, partition.since));
            since = Some((partition.since.min(first), partition.since.max(last)));
        }
        Opened { by_hour, since }
    }

    /// The same for each place, perhaps several times for one.
    pub fn opened_by_place(&self, now_s: i64, mut tell: impl FnMut(&Place, [u32; HOURS])) {
        for partition in &self.opened {
            for (place, hours) in &partition.places {
                tell(place, hours.up_to(hour(now_s)));
            }
        }
    }

    fn count(&self, partition: i32, events: &[ExceptionEvent]) {
        let Some(mut opened) = self.opened.get_mut(&partition) else { return };
        for event in events.iter().filter(|event| event.change == Change::Opened) {
            let place = (event.key.carrier().into(), event.attributes.facility.clone());
            opened.count(place, hour(event.opened_deadline.secs()));
        }
    }
}

impl OfPartition {
    fn count(&mut self, place: Place, at: i64) {
        self.all.add(at);
        if self.places.len() >= PLACES && !self.places.contains_key(&place) {
            self.places.retain(|_, hours| hours.newest + HOURS as i64 > at);
            if self.places.len() >= PLACES {
                return;
            }
        }
        self.places.entry(place).or_default().add(at);
    }
}

/// Hour by hour.
pub fn add(sum: &mut [u32; HOURS], more: [u32; HOURS]) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
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
    use crate::detector::time::Deadline;

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
    #[test]
    fn what_opened_is_counted_since_a_partition_came_and_goes_with_it() {
        let recent = Recent::default();
        let example = include_bytes!("../../schemas/examples/tracking-exception.opened.json");
        let example = crate::wire::exception::from_json(example).unwrap();
        let opened = |partition, deadline| {
            let opened_deadline = Deadline::from_secs(deadline);
            let event = ExceptionEvent { opened_deadline, ..example.clone() };
            recent.committed(partition, &[event], 0);
        };
        assert_eq!(recent.opened(7_200), Opened { by_hour: [0; HOURS], since: None });
        recent.taken(0, 3_600_000);
        recent.taken(1, 3_700_999);
        opened(0, 3_600);
        opened(1, 7_200);
        opened(1, 7_200);
        opened(2, 7_200);
        let now = recent.opened(7_200);
        assert_eq!(now.by_hour[HOURS - 2..], [1, 2]);
        assert_eq!(now.since, Some((3_600, 3_700)));
        let mut places = 0;
        recent.opened_by_place(7_200, |_, hours| places += hours.iter().sum::<u32>());
        assert_eq!(places, 3);
        recent.given_back(1);
        assert_eq!(recent.opened(7_200).by_hour[HOURS - 2..], [1, 0]);
        recent.taken(1, 8_000_000);
        assert_eq!(recent.opened(8_000).since, Some((3_600, 8_000)), "it begins anew");
        assert_eq!(recent.opened(8_000).by_hour[HOURS - 1], 0);
    }
}
