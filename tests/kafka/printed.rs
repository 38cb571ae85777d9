//! Commands that are printed, run as they are printed: in a shell that finds the program and Kafka's own
//! tools, and knows nothing else.

use crate::broker::Broker;
use crate::service::{Said, Setup};

/// The commands of this tool that a text has, each up to where the sentence goes on.
pub fn commands(text: &str, tool: &str) -> Vec<String> {
    let ends = [" (or --all)", "; ", " prints", " trying again", "\n", "\""];
    let starts = text.match_indices(tool).map(|(at, _)| &text[at..]);
    starts
        .map(|rest| {
            let end = ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
            rest[..end].to_owned()
        })
        .collect()
}

/// The last command of this tool that a text has.
pub fn last(text: &str, tool: &str) -> String {
    commands(text, tool).pop().unwrap_or_else(|| panic!("no {tool} in: {text}"))
}

/// Runs a command as it is printed, and it succeeds.
pub fn run(setup: &Setup, broker: &Broker, command: &str) -> Said {
    let said = setup.shell(broker, command);
    assert_eq!(said.code, 0, "{command}\n{}{}", said.out, said.err);
    said
}
