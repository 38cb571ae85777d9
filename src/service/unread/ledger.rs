//! How much was not read, in bounded memory: since the start, in the last minutes, in this one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::unknown::{MOST_TEXTS, UnknownText, Vocabulary, shown};

/// Minutes that count as lately, the present one among them.
pub const LATELY: usize = 15;

/// Where a record lies in the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// A count, and how much of it is of each of the last minutes, the present one first.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    minutes: [u64; LATELY],
}

impl Count {
    fn add(&mut self, more: u64) {
        self.all += more;
        self.minutes[0] += more;
    }

    fn lately(&self) -> u64 {
        self.minutes.iter().sum()
    }

    /// So many minutes are over; gives what was counted since the last call.
    fn turn(&mut self, minutes: usize) -> u64 {
        let counted = self.minutes[0];
        let over = minutes.min(LATELY);
        self.minutes.rotate_right(over % LATELY);
        self.minutes[..over].fill(0);
        counted
    }
}

/// One kind of what is not read.
#[derive(Debug, Default)]
struct Seen {
    count: Count,
    /// How many no line of the log has told of.
    untold: u64,
    /// A line of the log names it.
    is_named: bool,
    last: Place,
    /// What was wrong with the last one.
    says: String,
}

impl Seen {
    /// One more; `has_line`: a line of its own tells of it.
    fn see(&mut self, place: Place, has_line: bool) {
        self.count.add(1);
        self.untold += u64::from(!has_line);
        self.is_named |= has_line;
        self.last = place;
    }
}

/// What became of an unknown text.
#[derive(Debug)]
pub struct Noted {
    /// The text as it is shown.
    pub text: UnknownText,
    /// It has a count of its own.
    pub is_counted: bool,
    /// The first one of its carrier in this field.
    pub is_first: bool,
}

/// What was not read in a minute that is over, but for what lines of their own told of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Records that were looked at.
    pub records: u64,
    /// Records that are no scans: reason, how many, place of the last and what is wrong with it.
    pub rejected: Vec<(Reason, u64, Place, String)>,
    /// Unknown texts, the most frequent first; the new ones are told for the first time.
    pub unknown: Vec<(UnknownText, u64, Newness)>,
    /// Unknown texts without a count of their own.
    pub more: u64,
}

/// Whether a text has been told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Newness {
    /// It has not.
    New,
    /// It has.
    Known,
}

/// How much of what was looked at was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records that were looked at.
    pub records: u64,
    /// Those that are no scans.
    pub rejected: u64,
    /// Texts that are none of their vocabulary.
    pub unknown_texts: u64,
}

/// Records that are no scans, of one reason.
#[derive(Debug, Serialize)]
pub struct OfReason {
    reason: &'static str,
    count: u64,
    last_15_min: u64,
    last: Place,
    says: String,
}

/// An unknown text of a carrier.
#[derive(Debug, Serialize)]
pub struct OfText {
    carrier: String,
    field: &'static str,
    text: String,
    count: u64,
    last_15_min: u64,
    last: Place,
}

/// What is told to those who ask.
#[derive(Debug, Serialize)]
pub struct Unreads {
    /// Since the start of the process.
    pub since_start: Counts,
    /// In the last [`LATELY`] minutes.
    pub last_15_min: Counts,
    /// Why records were no scans, the most frequent reason of late first.
    pub rejected: Vec<OfReason>,
    /// Unknown texts, the most frequent of late first.
    pub unknown_texts: Vec<OfText>,
    /// Unknown texts that are not listed.
    pub unknown_texts_not_listed: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Ledger {
    records: Count,
    rejected: BTreeMap<Reason, Seen>,
    unknown: BTreeMap<UnknownText, Seen>,
    more: Count,
}

impl Ledger {
    /// So many records were looked at.
    pub fn read(&mut self, records: u64) {
        self.records.add(records);
    }

    /// A record is no scan; whether it is the first for its reason.
    pub fn rejected(&mut self, place: Place, rejected: &Rejected) -> bool {
        let seen = self.rejected.entry(rejected.reason).or_default();
        let is_first = !seen.is_named;
        seen.see(place, is_first);
        seen.says.clone_from(&rejected.message);
        is_first
    }

    /// A scan has a text that is none of its vocabulary.
    pub fn unknown(&mut self, place: Place, carrier: &str, field: Vocabulary, text: &str) -> Noted {
        let text = UnknownText { carrier: carrier.into(), field, text: shown(text) };
        if let Some(seen) = self.unknown.get_mut(&text) {
            seen.see(place, false);
            return Noted { text, is_counted: true, is_first: false };
        }
        if self.unknown.len() >= MOST_TEXTS {
            self.more.add(1);
            return Noted { text, is_counted: false, is_first: false };
        }
        let of_carrier = |other: &UnknownText| other.field == field && other.carrier == carrier;
        let is_first = !self.unknown.keys().any(of_carrier);
        self.unknown.entry(text.clone()).or_default().see(place, is_first);
        Noted { text, is_counted: true, is_first }
    }

    /// So many minutes are over; gives what was not read since the last call.
    pub fn turn(&mut self, minutes: usize) -> Minute {
        let mut told = Minute { records: self.records.turn(minutes), ..Minute::default() };
        told.more = self.more.turn(minutes);
        for (reason, seen) in &mut self.rejected {
            let count = seen.count.turn(minutes);
            if std::mem::take(&mut seen.untold) > 0 {
                told.rejected.push((*reason, count, seen.last, seen.says.clone()));
            }
        }
        for (text, seen) in &mut self.unknown {
            let count = seen.count.turn(minutes);
            let was_named = std::mem::replace(&mut seen.is_named, true);
            if std::mem::take(&mut seen.untold) > 0 {
                let newness = if was_named { Newness::Known } else { Newness::New };
                told.unknown.push((text.clone(), count, newness));
            }
        }
        told.rejected.sort_by_key(|(_, count, ..)| Reverse(*count));
        told.unknown.sort_by_key(|(_, count, newness)| (*newness, Reverse(*count)));
        told
    }

    /// What there was so far.
    pub fn counts(&self) -> Unreads {
        let of_reason = |(reason, seen): (&Reason, &Seen)| OfReason {
            reason: reason.as_str(),
            count: seen.count.all,
            last_15_min: seen.count.lately(),
            last: seen.last,
            says: seen.says.clone(),
        };
        let of_text = |(text, seen): (&UnknownText, &Seen)| OfText {
            carrier: text.carrier.to_string(),
            field: text.field.as_str(),
            text: text.text.clone(),
            count: seen.count.all,
            last_15_min: seen.count.lately(),
            last: seen.last,
        };
        let mut rejected: Vec<_> = self.rejected.iter().map(of_reason).collect();
        rejected.sort_by_key(|of| Reverse((of.last_15_min, of.count)));
        let mut unknown_texts: Vec<_> = self.unknown.iter().map(of_text).collect();
        unknown_texts.sort_by_key(|of| Reverse((of.last_15_min, of.count)));
        Unreads {
            since_start: self.sum(|count| count.all),
            last_15_min: self.sum(Count::lately),
            rejected,
            unknown_texts,
            unknown_texts_not_listed: self.more.all,
        }
    }

    fn sum(&self, of: impl Fn(&Count) -> u64) -> Counts {
        let rejected = self.rejected.values().map(|seen| of(&seen.count)).sum();
        let unknown: u64 = self.unknown.values().map(|seen| of(&seen.count)).sum();
        let unknown_texts = unknown + of(&self.more);
        Counts { records: of(&self.records), rejected, unknown_texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { partition: 3, offset: 17 };

    fn no_json() -> Rejected {
        Rejected::new(Reason::NotJson, "expected value")
    }

    fn unknown(ledger: &mut Ledger, carrier: &str, text: &str) -> Noted {
        ledger.unknown(AT, carrier, Vocabulary::Milestone, text)
    }

    #[test]
    fn the_first_of_a_reason_has_a_line_of_its_own_and_further_ones_are_told_by_the_minute() {
        let mut ledger = Ledger::default();
        assert!(ledger.rejected(AT, &no_json()));
        assert_eq!(ledger.turn(1).rejected, [], "it has been told already");
        assert!(!ledger.rejected(AT, &no_json()));
        assert!(!ledger.rejected(AT, &no_json()));
        assert!(ledger.rejected(AT, &Rejected::new(Reason::BadCarrier, "no")));
        ledger.read(4);
        let told = ledger.turn(1);
        assert_eq!(told.records, 4);
        assert_eq!(told.rejected, [(Reason::NotJson, 2, AT, "expected value".to_owned())]);
        assert_eq!(ledger.turn(1), Minute::default(), "a minute without one is not told");
    }

    #[test]
    fn each_unknown_text_is_named_once_and_the_first_of_a_carrier_by_a_line_of_its_own() {
        let mut ledger = Ledger::default();
        assert!(unknown(&mut ledger, "dhl", "SORTED").is_first);
        assert!(!unknown(&mut ledger, "dhl", "SORTED").is_first);
        assert!(!unknown(&mut ledger, "dhl", "PARKED").is_first);
        assert!(unknown(&mut ledger, "ups", "SORTED").is_first);
        let newness = |minute: &Minute| {
            let each = minute.unknown.iter();
            each.map(|(text, count, new)| (text.text.clone(), *count, *new)).collect::<Vec<_>>()
        };
        let (sorted, parked) = ("SORTED".to_owned(), "PARKED".to_owned());
        let told = newness(&ledger.turn(1));
        assert_eq!(told, [(parked.clone(), 1, Newness::New), (sorted, 2, Newness::Known)]);
        unknown(&mut ledger, "dhl", "PARKED");
        assert_eq!(newness(&ledger.turn(1)), [(parked, 1, Newness::Known)]);
    }

    #[test]
    fn a_feed_of_ever_new_texts_is_counted_in_bounded_memory() {
        let mut ledger = Ledger::default();
        let texts = || ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("{a}{b}")));
        for text in texts() {
            unknown(&mut ledger, "dhl", &text);
        }
        let counts = ledger.counts();
        assert_eq!(counts.unknown_texts.len(), MOST_TEXTS);
        assert_eq!(counts.since_start.unknown_texts, texts().count() as u64);
        assert_eq!(ledger.turn(1).more, (texts().count() - MOST_TEXTS) as u64);
    }

    #[test]
    fn what_is_older_than_fifteen_minutes_is_not_of_late() {
        let mut ledger = Ledger::default();
        ledger.rejected(AT, &no_json());
        ledger.read(10);
        for _ in 1..LATELY {
            ledger.turn(1);
        }
        let all = Counts { records: 10, rejected: 1, unknown_texts: 0 };
        assert_eq!(ledger.counts().last_15_min, all);
        ledger.turn(1);
        assert_eq!(ledger.counts().last_15_min, Counts { records: 0, rejected: 0, ..all });
        assert_eq!(ledger.counts().since_start, all);
        ledger.read(7);
        ledger.turn(100);
        assert_eq!(ledger.counts().last_15_min.records, 0);
    }
}
