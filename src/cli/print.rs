//! Lines to the terminal. A reader that has gone is no reason to panic.

use std::fmt::Display;
use std::io::{self, Write};

use super::Failure;

/// One line to standard error: `error: …` or `warning: …`.
pub fn complain(level: &str, message: impl Display) {
    note(format_args!("{level}: {message}"));
}

/// Text to standard error. If that cannot be written there is nobody left to tell.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text that came from elsewhere, so that it cannot steer the terminal.
#[cfg(feature = "kafka")]
pub fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Text to standard output.
pub fn say(text: impl Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(|error| Failure::of_output("standard output", &error))
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::harmless;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let text = harmless("Köln \u{1b}]0;title\u{7}\u{9b}2J\r\nBonn");
        assert_eq!(text, "Köln \\u{1b}]0;title\\u{7}\\u{9b}2J\\r\nBonn");
    }
}
