//! A warning that says the same as one in the minute before is not written: what lasts, such as an
//! outage, would else fill the log.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stallwatch::service::clock::Stopwatch;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// How lines of the client begin.
const OF_CLIENT: &str = "kafka client: ";
/// How long a line stands for others like it.
const MINUTE: Duration = Duration::from_secs(60);
/// Lines that are remembered at most.
const MOST: usize = 1_024;

/// The filter.
pub struct Repeats {
    since: Stopwatch,
    written: Mutex<Written>,
}

impl Repeats {
    /// Nothing has been written yet.
    pub fn new() -> Self {
        Self { since: Stopwatch::start(), written: Mutex::default() }
    }
}

impl<S: Subscriber> Filter<S> for Repeats {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::WARN {
            return true;
        }
        let is_warning = *event.metadata().level() == Level::WARN;
        let mut line = Line { hash: DefaultHasher::new(), is_warning };
        event.record(&mut line);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.is_new(line.hash.finish(), self.since.elapsed())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// When which lines were written last.
#[derive(Default)]
struct Written(BTreeMap<u64, Duration>);

impl Written {
    fn is_new(&mut self, line: u64, now: Duration) -> bool {
        if self.0.get(&line).is_some_and(|written| now < *written + MINUTE) {
            return false;
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, written| now < *written + MINUTE);
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(line, now);
        true
    }
}

/// What a line says. Numbers in the message of a warning, such as how long something has lasted, make no
/// other line of it, nor do those in what the client calls an error.
struct Line {
    hash: DefaultHasher,
    is_warning: bool,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        let has_numbers = self.is_warning || text.starts_with(OF_CLIENT);
        if has_numbers && field.name() == "message" {
            text.retain(|it| !it.is_ascii_digit());
        }
        (field.name(), text).hash(&mut self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_once_a_minute_and_another_one_at_once() {
        let mut written = Written::default();
        let second = Duration::from_secs;
        assert!(written.is_new(1, second(0)));
        assert!(!written.is_new(1, second(59)));
        assert!(written.is_new(2, second(59)));
        assert!(written.is_new(1, second(60)));
        assert!(!written.is_new(1, second(119)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut written = Written::default();
        for line in 0..10 * MOST as u64 {
            assert!(written.is_new(line, Duration::ZERO));
        }
        assert!(written.0.len() <= MOST);
    }
}
