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

/// Text to standard output.
pub fn say(text: impl Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")
        .and_then(|()| output.flush())
        .map_err(|error| Failure::of_output("standard output", &error))
}
