//! Reads scenarios, plays them through the detector and writes down what it said.

mod player;
mod replayed;
mod script;
mod text;

pub use player::{Pace, Played, play};
pub use script::Script;

/// Two lists of lines under each other, those that only one has marked.
pub fn compare(expected: &[String], actual: &[String]) -> String {
    let mut lines = Vec::new();
    let (mut rest, mut found) = (expected, actual);
    while let (Some(want), Some(have)) = (rest.first(), found.first()) {
        if want == have {
            lines.push(format!("    {want}"));
            (rest, found) = (&rest[1..], &found[1..]);
        } else if found.contains(want) {
            lines.push(format!("  + {have}"));
            found = &found[1..];
        } else {
            lines.push(format!("  - {want}"));
            rest = &rest[1..];
        }
    }
    lines.extend(rest.iter().map(|line| format!("  - {line}")));
    lines.extend(found.iter().map(|line| format!("  + {line}")));
    lines.join("\n")
}
