//! The log's level, changed while the service runs.

use std::sync::{Mutex, PoisonError};

use tracing_subscriber::reload::Handle;
use tracing_subscriber::{EnvFilter, Registry};

/// The way to the filter of the log.
#[derive(Debug)]
pub struct LogLevel {
    handle: Handle<EnvFilter, Registry>,
    level: Mutex<String>,
}

impl LogLevel {
    /// Over a filter that was made of these directives.
    pub fn new(handle: Handle<EnvFilter, Registry>, level: &str) -> Self {
        Self { handle, level: Mutex::new(level.to_owned()) }
    }

    /// The directives in force.
    pub fn level(&self) -> String {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other directives in force; gives those before.
    ///
    /// # Errors
    /// When they are none.
    pub fn set(&self, level: &str) -> Result<String, String> {
        crate::config::check_log_level(level)?;
        let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
        let mut now = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(filter).map_err(|error| error.to_string())?;
        Ok(std::mem::replace(&mut now, level.to_owned()))
    }
}
