//! A partition that stops, and what it waits for.

/// Why a partition has halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What is wrong, where, and what to do.
    pub message: String,
    /// It goes on by itself once so many places for packages are free; `None`: never.
    pub places_needed: Option<usize>,
}

impl Halt {
    /// The reason that its frontier is held for.
    pub const fn reason(&self) -> &'static str {
        match self.places_needed {
            Some(_) => "max_packages",
            None => "halted",
        }
    }
}

impl From<String> for Halt {
    fn from(message: String) -> Self {
        Self { message, places_needed: None }
    }
}

impl From<&str> for Halt {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}
