//! Waiting for a condition, never for a length of time.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long to pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds something; panics with `what` and `why()` after `patience`.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
    why: impl FnOnce() -> String,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {patience:?}: {what}\n{}", why());
        thread::sleep(PAUSE);
    }
}

/// Waits until the wall clock shows this second since 1970.
pub fn until_second(second: i64) {
    let left = Duration::from_secs(u64::try_from(second - now_secs()).unwrap_or(0) + 5);
    until("a second of the wall clock", left, || (now_secs() >= second).then_some(()), String::new);
}

/// The wall clock in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    i64::try_from(since.as_millis()).expect("the clock is before the year 292 million")
}

/// The wall clock in whole seconds since 1970.
pub fn now_secs() -> i64 {
    now_ms().div_euclid(1000)
}
