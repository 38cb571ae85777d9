//! What an operator may answer to a halt, and how it is written and printed.

use serde::{Deserialize, Serialize};

use super::Durable;
use crate::protocol::halt::About;

/// Key of an operator's answer in the `open` topic. No carrier is empty, so no exception has it.
pub const ANSWER_KEY: &str = ":accept";

/// How every command that answers a halt begins.
const COMMAND: &str = "stallwatch recover";

/// What an operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// The cut counts, whatever the group's offset is.
    Cut,
    /// Records were deleted before they were read: go on behind the gap.
    Gap,
    /// The topic was made anew: its records begin another log; what is open stays open.
    NewLog,
    /// The topic has another number of partitions: packages may be on two of them.
    Partitions,
    /// The cut is lost: begin as at a first start.
    FirstStart,
    /// The log is right where an open exception contradicts it: it is closed as expired.
    TrustLog,
    /// The frontier was stored ahead of time: it goes back to what is known to be complete.
    Frontier,
    /// The other group has stopped for good: this one goes on in its place.
    Group,
    /// The records count as they are read now.
    Rejections,
    /// The open topic counts as it is.
    OpenTable,
}

impl Accept {
    /// Every answer.
    pub const ALL: &'static [Self] = &[
        Self::Cut,
        Self::Gap,
        Self::NewLog,
        Self::Partitions,
        Self::FirstStart,
        Self::TrustLog,
        Self::Frontier,
        Self::Group,
        Self::Rejections,
        Self::OpenTable,
    ];

    /// As it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Gap => "gap",
            Self::NewLog => "new-log",
            Self::Partitions => "partitions",
            Self::FirstStart => "first-start",
            Self::TrustLog => "trust-log",
            Self::Frontier => "frontier",
            Self::Group => "group",
            Self::Rejections => "rejections",
            Self::OpenTable => "open-table",
        }
    }

    /// How an operator gives it; [`of_partition`] fills it in.
    pub fn command(self) -> String {
        format!("{COMMAND} --accept {} --partition P (or --all)", self.as_str())
    }

    /// What subscribers see then.
    pub const fn seen(self) -> &'static str {
        match self {
            Self::Cut => "nothing new: what was published stands, and publishing goes on behind it",
            Self::Gap => {
                "nothing is repeated; packages that moved in the deleted records may be reported as silent until their next scan, and packages known from these alone are reported only once they are scanned again"
            }
            Self::NewLog => {
                "nothing is repeated: what is open stays open and ends by what the new log says; packages known from the old log alone are reported only once they are scanned again"
            }
            Self::Partitions => {
                "nothing is repeated; a package whose later scans go to another partition may be reported as silent in its old one, by alarms that end as expired after forget_after"
            }
            Self::FirstStart => {
                "REPEATS under the same exception_id: with input.backfill = \"silent\" what is open now comes once more as opened with backfilled = true, and what ended since the cut was lost gets no end; with \"publish\" the whole history of the log comes once more"
            }
            Self::TrustLog => {
                "each open exception that contradicts the log is closed: as resolved or retracted, without a closed_by, where the log shows that its package moved, else as expired; nothing else is published"
            }
            Self::Frontier => {
                "nothing is repeated or taken back: what was published too early stands and is retracted once its package moves"
            }
            Self::Group => {
                "what the other group has published stands, and this one goes on behind it; while both run, everything comes twice"
            }
            Self::Rejections => {
                "nothing is repeated; packages count by the records as they are read now, and an open exception that these contradict is closed as they say"
            }
            Self::OpenTable => {
                "nothing, where the message says that it is known what the open topic held: that is written again; else REPEATS: what is silent by the log and has no entry comes once more as opened under the same exception_id, and what the log contradicts is closed"
            }
        }
    }

    /// The answer of exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|accept| accept.as_str() == text)
    }
}

/// An operator's answer. It holds for the one state of things that the operator saw: with the next
/// commit it means nothing any more, and given twice it means the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What is accepted; one thing accepted may show another that must be.
    pub accept: Vec<Accept>,
    /// What was stored.
    #[serde(flatten)]
    pub about: About,
}

impl Answer {
    /// An answer to this state of things, together with what has been accepted in it before.
    pub fn to(durable: &Durable, accept: Accept) -> Self {
        let mut answer = Self { accept: Vec::new(), about: About::of(durable) };
        let before = durable.answer.iter().filter(|before| before.about == answer.about);
        answer.accept = before.flat_map(|before| before.accept.clone()).collect();
        if !answer.accept.contains(&accept) {
            answer.accept.push(accept);
        }
        answer
    }

    /// The record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and texts always serialise")
    }

    /// Reads a record's value; one that cannot be read is no answer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// A halt's text with configuration (as a word for a shell) and partition in its commands.
pub fn of_partition(text: &str, config: &str, partition: i32) -> String {
    text.replace(&format!("{COMMAND} --accept"), &format!("{COMMAND} --config {config} --accept"))
        .replace("--partition P ", &format!("--partition {partition} "))
}

/// A halt's text without its commands, and these if there are any.
pub fn parted(text: &str) -> (&str, Option<&str>) {
    let at = text.find(&format!(": {COMMAND} "));
    at.map_or((text, None), |at| (&text[..at], Some(&text[at + 2..])))
}
