//! A partition that stops, what it waits for, and the word that is left of it where operators look.

use serde::{Deserialize, Serialize};

use super::agree::{Accept, Durable, HaltReason, of_partition};

/// Key of the word of a halt in the `open` topic. No carrier is empty, so no exception has it.
pub const HALT_KEY: &str = ":halt";

/// Why a partition has halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The name of the reason.
    pub name: &'static str,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The answers that let it go on, each of them.
    pub answers: &'static [Accept],
    /// It goes on by itself once so many places for packages are free; `None`: never.
    pub places_needed: Option<usize>,
}

/// What halts a partition beside what [`HaltReason`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// There is no room for its packages.
    MaxPackages,
    /// A record is no scan, and that is to halt.
    RecordRejected,
    /// Another record stands where the one was whose look is out in part.
    AnotherRecord,
    /// An open exception contradicts the log.
    Contradiction,
    /// The broker takes none of what it has to say.
    NotWritten,
    /// The client cannot read on at the cut.
    NotRead,
    /// What is stored, or the schema, cannot be read.
    Unreadable,
}

impl Other {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[
        Self::MaxPackages,
        Self::RecordRejected,
        Self::AnotherRecord,
        Self::Contradiction,
        Self::NotWritten,
        Self::NotRead,
        Self::Unreadable,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxPackages => "max-packages",
            Self::RecordRejected => "record-rejected",
            Self::AnotherRecord => "rejections-differ",
            Self::Contradiction => "contradiction",
            Self::NotWritten => "not-written",
            Self::NotRead => "not-read",
            Self::Unreadable => "unreadable",
        }
    }

    /// The answers that let the partition go on, each of them.
    pub const fn answers(self) -> &'static [Accept] {
        match self {
            Self::Contradiction => &[Accept::TrustLog],
            Self::AnotherRecord => &[Accept::Rejections],
            Self::MaxPackages
            | Self::RecordRejected
            | Self::NotWritten
            | Self::NotRead
            | Self::Unreadable => &[],
        }
    }
}

impl Halt {
    /// For one of the other reasons, in these words.
    pub fn new(other: Other, message: impl Into<String>) -> Self {
        let (name, answers) = (other.name(), other.answers());
        Self { name, message: message.into(), answers, places_needed: None }
    }

    /// For want of so many places for packages.
    pub fn for_room(message: impl Into<String>, places: usize) -> Self {
        Self { places_needed: Some(places), ..Self::new(Other::MaxPackages, message) }
    }

    /// For one of these reasons.
    pub fn of(reason: &HaltReason) -> Self {
        let (name, answers) = (reason.name(), reason.answers());
        Self { name, message: reason.to_string(), answers, places_needed: None }
    }

    /// With configuration and partition in its commands.
    pub fn of_partition(mut self, config: &str, partition: i32) -> Self {
        self.message = of_partition(&self.message, config, partition);
        self
    }

    /// The reason that its frontier is held for.
    pub const fn reason(&self) -> &'static str {
        match self.places_needed {
            Some(_) => "max_packages",
            None => "halted",
        }
    }
}

/// The state of things that an answer or a word of a halt is about. With the next commit it is another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Owner and number of the cut that is stored.
    pub cut: Option<(String, u64)>,
    /// The group's offset.
    pub group: Option<i64>,
}

impl About {
    /// What is durable.
    pub fn of(durable: &Durable) -> Self {
        Self {
            cut: durable.cut.as_ref().map(|cut| (cut.owner.clone(), cut.commit)),
            group: durable.group.as_ref().map(|(offset, _)| *offset),
        }
    }
}

/// The word of a halt, for whoever is to answer it. It means nothing once other things are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltRecord {
    /// The name of the reason.
    pub reason: String,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The names of the answers that let the partition go on.
    pub answers: Vec<String>,
    /// What was stored.
    #[serde(flatten)]
    pub about: About,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_ms: i64,
}

impl HaltRecord {
    /// The word of this halt.
    pub fn new(halt: &Halt, about: About, since_ms: i64) -> Self {
        Self {
            reason: halt.name.to_owned(),
            message: halt.message.clone(),
            answers: halt.answers.iter().map(|accept| accept.as_str().to_owned()).collect(),
            about,
            since_ms,
        }
    }

    /// Whether both say the same, whenever it began.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { since_ms: other.since_ms, ..self.clone() } == *other
    }

    /// Whether it is about what is durable now.
    pub fn concerns(&self, durable: &Durable) -> bool {
        self.about == About::of(durable)
    }

    /// The answers that let the partition go on, as far as they are known here.
    pub fn known_answers(&self) -> Vec<Accept> {
        self.answers.iter().filter_map(|name| Accept::parse(name)).collect()
    }

    /// The record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and texts always serialise")
    }

    /// Reads a record's value; one that cannot be read is no word.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::{CutRecord, example};
    use super::*;

    #[test]
    fn the_word_of_a_halt_is_about_what_was_stored_and_means_nothing_behind_the_next_commit() {
        let cut = example(12, 3);
        let durable = Durable {
            cut: Some(cut.clone()),
            group: Some((12, cut.metadata())),
            log_start: 0,
            log_end: 20,
            answer: None,
            other: None,
            now_ms: 0,
            margin_ms: 0,
        };
        let reason = HaltReason::Truncated { cut: 12, log_start: 15 };
        let halt = Halt::of(&reason);
        let word = HaltRecord::new(&halt, About::of(&durable), 5);
        let read = HaltRecord::from_bytes(&word.to_bytes()).expect("it can be read");
        assert_eq!(read, word);
        assert_eq!((&*read.reason, read.known_answers()), ("truncated", vec![Accept::Gap]));
        assert!(read.concerns(&durable));
        let committed = CutRecord { commit: 4, ..cut };
        assert!(!read.concerns(&Durable { cut: Some(committed), ..durable.clone() }));
        assert!(!read.concerns(&Durable { group: Some((13, String::new())), ..durable }));
        let newer = br#"{"reason":"r","message":"m","answers":["of-a-later-version","gap"],"cut":null,"group":1,"since_ms":0,"more":1}"#;
        let newer = HaltRecord::from_bytes(newer).expect("it can be read");
        assert_eq!(newer.known_answers(), [Accept::Gap]);
        assert_eq!(HaltRecord::from_bytes(b"else"), None);
    }

    #[test]
    fn names_of_reasons_are_words_with_hyphens_and_each_is_of_one_alone() {
        let mut names: Vec<_> = Other::ALL.iter().map(|other| other.name()).collect();
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.iter().all(|name| plain(name)), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Other::ALL.len());
    }
}
