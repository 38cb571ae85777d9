//! Texts of scans that are none of their vocabulary: they count as `info` and as predicted, which
//! silences nothing and moves nothing, so that a feed of them would go unheard if nobody told of it.

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;

use crate::detector::scan::vocabulary;

vocabulary! {
    /// What a text should have been one of.
    Vocabulary {
        /// [`Milestone`](crate::detector::scan::Milestone).
        Milestone = "milestone",
        /// [`Evidence`](crate::detector::scan::Evidence).
        Evidence = "evidence",
    }
}

/// What a scan says in words that are none of their vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnknownTexts<'a> {
    /// In place of a milestone.
    pub milestone: Option<&'a str>,
    /// In place of evidence.
    pub evidence: Option<&'a str>,
}

impl<'a> UnknownTexts<'a> {
    /// Each with what it should have been one of.
    pub fn each(self) -> impl Iterator<Item = (Vocabulary, &'a str)> {
        let milestone = self.milestone.map(|text| (Vocabulary::Milestone, text));
        milestone.into_iter().chain(self.evidence.map(|text| (Vocabulary::Evidence, text)))
    }

    /// Whether all words are known.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A text that is none of its vocabulary, as it is counted and shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownText {
    /// The carrier of the scans.
    pub carrier: CompactString,
    /// What it should have been one of.
    pub field: Vocabulary,
    /// The text as [`shown`] gives it.
    pub text: String,
}

impl fmt::Display for UnknownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.carrier, self.field.as_str(), self.text)
    }
}

/// Distinct texts that are counted apart.
pub const MOST_TEXTS: usize = 100;

/// How often each unknown text came, in bounded memory.
#[derive(Clone, Debug, Default)]
pub struct UnknownCounts {
    counts: BTreeMap<UnknownText, u64>,
    more: u64,
}

impl UnknownCounts {
    /// One more.
    pub fn add(&mut self, carrier: &str, field: Vocabulary, text: &str) {
        let text = UnknownText { carrier: carrier.into(), field, text: shown(text) };
        let full = self.counts.len() >= MOST_TEXTS;
        match self.counts.get_mut(&text) {
            Some(count) => *count += 1,
            None if full => self.more += 1,
            None => drop(self.counts.insert(text, 1)),
        }
    }

    /// Each text, the most frequent first.
    pub fn texts(&self) -> impl Iterator<Item = (&UnknownText, u64)> {
        let mut texts: Vec<_> = self.counts.iter().map(|(text, count)| (text, *count)).collect();
        texts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        texts.into_iter()
    }

    /// How many came that have no count of their own.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// How many came in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.more
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// Texts that a line names.
const NAMED: usize = 5;

/// `12 dhl milestone "DEPARTED", 3 ups evidence "HEARSAY" and 2 others`
impl fmt::Display for UnknownCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut named = 0;
        for (at, (text, count)) in self.texts().take(NAMED).enumerate() {
            write!(f, "{}{count} {text}", if at > 0 { ", " } else { "" })?;
            named += count;
        }
        match self.total() - named {
            0 => Ok(()),
            others => write!(f, " and {others} others"),
        }
    }
}

/// Most characters of a text that are shown.
const SHOWN: usize = 40;
/// A text with more digits than this may hold a tracking number.
const DIGITS: usize = 4;

/// An unknown text as people and metrics are shown it: cut, without control characters, and without
/// digits where there are so many that they could name a package.
pub fn shown(text: &str) -> String {
    let hides = text.chars().filter(char::is_ascii_digit).count() > DIGITS;
    let visible = |letter: char| match letter {
        letter if letter.is_control() => '\u{fffd}',
        letter if hides && letter.is_ascii_digit() => '#',
        letter => letter,
    };
    let mut shown: String = text.chars().take(SHOWN).map(visible).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_by_carrier_in_bounded_memory_and_the_most_frequent_are_named() {
        let mut counts = UnknownCounts::default();
        for _ in 0..3 {
            counts.add("dhl", Vocabulary::Milestone, "SORTED");
        }
        counts.add("ups", Vocabulary::Milestone, "SORTED");
        assert_eq!(counts.to_string(), "3 dhl milestone \"SORTED\", 1 ups milestone \"SORTED\"");
        for letter in 'a'..='z' {
            for second in 'a'..='z' {
                counts.add("gls", Vocabulary::Evidence, &format!("{letter}{second}"));
            }
        }
        assert_eq!(counts.texts().count(), MOST_TEXTS);
        assert_eq!(counts.total(), 4 + 26 * 26);
        assert_eq!(counts.more(), 4 + 26 * 26 - 3 - (MOST_TEXTS as u64 - 1));
        assert!(counts.to_string().ends_with(&format!(" and {} others", 26 * 26 - 3)));
    }

    #[test]
    fn a_text_is_shown_without_what_could_name_a_package_or_break_a_line() {
        assert_eq!(shown("DEPARTED"), "DEPARTED");
        assert_eq!(shown("code 4711"), "code 4711");
        assert_eq!(shown("1Z999AA10123456784"), "#Z###AA###########");
        assert_eq!(shown("a\nb"), "a\u{fffd}b");
        assert_eq!(shown(&"ö".repeat(41)), format!("{}…", "ö".repeat(40)));
    }
}
